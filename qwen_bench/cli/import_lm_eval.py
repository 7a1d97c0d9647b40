"""`qwen-bench import-lm-eval`: a run folder from what lm-eval logged; asks no model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qwen_bench.cli.options import Call, command, own, shared

if TYPE_CHECKING:
    from qwen_bench.cli.display import Screen
    from qwen_bench.engines.model_spec import ModelSpec
    from qwen_bench.lm_eval.importing import Log
    from qwen_bench.runs.store import StoredRun

EXAMPLES = """\b
Examples:
  qwen-bench import-lm-eval out/Qwen__Qwen3-0.6B/samples_qwen_bench_*.jsonl
  qwen-bench import-lm-eval out/candidate --model tuned=./out/merged
  qwen-bench compare runs/BASE runs/CANDIDATE
"""


@command(
    "import-lm-eval",
    click.Argument(["samples"], metavar="SAMPLES...", nargs=-1, required=True),
    own(
        "Model",
        "--model",
        "spec",
        metavar="SPEC",
        help="Hash these weights; lm-eval logs a name only.",
    ),
    shared("fingerprint", "Model"),
    shared("offline", "Model", help="Load nothing from the Hub."),
    own(
        "Run",
        "--results",
        metavar="FILE",
        help="Results file; default: the one beside the samples.",
    ),
    "run_id",
    "runs_dir",
    "Display",
    examples=EXAMPLES,
)
def import_lm_eval(
    call: Call, samples: tuple[str, ...], spec: str | None, results: str | None
) -> None:
    """Turn the samples of one lm-eval run (files, or their folder) into a run folder."""
    from qwen_bench.app.asking import check_flags, engine_options
    from qwen_bench.cli.results import show_profile
    from qwen_bench.engines.model_spec import parse_spec
    from qwen_bench.lm_eval.importing import fingerprint_of, read_log

    config, screen = call.config, call.screen
    check_flags(config, models=1)
    model = parse_spec(spec) if spec else None
    log = read_log([Path(name) for name in samples], Path(results) if results else None)
    fingerprint = fingerprint_of(model, engine_options(config)) if model else None
    _say_what(log, screen)
    run = _record(call, log, model=model, fingerprint=fingerprint)
    screen.close()
    show_profile(run.view(), call)
    screen.say(f"run  {run.folder}")


def _say_what(log: Log, screen: Screen) -> None:
    """Name what is imported, and what the selection has beyond the log."""
    suite = log.suite
    screen.say(f"suite {suite.name} {suite.version} · {log.plan.probes} probes from the log")
    if log.others:
        from qwen_bench.lm_eval.importing import counted

        screen.say(f"notice: samples of other tasks are left out: {counted(log.others)}")
    if log.plan.probes < log.selected:
        screen.say(
            f"notice: these tasks have {log.selected} probes in the suite; --limit left "
            f"{log.selected - log.plan.probes} out"
        )


def _record(call: Call, log: Log, *, model: ModelSpec | None, fingerprint: str | None) -> StoredRun:
    """Write the run folder, as for a model that answers."""
    from qwen_bench.cli.results import command_line
    from qwen_bench.lm_eval.importing import LogEngine
    from qwen_bench.protocol import Generation
    from qwen_bench.record.manifest import Invocation
    from qwen_bench.record.redaction import redact_argv
    from qwen_bench.runs import provenance
    from qwen_bench.runs.job import Job, timestamp
    from qwen_bench.runs.recorder import record

    spec = model.text if model else log.account.spec
    job = Job(
        suite=log.suite,
        modes=log.modes,
        generation=Generation(log.max_new_tokens),
        plan=log.plan,
        spec=spec,
        label=model.default_label if model else Path(spec).name,
        runs_dir=call.config.runs_path,
        run_id=call.config.run_id,
        resume=None,
        retry_errors=False,
        invocation=Invocation(
            started=timestamp(datetime.now(UTC)),
            argv=("qwen-bench", *redact_argv(call.words)),
            host=provenance.host_hash(),
            hardware=provenance.hardware(),
            # Of the process that answered.
            packages=log.account.packages,
        ),
        continue_command=lambda _: command_line(call.words),
        check=lambda _: None,
        now=lambda: datetime.now(UTC),
    )
    watcher = call.screen.watcher(job.label, log.plan.probes)
    return record(job, LogEngine(log, fingerprint), watcher, lambda: False)
