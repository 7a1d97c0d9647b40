"""How many probes a difference needs and what asking them costs: suite, recorded runs, model."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from qwen_bench.app.asking import (
    build,
    engine_options,
    generation_of,
    modes_of,
    own_material,
    read_specs,
    selection,
)
from qwen_bench.app.comparing import read_runs
from qwen_bench.chat.rendering import effective_thinking
from qwen_bench.engines.cost_estimate import (
    ANSWER_TOKENS,
    KvCache,
    TokenBudget,
    count_tokens,
    estimate_tokens,
    kv_cache,
)
from qwen_bench.engines.registry import open_config, open_prompter
from qwen_bench.errors import InputError, RunError
from qwen_bench.probes.suites import Suite, build_suite
from qwen_bench.record.outcome import Mode
from qwen_bench.report.plan_text import Planned, Speed, Wanted
from qwen_bench.runs.runner import units
from qwen_bench.runs.store import find_run, read_run, readable_runs, total_efficiency
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.planning import (
    DISCORDANCE,
    Assumed,
    Design,
    design,
    measured,
    need,
    resolution,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from qwen_bench.app.config import RunConfig
    from qwen_bench.chat.policy import Policy
    from qwen_bench.engines.engine_options import EngineOptions
    from qwen_bench.engines.model_spec import ModelSpec
    from qwen_bench.engines.prompter import Prompter
    from qwen_bench.protocol import Unit
    from qwen_bench.record.manifest import Manifest
    from qwen_bench.record.outcome import Mode
    from qwen_bench.runs.job import Reporter
    from qwen_bench.runs.store import StoredRun


# What `auto` computes in where the device is named; see `engines.loading.choose_dtype`.
_DEVICE_DTYPES = {"cpu": "float32", "cuda": "bfloat16", "mps": "bfloat16"}


def make_plan(wanted: Wanted, config: RunConfig, reporter: Reporter) -> Planned:
    """Make a plan; no weights are loaded and nothing is asked.

    Args:
        wanted: what is to be seen, and what is assumed.
        config: suite, selection, policy, model and run store.
        reporter: is told what was chosen for the user.

    Raises:
        InputError: something given is not what it should be, or cannot be planned.
        ModelError: the model's tokenizer, template or configuration cannot be used.
        RunError: a recorded run is damaged, or shows no difference.
        NotComparableError: the recorded runs cannot be paired.
    """
    if len(config.model) > 1:
        raise InputError("a plan counts the tokens of one model; give one --model")
    specs = read_specs(config.model, reporter) if config.model else ()
    spec = specs[0] if specs else None
    engine = engine_options(config, specs or None)
    if wanted.recorded and wanted.discordance is not None:
        raise InputError("--discordance and --from are two answers to one question; give one")
    runs = _recorded_pair(wanted.recorded, config, reporter) if wanted.recorded else ()
    assumed = _measured_on(*runs) if runs else Assumed(wanted.discordance or DISCORDANCE)
    _check_difference(wanted, assumed)
    suite = build(config, reporter, specs, engine)
    modes = modes_of(config, suite)
    primary = suite.primary if suite.primary in modes else modes[0]
    least = replace(selection(config), lengths=suite.lengths, limit=1, conditions=("main",))
    one = build_suite(config.suite, least, config.seed, own_material(config))
    selected = _design(suite, primary)
    generation = generation_of(config, suite)
    prompter = open_prompter(spec, engine) if spec else None
    cache = cache_of(spec, engine)
    tokens = _tokens(units(suite.dialogues(), modes, generation), prompter, cache, engine.policy)
    thinks = (
        prompter is not None and effective_thinking(prompter.settings, prompter.tokenizer) == "on"
    )
    said = _answer_tokens(runs)
    budget = generation.max_new_tokens + (generation.max_thinking_tokens if thinks else 0)
    needed = need(_design(one, primary), assumed, wanted.difference, wanted.power)
    return Planned(
        suite=suite,
        primary=primary,
        wanted=wanted,
        assumed=assumed,
        selected=selected,
        need=needed,
        dialogues=needed.rotations * sum(1 for _ in one.dialogues()),
        can=resolution(selected, assumed, wanted.power),
        tokens=tokens,
        model=spec.default_label if spec else None,
        cache=cache,
        answer_tokens=min(budget, ANSWER_TOKENS if said is None else said),
        answers_measured=said is not None,
        thinks=thinks,
        max_thinking_tokens=generation.max_thinking_tokens,
        speed=_speed(wanted, runs, spec, config),
        measured_on=tuple(run.manifest.run_id for run in runs),
    )


def _check_difference(wanted: Wanted, assumed: Assumed) -> None:
    """Refuse a drop that changed answers cannot add up to.

    Raises:
        InputError: the drop is larger than the share of changed pairs.
    """
    if wanted.difference <= assumed.discordance:
        return
    changed = f"{100 * assumed.discordance:.3g} %"
    raise InputError(
        f"a drop of {100 * wanted.difference:g} points cannot come from {changed} changed answers",
        why="every point of it is a probe that one model answers and the other does not",
        fix=f"a smaller --effect{'' if assumed.measured else ', or a larger --discordance'}",
    )


def _design(suite: Suite, primary: Mode) -> Design:
    """Main probes of a suite that the primary scorer asks.

    Raises:
        InputError: there is none.
    """
    main = [
        (asked.probe.cluster, asked.probe.family)
        for dialogue in suite.dialogues()
        for asked in dialogue.probes
        if asked.probe.condition == "main"
        and (primary == "generate" or asked.probe.rank_candidates)
    ]
    if not main:
        raise InputError(
            f"no main probe is asked by {primary}, so there is no endpoint to plan for",
            fix="--condition main among them, or families that have such a form",
        )
    return design(main)


def cache_of(spec: ModelSpec | None, engine: EngineOptions) -> KvCache | None:
    """Keys and values on the device that was named; None without a configuration to read."""
    if spec is None or spec.kind in {"openai", "plugin"}:
        return None
    kind = engine.device.partition(":")[0]
    dtype = engine.dtype if engine.dtype != "auto" else _DEVICE_DTYPES.get(kind)
    return kv_cache(open_config(spec, engine), dtype, max_context=engine.max_context)


def _tokens(
    asked: Iterable[Unit], prompter: Prompter | None, cache: KvCache | None, policy: Policy
) -> TokenBudget:
    """Prompt tokens, exact with a model.

    Raises:
        InputError: a policy that counts tokens, without a tokenizer.
    """
    if prompter is not None:
        window = cache.window if cache else None
        return count_tokens(asked, prompter, policy=policy, window=window)
    if policy.counts_tokens:
        raise InputError(f"the history policy {policy} counts tokens; give a --model SPEC")
    return estimate_tokens(asked, policy=policy)


def _speed(
    wanted: Wanted, runs: Sequence[StoredRun], spec: ModelSpec | None, config: RunConfig
) -> Speed | None:
    """The rate that was stated, else that of the runs given, else of a run of the model."""
    if wanted.rate is not None:
        return Speed(wanted.rate, "stated")
    found = _first_rate(run.manifest for run in reversed(runs))
    if found is None and spec is not None:
        found = rate_of_model(spec, config.runs_path, config.device)
    return found


def rate_of_model(spec: ModelSpec, runs_dir: Path, device: str) -> Speed | None:
    """The rate of the newest recorded run of a SPEC.

    Args:
        spec: of the model.
        runs_dir: the run store.
        device: only runs on this kind of device count, unless `auto`.
    """
    kind = device.partition(":")[0]
    text = spec.text.removeprefix(f"{spec.label}=")
    return _first_rate(
        manifest
        for _, manifest in readable_runs(runs_dir)
        if manifest.model.spec.removeprefix(f"{manifest.model.label}=") == text
        and kind in {"auto", str(manifest.engine.device).partition(":")[0]}
    )


def _first_rate(manifests: Iterable[Manifest]) -> Speed | None:
    """Tokens a second, over all invocations, of the first run that knows it."""
    for manifest in manifests:
        total = total_efficiency(manifest.invocations)
        if total and total["tokens_per_second"]:
            return Speed(float(total["tokens_per_second"]), manifest.run_id)
    return None


def _answer_tokens(runs: Iterable[StoredRun]) -> float | None:
    """Mean number of generated tokens of an answer; None where no row knows it."""
    known = [
        row.output_tokens
        for run in runs
        for row in run.outcomes
        if row.mode == "generate" and row.output_tokens is not None
    ]
    return fmean(known) if known else None


def _recorded_pair(
    names: Sequence[str], config: RunConfig, reporter: Reporter
) -> tuple[StoredRun, StoredRun]:
    """Baseline and candidate as named with `--from`.

    A single name is a candidate; its baseline is the one its last invocation was given: that run
    folder, or the newest run of that SPEC over the same suite.

    Raises:
        InputError: a name is no run, is given twice, there are three, or no baseline is known.
        RunError: a run folder is damaged.
    """
    if len(names) > 2:
        raise InputError("--from takes a baseline and a candidate", why=f"{len(names)} are given")
    *bases, candidate = read_runs(names, config, reporter)
    if bases:
        return bases[0], candidate
    folder = _baseline_of(candidate, config.runs_path)
    if folder is None:
        raise InputError(
            f"{names[0]} does not say which run it was compared with",
            why="a plan is measured on two runs of the same probes",
            fix=f"--from BASE_RUN --from {names[0]}",
        )
    reporter.say(f"baseline of {names[0]}: {folder}")
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


def _measured_on(base: StoredRun, candidate: StoredRun) -> Assumed:
    """Discordance and correlation of two runs under the primary scorer.

    Raises:
        NotComparableError: the two cannot be paired.
        RunError: they hold no difference to measure.
    """
    paired = pair(
        base.view(),
        candidate.view(),
        allow_partial=True,
        max_error_rate=1.0,
        max_unread_rate=1.0,
    )
    mode = candidate.manifest.suite.primary
    pairs = [(item.base, item.candidate) for item in paired.pairs if item.base.mode == mode]
    try:
        return measured(pairs)
    except ValueError as error:
        raise RunError(
            f"nothing can be measured on these runs: {error}",
            fix="give runs of two different checkpoints, or state it: --discordance SHARE",
        ) from error
