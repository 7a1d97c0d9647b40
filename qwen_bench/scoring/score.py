"""From a reply to an outcome: the only-candidate rule, and the word and score it gives.

An answer is right only if the gold is the one candidate it names as the answer, not negated,
without an abstain phrase. A second candidate is wrong, since recall-only matching can be gamed by
listing everything, unless it follows the gold and is set aside ("Willow, not Cedar", "Willow
(formerly Cedar)").
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

from qwen_bench.chat.messages import Conversation, conversation_sha256
from qwen_bench.probes.probe import Probe, Rule, evidence_visible
from qwen_bench.protocol import Reply
from qwen_bench.record.outcome import Outcome
from qwen_bench.scoring.mentions import (
    Mention,
    abstains,
    find_mentions,
    is_changed_into,
    is_choice,
    is_denied,
    is_former,
    is_taken_back,
)
from qwen_bench.scoring.normalise import answer_segment, normalise, visible_part
from qwen_bench.scoring.pairs import own_value
from qwen_bench.scoring.rule_form import said, wrong_form
from qwen_bench.scoring.yes_no import Said, said_yes_or_no

SCORER_VERSION = "2.0"
TIE = 1e-9
# Families that ask for what no longer holds.
_FORMER_VALUE_ASKED = frozenset({"update_previous"})
_FORM_KEPT = frozenset({"correct", "wrong_content"})
_NUMBERING = re.compile(r"^ ?(?P<number>[0-9]{1,2})(?P<mark>\.) .*$", re.MULTILINE)


class Judgement(NamedTuple):
    """Score 1 or 0, the reason as one word, and the span of the match in the raw text.

    Of a reply to a rule also whether it has the right form, and whether it says the right thing.
    """

    score: int
    reason: str
    matched: tuple[int, int] | None = None
    form: int | None = None
    content: int | None = None


def judge_text(probe: Probe, raw: str) -> Judgement:
    """Scores a generated answer to a probe of any kind."""
    if probe.rule is not None:
        return _judge_rule(probe, probe.rule, raw)
    visible = visible_part(raw)
    text = normalise(raw, visible.start, visible.end)
    if visible.unfinished_thought or not text.text:
        return Judgement(0, "no_answer" if visible.unfinished_thought else "empty")
    start, end = answer_segment(text.text)
    segment = text.text[start:end]
    mentions = _without_numbering(segment, find_mentions(segment, probe.candidates, probe.aliases))
    judge = _judge_unanswerable if probe.gold_abstains else _JUDGES[probe.answer_kind]
    reason, decisive = judge(probe, segment, mentions)
    matched = text.span(start + decisive.start, start + decisive.end) if decisive else None
    return Judgement(int(reason == "correct"), reason, matched)


def _judge_rule(probe: Probe, rule: Rule, raw: str) -> Judgement:
    """Form and content of a reply to a probe of kind rule; right only if both are."""
    word = wrong_form(rule, probe.forms, probe.gold, raw)
    if word in {"empty", "no_answer"}:
        return Judgement(0, word, None, 0, 0)
    text = said(rule, probe.forms, raw)
    matched, content = None, 1
    if probe.content:
        asked = replace(probe, rule=None, gold=probe.content, answer_kind="single")
        found = judge_text(asked, text)
        content, matched = found.score, found.matched if text == raw else None
    word = word or ("correct" if content else "wrong_content")
    return Judgement(int(word == "correct"), word, matched, int(word in _FORM_KEPT), content)


def _without_numbering(segment: str, mentions: list[Mention]) -> list[Mention]:
    """Mentions without the numbers of a numbered list: 1. before one, 2. before the next."""
    numbers = set()
    for count, found in enumerate(_NUMBERING.finditer(segment), 1):
        holds = any(found.end("mark") <= mention.start < found.end() for mention in mentions)
        if holds and int(found["number"]) == count:
            numbers.add(found.start("number"))
    return [mention for mention in mentions if mention.start not in numbers]


def _judge_single(
    probe: Probe, segment: str, mentions: list[Mention]
) -> tuple[str, Mention | None]:
    """The word for an answer where one was stated, and the mention that decides."""
    of_gold = [mention for mention in mentions if mention.candidate == probe.gold]
    if not mentions:
        return ("abstained" if abstains(segment) else "no_candidate"), None
    if not of_gold:
        return "wrong_candidate", mentions[0]
    if _others(probe, segment, mentions, {probe.gold}) or abstains(segment):
        own = own_value(segment, mentions, probe.key_words)
        if (
            own
            and own.candidate == probe.gold
            and not (is_denied(segment, own) or abstains(segment))
        ):
            return "correct", own
        return "multiple", of_gold[0]
    if is_denied(segment, of_gold[-1]):
        return "negated", of_gold[-1]
    return "correct", of_gold[0]


def _others(probe: Probe, segment: str, mentions: list[Mention], right: set[str]) -> list[Mention]:
    """Mentions beside the right answers that are not set aside: after one, or changed into it.

    Where the former value is asked for, a word such as formerly sets nothing aside.
    """
    found, answered = [], False
    former = probe.family not in _FORMER_VALUE_ASKED
    for number, mention in enumerate(mentions):
        following = mentions[number + 1 : number + 2]
        if mention.candidate in right:
            answered = answered or not is_denied(segment, mention)
        elif answered and (
            is_denied(segment, mention) or (former and is_former(segment, mentions, number))
        ):
            continue
        elif not any(
            former and new.candidate in right and is_changed_into(segment, mention, new)
            for new in following
        ):
            found.append(mention)
    return found


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
    right = set(probe.gold_items)
    others = _others(probe, segment, mentions, right)
    for number, mention in enumerate(mentions):
        if mention.candidate not in right and mention not in others:
            continue
        if is_denied(segment, mention) or is_taken_back(segment, mentions, number):
            return "negated", mention
    named = {mention.candidate for mention in mentions} & right
    whole = named == right and not others and not is_choice(segment, mentions)
    word = "correct" if whole else "set_mismatch"
    return word, mentions[0] if mentions else None


def _judge_yesno(probe: Probe, segment: str, _: list[Mention]) -> tuple[str, Said | None]:
    """The same for a yes or a no, in either language: the first clause that says one decides."""
    said = said_yes_or_no(segment)
    if said is None:
        return "no_candidate", None
    if said.both:
        return "multiple", said
    gold = said_yes_or_no(normalise(probe.gold).text)
    agrees = gold is not None and said.word == gold.word
    return ("correct" if agrees else "wrong_candidate"), said


_JUDGES = {
    "single": _judge_single,
    "abstain": _judge_single,
    "set": _judge_set,
    "yesno": _judge_yesno,
}


def judge_ranking(probe: Probe, means: list[float]) -> tuple[str, Judgement]:
    """Scores a ranking of `probe.rank_candidates` by mean log-probability per token.

    Returns:
        The best candidate (of a tie the first) and the verdict; a tie within 1e-9 is wrong.
    """
    best = max(range(len(means)), key=means.__getitem__)
    answer = probe.rank_candidates[best]
    if sum(mean >= means[best] - TIE for mean in means) > 1:
        return answer, Judgement(0, "tie")
    if answer == probe.gold:
        return answer, Judgement(1, "correct")
    if probe.answer_kind == "set":
        return answer, Judgement(0, "set_mismatch")
    known = answer in probe.candidates
    return answer, Judgement(0, "wrong_candidate" if known else "abstained")


def _is_empty(reply: Reply) -> bool:
    """Whether an answer ended by itself and holds no text beside a thought."""
    if reply.status != "ok" or reply.mode == "rank":
        return reply.status == "empty"
    raw = reply.text or ""
    visible = visible_part(raw)
    return reply.reason == "thinking" or not raw[visible.start : visible.end].strip()


def _nothing_said(probe: Probe, word: str) -> Judgement:
    """Of an answer without a text: where a rule asks for form and content, it has neither."""
    kept = None if probe.rule is None else 0
    return Judgement(0, word, None, kept, kept)


def score_reply(
    probe: Probe,
    reply: Reply,
    messages: Conversation,
    *,
    policy: str = "full",
    attempt: int = 1,
) -> Outcome:
    """The outcome of a reply: its status, and its score unless nothing was answered.

    Truncated answers are judged by their text, but are wrong where a rule asks for the form of a
    whole reply; refused ones are wrong; too_long and error have no score (probe specification,
    section 6.1). An answer that ended without a word beside its thought is empty, and wrong,
    whichever engine gave it.

    Args:
        probe: what was asked.
        reply: what came back.
        messages: the conversation before any history policy.
        policy: of the run; it decides nothing here, the reply says what was left out.
        attempt: from 1.
    """
    output = reply.text
    logprobs = None
    verdict: Judgement | None = None
    status = "empty" if _is_empty(reply) else reply.status
    if status == "refused":
        verdict = _nothing_said(probe, "refused")
    elif status == "empty":
        output = output or ""
        thinks = reply.reason == "thinking" or visible_part(output).unfinished_thought
        verdict = _nothing_said(probe, "no_answer" if thinks else "empty")
    elif status in ("ok", "truncated"):
        if reply.mode == "rank":
            by_candidate = {score.candidate: score for score in reply.scores}
            scores = [by_candidate[candidate] for candidate in probe.rank_candidates]
            logprobs = tuple((score.logprob, score.end_logprob, score.tokens) for score in scores)
            output, verdict = judge_ranking(
                probe, [score.logprob / score.tokens for score in scores]
            )
        elif reply.reason == "thinking":
            output, verdict = output or "", _nothing_said(probe, "no_answer")
        elif status == "truncated" and probe.rule is not None:
            output = output or ""
            verdict = judge_text(probe, output)._replace(score=0, reason="truncated", form=0)
        else:
            output = output or ""
            verdict = judge_text(probe, output)
    return Outcome(
        probe_id=probe.id,
        mode=reply.mode,
        family=probe.family,
        lang=probe.lang,
        length=probe.length,
        distance=probe.distance,
        position=probe.position,
        condition=probe.condition,
        policy=policy,
        cluster=probe.cluster,
        twin_group=probe.twin_group,
        variant=probe.variant,
        evidence_visible=evidence_visible(probe, reply.dropped_turns),
        status=status,
        output=output if verdict else None,
        score=verdict.score if verdict else None,
        reason=verdict.reason if verdict else reply.reason,
        matched=verdict.matched if verdict else None,
        form=verdict.form if verdict else None,
        content=verdict.content if verdict else None,
        logprobs=logprobs,
        margin=reply.margin,
        thought_tokens=reply.thought_tokens,
        prompt_tokens=reply.prompt_tokens,
        output_tokens=reply.output_tokens,
        messages_sha256=conversation_sha256(messages),
        prompt_sha256=reply.prompt_sha256,
        finish_reason=reply.finish_reason,
        seconds=reply.seconds,
        attempt=attempt,
        error_type=reply.error_type,
        error_message=reply.error_message,
        level=probe.level or None,
        wording=probe.wording,
    )
