"""Engines without a model: the oracle, and shortcuts that must not score above chance.

They read the latent probe behind a request id and answer in text that passes through the same
scorer as a model's. They are the benchmark's test of itself, and let the whole pipeline run in
seconds without torch (probe specification, section 7.1).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from qwen_bench.chat.messages import conversation_sha256
from qwen_bench.chat.policy import FULL, Policy, keep
from qwen_bench.errors import InputError, near
from qwen_bench.probes.probe import AnswerKind, Probe, evidence_visible
from qwen_bench.protocol import Abilities, Identity, Reply, Request, Score, Unit
from qwen_bench.record.counters import Counters
from qwen_bench.record.manifest import DecodingInfo, EngineInfo, ModelInfo, TemplateInfo
from qwen_bench.solvers import fixed_choice as picking
from qwen_bench.solvers import mention_position as mentioning
from qwen_bench.solvers import rule_marks as rules
from qwen_bench.solvers import word_overlap as overlap
from qwen_bench.solvers.gender_prejudice import gender
from qwen_bench.solvers.history_reading import Solver

SOLVERS: dict[str, Solver] = {
    "oracle": picking.oracle,
    "blind": picking.blind,
    "constant": picking.constant,
    "longest": picking.longest,
    "recency": mentioning.recency,
    "primacy": mentioning.primacy,
    "frequency": mentioning.frequency,
    "last-entity": mentioning.last_entity,
    "overlap": overlap.overlap,
    "dump": picking.dump,
    "abstain": picking.abstain,
    "never-abstain": picking.never_abstain,
    "follow": rules.follow,
    "never-follow": rules.never_follow,
    "copycat": rules.copycat,
    "yes": picking.yes,
    "no": picking.no,
    "gender": gender,
}
_WINDOW = re.compile(r"window-(\d{1,3})")
_RECALL: tuple[AnswerKind, ...] = ("single", "abstain", "set")
# Answer kinds that a solver has something to say about; those not listed take all.
_KINDS: dict[str, tuple[AnswerKind, ...]] = {
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
    """The solver of a name; `window-N` for any N of 1 or more.

    On probes that a solver does not apply to it answers as `blind` does.

    Raises:
        InputError: unknown name.
    """
    if name in SOLVERS:
        return SOLVERS[name]
    if (turns := window_of(name)) is not None:
        return picking.window(turns)
    raise InputError(f"unknown solver '{name}'; {near(name, [*SOLVERS, 'window-8'])}")


def window_of(name: str) -> int | None:
    """N of `window-N`; None for another name."""
    found = _WINDOW.fullmatch(name)
    return int(found[1]) if found and int(found[1]) >= 1 else None


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
        probes: probe behind each request id.
        suite_sha256: of the suite, part of the fingerprint.
        policy: which turns of a history the solver sees.

    Raises:
        InputError: unknown solver, or a policy that counts tokens.
    """

    def __init__(
        self,
        name: str,
        probes: Mapping[str, Probe],
        suite_sha256: str = "",
        policy: Policy = FULL,
    ) -> None:
        check_solver_policy(policy)
        self._policy = policy
        self._name = name
        self._solve = find_solver(name)
        self._probes = probes
        self._suite_sha256 = suite_sha256
        self._counters = Counters()

    def identity(self) -> Identity:
        """Name of the solver; there is no model, template or device."""
        fingerprint = hashlib.sha256(f"mock|{self._name}|{self._suite_sha256}".encode()).hexdigest()
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
        probe = self._probes[request.id]
        if not evidence_visible(probe, dropped):
            # Nobody can know what was cut: the oracle and its kin answer as if asked blind.
            probe = replace(probe, condition="blind")
        solve = self._solve if applies(self._name, probe) else picking.blind
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
