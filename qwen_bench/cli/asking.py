"""What `qwen-bench run` was asked to do: models, suite and run folders behind the typed words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qwen_bench.chat.policy import FULL, parse_policy
from qwen_bench.cli.resuming import check_flags, taken_over
from qwen_bench.engines.engine_options import EngineOptions, check_used, engine_of, read_arguments
from qwen_bench.engines.model_spec import ModelSpec, distinct_labels, parse_spec
from qwen_bench.errors import InputError, near
from qwen_bench.probes.probe import LANGS
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Own, Suite, build_suite
from qwen_bench.protocol import Generation, Sampling
from qwen_bench.record.outcome import MODES, Mode
from qwen_bench.runs.manifest_file import read_manifest
from qwen_bench.runs.runner import Plan, plan
from qwen_bench.runs.store import find_run, is_run, read_run
from qwen_bench.solvers.solver_engine import check_solver_name, check_solver_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.cli.display import Screen
    from qwen_bench.cli.options import Options
    from qwen_bench.runs.store import StoredRun

EMBEDDED = "embedded"
_DEVICES = ("auto", "cpu", "cuda", "mps")
_DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Asking:
    """Everything typed, read and checked.

    Attributes:
        options: with what `--resume RUN` took over.
        original: as parsed.
        specs: models to run; a baseline SPEC comes first.
        labels: one for each.
        stored_base: a baseline that is a run folder.
        has_base: whether a baseline was named.
    """

    options: Options
    original: Options
    specs: tuple[ModelSpec, ...]
    labels: tuple[str, ...]
    stored_base: StoredRun | None
    has_base: bool
    resume: Path | Literal["latest"] | None
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


def read_asking(original: Options, screen: Screen) -> Asking:
    """Read SPECs, runs and selection; nothing is loaded and nothing written.

    Args:
        original: as parsed.
        screen: is told what was chosen for the user.

    Raises:
        InputError: something typed is not what it should be.
        RunError: a run folder named is damaged.
    """
    options = original
    resume: Path | Literal["latest"] | None = None
    if options.resume == "latest":
        resume = "latest"
    elif options.resume is not None:
        resume = find_run(options.resume, options.runs_path)
        options = taken_over(options, read_manifest(resume))
    if not options.model:
        screen.say("no --model given: using the embedded model, SmolLM2-135M-Instruct")
    stored = _stored_base(options)
    texts = list(options.model or (EMBEDDED,))
    if options.baseline is not None and stored is None:
        texts.insert(0, options.baseline)
    for notice in stored.notices if stored else ():
        screen.say(notice)
    specs = tuple(_parsed(text) for text in texts)
    check_flags(options, len(specs))
    for spec in specs:
        if spec.notice:
            screen.say(f"notice: {spec.notice}")
    engine = engine_options(options)
    _check_engines(options, engine, specs)
    if any(spec.kind == "mock" for spec in specs):
        check_solver_policy(engine.policy)
    suite = build_suite(options.suite, selection(options), options.seed, own_material(options))
    for line in suite.screened.report() if suite.screened else ():
        screen.say(line)
    modes = _modes(options.mode, suite)
    return Asking(
        options=options,
        original=original,
        specs=specs,
        labels=distinct_labels(specs),
        stored_base=stored,
        has_base=options.baseline is not None,
        resume=resume,
        suite=suite,
        modes=modes,
        generation=generation_of(options, suite),
        plan=plan(suite.dialogues(), modes),
        engine=engine,
    )


def _parsed(text: str) -> ModelSpec:
    """A SPEC, or an error for one that names no model and no solver."""
    spec = parse_spec(text)
    if spec.kind == "mock":
        check_solver_name(spec.name)
    return spec


def selection(options: Options) -> Selection:
    """What was selected from the suite.

    Raises:
        InputError: no such language.
    """
    for lang in options.lang or ():
        if lang not in LANGS:
            raise InputError(f"no such language '{lang}'; there are {', '.join(LANGS)}")
    return Selection(
        lengths=options.lengths,
        families=options.family,
        conditions=options.condition,
        langs=None
        if options.lang is None
        else tuple(lang for lang in LANGS if lang in options.lang),
        limit=options.limit,
    )


def own_material(options: Options) -> Own:
    """Families and filler of the user's."""
    return Own(options.tasks_dir, options.filler)


def _modes(wanted: str | None, suite: Suite) -> tuple[Mode, ...]:
    """Scorers to ask: those of the suite unless given."""
    if wanted is None:
        return suite.modes
    return tuple(mode for mode in MODES if wanted in {mode, "both"})


def _stored_base(options: Options) -> StoredRun | None:
    """The baseline when it is a run folder, by path or by name."""
    text = options.baseline
    if not text or not any(is_run(path) for path in (Path(text), options.runs_path / text)):
        return None
    return read_run(find_run(text, options.runs_path))


def _check_engines(options: Options, engine: EngineOptions, specs: Sequence[ModelSpec]) -> None:
    """Refuse flags that no engine of the models reads.

    Raises:
        InputError: there is one.
    """
    engines = [engine_of(spec, engine) for spec in specs]
    check_used(engine.model_args, engines)
    if "base_url" in options.passed and "openai" not in engines:
        raise InputError(
            "--base-url is for models on a server, and none is given",
            fix="--model openai:NAME, where NAME is what the server calls the model",
        )


def generation_of(options: Options, suite: Suite) -> Generation:
    """How answers are generated.

    Raises:
        InputError: a flag that has no effect at temperature 0.
    """
    for name, nothing in (("top_p", 1.0), ("top_k", 0), ("sampling_seed", 0)):
        if not options.temperature and getattr(options, name) != nothing:
            raise InputError(
                f"--{name.replace('_', '-')} has no effect at temperature 0",
                fix="--temperature 0.6, or leave it out",
            )
    return Generation(
        max_new_tokens=options.max_new_tokens or suite.max_new_tokens,
        max_thinking_tokens=options.max_thinking_tokens,
        sampling=Sampling(options.temperature, options.top_p, options.top_k, options.sampling_seed),
    )


def engine_options(options: Options) -> EngineOptions:
    """What engines are told.

    Raises:
        InputError: an unknown device, number format or model argument, or a missing file.
    """
    if options.device.split(":")[0] not in _DEVICES:
        raise InputError(f"unknown device '{options.device}'; {near(options.device, _DEVICES)}")
    if options.dtype not in _DTYPES:
        raise InputError(f"unknown dtype '{options.dtype}'; {near(options.dtype, _DTYPES)}")
    return EngineOptions(
        device=options.device,
        dtype=options.dtype,  # type: ignore[arg-type]  # one of the four, checked above
        chat_template=options.chat_template,
        system=_system_text(options.system),
        thinking=options.thinking,  # type: ignore[arg-type]  # click allows these alone
        policy=parse_policy(options.policy),
        offline=options.offline,
        trust_remote_code=options.trust_remote_code,
        allow_pickle=options.allow_pickle,
        fingerprint=options.fingerprint,  # type: ignore[arg-type]  # click allows these alone
        engine=options.engine,  # type: ignore[arg-type]  # click allows these alone
        replicas=options.replicas,
        ray_address=options.ray_address,
        base_url=options.base_url,
        concurrency=options.concurrency,
        batch_size=options.batch_size,
        model_args=read_arguments(options.model_arg),
    )


def _system_text(value: str) -> str:
    """`--system`: the words default and none stay, a file becomes its text."""
    if value in {"default", "none"}:
        return value
    try:
        return Path(value).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--system: cannot read {value}", why=str(error), fix="a text file, none or default"
        ) from error
