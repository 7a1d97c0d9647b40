"""One reply and its probe become one outcome."""

from __future__ import annotations

from qwen_bench.chat.messages import Conversation, conversation_sha256
from qwen_bench.probes.evidence_visibility import evidence_visible
from qwen_bench.probes.probe import Probe
from qwen_bench.protocol import Reply
from qwen_bench.record.outcome import Outcome
from qwen_bench.scoring.judge import Verdict, judge_ranking, judge_text

SCORER_VERSION = "1.0"


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
    section 6.1).

    Args:
        probe: what was asked.
        reply: what came back.
        messages: the conversation before any history policy.
        policy: of the run; it decides nothing here, the reply says what was left out.
        attempt: from 1.
    """
    output = reply.text
    logprobs = None
    verdict: Verdict | None = None
    if reply.status == "refused":
        verdict = Verdict(0, "refused")
    elif reply.status in ("ok", "truncated"):
        if reply.mode == "rank":
            by_candidate = {score.candidate: score for score in reply.scores}
            scores = [by_candidate[candidate] for candidate in probe.rank_candidates]
            logprobs = tuple((score.logprob, score.end_logprob, score.tokens) for score in scores)
            output, verdict = judge_ranking(
                probe, [score.logprob / score.tokens for score in scores]
            )
        elif reply.reason == "thinking":
            output, verdict = output or "", Verdict(0, "no_answer")
        elif reply.status == "truncated" and probe.rule is not None:
            output, verdict = output or "", Verdict(0, "truncated")
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
        status=reply.status,
        output=output if verdict else None,
        score=verdict.score if verdict else None,
        reason=verdict.reason if verdict else reply.reason,
        matched=verdict.matched if verdict else None,
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
    )
