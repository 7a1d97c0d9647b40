"""`qwen-bench data validate`: what is wrong with a data file, and a corrected copy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qwen_bench.app.option_values import whole
from qwen_bench.cli.exits import Code, Exit
from qwen_bench.cli.options import Call, command, own, shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.cli.display import Screen
    from qwen_bench.data.findings import Finding
    from qwen_bench.data.template_lint import TemplateLint
    from qwen_bench.data.validation import Validated

MOST_SHOWN = 20
EXAMPLES = """\b
Examples:
  qwen-bench data validate train.jsonl
  qwen-bench data validate train.jsonl --strict --json -
  qwen-bench data validate train.jsonl --fix mended.jsonl
  qwen-bench data validate train.jsonl --model Qwen/Qwen3-0.6B --max-length 4096
"""


class Told:
    """Findings as they come: the first are printed, all are counted, and kept where asked."""

    def __init__(self, screen: Screen, *, stdout_is_free: bool, keep: bool = False) -> None:
        self._screen = screen
        self._free = stdout_is_free
        self._keep = keep
        self._hidden: list[str] = []
        self.shown = 0
        self.kept: list[Finding] = []

    def __call__(self, finding: Finding) -> None:
        """Tell one."""
        if self._keep:
            self.kept.append(finding)
        if self.shown < MOST_SHOWN:
            self.shown += 1
            self._screen.table([str(finding)], self._free)
        else:
            self._hidden.append(finding.kind)

    def rest(self) -> None:
        """Say how many were not printed."""
        if self._hidden:
            kinds = len(set(self._hidden))
            many = f"{kinds} kind{'s' if kinds > 1 else ''}"
            self._screen.table([f"... and {len(self._hidden):,} more ({many})"], self._free)


@command(
    "validate",
    click.Argument(["files"], metavar="FILE...", nargs=-1, required=True),
    own("Checks", "--strict", is_flag=True, help="Warnings and keys that are not read end with 1."),
    own("Model", "--model", "spec", metavar="SPEC", help="Check against its template and tokens."),
    own(
        "Model",
        "--max-length",
        read=whole(16),
        metavar="N",
        help="Tokens of the longest row; default: the model's context window.",
    ),
    shared("chat_template", "Model"),
    shared("thinking", "Model"),
    shared("trust_remote_code", "Model"),
    shared("offline", "Model"),
    own(
        "Output",
        "--fix",
        metavar="OUT",
        help="Write a corrected copy: byte order mark, line ends, blank lines, unanswered last "
        "messages and exact copies; contents are never changed.",
    ),
    shared("json", "Output", help="Write all findings and counts as JSON; - is stdout."),
    "Display",
    examples=EXAMPLES,
)
def validate(
    call: Call,
    files: tuple[str, ...],
    *,
    strict: bool,
    spec: str | None,
    max_length: int | None,
    fix: str | None,
) -> Exit | None:
    """Name everything that is wrong in ChatML JSONL files, with file and line.

    Errors are what finetune and --filler refuse; they end with exit 1. Warnings do not.
    """
    from qwen_bench.app.outputs import check_targets
    from qwen_bench.data.validation import validate as look_at
    from qwen_bench.data.writing import refuse_existing
    from qwen_bench.errors import InputError

    config, screen = call.config, call.screen
    check_targets([("--json", config.json)])
    paths = [Path(name) for name in files]
    if fix is not None:
        if len(paths) > 1:
            raise InputError("--fix writes one corrected copy; give one FILE")
        refuse_existing("--fix", Path(fix), force=False, sources=(paths[0],))
    if max_length is not None and spec is None:
        raise InputError("--max-length needs --model", fix="--model SPEC whose tokens count")
    told = Told(screen, stdout_is_free=config.json != "-", keep=bool(config.json))
    seen: list[Validated] = []
    lints: list[TemplateLint] = []
    for path in paths:
        if spec is not None:
            lints.append(lint_of(call, path, spec, max_length))
        look = lints[-1].look if lints else None
        seen.append(look_at(path, told, look, mend=fix is not None))
    told.rest()
    free = config.json != "-"
    for number, one in enumerate(seen):
        heading = [f"{one.path}"] if len(seen) > 1 else []
        lint = lints[number].lines() if lints else []
        kinds = [f"{kind} {count:,}" for kind, count in one.kinds.most_common()]
        found = [f"findings       {' · '.join(kinds)}"] if kinds else []
        screen.table([*heading, *one.counts.lines(), *lint, *found], free)
    screen.table([_closing(seen)], free)
    if config.json:
        _write(config.json, seen, told.kept, lints)
    if fix is not None:
        _mend(call, seen[0], Path(fix))
    broken = sum(one.levels["error"] for one in seen)
    unsure = sum(one.levels["warning"] for one in seen)
    if broken or (strict and unsure):
        return Exit(Code.BROKE, "see the errors above" if broken else "--strict and warnings")
    return None


def lint_of(call: Call, path: Path, spec: str, max_length: int | None) -> TemplateLint:
    """The check against a model."""
    from qwen_bench.app.asking import engine_options, read_specs
    from qwen_bench.data.template_lint import TemplateLint
    from qwen_bench.engines.registry import open_config, open_prompter

    (model,) = read_specs((spec,), call.screen)
    options = engine_options(call.config, (model,))
    limit = max_length
    if limit is None and model.kind != "openai":
        limit = open_config(model, options).get("max_position_embeddings")
    return TemplateLint(str(path), open_prompter(model, options), limit)


def _closing(seen: Sequence[Validated]) -> str:
    """Errors and warnings in one line."""
    errors = sum(one.levels["error"] for one in seen)
    warnings = sum(one.levels["warning"] for one in seen)
    records = f"{sum(one.records for one in seen):,} records"
    if not errors + warnings:
        return f"no problem in {records}"
    counted = [
        f"{count:,} {word}{'s' if count != 1 else ''}"
        for count, word in ((errors, "error"), (warnings, "warning"))
        if count
    ]
    problems = f"{errors + warnings:,} problem{'s' if errors + warnings != 1 else ''}"
    return f"{problems} in {records}: {', '.join(counted)}"


def _mend(call: Call, seen: Validated, target: Path) -> None:
    """Write the corrected copy and list its changes."""
    from qwen_bench.data.mending import write_mended

    changes = write_mended(seen, target)
    call.screen.say(f"mended  {target}")
    for change in changes or ["nothing had to be changed"]:
        call.screen.say(f"  {change}")
    if seen.levels["error"]:
        call.screen.say("  lines with errors are copied as they are")


def _write(
    target: str, seen: Sequence[Validated], kept: Sequence[Finding], lints: Sequence[TemplateLint]
) -> None:
    from qwen_bench.app.outputs import write_json

    write_json(
        target,
        {
            "schema_version": 1,
            "files": [
                {
                    "file": str(one.path),
                    "records": one.records,
                    "errors": one.levels["error"],
                    "warnings": one.levels["warning"],
                    "kinds": dict(one.kinds),
                    "summary": one.counts.document(),
                    "model": lints[number].document() if lints else None,
                }
                for number, one in enumerate(seen)
            ],
            "findings": [
                {
                    "file": one.file,
                    "line": one.line,
                    "level": one.level,
                    "kind": one.kind,
                    "path": one.path,
                    "message": one.text,
                    "fix": list(one.fix),
                }
                for one in kept
            ],
        },
    )
