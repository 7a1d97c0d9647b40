"""Engines without a model: the oracle, and shortcuts that must not score above chance.

They read the latent probe behind a request id and answer in text that passes through the same
scorer as a model's. They are the benchmark's test of itself, and let the whole pipeline run in
seconds without torch (probe specification, section 7.1).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from qwen_bench.chat.messages import Conversation, conversation_sha256
from qwen_bench.chat.policy import FULL, Policy, keep
from qwen_bench.errors import InputError, near
from qwen_bench.probes.probe import AnswerKind, Dialogue, Probe, evidence_visible
from qwen_bench.probes.suites import Suite, find_probe
from qwen_bench.protocol import Abilities, Identity, Reply, Request, Score, Unit
from qwen_bench.record.counters import Counters
from qwen_bench.record.manifest import DecodingInfo, EngineInfo, ModelInfo, TemplateInfo
from qwen_bench.solvers import fixed_choice as fixed
from qwen_bench.solvers import history_reading as reading
from qwen_bench.solvers.fixed_choice import Solver


def _overlap(probe: Probe, messages: Conversation) -> str:
    """The clause that shares most words with the question."""
    from qwen_bench.solvers.word_overlap import overlap  # noqa: PLC0415 - few ask for it

    return overlap(probe, messages)


def _gender(probe: Probe, messages: Conversation) -> str:
    """The gender that goes with an activity."""
    from qwen_bench.solvers.gender_prejudice import gender  # noqa: PLC0415 - few ask for it

    return gender(probe, messages)


SOLVERS: dict[str, Solver] = {
    "oracle": fixed.oracle,
    "blind": fixed.blind,
    "constant": fixed.constant,
    "longest": fixed.longest,
    "presence": reading.presence,
    "recency": reading.recency,
    "primacy": reading.primacy,
    "frequency": reading.frequency,
    "last-entity": reading.last_entity,
    "overlap": _overlap,
    "dump": fixed.dump,
    "abstain": fixed.abstain,
    "never-abstain": fixed.never_abstain,
    "follow": fixed.follow,
    "never-follow": fixed.never_follow,
    "copycat": reading.copycat,
    "yes": fixed.yes,
    "no": fixed.no,
    "gender": _gender,
}
_WINDOW = re.compile(r"window-([1-9]\d{0,3})(k?)")
_RECALL: tuple[AnswerKind, ...] = ("single", "abstain", "set")
# Answer kinds that a solver has something to say about; those not listed take all.
_KINDS: dict[str, tuple[AnswerKind, ...]] = {
    "presence": ("single", "abstain"),
    "recency": _RECALL,
    "primacy": _RECALL,
    "frequency": _RECALL,
    "last-entity": _RECALL,
    "overlap": (*_RECALL, "yesno"),
    "dump": (*_RECALL, "yesno"),
    "abstain": (*_RECALL, "yesno"),
    "never-abstain": ("abstain",),
    "follow": ("rule",),
    "never-follow": ("rule",),
    "copycat": ("rule",),
    "yes": ("yesno",),
    "no": ("yesno",),
}


def find_solver(name: str) -> Solver:
    """The solver of a name; `window-N` (turns) and `window-Nk` (thousand tokens) for any N.

    On probes that a solver does not apply to it answers as `blind` does.

    Raises:
        InputError: unknown name.
    """
    if name in SOLVERS:
        return SOLVERS[name]
    if (turns := window_of(name)) is not None:
        return fixed.window(turns)
    if (found := _WINDOW.fullmatch(name)) is not None:
        return reading.window_of_tokens(1000 * int(found[1]))
    raise InputError(f"unknown solver '{name}'; {near(name, [*SOLVERS, 'window-8'])}")


def window_of(name: str) -> int | None:
    """N of `window-N`; None for another name."""
    found = _WINDOW.fullmatch(name)
    return int(found[1]) if found and not found[2] else None


def is_window(name: str) -> bool:
    """Whether a solver knows the newest part of a history, in turns or in tokens."""
    return _WINDOW.fullmatch(name) is not None


def applies(name: str, probe: Probe) -> bool:
    """Whether a solver has something to say about probes of this kind."""
    if name == "gender":
        return probe.family == "pronoun"
    return name not in _KINDS or probe.answer_kind in _KINDS[name]


def check_solver_name(name: str) -> None:
    """Does nothing for a known solver.

    Raises:
        InputError: unknown name.
    """
    find_solver(name)


def check_solver_policy(policy: Policy) -> None:
    """Does nothing for a policy that solvers can follow.

    Raises:
        InputError: it counts tokens.
    """
    if policy.counts_tokens:
        raise InputError(
            "mock solvers have no tokenizer; use last-turns:N",
            why=f"the history policy {policy} counts tokens",
        )


class SolverEngine:
    """A solver behind the protocol of engines.

    Args:
        name: `oracle`, `blind`, `recency`, `window-8`, ...
        suite: whose probes are asked; a resumed run of it may ask more of them than it selects.
        policy: which turns of a history the solver sees.

    Raises:
        InputError: unknown solver, or a policy that counts tokens.
    """

    def __init__(self, name: str, suite: Suite, policy: Policy = FULL) -> None:
        check_solver_policy(policy)
        self._policy = policy
        self._name = name
        self._solve = find_solver(name)
        self._suite = suite
        self._counters = Counters()

    def identity(self) -> Identity:
        """Name of the solver; there is no model, template or device."""
        fingerprint = hashlib.sha256(f"mock|{self._name}|".encode()).hexdigest()
        model = ModelInfo(
            spec=f"mock:{self._name}",
            label=self._name,
            kind="mock",
            resolved=f"mock:{self._name}",
            fingerprint=f"mock:{fingerprint}",
            architecture="solver",
        )
        return Identity(model, TemplateInfo(), DecodingInfo(), EngineInfo(name="mock"))

    def abilities(self) -> Abilities:
        """Both modes, any length."""
        return Abilities()

    def answer(self, unit: Unit) -> Iterator[Reply]:
        """One reply a request, in the order of the unit."""
        for request in unit.requests:
            self._counters.requests += 1
            yield self._reply(request)

    def counters(self) -> Counters:
        """Requests only: no token goes through a model."""
        return self._counters

    def close(self) -> None:
        """Nothing to free."""

    def _reply(self, request: Request) -> Reply:
        messages, dropped = keep(self._policy, request.messages)
        probe = _probe(request.id, self._suite)
        if not evidence_visible(probe, dropped):
            # Nobody can know what was cut: the oracle and its kin answer as if asked blind.
            probe = replace(probe, condition="blind")
        solve = self._solve if applies(self._name, probe) else fixed.blind
        answer = solve(probe, messages)
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
            prompt_sha256=conversation_sha256(messages),
            dropped_turns=dropped,
        )


def _probe(probe_id: str, suite: Suite) -> Probe:
    """The probe behind a request.

    Raises:
        InputError: the suite has none of this id, whatever is selected from it.
    """
    known = _probes_of(suite)
    if probe_id not in known:
        known |= _by_id(find_probe(probe_id, suite.name, suite.seed, suite.own)[0])
    return known[probe_id]


@lru_cache(maxsize=1)
def _probes_of(suite: Suite) -> dict[str, Probe]:
    """Every probe of a suite, which all solvers of a command share; made when one is asked for."""
    found: dict[str, Probe] = {}
    for dialogue in suite.dialogues():
        found |= _by_id(dialogue)
    return found


def _by_id(dialogue: Dialogue) -> dict[str, Probe]:
    """The probes of a dialogue by id."""
    return {asked.probe.id: asked.probe for asked in dialogue.probes}
