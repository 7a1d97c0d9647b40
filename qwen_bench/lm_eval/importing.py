"""From a log of the harness to a run folder: the recorder asks an engine that reads the log."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.errors import InputError
from qwen_bench.lm_eval.documents import DEFAULT, PREFIX, WHOLE
from qwen_bench.lm_eval.harness_identity import Account, find_results, read_account, unverified
from qwen_bench.lm_eval.samples import Sample, read_samples, task_samples
from qwen_bench.probes.probe import LANGS, Probe
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Suite, build_suite
from qwen_bench.protocol import Abilities, Identity, Reply, Unit
from qwen_bench.record.counters import Counters
from qwen_bench.record.outcome import MODES, Mode
from qwen_bench.runs.runner import Plan

T = TypeVar("T")
TASK = re.compile(r"^samples_(.*?)(?:_\d{4}-\d\d-\d\dT[\d.-]+)?\.jsonl$")
Samples = Mapping[tuple[str, Mode], Sample]


@dataclass(frozen=True, slots=True)
class Log:
    """One run of the harness, read and checked.

    Attributes:
        suite: narrowed to what the log holds; it may ask more when `--limit` cut it.
        plan: exactly the rows of the log.
        selected: probes of the selection, in the log or not.
        others: samples of other tasks that lie beside them, by the task's file.
    """

    account: Account
    samples: Samples
    suite: Suite
    modes: tuple[Mode, ...]
    plan: Plan
    selected: int
    others: Mapping[str, int]

    @property
    def max_new_tokens(self) -> int:
        """Budget of an answer."""
        return self.account.max_new_tokens or self.suite.max_new_tokens


def read_log(samples: Sequence[Path], results: Path | None = None) -> Log:
    """Read the samples of one run and the results file that belongs to them.

    Args:
        samples: `samples_*.jsonl` files, or folders of one run each.
        results: the results file; by default the one beside the samples.

    Raises:
        InputError: a file is missing, none is of our tasks, or the samples are of several runs.
        DataError: a file is not what the harness writes for these tasks.
    """
    files, others = _files(samples)
    account = read_account(results or find_results(files))
    found = read_samples(files, thoughts_cut=account.thoughts_cut)
    suite, selected = _suite(found)
    modes = tuple(mode for mode in MODES if any(key[1] == mode for key in found))
    probes = [sample.asked.probe for sample in found.values()]
    plan = Plan(
        frozenset(found),
        len({probe.id for probe in probes}),
        len({probe.cluster for probe in probes}),
        len({(probe.cluster, probe.variant, probe.lang) for probe in probes}),
    )
    return Log(account, found, suite, modes, plan, selected, others)


def fingerprint_of(spec: ModelSpec, options: EngineOptions) -> str:
    """Fingerprint of the weights a SPEC names; nothing is loaded.

    Raises:
        InputError: a solver, which has no weights.
        ModelNotFoundError: the files are not here and cannot be had.
    """
    if spec.kind == "mock":
        raise InputError(f"{spec.text} has no weights", fix="--model takes the model lm-eval ran")
    from qwen_bench.engines.fingerprint import adapter_fingerprint  # noqa: PLC0415 - see below
    from qwen_bench.engines.loading import locate  # noqa: PLC0415 - imports torch
    from qwen_bench.engines.resolving import resolve  # noqa: PLC0415 - for Hub ids

    spec = resolve(spec, options, weights=False)
    base = locate(spec.weights, options).fingerprint
    if spec.kind == "adapter" and spec.path is not None:
        return adapter_fingerprint(spec.path, base)
    return base


class LogEngine:
    """Answers with what is in a log; implements `qwen_bench.protocol.Engine`.

    Args:
        log: the log.
        fingerprint: of the weights behind it; None where they are known by name only.
    """

    def __init__(self, log: Log, fingerprint: str | None) -> None:
        self._samples = log.samples
        self._identity = log.account.identity(fingerprint or unverified(log.account.spec))
        self._counters = Counters()

    def identity(self) -> Identity:
        """The model that the harness asked."""
        return self._identity

    def abilities(self) -> Abilities:
        """Both modes."""
        return Abilities()

    def answer(self, unit: Unit) -> Iterator[Reply]:
        """The logged replies of a dialogue."""
        for request in unit.requests:
            self._counters.requests += 1
            yield self._samples[request.id, request.mode].reply

    def counters(self) -> Counters:
        """Requests answered; the log tells no more."""
        return self._counters

    def close(self) -> None:
        """Nothing to free."""


def _files(paths: Sequence[Path]) -> tuple[list[Path], dict[str, int]]:
    """The samples files of the given files and folders, each once; samples of other tasks apart."""
    found: dict[Path, None] = {}
    for path in paths:
        inside = sorted(path.glob("samples_*.jsonl")) if path.is_dir() else [path]
        if not inside:
            raise InputError(
                f"{path} holds no samples_*.jsonl",
                fix="lm-eval run --log_samples --output_path DIR ... writes them",
            )
        found |= dict.fromkeys(inside)
    others = {path: count for path in found if (count := task_samples(path)) is not None}
    named = {TASK.sub(r"\1", path.name): count for path, count in others.items()}
    if len(others) == len(found):
        raise InputError(
            f"none of these samples is of a {PREFIX} task: {counted(named)}",
            fix="lm-eval run --tasks qwen_bench --log_samples --output_path DIR ...",
        )
    return [path for path in found if path not in others], named


def counted(others: Mapping[str, int]) -> str:
    """Tasks with their numbers of samples, for people.

    >>> counted({"arc": 1, "mmlu": 20})
    'arc (1 sample), mmlu (20 samples)'
    """
    return ", ".join(
        f"{task} ({count} {'sample' if count == 1 else 'samples'})"
        for task, count in others.items()
    )


def _suite(samples: Samples) -> tuple[Suite, int]:
    """The suite that holds all samples, as narrow as it can be, and how many probes it selects."""
    choices = {sample.choice for sample in samples.values()}
    names = {choice.suite for choice in choices}
    name = WHOLE if names == {DEFAULT, WHOLE} else _only("suite", names)
    seed = _only("seed", {choice.seed for choice in choices})
    limit = _only("limit", {choice.limit for choice in choices})
    probes = [sample.asked.probe for sample in samples.values()]
    families = {probe.family for probe in probes}
    langs = {probe.lang for probe in probes}

    def build(limit: int | None) -> Suite:
        selection = Selection(
            lengths=tuple(sorted({probe.length for probe in probes})),
            families=tuple(sorted(families)),
            conditions=("main",),
            langs=tuple(lang for lang in LANGS if lang in langs),
            limit=limit,
        )
        return build_suite(name, selection, seed)

    suite = build(limit)
    whole = {asked.probe.id for dialogue in suite.dialogues() for asked in dialogue.probes}
    if whole <= {probe.id for probe in probes}:
        return suite, len(whole)
    sizes = {programme.name: programme.rotation for programme in suite.programmes}
    return build(max(_rotation(probe, sizes) for probe in probes) + 1), len(whole)


def _rotation(probe: Probe, sizes: Mapping[str, int]) -> int:
    """Rotation that the cluster of a probe belongs to, from 0.

    Args:
        probe: any.
        sizes: clusters of a rotation by programme.
    """
    return int(probe.cluster.rpartition("-")[2]) // sizes[probe.programme]


def _only(what: str, values: set[T]) -> T:
    """The one value of a setting.

    Raises:
        InputError: there are several.
    """
    if len(values) > 1:
        raise InputError(
            f"the samples were chosen with different settings: {what} is "
            + " and ".join(sorted(map(str, values))),
            fix="import them one at a time",
        )
    return next(iter(values))
