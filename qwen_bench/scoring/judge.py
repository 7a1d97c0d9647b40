"""The only-candidate rule: which word describes an answer, and what it scores.

An answer is right only if the gold is the one candidate it names, not negated, without an abstain
phrase. A second candidate is wrong whatever its polarity, since recall-only matching can be gamed
by listing everything (probe specification, section 6.3).
"""

from __future__ import annotations

from typing import NamedTuple

from qwen_bench.probes.model import Probe
from qwen_bench.scoring.mentions import abstains, find_mentions, is_negated
from qwen_bench.scoring.normalise import answer_segment, normalise, visible_part

TIE = 1e-9


class Verdict(NamedTuple):
    """Score 1 or 0, the reason as one word, and the span of the match in the raw text."""

    score: int
    reason: str
    matched: tuple[int, int] | None = None


def judge_text(probe: Probe, raw: str) -> Verdict:
    """Scores a generated answer to a probe of kind `single` or `abstain`."""
    visible = visible_part(raw)
    if visible.unfinished_thought:
        return Verdict(0, "no_answer")
    text = normalise(raw, visible.start, visible.end)
    if not text.text:
        return Verdict(0, "empty")
    start, end = answer_segment(text.text)
    segment = text.text[start:end]
    mentions = find_mentions(segment, probe.candidates, probe.aliases)
    named = {mention.candidate for mention in mentions}
    says_never = abstains(segment)

    def span_of(candidate: str) -> tuple[int, int] | None:
        for mention in mentions:
            if mention.candidate == candidate:
                return text.span(start + mention.start, start + mention.end)
        return None

    if probe.gold_abstains:
        if not named:
            return Verdict(1, "correct") if says_never else Verdict(0, "no_candidate")
        return Verdict(0, "multiple" if says_never or len(named) > 1 else "wrong_candidate")
    if not named:
        return Verdict(0, "abstained" if says_never else "no_candidate")
    if probe.gold not in named:
        return Verdict(0, "wrong_candidate", span_of(mentions[0].candidate))
    if len(named) > 1 or says_never:
        return Verdict(0, "multiple", span_of(probe.gold))
    if all(is_negated(segment, mention) for mention in mentions):
        return Verdict(0, "negated", span_of(probe.gold))
    return Verdict(1, "correct", span_of(probe.gold))


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
    return answer, Verdict(0, "abstained" if answer not in probe.candidates else "wrong_candidate")
