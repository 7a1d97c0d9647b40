"""The only-candidate rule: which word describes an answer, and what it scores.

An answer is right only if the gold is the one candidate it names, not negated, without an abstain
phrase. A second candidate is wrong whatever its polarity, since recall-only matching can be gamed
by listing everything (probe specification, section 6.3).
"""

from __future__ import annotations

from typing import NamedTuple

from qwen_bench.probes.probe import Probe
from qwen_bench.scoring.mentions import (
    Mention,
    abstains,
    find_mentions,
    first_yes_or_no,
    is_negated,
)
from qwen_bench.scoring.normalise import answer_segment, normalise, visible_part
from qwen_bench.scoring.rule_form import judge_rule

TIE = 1e-9


class Verdict(NamedTuple):
    """Score 1 or 0, the reason as one word, and the span of the match in the raw text."""

    score: int
    reason: str
    matched: tuple[int, int] | None = None


def judge_text(probe: Probe, raw: str) -> Verdict:
    """Scores a generated answer to a probe of any kind."""
    if probe.rule is not None:
        word = judge_rule(probe.rule, probe.gold, raw)
        return Verdict(int(word == "correct"), word)
    visible = visible_part(raw)
    text = normalise(raw, visible.start, visible.end)
    if visible.unfinished_thought or not text.text:
        return Verdict(0, "no_answer" if visible.unfinished_thought else "empty")
    start, end = answer_segment(text.text)
    segment = text.text[start:end]
    mentions = find_mentions(segment, probe.candidates, probe.aliases)
    judge = _judge_unanswerable if probe.gold_abstains else _JUDGES[probe.answer_kind]
    reason, decisive = judge(probe, segment, mentions)
    matched = text.span(start + decisive.start, start + decisive.end) if decisive else None
    return Verdict(int(reason == "correct"), reason, matched)


def _judge_single(
    probe: Probe, segment: str, mentions: list[Mention]
) -> tuple[str, Mention | None]:
    """The word for an answer where one was stated, and the mention that decides."""
    of_gold = [mention for mention in mentions if mention.candidate == probe.gold]
    if not mentions:
        return ("abstained" if abstains(segment) else "no_candidate"), None
    if not of_gold:
        return "wrong_candidate", mentions[0]
    if len(of_gold) < len(mentions) or abstains(segment):
        return "multiple", of_gold[0]
    if all(is_negated(segment, mention) for mention in of_gold):
        return "negated", of_gold[0]
    return "correct", of_gold[0]


def _judge_unanswerable(
    _: Probe, segment: str, mentions: list[Mention]
) -> tuple[str, Mention | None]:
    """The same where nothing was stated: only an abstain phrase without a candidate is right."""
    if not mentions:
        return ("correct" if abstains(segment) else "no_candidate"), None
    named = {mention.candidate for mention in mentions}
    several = abstains(segment) or len(named) > 1
    return ("multiple" if several else "wrong_candidate"), mentions[0]


def _judge_set(probe: Probe, segment: str, mentions: list[Mention]) -> tuple[str, Mention | None]:
    """The same for a list: all items of the gold, in any order, and no other."""
    negated = next((mention for mention in mentions if is_negated(segment, mention)), None)
    if negated:
        return "negated", negated
    named = {mention.candidate for mention in mentions}
    word = "correct" if named == set(probe.gold_items) else "set_mismatch"
    return word, mentions[0] if mentions else None


def _judge_yesno(probe: Probe, segment: str, _: list[Mention]) -> tuple[str, Mention | None]:
    """The same for a yes or a no, in either language: the first word of the answer decides."""
    said = first_yes_or_no(segment)
    if said is None:
        return "no_candidate", None
    gold = first_yes_or_no(normalise(probe.gold).text)
    agrees = gold is not None and said.candidate == gold.candidate
    return ("correct" if agrees else "wrong_candidate"), said


_JUDGES = {
    "single": _judge_single,
    "abstain": _judge_single,
    "set": _judge_set,
    "yesno": _judge_yesno,
}


def judge_ranking(probe: Probe, means: list[float]) -> tuple[str, Verdict]:
    """Scores a ranking of `probe.rank_candidates` by mean log-probability per token.

    Returns:
        The best candidate (of a tie the first) and the verdict; a tie within 1e-9 is wrong.
    """
    best = max(range(len(means)), key=means.__getitem__)
    answer = probe.rank_candidates[best]
    if sum(mean >= means[best] - TIE for mean in means) > 1:
        return answer, Verdict(0, "tie")
    if answer == probe.gold:
        return answer, Verdict(1, "correct")
    if probe.answer_kind == "set":
        return answer, Verdict(0, "set_mismatch")
    return answer, Verdict(0, "abstained" if answer not in probe.candidates else "wrong_candidate")
