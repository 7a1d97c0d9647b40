"""What the harness hands back, as replies of an engine, so that one scorer judges both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from qwen_bench.chat.messages import split_thought
from qwen_bench.errors import QwenBenchError
from qwen_bench.probes.probe import Probe
from qwen_bench.protocol import Reply, Score


def written(probe: Probe, text: str | None, *, opened: bool, prompt: str | None = None) -> Reply:
    """A generated answer.

    Args:
        probe: what was asked.
        text: the answer; None where there was none.
        opened: the prompt ended inside a thought, so that the answer only closes it.
        prompt: the rendered prompt; None where a server rendered it.
    """
    digest = None if prompt is None else _sha256(prompt)
    if text is None:
        return Reply(
            probe.id,
            "generate",
            "error",
            reason="empty",
            error_type="NoReply",
            error_message="the log holds no reply",
            prompt_sha256=digest,
        )
    answer = split_thought(text, prompt_opened=opened)
    return Reply(
        probe.id,
        "generate",
        "ok" if answer.complete else "truncated",
        reason=None if answer.complete else "thinking",
        text=answer.text,
        prompt_sha256=digest,
    )


def ranked(
    probe: Probe, sums: Sequence[float], tokens: Sequence[int], prompt: str | None = None
) -> Reply:
    """Log-probabilities of the candidates.

    Args:
        probe: what was asked.
        sums: log-probability of each rank candidate, in the probe's order.
        tokens: number of tokens of each.
        prompt: the rendered prompt.

    Raises:
        QwenBenchError: their number is not that of the candidates.
    """
    candidates = probe.rank_candidates
    if not len(candidates) == len(sums) == len(tokens):
        raise QwenBenchError(
            f"{probe.id}: {len(sums)} log-probabilities and {len(tokens)} token counts for "
            f"{len(candidates)} candidates"
        )
    scores = tuple(
        Score(text, total, None, count)
        for text, total, count in zip(candidates, sums, tokens, strict=True)
    )
    digest = None if prompt is None else _sha256(prompt)
    return Reply(probe.id, "rank", "ok", scores=scores, prompt_sha256=digest)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
