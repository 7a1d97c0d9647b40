"""The work of `qwen-bench plan`: suite, recorded runs and model behind the typed words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qwen_bench.chat.rendering import effective_thinking
from qwen_bench.cli.asking import engine_options, generation_of, own_material, selection
from qwen_bench.cli.recorded import (
    answer_tokens,
    measured_on,
    rate_of,
    rate_of_model,
    recorded_pair,
)
from qwen_bench.engines.cost_estimate import (
    ANSWER_TOKENS,
    KvCache,
    TokenBudget,
    count_tokens,
    estimate_tokens,
    kv_cache,
)
from qwen_bench.engines.engine_options import check_used, engine_of
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_config, open_prompter
from qwen_bench.errors import InputError
from qwen_bench.probes.suites import Suite, build_suite
from qwen_bench.record.outcome import MODES, Mode
from qwen_bench.runs.runner import units
from qwen_bench.stats.planning import (
    DISCORDANCE,
    Assumed,
    Design,
    Need,
    Resolution,
    design,
    need,
    resolution,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qwen_bench.chat.policy import Policy
    from qwen_bench.cli.display import Screen
    from qwen_bench.cli.options import Options
    from qwen_bench.engines.engine_options import EngineOptions
    from qwen_bench.engines.model_spec import ModelSpec
    from qwen_bench.engines.prompter import Prompter
    from qwen_bench.protocol import Unit
    from qwen_bench.runs.store import StoredRun


# What `auto` computes in where the device is named; see `engines.loading.choose_dtype`.
_DEVICE_DTYPES = {"cpu": "float32", "cuda": "bfloat16", "mps": "bfloat16"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed.

    Attributes:
        difference: smallest drop to be seen, a fraction.
        power: share of runs in which it is to be seen.
        discordance: stated share of changed pairs; None for the default or a measured one.
        rate: stated tokens a second; None where a recorded run may say it.
        recorded: names of `--from`.
    """

    difference: float
    power: float
    discordance: float | None
    rate: float | None
    recorded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second through the model, and where that is known from."""

    tokens_per_second: float
    source: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan.

    Attributes:
        primary: scorer of the endpoint.
        selected: design of the selection as it stands.
        need: probes that resolve the difference, in rotations of the selection.
        dialogues: of these rotations, main condition only.
        can: what the selection can tell.
        model: label of the model that tokens are counted for; None where they are estimated.
        cache: keys and values; None without a model.
        answer_tokens: generated tokens of an answer.
        answers_measured: whether they come from recorded runs.
        thinks: whether the prompts of the model ask for a thought.
        max_thinking_tokens: budget of one.
        speed: None where no rate is known.
        measured_on: names of the recorded runs behind `assumed`.
    """

    suite: Suite
    primary: Mode
    wanted: Wanted
    assumed: Assumed
    selected: Design
    need: Need
    dialogues: int
    can: Resolution
    tokens: TokenBudget
    model: str | None
    cache: KvCache | None
    answer_tokens: float
    answers_measured: bool
    thinks: bool
    max_thinking_tokens: int
    speed: Speed | None
    measured_on: tuple[str, ...] = ()

    @property
    def forward_tokens(self) -> float:
        """Tokens of one model through a sharing engine, answers included."""
        return self.tokens.forward(self.answer_tokens)

    @property
    def seconds(self) -> float | None:
        """Time of one model; None where no rate is known."""
        return self.forward_tokens / self.speed.tokens_per_second if self.speed else None


def make_plan(wanted: Wanted, options: Options, screen: Screen) -> Planned:
    """Make a plan; no weights are loaded and nothing is asked.

    Args:
        wanted: what this command adds to the options.
        options: suite, selection, policy, model and run store.
        screen: is told what was chosen for the user.

    Raises:
        InputError: something typed is not what it should be, or cannot be planned.
        ModelError: the model's tokenizer, template or configuration cannot be used.
        RunError: a recorded run is damaged, or shows no difference.
        NotComparableError: the recorded runs cannot be paired.
    """
    engine = engine_options(options)
    spec = _spec(options, engine, screen)
    if wanted.recorded and wanted.discordance is not None:
        raise InputError("--discordance and --from are two answers to one question; give one")
    runs = recorded_pair(wanted.recorded, options.runs_path, screen) if wanted.recorded else ()
    assumed = measured_on(*runs) if runs else Assumed(wanted.discordance or DISCORDANCE)
    _check_difference(wanted, assumed)
    chosen = selection(options)
    own = own_material(options)
    suite = build_suite(options.suite, chosen, options.seed, own)
    for line in suite.screened.report() if suite.screened else ():
        screen.say(line)
    modes = tuple(mode for mode in MODES if options.mode in {mode, "both"}) or suite.modes
    primary = suite.primary if suite.primary in modes else modes[0]
    one = build_suite(
        options.suite, replace(chosen, limit=1, conditions=("main",)), options.seed, own
    )
    selected = _design(suite, primary)
    generation = generation_of(options, suite)
    prompter = open_prompter(spec, engine) if spec else None
    cache = cache_of(spec, engine)
    tokens = _tokens(units(suite.dialogues(), modes, generation), prompter, cache, engine.policy)
    thinks = (
        prompter is not None and effective_thinking(prompter.settings, prompter.tokenizer) == "on"
    )
    said = answer_tokens(runs)
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
        speed=_speed(wanted, runs, spec, options),
        measured_on=tuple(run.manifest.run_id for run in runs),
    )


def _spec(options: Options, engine: EngineOptions, screen: Screen) -> ModelSpec | None:
    """The model named, if any."""
    if len(options.model) > 1:
        raise InputError("a plan counts the tokens of one model; give one --model")
    if not options.model:
        return None
    spec = parse_spec(options.model[0])
    check_used(engine.model_args, [engine_of(spec, engine)])
    if spec.notice:
        screen.say(f"notice: {spec.notice}")
    return spec


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
    return kv_cache(open_config(spec, engine), dtype)


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
    wanted: Wanted, runs: tuple[StoredRun, ...], spec: ModelSpec | None, options: Options
) -> Speed | None:
    """The rate that was stated, else that of the runs given, else of a run of the model."""
    if wanted.rate is not None:
        return Speed(wanted.rate, "stated")
    found = rate_of(runs)
    if found is None and spec is not None:
        found = rate_of_model(spec, options.runs_path, options.device)
    return Speed(*found) if found else None
