"""One reply for every request, whatever an engine does.

Knows the protocol only. Used where replies leave an engine: in the runner, and in a worker process
before they travel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import replace
from typing import TypeVar

from qwen_bench.errors import QwenBenchError
from qwen_bench.protocol import Reply
from qwen_bench.record.outcome import Mode

Asked = TypeVar("Asked")


def complete(
    answer: Callable[[], Iterable[Reply]], unanswered: MutableMapping[tuple[str, Mode], Asked]
) -> Iterator[tuple[Asked, Reply]]:
    """What was asked with its reply; at the end nothing is left unanswered.

    This is the one place where any exception becomes replies: a fault in one dialogue must not end
    a run of hours, and must not vanish either. Errors a user can mend pass through. A reply that
    nobody waits for, or no longer, is dropped.

    Args:
        answer: sets the engine to work.
        unanswered: by id and mode; emptied here, and may grow while the engine works.
    """
    kind, message = "NoReply", "the engine gave no reply"
    try:
        for reply in answer():
            key = (reply.id, reply.mode)
            if key not in unanswered:
                kind, message = "StrayReply", f"the engine answered {reply.id} unasked or twice"
                continue
            yield unanswered.pop(key), _finite(reply)
    except QwenBenchError:
        raise
    except Exception as error:  # noqa: BLE001 - becomes error replies, see above
        kind, message = type(error).__name__, str(error)
    while unanswered:
        key = next(iter(unanswered))
        yield unanswered.pop(key), failure(key, "engine", kind, message)


def failure(key: tuple[str, Mode], reason: str, kind: str, message: str) -> Reply:
    """The reply to a request that got no answer.

    Args:
        key: id and mode of the request.
        reason: in one word, for the row.
        kind: type of the error.
        message: for people.
    """
    return Reply(*key, "error", reason=reason, error_type=kind, error_message=message)


def _finite(reply: Reply) -> Reply:
    """The reply, or an error in its place when its log-probabilities are no numbers."""
    numbers = [score.logprob for score in reply.scores]
    numbers += [score.end_logprob for score in reply.scores if score.end_logprob is not None]
    numbers += [] if reply.margin is None else [reply.margin]
    if all(math.isfinite(number) for number in numbers):
        return reply
    return replace(
        reply,
        status="error",
        reason="not finite",
        text=None,
        scores=(),
        margin=None,
        error_type="NotFinite",
        error_message="a log-probability is not a finite number",
    )
