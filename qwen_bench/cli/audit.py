"""`qwen-bench probes audit`: the benchmark's test of itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from qwen_bench.cli import options as declared
from qwen_bench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qwen_bench.audit.audit_suite import Audit
    from qwen_bench.audit.maintenance import Named
    from qwen_bench.cli.display import Screen
    from qwen_bench.cli.exits import Exit
    from qwen_bench.cli.options import Options
    from qwen_bench.probes.selection import Selection


EXAMPLES = """\b
Examples:
  qwen-bench probes audit --suite quick
  qwen-bench probes audit --suite core --filler my-chats.jsonl --json audit.json
  qwen-bench probes audit --tasks-dir my-tasks --family my_family
"""
# Seconds between two lines of progress.
PAUSE = 5.0
_NARROWING = (
    "lengths",
    "family",
    "condition",
    "lang",
    "limit",
    "seed",
    "tasks_dir",
    "filler",
    "json",
)


@click.command("audit", cls=declared.GroupedCommand, epilog=EXAMPLES)
@declared.probe_options
@click.option(
    "--solver",
    multiple=True,
    metavar="NAME",
    help="Only these solvers and no other audit; repeatable.",
    cls=declared.GroupedOption,
    group="Audit",
)
@click.option(
    "--model",
    multiple=True,
    metavar="SPEC",
    help="Audit tokens with this model's tokenizer; two: compare their templates.",
    cls=declared.GroupedOption,
    group="Audit",
)
@click.option(
    "--write",
    is_flag=True,
    help="Write tasks/AUDIT.md and the tables of the READMEs (in a checkout, suite core).",
    cls=declared.GroupedOption,
    group="Output",
)
@click.option(
    "--json",
    metavar="FILE",
    help="Write the report as JSON; - is stdout.",
    cls=declared.GroupedOption,
    group="Output",
)
@declared.display_options
@click.pass_context
def audit_probes(
    context: click.Context, /, *, solver: tuple[str, ...], write: bool, **_: object
) -> Exit:
    """Check that no shortcut solves a suite and that no probe of it is wrong."""
    from qwen_bench.audit.audit_lines import audit_lines, document, failure
    from qwen_bench.cli.asking import selection
    from qwen_bench.cli.display import new_screen
    from qwen_bench.cli.exits import Code, Exit
    from qwen_bench.cli.judge import stdout_is_free
    from qwen_bench.cli.outputs import check_targets, write_json
    from qwen_bench.solvers.solver_engine import check_solver_name

    options = declared.options_of(context)
    check_targets([("--json", options.json)])
    for name in solver:
        check_solver_name(name)
    screen = new_screen(options)
    if write:
        return _write(options, solver, screen)
    models = _models(options)
    audit = _audit(options, selection(options), solver, models, screen)
    screen.table(audit_lines(audit), stdout_is_free=stdout_is_free(options))
    if options.json:
        write_json(options.json, document(audit))
    wrong = failure(audit)
    return Exit(Code.BROKE, wrong) if wrong else Exit(Code.DONE)


def _audit(
    options: Options,
    chosen: Selection,
    solvers: Sequence[str],
    models: Sequence[Named],
    screen: Screen,
) -> Audit:
    """Audit the suite of the options."""
    from qwen_bench.audit.audit_suite import audit_suite
    from qwen_bench.cli.asking import own_material
    from qwen_bench.probes.suites import Suite, build_suite

    own = own_material(options)

    def rebuild(name: str, other: Selection) -> Suite:
        return build_suite(name, other, options.seed, own)

    suite = rebuild(options.suite, chosen)
    for line in suite.screened.report() if suite.screened else ():
        screen.say(line)
    return audit_suite(
        suite,
        chosen,
        rebuild,
        solvers=solvers,
        models=models,
        progress=_progress(suite.name, screen),
    )


def _progress(name: str, screen: Screen) -> Callable[[str], None]:
    """Tells what is being done, not more often than every few seconds."""
    last = time.monotonic()

    def tell(step: str) -> None:
        nonlocal last
        if time.monotonic() - last >= PAUSE:
            last = time.monotonic()
            screen.say(f"auditing {name}: {step}")

    return tell


def _models(options: Options) -> list[Named]:
    """Tokenizers of the models named; no weights are loaded."""
    if not options.model:
        return []
    from qwen_bench.audit.maintenance import checkout
    from qwen_bench.cli.asking import engine_options
    from qwen_bench.engines.model_spec import distinct_labels, parse_spec
    from qwen_bench.engines.registry import open_prompter
    from qwen_bench.resources import data_folder

    checkout(data_folder("tasks"), "--model")
    specs = [parse_spec(text) for text in options.model]
    engine = engine_options(options)
    return [
        (label, open_prompter(spec, engine))
        for label, spec in zip(distinct_labels(specs), specs, strict=True)
    ]


def _write(options: Options, solvers: Sequence[str], screen: Screen) -> Exit:
    """Audit suite core, and in suite full the families that core lacks; publish both."""
    from qwen_bench.audit.audit_lines import audit_lines, failure
    from qwen_bench.audit.maintenance import checkout
    from qwen_bench.cli.exits import Code, Exit
    from qwen_bench.cli.outputs import write_output
    from qwen_bench.resources import data_folder

    if options.suite != "core" or solvers or options.model:
        raise InputError("--write publishes the whole audit of suite core; leave the others out")
    for name in _NARROWING:
        if name in options.passed:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"--write publishes the whole suite; leave {flag} out")
    tasks = checkout(data_folder("tasks"))
    from tools.audit.publish import published, released_audits

    audits = released_audits(_progress("core and full", screen))
    for audit in audits:
        screen.table(audit_lines(audit), stdout_is_free=True)
    for audit in audits:
        if wrong := failure(audit):
            return Exit(Code.BROKE, f"suite {audit.suite.name}: {wrong}; nothing was written")
    changed = 0
    for path, text in published(audits, tasks).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_output(str(path), text)
            changed += 1
    screen.say(f"{changed} files changed in {tasks}")
    return Exit(Code.DONE)
