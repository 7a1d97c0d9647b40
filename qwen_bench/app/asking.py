"""What is asked of whom: models, suite and run folders behind a config."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qwen_bench.app.comparing import check_langs, read_gates
from qwen_bench.app.config import EMBEDDED, LATEST, default_of, flag_of
from qwen_bench.app.fitting import Room, counters_of, fitted
from qwen_bench.app.outputs import check_page
from qwen_bench.chat.plain_text import text_fault
from qwen_bench.chat.policy import FULL, parse_policy
from qwen_bench.engines.engine_options import EngineOptions, check_used, engine_of, read_arguments
from qwen_bench.engines.model_spec import ModelSpec, distinct_labels, parse_spec
from qwen_bench.errors import InputError, near
from qwen_bench.probes.filler_lengths import check_own_filler
from qwen_bench.probes.probe import LANGS
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Own, Suite, build_suite
from qwen_bench.protocol import Generation, Sampling
from qwen_bench.record.outcome import MODES, Mode
from qwen_bench.record.redaction import redact_text
from qwen_bench.runs.manifest_file import read_manifest
from qwen_bench.runs.runner import Plan, plan
from qwen_bench.runs.store import StoredRun, find_run, is_run, read_run
from qwen_bench.solvers.solver_engine import check_solver_name, check_solver_policy
from qwen_bench.stats.pairing import check_usable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.app.config import RunConfig
    from qwen_bench.protocol import Engine
    from qwen_bench.runs.job import Reporter

_DEVICES = ("auto", "cpu", "cuda", "mps")
_DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Asked:
    """One model to ask.

    Attributes:
        engine: one that Python gave and closes itself; None where the SPEC names it.
        resume: the run to continue, `latest` for the newest with its settings, None for a new one.
    """

    spec: ModelSpec
    engine: Engine | None = None
    resume: Path | Literal["latest"] | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """A config read and checked.

    Attributes:
        config: with what `--resume RUN` took over.
        models: to be asked; a baseline that is not recorded yet comes first.
        labels: one for each.
        stored_base: a baseline that is a run folder.
        has_base: whether there is a baseline.
    """

    config: RunConfig
    models: tuple[Asked, ...]
    labels: tuple[str, ...]
    stored_base: StoredRun | None
    has_base: bool
    suite: Suite
    modes: tuple[Mode, ...]
    generation: Generation
    plan: Plan
    engine: EngineOptions

    @property
    def header(self) -> str:
        """The suite in one line."""
        suite, policy = self.suite, self.engine.policy
        return (
            f"suite {suite.name} {suite.version} · {self.plan.probes} probes · "
            f"{self.plan.clusters} skeletons · {', '.join(suite.langs)} · "
            f"lengths {' '.join(map(str, suite.lengths))}"
            + ("" if policy == FULL else f" · policy {policy}")
        )


def read_asking(
    config: RunConfig,
    reporter: Reporter,
    *,
    model: Engine | None = None,
    baseline: Engine | StoredRun | None = None,
) -> Asking:
    """Read SPECs, runs and selection; nothing is loaded and nothing written.

    Args:
        config: as given.
        reporter: is told what was chosen for the user.
        model: an engine of Python's own, instead of those of the config.
        baseline: such an engine or a recorded run, instead of the one of the config.

    Raises:
        InputError: something given is not what it should be.
        RunError: a run folder named is damaged.
    """
    folder = None
    if config.resume not in {None, LATEST}:
        folder = find_run(str(config.resume), config.runs_path)
        config = config.taken_over(read_manifest(folder))
    stored = baseline if isinstance(baseline, StoredRun) else _stored_base(config)
    models: list[Asked] = []
    if baseline is not None and not isinstance(baseline, StoredRun):
        models.append(_own(baseline))
    elif config.baseline is not None and stored is None:
        models.append(Asked(_parsed(config.baseline, reporter)))
    if model is not None:
        models.append(_own(model))
    else:
        models += map(Asked, read_specs(config.model, reporter))
    for notice in stored.notices if stored else ():
        reporter.say(notice)
    check_flags(config, len(models))
    specs = tuple(item.spec for item in models)
    engine = engine_options(config, [item.spec for item in models if item.engine is None])
    if any(spec.kind == "mock" for spec in specs):
        check_solver_policy(engine.policy)
    suite = build(config, reporter, specs, engine)
    modes = modes_of(config, suite)
    return Asking(
        config=config,
        models=tuple(_with_runs(models, config, folder)),
        labels=distinct_labels(specs),
        stored_base=stored,
        has_base=config.baseline is not None or baseline is not None,
        suite=suite,
        modes=modes,
        generation=generation_of(config, suite),
        plan=plan(suite.dialogues(), modes),
        engine=engine,
    )


def check_beforehand(asking: Asking) -> None:
    """Refuse outputs, gates and a stored baseline that cannot work, before hours of asking.

    Raises:
        InputError: an output without its comparison, a gate on what is not asked, or too many runs
            for one page.
        NotComparableError: the stored baseline is empty or not finished.
    """
    config = asking.config
    if not asking.has_base:
        if config.json and len(asking.models) > 1:
            raise InputError(
                "--json with several models needs a --baseline",
                why="without one there is a summary.json for each model, in its run folder",
            )
        for flag, given in (("--gate", config.gate), ("--junit", config.junit)):
            if given:
                raise InputError(
                    f"{flag} needs a --baseline", why="without one nothing is compared"
                )
    read_gates(config.gate, asking.suite.families, asking.suite.lengths)
    if asking.stored_base is not None:
        check_usable([asking.stored_base.view()], allow_partial=config.allow_partial)
    check_page(config, len(asking.models) + (asking.stored_base is not None))


def check_flags(config: RunConfig, models: int) -> None:
    """Refuse flags of the Run group that do not go together.

    Args:
        config: as given.
        models: number of models that would be run.

    Raises:
        InputError: a flag has no meaning beside the others.
    """
    if config.retry_errors and config.resume is None:
        raise InputError("--retry-errors needs --resume", fix="--resume RUN --retry-errors")
    if config.run_id is not None:
        if models > 1:
            raise InputError("--run-id names one run folder, but several models are run")
        if config.resume not in {None, LATEST}:
            raise InputError("--run-id names a new run folder, --resume an old one; give one")
        if config.run_id.startswith(".") or "/" in config.run_id or not config.run_id.strip():
            raise InputError(f"--run-id: '{config.run_id}' is not a folder name")


def _with_runs(models: Sequence[Asked], config: RunConfig, folder: Path | None) -> list[Asked]:
    """The models with the runs that they continue.

    Of several models the run named belongs to the one that made it; the others continue the newest
    run with their settings.

    Args:
        models: to be asked.
        config: as given.
        folder: the run named with `--resume`.

    Raises:
        InputError: none of several models made that run.
    """
    if folder is None:
        newest: Literal["latest"] | None = "latest" if config.resume == LATEST else None
        return [replace(item, resume=newest) for item in models]
    if len(models) == 1:
        return [replace(models[0], resume=folder)]
    made_by = read_manifest(folder).model.spec
    specs = [redact_text(item.spec.text) for item in models]
    if made_by not in specs:
        raise InputError(
            f"--resume {folder}: none of the models given made that run",
            why=f"it was made by {made_by}",
            fix="--resume without a value finds the newest run of each",
        )
    place = specs.index(made_by)
    return [
        replace(item, resume=folder if number == place else "latest")
        for number, item in enumerate(models)
    ]


def read_specs(texts: Sequence[str], reporter: Reporter) -> tuple[ModelSpec, ...]:
    """The models named; without any the embedded one, which is said.

    Raises:
        InputError: a SPEC has no known form, or names nothing that is there.
    """
    if not texts:
        reporter.say("no --model given: using the embedded model, SmolLM2-135M-Instruct")
    return tuple(_parsed(text, reporter) for text in texts or (EMBEDDED,))


def _parsed(text: str, reporter: Reporter) -> ModelSpec:
    """A SPEC of a model or solver that is there, with a line where it could be read in two ways."""
    spec = parse_spec(text)
    if spec.kind == "mock":
        check_solver_name(spec.name)
    if spec.notice:
        reporter.say(f"notice: {spec.notice}")
    return spec


def _own(engine: Engine) -> Asked:
    """An engine that Python gave, under the name it has for itself."""
    who = engine.identity().model
    return Asked(ModelSpec(who.spec, "plugin", who.label, label=who.label), engine)


def _stored_base(config: RunConfig) -> StoredRun | None:
    """The baseline when it is a run folder, by path or by name."""
    text = config.baseline
    if not text or not any(is_run(path) for path in (Path(text), config.runs_path / text)):
        return None
    return read_run(find_run(text, config.runs_path))


def build(
    config: RunConfig,
    reporter: Reporter,
    specs: Sequence[ModelSpec] | None = None,
    engine: EngineOptions | None = None,
) -> Suite:
    """The suite of a config; what was refused of the user's filler is said.

    Args:
        config: as given.
        reporter: is told.
        specs: models whose tokens `--max-tokens` counts; None for those of the config.
        engine: what their engines are told; None for what the config says.

    Raises:
        InputError: there is no such suite, family, length or language.
        DataError: the user's filler is no conversation somewhere, or too short for a history.
        ModelError: a tokenizer that is needed cannot be had or used.
    """
    suite = build_suite(config.suite, selection(config), config.seed, own_material(config))
    check_own_filler(suite)
    for line in suite.screened.report() if suite.screened else ():
        reporter.say(line)
    # A run that goes on has the lengths that fitted when it began.
    if config.max_tokens is None or config.sources.get("max_tokens") == "run":
        return suite
    if specs is None:
        specs = read_specs(config.model, reporter) if config.model else ()
    counters = counters_of(specs, engine or engine_options(config))
    room = Room(config.max_tokens, modes_of(config, suite), generation_of(config, suite))
    return fitted(suite, selection(config), room, counters, reporter)


def selection(config: RunConfig) -> Selection:
    """What was selected from the suite.

    Raises:
        InputError: no such language.
    """
    check_langs(config)
    langs = None if config.lang is None else tuple(lang for lang in LANGS if lang in config.lang)
    return Selection(
        lengths=config.lengths,
        levels=config.level,
        families=config.family,
        conditions=config.condition,
        langs=langs,
        limit=config.limit,
        max_tokens=config.max_tokens,
    )


def own_material(config: RunConfig) -> Own:
    """Families and filler of the user's."""
    return Own(config.tasks_dir, config.filler)


