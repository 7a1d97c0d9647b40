"""Asking a suite: dialogue by dialogue, each answer scored and handed on as it comes.

Knows suites, engines and the scorer; knows nothing of files. It holds one dialogue at a time.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qwen_bench.engines.protocol import Engine, Mode, Reply, Request, Unit
from qwen_bench.errors import QwenBenchError
from qwen_bench.scoring.score import score_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from qwen_bench.probes.model import AskedProbe, Dialogue, Probe
    from qwen_bench.runs.journal import Key
    from qwen_bench.scoring.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Plan:
    """What a suite asks, without its texts.

    Attributes:
        keys: probe id and mode of every expected row.
        probes: number of probes.
        clusters: number of skeletons.
        dialogues: number of dialogues.
    """

    keys: frozenset[Key]
    probes: int
    clusters: int
    dialogues: int

    @property
    def ids_sha256(self) -> str:
        """Hash over the sorted keys."""
        lines = "".join(f"{probe_id}\t{mode}\n" for probe_id, mode in sorted(self.keys))
        return hashlib.sha256(lines.encode()).hexdigest()


def plan(
    dialogues: Iterable[Dialogue],
    modes: Sequence[Mode],
    *,
    probes: dict[str, Probe] | None = None,
) -> Plan:
    """Walk through a suite once and list what it expects.

    Args:
        dialogues: the suite's, streamed.
        modes: scorers to ask; `rank` only where the probe has rank candidates.
        probes: filled with every probe by id when given; solvers answer from it.
    """
    keys: set[Key] = set()
    clusters: set[str] = set()
    count = 0
    number = 0
    for dialogue in dialogues:
        number += 1
        clusters.add(dialogue.cluster)
        for asked in dialogue.probes:
            count += 1
            keys.update((asked.probe.id, mode) for mode in _modes_of(asked.probe, modes))
            if probes is not None:
                probes[asked.probe.id] = asked.probe
    return Plan(frozenset(keys), count, len(clusters), number)


def units(
    dialogues: Iterable[Dialogue], modes: Sequence[Mode], max_new_tokens: int
) -> Iterator[Unit]:
    """Every request of a suite, one unit a dialogue, as `ask` sends them to an engine.

    Args:
        dialogues: the suite's, streamed.
        modes: scorers of the run.
        max_new_tokens: budget of a generated answer.
    """
    for dialogue in dialogues:
        yield Unit(
            dialogue.id,
            tuple(
                _request(asked, mode, max_new_tokens)
                for asked in dialogue.probes
                for mode in _modes_of(asked.probe, modes)
            ),
        )


def ask(
    dialogues: Iterable[Dialogue],
    engine: Engine,
    todo: AbstractSet[Key],
    *,
    modes: Sequence[Mode],
    max_new_tokens: int,
    write: Callable[[Outcome], None],
    attempts: Mapping[Key, int],
    stopped: Callable[[], bool],
    policy: str = "full",
) -> bool:
    """Ask what is still to do, one unit a dialogue.

    Args:
        dialogues: the suite's, streamed.
        engine: who answers.
        todo: keys to ask.
        modes: scorers of the run.
        max_new_tokens: budget of a generated answer.
        write: takes each outcome at once.
        attempts: earlier tries of a key that failed.
        stopped: looked at between dialogues.
        policy: the history policy that the engine applies, for the rows.

    Returns:
        Whether everything was asked; False after a stop.

    Raises:
        EngineError: the engine cannot do the work at all; what was answered has been written.
    """
    for dialogue in dialogues:
        pending: dict[tuple[str, Mode], AskedProbe] = {
            (asked.probe.id, mode): asked
            for asked in dialogue.probes
            for mode in _modes_of(asked.probe, modes)
            if (asked.probe.id, mode) in todo
        }
        if not pending:
            continue
        if stopped():
            return False
        unit = Unit(
            dialogue.id,
            tuple(_request(asked, key[1], max_new_tokens) for key, asked in pending.items()),
        )
        for reply in _replies(engine, unit):
            key = (reply.id, reply.mode)
            asked = pending.pop(key)
            outcome = score_reply(asked.probe, reply, asked.messages, policy=policy)
            write(replace(outcome, attempt=attempts.get(key, 0) + 1))
    return True


def _modes_of(probe: Probe, modes: Sequence[Mode]) -> Iterator[Mode]:
    """The scorers that apply to a probe."""
    return (mode for mode in modes if mode == "generate" or probe.rank_candidates)


def _request(asked: AskedProbe, mode: str, max_new_tokens: int) -> Request:
    """The request of one probe in one mode."""
    if mode == "rank":
        return Request(asked.probe.id, asked.messages, "rank", asked.probe.rank_candidates)
    return Request(asked.probe.id, asked.messages, "generate", max_new_tokens=max_new_tokens)


def _replies(engine: Engine, unit: Unit) -> Iterator[Reply]:
    """Exactly one reply for every request of the unit, whatever the engine does.

    This is the one place where any exception becomes rows: a fault in one dialogue must not end a
    run of hours, and must not vanish either. Errors a user can mend pass through.
    """
    open_requests = {(request.id, request.mode): request for request in unit.requests}
    kind, message = "NoReply", "the engine gave no reply"
    try:
        for reply in engine.answer(unit):
            if open_requests.pop((reply.id, reply.mode), None) is None:
                kind, message = "StrayReply", f"the engine answered {reply.id} unasked or twice"
                continue
            yield _checked(reply)
    except QwenBenchError:
        raise
    except Exception as error:  # noqa: BLE001 - becomes an error row, see above
        kind, message = type(error).__name__, str(error)
    for request in open_requests.values():
        yield Reply(
            request.id,
            request.mode,
            "error",
            reason="engine",
            error_type=kind,
            error_message=message,
        )


def _checked(reply: Reply) -> Reply:
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
