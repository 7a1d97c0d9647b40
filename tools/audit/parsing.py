"""The scorer on the suite's own answers: every right answer in any wrapping, and no two answers.

The parser table of the specification (6.5) is in the tests; here its properties are checked on
every kind of answer that the suite has.
"""

from __future__ import annotations

from collections.abc import Iterator

from qwen_bench.audit.findings import AuditLine, Findings
from qwen_bench.audit.questions import questions_of
from qwen_bench.probes.probe import Probe
from qwen_bench.probes.suites import Suite
from qwen_bench.scoring.normalise import normalise
from qwen_bench.scoring.score import judge_text
from qwen_bench.solvers.fixed_choice import oracle

WRAPPINGS = {
    "en": (
        *("{}.", "{}!", " {} ", "\n{}\n", "**{}**", "`{}`", '"{}"', "“{}”", "> {}", "({})"),
        *("Sure! {}", "Of course. {}", "It is {}.", "That would be {}.", "You said {}."),
        *(
            "Answer: {}",
            "Final answer: {}",
            "The answer is {}.",
            "{}\n\nLet me know if I can help.",
        ),
        *("<think>Let me look it up.</think>\n\n{}", "{}<|im_end|>", "{}\nUser: And now?"),
    ),
    "zh": (
        *("{}。", "{}！", " {} ", "\n{}\n", "**{}**", "`{}`", "「{}」", "“{}”", "《{}》", "（{}）"),
        *("好的，{}。", "当然，{}。", "应该是{}。", "您说的是{}。", "我记得是{}。"),
        *("答案：{}", "答案是{}。", "答：{}", "{}\n\n还需要帮忙的话请告诉我。"),
        *("<think>想一想。</think>\n\n{}", "{}<|im_end|>", "{}\n用户：那现在呢？"),
    ),
}
# What may stand before an answer whose first word decides.
_FIRST_WORD = (
    "{}",
    " {",
    "\n{",
    "**{",
    "`{",
    '"{',
    "“{",
    "「{",
    "《{",
    "({",
    "（{",
    "<think>",
    "> {",
)


def parser(suite: Suite) -> AuditLine:
    """Judge wrapped and doubled answers to every question of a small suite."""
    findings = Findings()
    judged = 0
    for dialogue in suite.dialogues():
        for asked in questions_of([dialogue]):
            for answer, right in _answers(asked.probe):
                judged += 1
                verdict = judge_text(asked.probe, answer)
                if verdict.score != right:
                    findings.add(asked.probe.id, f"'{answer}' is judged {verdict.reason}")
            once = normalise(asked.probe.gold).text
            if normalise(once).text != once:
                findings.add(asked.probe.id, "normalising twice changes the answer")
    return findings.line("parser", f"{judged} wrapped and doubled answers judged as they should be")


def _answers(probe: Probe) -> Iterator[tuple[str, int]]:
    """Answers and their scores."""
    gold = oracle(probe, ())
    yield gold, 1
    if probe.answer_kind == "rule":
        return
    for wrapping in WRAPPINGS[probe.lang]:
        if probe.answer_kind != "yesno" or wrapping.startswith(_FIRST_WORD):
            yield wrapping.replace("{}", gold), 1
    if probe.answer_kind == "yesno":
        return
    for other in probe.candidates:
        if other != probe.gold and other not in probe.gold_items:
            yield f"{gold}, {other}", 0