def modes_of(config: RunConfig, suite: Suite) -> tuple[Mode, ...]:
    """Scorers to ask: those of the suite unless given."""
    if config.mode is None:
        return suite.modes
    return tuple(mode for mode in MODES if config.mode in {mode, "both"})


def generation_of(config: RunConfig, suite: Suite) -> Generation:
    """How answers are generated.

    Raises:
        InputError: a flag that has no effect at temperature 0.
    """
    for name in ("top_p", "top_k", "sampling_seed"):
        if not config.temperature and getattr(config, name) != default_of(name):
            raise InputError(
                f"{flag_of(name)} has no effect at temperature 0",
                fix="--temperature 0.6, or leave it out",
            )
    return Generation(
        max_new_tokens=config.max_new_tokens or suite.max_new_tokens,
        max_thinking_tokens=config.max_thinking_tokens,
        sampling=Sampling(config.temperature, config.top_p, config.top_k, config.sampling_seed),
    )


def engine_options(config: RunConfig, specs: Sequence[ModelSpec] | None = None) -> EngineOptions:
    """What engines are told.

    Args:
        config: as given.
        specs: models that are opened with it; flags that none of them reads are refused. None where
            that is not known.

    Raises:
        InputError: an unknown device, number format or model argument, a missing file, or a flag
            that no engine reads.
    """
    if config.device.split(":")[0] not in _DEVICES:
        raise InputError(f"unknown device '{config.device}'; {near(config.device, _DEVICES)}")
    if config.dtype not in _DTYPES:
        raise InputError(f"unknown dtype '{config.dtype}'; {near(config.dtype, _DTYPES)}")
    same = {
        item.name: getattr(config, item.name)
        for item in fields(EngineOptions)
        if item.name not in {"system", "policy", "model_args"}
    }
    made = EngineOptions(
        system=_system_text(config.system),
        policy=parse_policy(config.policy),
        model_args=read_arguments(config.model_arg),
        **same,
    )
    if specs is not None:
        engines = [engine_of(spec, made) for spec in specs]
        check_used(made.model_args, engines)
        if config.given("base_url") and "openai" not in engines:
            raise InputError(
                "--base-url is for models on a server, and none is given",
                fix="--model openai:NAME, where NAME is what the server calls the model",
            )
    return made


def _system_text(value: str) -> str:
    """`--system`: the words default and none stay, a file becomes its text."""
    if value in {"default", "none"}:
        return value
    try:
        text = Path(value).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--system: cannot read {value}", why=str(error), fix="a text file, none or default"
        ) from error
    wrong = text_fault(text)
    if wrong is not None:
        raise InputError(
            f"--system: {value} {wrong}", fix="the text alone; the template adds its markers"
        )
    return text
