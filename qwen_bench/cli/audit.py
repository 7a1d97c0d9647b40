"""`qwen-bench probes audit`: the benchmark's test of itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qwen_bench.app.config import flag_of
from qwen_bench.cli.options import PROBES, Call, command, own, shared
from qwen_bench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qwen_bench.app.config import RunConfig
    from qwen_bench.audit.audit_suite import Audit
    from qwen_bench.audit.maintenance import Named
    from qwen_bench.cli.display import Screen
    from qwen_bench.cli.exits import Exit
    from qwen_bench.probes.selection import Selection


EXAMPLES = """\b
Examples:
  qwen-bench probes audit --suite quick
  qwen-bench probes audit --suite core --filler my-chats.jsonl --json audit.json
  qwen-bench probes audit --tasks-dir my-tasks --family my_family
"""
# Seconds between two lines of progress.
PAUSE = 5.0


@command(
    "audit",
    *PROBES,
    own(
        "Audit",
        "--solver",
        multiple=True,
        metavar="NAME",
        help="Only these solvers and no other audit; repeatable.",
    ),
    shared(
        "model",
        "Audit",
        help="Audit tokens with this model's tokenizer; two: compare their templates.",
    ),
    own(
        "Output",
        "--write",
        is_flag=True,
        help="Write tasks/AUDIT.md and the tables of the READMEs (in a checkout, suite core).",
    ),
    shared("json", help="Write the report as JSON; - is stdout."),
    "Display",
    examples=EXAMPLES,
)
def audit_probes(call: Call, solver: tuple[str, ...], *, write: bool) -> Exit:
    """Check that no shortcut solves a suite and that no probe of it is wrong."""
    from qwen_bench.app.outputs import check_outputs, targets_of, write_json
    from qwen_bench.audit.audit_lines import audit_lines, document, failure
    from qwen_bench.cli.exits import Code, Exit
    from qwen_bench.solvers.solver_engine import check_solver_name

    config = call.config
    check_outputs(config)
    for name in solver:
        check_solver_name(name)
    if write:
        return _write(config, solver, call.screen)
    audit = _audit(config, solver, call.screen)
    call.screen.table(audit_lines(audit), targets_of(config).stdout_is_free)
    if config.json:
        write_json(config.json, document(audit))
    wrong = failure(audit)
    return Exit(Code.BROKE, wrong) if wrong else Exit(Code.DONE)


def _audit(config: RunConfig, solvers: Sequence[str], screen: Screen) -> Audit:
    """Audit the suite of the options."""
    from qwen_bench.app.asking import build, own_material, selection
    from qwen_bench.audit.audit_suite import audit_suite
    from qwen_bench.probes.suites import Suite, build_suite

    def rebuild(name: str, other: Selection) -> Suite:
        return build_suite(name, other, config.seed, own_material(config))

    models = _models(config)
    suite = build(config, screen)
    return audit_suite(
        suite,
        selection(config),
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


def _models(config: RunConfig) -> list[Named]:
    """Tokenizers of the models named; no weights are loaded."""
    if not config.model:
        return []
    from qwen_bench.app.asking import engine_options
    from qwen_bench.audit.maintenance import checkout
    from qwen_bench.engines.model_spec import distinct_labels, parse_spec
    from qwen_bench.engines.registry import open_prompter
    from qwen_bench.resources import data_folder

    checkout(data_folder("tasks"), "--model")
    specs = [parse_spec(text) for text in config.model]
    engine = engine_options(config)
    return [
        (label, open_prompter(spec, engine))
        for label, spec in zip(distinct_labels(specs), specs, strict=True)
    ]


def _write(config: RunConfig, solvers: Sequence[str], screen: Screen) -> Exit:
    """Audit suite core, and in suite full the families that core lacks; publish both."""
    from qwen_bench.app.outputs import write_output
    from qwen_bench.audit.audit_lines import audit_lines, failure
    from qwen_bench.audit.maintenance import checkout
    from qwen_bench.cli.exits import Code, Exit
    from qwen_bench.resources import data_folder

    if config.suite != "core" or solvers or config.model:
        raise InputError("--write publishes the whole audit of suite core; leave the others out")
    for name in (*PROBES, "json"):
        if name != "suite" and config.given(name):
            raise InputError(f"--write publishes the whole suite; leave {flag_of(name)} out")
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
