"""Two recorded runs to plan from, and what they say about speed and the length of answers."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from qwen_bench.errors import InputError, RunError
from qwen_bench.runs.store import find_run, read_run, readable_runs
from qwen_bench.runs.summary_file import total_efficiency
from qwen_bench.stats.pairing import pair

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from qwen_bench.cli.display import Screen
    from qwen_bench.engines.model_spec import ModelSpec
    from qwen_bench.record.manifest import Manifest
    from qwen_bench.runs.store import StoredRun
    from qwen_bench.stats.planning import Assumed


def recorded_pair(
    names: Sequence[str], runs_dir: Path, screen: Screen
) -> tuple[StoredRun, StoredRun]:
    """Baseline and candidate as named with `--from`.

    A single name is a candidate; its baseline is the one its last invocation was given: that run
    folder, or the newest run of that SPEC over the same suite.

    Raises:
        InputError: a name is no run, is given twice, there are three, or no baseline is known.
        RunError: a run folder is damaged.
    """
    from qwen_bench.cli.chosen import read_runs

    if len(names) > 2:
        raise InputError("--from takes a baseline and a candidate", why=f"{len(names)} are given")
    if len(names) == 2:
        base, candidate = read_runs(names, runs_dir, screen)
        return base, candidate
    candidate = read_runs(names, runs_dir, screen)[0]
    folder = _baseline_of(candidate, runs_dir)
    if folder is None:
        raise InputError(
            f"{names[0]} does not say which run it was compared with",
            why="a plan is measured on two runs of the same probes",
            fix=f"--from BASE_RUN --from {names[0]}",
        )
    screen.say(f"baseline of {names[0]}: {folder}")
    return read_run(folder), candidate


def _baseline_of(candidate: StoredRun, runs_dir: Path) -> Path | None:
    """Folder of the baseline a run was made with; None when it had none or it is gone."""
    for invocation in reversed(candidate.manifest.invocations):
        said = (invocation.args_effective.get("baseline") or {}).get("value")
        if not isinstance(said, str):
            continue
        try:
            return find_run(said, runs_dir)
        except InputError:
            pass
        for folder, manifest in readable_runs(runs_dir):
            same = manifest.suite.sha256 == candidate.manifest.suite.sha256
            if manifest.model.spec == said and same and manifest.status == "finished":
                return folder
    return None


def measured_on(base: StoredRun, candidate: StoredRun) -> Assumed:
    """Discordance and correlation of two runs under the primary scorer.

    Raises:
        NotComparableError: the two cannot be paired.
        RunError: they hold no difference to measure.
    """
    from qwen_bench.stats.planning import measured

    paired = pair(base.view(), candidate.view(), allow_partial=True, max_error_rate=1.0)
    mode = candidate.manifest.suite.primary
    pairs = [(item.base, item.candidate) for item in paired.pairs if item.base.mode == mode]
    try:
        return measured(pairs)
    except ValueError as error:
        raise RunError(
            f"nothing can be measured on these runs: {error}",
            fix="give runs of two different checkpoints, or state it: --discordance SHARE",
        ) from error


def rate_of(runs: Iterable[StoredRun]) -> tuple[float, str] | None:
    """Tokens a second of the last of some runs that knows it, and its name."""
    for run in reversed(list(runs)):
        found = _rate(run.manifest)
        if found is not None:
            return found, run.manifest.run_id
    return None


def rate_of_model(
    spec: ModelSpec, runs_dir: Path, device: str = "auto"
) -> tuple[float, str] | None:
    """Tokens a second of the newest recorded run of a SPEC, and its name.

    Args:
        spec: of the model.
        runs_dir: the run store.
        device: only runs on this kind of device count, unless `auto`.
    """
    kind = device.partition(":")[0]
    text = spec.text.removeprefix(f"{spec.label}=")
    for _, manifest in readable_runs(runs_dir):
        ran_on = str(manifest.engine.device).partition(":")[0]
        same = manifest.model.spec.removeprefix(f"{manifest.model.label}=") == text
        if same and kind in {"auto", ran_on}:
            found = _rate(manifest)
            if found is not None:
                return found, manifest.run_id
    return None


def _rate(manifest: Manifest) -> float | None:
    """Tokens a second through the model, over all invocations of a run."""
    total = total_efficiency(manifest.invocations)
    rate = total["tokens_per_second"] if total else None
    return float(rate) if rate else None


def answer_tokens(runs: Iterable[StoredRun]) -> float | None:
    """Mean number of generated tokens of an answer; None where no row knows it."""
    known = [
        row.output_tokens
        for run in runs
        for row in run.outcomes
        if row.mode == "generate" and row.output_tokens is not None
    ]
    return fmean(known) if known else None
