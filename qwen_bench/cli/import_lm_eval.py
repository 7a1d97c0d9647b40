"""`qwen-bench import-lm-eval`: a run folder from what lm-eval logged; asks no model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qwen_bench.cli import options as declared

if TYPE_CHECKING:
    from qwen_bench.cli.display import Screen
    from qwen_bench.engines.model_spec import ModelSpec
    from qwen_bench.lm_eval.importing import Log
    from qwen_bench.record.manifest import Invocation
    from qwen_bench.runs.store import StoredRun

EXAMPLES = """\b
Examples:
  qwen-bench import-lm-eval out/Qwen__Qwen3-0.6B/samples_qwen_bench_*.jsonl
  qwen-bench import-lm-eval out/candidate --model tuned=./out/merged
  qwen-bench compare runs/BASE runs/CANDIDATE
"""


@click.command(cls=declared.GroupedCommand, epilog=EXAMPLES)
@click.argument("samples", metavar="SAMPLES...", nargs=-1, required=True)
@click.option(
    "--model",
    "spec",
    metavar="SPEC",
    help="Hash these weights; lm-eval logs a name only.",
    cls=declared.GroupedOption,
    group="Model",
)
@click.option(
    "--fingerprint",
    type=click.Choice(["full", "fast"]),
    default="full",
    show_default=True,
    help="How local weights are hashed.",
    cls=declared.GroupedOption,
    group="Model",
)
@click.option(
    "--offline",
    is_flag=True,
    help="Load nothing from the Hub.",
    cls=declared.GroupedOption,
    group="Model",
)
@click.option(
    "--results",
    metavar="FILE",
    help="Results file; default: the one beside the samples.",
    cls=declared.GroupedOption,
    group="Run",
)
@click.option(
    "--run-id",
    metavar="NAME",
    help="Name of the run folder.",
    cls=declared.GroupedOption,
    group="Run",
)
@declared.runs_dir_option
@declared.display_options
@click.pass_context
def import_lm_eval(
    context: click.Context,
    /,
    samples: tuple[str, ...],
    spec: str | None,
    results: str | None,
    **_: object,
) -> None:
    """Turn the samples of one lm-eval run (files, or their folder) into a run folder."""
    from qwen_bench.cli.display import new_screen
    from qwen_bench.cli.resuming import check_flags
    from qwen_bench.engines.engine_options import EngineOptions
    from qwen_bench.engines.model_spec import parse_spec
    from qwen_bench.lm_eval.importing import fingerprint_of, read_log
    from qwen_bench.report.terminal import profile_lines
    from qwen_bench.stats.summary import summarise

    options = declared.options_of(context)
    check_flags(options, models=1)
    screen = new_screen(options)
    model = parse_spec(spec) if spec else None
    log = read_log([Path(name) for name in samples], Path(results) if results else None)
    engine_options = EngineOptions(
        offline=options.offline,
        fingerprint=options.fingerprint,  # type: ignore[arg-type]  # click allows these alone
    )
    fingerprint = fingerprint_of(model, engine_options) if model else None
    _say_what(log, screen)
    run = _record(context, log, screen, model=model, fingerprint=fingerprint)
    screen.close()
    view = run.view()
    lines = profile_lines(view.label, view.manifest.suite, summarise(view.outcomes))
    screen.table(lines, stdout_is_free=True)
    screen.say(f"run  {run.folder}")


def _say_what(log: Log, screen: Screen) -> None:
    """Name what is imported, and what the selection has beyond the log."""
    suite = log.suite
    screen.say(f"suite {suite.name} {suite.version} · {log.plan.probes} probes from the log")
    if log.plan.probes < log.selected:
        screen.say(
            f"notice: these tasks have {log.selected} probes in the suite; --limit left "
            f"{log.selected - log.plan.probes} out"
        )


def _record(
    context: click.Context,
    log: Log,
    screen: Screen,
    *,
    model: ModelSpec | None,
    fingerprint: str | None,
) -> StoredRun:
    """Write the run folder, as for a model that answers."""
    import shlex

    from qwen_bench.lm_eval.importing import LogEngine
    from qwen_bench.protocol import Generation
    from qwen_bench.record.redaction import redact_argv
    from qwen_bench.runs.job import Job
    from qwen_bench.runs.recorder import record

    options = declared.options_of(context)
    arguments = redact_argv(tuple(context.obj or ()))
    spec = model.text if model else log.account.spec
    job = Job(
        suite=log.suite,
        modes=log.modes,
        generation=Generation(log.max_new_tokens),
        plan=log.plan,
        probes={},
        spec=spec,
        label=model.default_label if model else Path(spec).name,
        runs_dir=options.runs_path,
        run_id=options.run_id,
        resume=None,
        retry_errors=False,
        invocation=_invocation(arguments, log),
        continue_command=lambda _: shlex.join(["qwen-bench", *arguments]),
        check=lambda _: None,
        now=lambda: datetime.now(UTC),
    )
    watcher = screen.watcher(job.label, log.plan.probes)
    return record(job, LogEngine(log, fingerprint), watcher, lambda: False)


def _invocation(arguments: tuple[str, ...], log: Log) -> Invocation:
    """This process; the packages are those of the process that answered."""
    from qwen_bench.record.manifest import Invocation
    from qwen_bench.runs import provenance
    from qwen_bench.runs.job import timestamp

    return Invocation(
        started=timestamp(datetime.now(UTC)),
        argv=("qwen-bench", *arguments),
        host=provenance.host_hash(),
        hardware=provenance.hardware(),
        packages=log.account.packages,
    )
