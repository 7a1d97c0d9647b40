"""Engines without a model: the oracle, and shortcuts that must not score above chance.

They read the latent probe behind a request id and answer in text that passes through the same
scorer as a model's. They are the benchmark's test of itself, and let the whole pipeline run in
seconds without torch (probe specification, section 7.1).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping

from qwen_bench.chat.messages import Conversation, conversation_sha256
from qwen_bench.engines.protocol import (
    Abilities,
    Efficiency,
    Identity,
    Json,
    Reply,
    Request,
    Score,
    Unit,
)
from qwen_bench.errors import InputError, near
from qwen_bench.probes.model import Probe
from qwen_bench.scoring.mentions import Mention, find_mentions
from qwen_bench.scoring.normalise import normalise

Solver = Callable[[Probe, Conversation], str]

ABSTAIN = {"en": "not mentioned", "zh": "没提过"}
_WINDOW = re.compile(r"window-(\d{1,3})")


def _oracle(probe: Probe, _: Conversation) -> str:
    """Knows the latent state; abstains where the prompt holds no evidence."""
    return ABSTAIN[probe.lang] if probe.condition == "blind" else probe.gold


def _hashed(probe: Probe, options: tuple[str, ...]) -> str:
    digest = hashlib.sha256(probe.question_text.encode()).digest()
    return sorted(options)[int.from_bytes(digest[:8], "big") % len(options)]


def _blind(probe: Probe, _: Conversation) -> str:
    """Sees question and candidates only; picks by a seeded hash of the question."""
    return _hashed(probe, probe.candidates)


def _constant(probe: Probe, _: Conversation) -> str:
    """The first candidate in listed order."""
    return probe.candidates[0]


def _longest(probe: Probe, _: Conversation) -> str:
    """The candidate with the longest surface form; of equal ones the first."""
    return max(probe.candidates, key=len)


def _mentions(probe: Probe, messages: Conversation) -> list[Mention]:
    history = normalise("\n".join(message.content for message in messages[:-1])).text
    return find_mentions(history, probe.candidates, probe.aliases)


def _recency(probe: Probe, messages: Conversation) -> str:
    """The candidate mentioned last."""
    found = _mentions(probe, messages)
    return found[-1].candidate if found else _blind(probe, messages)


def _primacy(probe: Probe, messages: Conversation) -> str:
    """The candidate mentioned first."""
    found = _mentions(probe, messages)
    return found[0].candidate if found else _blind(probe, messages)


def _frequency(probe: Probe, messages: Conversation) -> str:
    """The candidate mentioned most often; ties by a seeded hash of the question."""
    counts = dict.fromkeys(probe.candidates, 0)
    for mention in _mentions(probe, messages):
        counts[mention.candidate] += 1
    most = max(counts.values())
    return _hashed(probe, tuple(c for c, count in counts.items() if count == most))


def _dump(probe: Probe, _: Conversation) -> str:
    """Lists all candidates."""
    return ", ".join(probe.candidates)


def _abstain(probe: Probe, _: Conversation) -> str:
    """Always says that it was never stated."""
    return ABSTAIN[probe.lang]


def _never_abstain(probe: Probe, messages: Conversation) -> str:
    """The oracle, but a blind pick where the right answer is to abstain."""
    return _blind(probe, messages) if probe.gold_abstains else _oracle(probe, messages)


SOLVERS: dict[str, Solver] = {
    "oracle": _oracle,
    "blind": _blind,
    "constant": _constant,
    "longest": _longest,
    "recency": _recency,
    "primacy": _primacy,
    "frequency": _frequency,
    "dump": _dump,
    "abstain": _abstain,
    "never-abstain": _never_abstain,
}


def _window(turns: int) -> Solver:
    def window(probe: Probe, messages: Conversation) -> str:
        sees = probe.distance_first is not None and probe.distance_first < turns
        return _oracle(probe, messages) if sees else ABSTAIN[probe.lang]

    window.__doc__ = f"The oracle if all evidence lies in the last {turns} turns, else abstains."
    return window


def find_solver(name: str) -> Solver:
    """The solver of a name; `window-N` for any N of 1 or more.

    Raises:
        InputError: unknown name.
    """
    if name in SOLVERS:
        return SOLVERS[name]
    if (found := _WINDOW.fullmatch(name)) and int(found[1]) >= 1:
        return _window(int(found[1]))
    raise InputError(f"unknown solver '{name}'; {near(name, [*SOLVERS, 'window-8'])}")


def check_solver_name(name: str) -> None:
    """Does nothing for a known solver.

    Raises:
        InputError: unknown name.
    """
    find_solver(name)


class SolverEngine:
    """A solver behind the protocol of engines.

    Args:
        name: `oracle`, `blind`, `recency`, `window-8`, ...
        probes: probe behind each request id.
        suite_sha256: of the suite, part of the fingerprint.
    """

    def __init__(self, name: str, probes: Mapping[str, Probe], suite_sha256: str = "") -> None:
        self._name = name
        self._solve = find_solver(name)
        self._probes = probes
        self._suite_sha256 = suite_sha256
        self._counters = Efficiency()

    def identity(self) -> Identity:
        """Name of the solver; there is no model, template or device."""
        fingerprint = hashlib.sha256(f"mock|{self._name}|{self._suite_sha256}".encode()).hexdigest()
        model: dict[str, Json] = {
            "resolved": f"mock:{self._name}",
            "fingerprint": f"mock:{fingerprint}",
            "architecture": "solver",
        }
        return Identity(model=model, template={}, generation={}, engine={"name": "mock"})

    def abilities(self) -> Abilities:
        """Both modes, any length."""
        return Abilities()

    def answer(self, unit: Unit) -> Iterator[Reply]:
        """One reply a request, in the order of the unit."""
        for request in unit.requests:
            self._counters.requests += 1
            yield self._reply(request)

    def counters(self) -> Efficiency:
        """Requests only: no token goes through a model."""
        return self._counters

    def close(self) -> None:
        """Nothing to free."""

    def _reply(self, request: Request) -> Reply:
        answer = self._solve(self._probes[request.id], request.messages)
        scores = tuple(
            Score(candidate, 0.0 if candidate == answer else -1.0, None, 1)
            for candidate in request.candidates
        )
        return Reply(
            id=request.id,
            mode=request.mode,
            status="ok",
            text=answer if request.mode == "generate" else None,
            scores=scores,
            finish_reason="stop",
            prompt_sha256=conversation_sha256(request.messages),
        )
