"""Asking a suite: dialogue by dialogue, each answer scored and handed on as it comes.

Knows suites, engines and the scorer; knows nothing of files. It holds one dialogue at a time, or
all of them for an engine that answers several side by side.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Self

from qwen_bench.engines.complete_replies import complete
from qwen_bench.protocol import (
    Engine,
    Generation,
    ReadTokens,
    Reply,
    Request,
    SideBySideEngine,
    TellingEngine,
    Unit,
)
from qwen_bench.record.outcome import Mode
from qwen_bench.scoring.score import score_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from qwen_bench.probes.probe import AskedProbe, Dialogue, Probe
    from qwen_bench.record.outcome import Key, Outcome

    _Pending = dict[tuple[str, Mode], AskedProbe]


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


def plan(dialogues: Iterable[Dialogue], modes: Sequence[Mode]) -> Plan:
    """Walk through a suite once and list what it expects.

    Args:
        dialogues: the suite's, streamed.
        modes: scorers to ask; `rank` only where the probe has rank candidates.
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
    return Plan(frozenset(keys), count, len(clusters), number)


def units(
    dialogues: Iterable[Dialogue], modes: Sequence[Mode], generation: Generation
) -> Iterator[Unit]:
    """Every request of a suite, one unit a dialogue, as `ask` sends them to an engine.

    Args:
        dialogues: the suite's, streamed.
        modes: scorers of the run.
        generation: how answers are generated.
    """
    for dialogue in dialogues:
        yield Unit(
            dialogue.id,
            tuple(
                _request(asked, mode, generation)
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
    generation: Generation,
    write: Callable[[Outcome], None],
    attempts: Mapping[Key, int],
    stopped: Callable[[], bool],
    policy: str = "full",
    reading: ReadTokens | None = None,
) -> bool:
    """Ask what is still to do, one unit a dialogue.

    Args:
        dialogues: the suite's, streamed.
        engine: who answers.
        todo: keys to ask.
        modes: scorers of the run.
        generation: how answers are generated.
        write: takes each outcome at once.
        attempts: earlier tries of a key that failed.
        stopped: looked at between dialogues, and while the history of one is read.
        policy: the history policy that the engine applies, for the rows.
        reading: told how far a history is read, by engines that tell.

    Returns:
        Whether everything was asked; False after a stop.

    Raises:
        EngineError: the engine cannot do the work at all; what was answered has been written.
        KeyboardInterrupt: a stop in the middle of a history; its questions are left unanswered.
    """

    def keep(asked: AskedProbe, reply: Reply) -> None:
        outcome = score_reply(asked.probe, reply, asked.messages, policy=policy)
        write(replace(outcome, attempt=attempts.get((reply.id, reply.mode), 0) + 1))

    if isinstance(engine, TellingEngine):
        engine.tell(partial(_read, stopped=stopped, reading=reading))
    work = _open_units(dialogues, todo, modes, generation)
    if isinstance(engine, SideBySideEngine):
        handout = _Handout(work, stopped)
        for first in handout:  # after a fault of the engine once more, with what is left
            give = partial(engine.answer_all, chain((first,), handout))
            for asked, reply in complete(give, handout.unanswered):
                keep(asked, reply)
        return not handout.cut
    for unit, pending in work:
        if stopped():
            return False
        for asked, reply in complete(partial(engine.answer, unit), pending):
            keep(asked, reply)
    return True


def _read(
    read: int, total: int, *, stopped: Callable[[], bool], reading: ReadTokens | None
) -> None:
    """Pass on how far a history is read; a stop before its end does not wait for it.

    Raises:
        KeyboardInterrupt: a stop. Once all is read there is a batch to finish first.
    """
    if reading is not None:
        reading(read, total)
    if read < total and stopped():
        raise KeyboardInterrupt


def _open_units(
    dialogues: Iterable[Dialogue],
    todo: AbstractSet[Key],
    modes: Sequence[Mode],
    generation: Generation,
) -> Iterator[tuple[Unit, _Pending]]:
    """Units with what is still to do in each, and the probes behind their requests."""
    for dialogue in dialogues:
        pending: _Pending = {
            (asked.probe.id, mode): asked
            for asked in dialogue.probes
            for mode in _modes_of(asked.probe, modes)
            if (asked.probe.id, mode) in todo
        }
        if pending:
            requests = (_request(asked, key[1], generation) for key, asked in pending.items())
            yield Unit(dialogue.id, tuple(requests)), pending


class _Handout:
    """Units for an engine that answers several at one time, until none is left or a stop.

    Longest first, by characters: a long unit begun last would leave all but one place idle. For
    that the whole suite is held, and let go of as it is given out.

    Attributes:
        unanswered: probes behind the requests that were given out and not answered yet.
        cut: a stop came while units were left.
    """

    def __init__(self, work: Iterable[tuple[Unit, _Pending]], stopped: Callable[[], bool]) -> None:
        self._left = sorted(work, key=lambda item: (_characters(item[0]), item[0].dialogue))
        self._stopped = stopped
        self.unanswered: _Pending = {}
        self.cut = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Unit:
        self.cut = self.cut or (bool(self._left) and self._stopped())
        if self.cut or not self._left:
            raise StopIteration
        unit, pending = self._left.pop()
        self.unanswered |= pending
        return unit


def _characters(unit: Unit) -> int:
    """How long the prompts of a unit are together."""
    return sum(len(message.content) for item in unit.requests for message in item.messages)


def _modes_of(probe: Probe, modes: Sequence[Mode]) -> Iterator[Mode]:
    """The scorers that apply to a probe."""
    return (mode for mode in modes if mode == "generate" or probe.rank_candidates)


def _request(asked: AskedProbe, mode: str, generation: Generation) -> Request:
    """The request of one probe in one mode."""
    if mode == "rank":
        return Request(asked.probe.id, asked.messages, "rank", asked.probe.rank_candidates)
    return Request(
        asked.probe.id,
        asked.messages,
        "generate",
        max_new_tokens=generation.max_new_tokens,
        max_thinking_tokens=generation.max_thinking_tokens,
        sampling=generation.sampling,
    )
