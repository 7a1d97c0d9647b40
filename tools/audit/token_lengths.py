"""Audits that need a model's tokenizer: candidates and prompts in its own tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import unified_diff

from qwen_bench.audit.findings import AuditLine, Findings
from qwen_bench.audit.maintenance import Named
from qwen_bench.audit.shape import TWINS, TWINS_OF_KIND
from qwen_bench.probes.probe import AskedProbe, Condition, Probe
from qwen_bench.probes.suites import Suite

_ASKS_TWO = "needs two models: give --model twice"
_ASKS_ONE = "needs a tokenizer: give --model SPEC"


def token_lines(suite: Suite, models: Sequence[Named]) -> list[AuditLine]:
    """Rank tokens, prompt lengths and templates.

    Args:
        suite: small.
        models: label, and what turns messages into ids.
    """
    if not models:
        names = ("rank tokens", "prompt tokens")
        lines = [AuditLine(name, "skipped", _ASKS_ONE) for name in names]
        return [*lines, AuditLine("template", "skipped", _ASKS_TWO)]
    return [_rank_tokens(suite, models), _prompt_tokens(suite, models), _templates(suite, models)]


def _asked(suite: Suite, condition: Condition) -> Iterator[AskedProbe]:
    for dialogue in suite.dialogues():
        for asked in dialogue.probes:
            if asked.probe.condition == condition:
                yield asked


def _rank_tokens(suite: Suite, models: Sequence[Named]) -> AuditLine:
    """A prompt and a candidate have the same ids encoded together and apart.

    How many tokens the candidates of a probe differ by is reported only: the words are chosen for
    Qwen's tokenizer, and another one may cut a language it hardly knows into bytes.
    """
    findings, checked, spread = Findings(), 0, 0
    for label, prompter in models:
        for asked in _asked(suite, "blind"):
            prompt = prompter.prompt(asked.messages)
            sizes = {c: prompter.candidate(c) for c in asked.probe.rank_candidates}
            for candidate, ids in sizes.items():
                checked += 1
                joint = prompter.tokenizer.encode(prompt.text + candidate, add_special_tokens=False)
                if (*prompt.ids, *ids) != tuple(joint):
                    findings.add(asked.probe.id, f"{label} writes '{candidate}' in other tokens")
            counts = [len(ids) for c, ids in sizes.items() if c in asked.probe.candidates]
            spread = max(spread, max(counts, default=0) - min(counts, default=0))
    return findings.line(
        "rank tokens",
        f"{checked} candidates encoded with and without prompt; those of one probe differ by at "
        f"most {spread} tokens",
    )


def _prompt_tokens(suite: Suite, models: Sequence[Named]) -> AuditLine:
    """Both variants of a prompt are about equally long in the model's own tokens."""
    findings, checked, longest = Findings(), 0, 0
    for label, prompter in models:
        first: dict[str, tuple[Probe, int]] = {}
        for asked in _asked(suite, "main"):
            probe = asked.probe
            if probe.rule is not None:
                continue
            size = len(prompter.prompt(asked.messages).ids)
            checked, longest = checked + 1, max(longest, size)
            key = probe.id.replace(f"/{probe.variant}/", "/", 1)
            twin, theirs = first.setdefault(key, (probe, size))
            allowed = TWINS_OF_KIND.get(probe.answer_kind, TWINS)
            if abs(size - theirs) > allowed * max(size, theirs):
                what = f"{size} tokens of {label}, {theirs} in variant {twin.variant}"
                findings.add(probe.id, what)
    return findings.line("prompt tokens", f"{checked} prompts, the longest of {longest} tokens")


def _templates(suite: Suite, models: Sequence[Named]) -> AuditLine:
    """The rendered prompts of two models are equal, or their difference is said."""
    if len(models) < 2:
        return AuditLine("template", "skipped", _ASKS_TWO)
    (one, first), (two, second) = models[:2]
    checked = 0
    for asked in _asked(suite, "main"):
        checked += 1
        texts = [prompter.prompt(asked.messages).text for prompter in (first, second)]
        if texts[0] != texts[1]:
            return AuditLine("template", "ok", f"{one} and {two} differ: {_difference(*texts)}")
    return AuditLine("template", "ok", f"{checked} prompts of {one} and {two} are equal")


def _difference(one: str, two: str) -> str:
    """The lines in which two prompts differ."""
    lines = unified_diff(one.splitlines(), two.splitlines(), lineterm="", n=0)
    return " · ".join(line for line in lines if line[:3] not in {"---", "+++"})
