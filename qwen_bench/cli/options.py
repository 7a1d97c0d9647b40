"""Every option, declared once, in the groups under which `--help` prints them.

Parameter names equal flag names; what a command receives is one frozen `Options`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from qwen_bench.cli import values

F = TypeVar("F", bound=Callable[..., Any])
Declaration = tuple[tuple[str, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Options:
    """Values of the options of the commands; each command has those it declares.

    Attributes:
        passed: names of the options given on the command line.
        from_environment: names of those taken from a variable.
    """

    model: tuple[str, ...] = ()
    baseline: str | None = None
    engine: str = "auto"
    replicas: int = 1
    ray_address: str | None = None
    base_url: str | None = None
    concurrency: int = 8
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    model_arg: tuple[str, ...] = ()
    chat_template: str | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    suite: str = "core"
    lengths: tuple[int, ...] | None = None
    family: tuple[str, ...] = ()
    condition: tuple[str, ...] = ()
    lang: tuple[str, ...] | None = None
    limit: int | None = None
    seed: int = 0
    tasks_dir: tuple[str, ...] = ()
    filler: str | None = None
    policy: str = "full"
    mode: str | None = None
    max_new_tokens: int | None = None
    max_thinking_tokens: int = 2048
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    sampling_seed: int = 0
    thinking: str = "auto"
    system: str = "default"
    runs_dir: str = "runs"
    run_id: str | None = None
    resume: str | None = None
    retry_errors: bool = False
    max_error_rate: float = 0.0
    fingerprint: str = "full"
    offline: bool = False
    dry_run: bool = False
    margin: float = 5.0
    alpha: float = 0.05
    fail_on: str = "never"
    gate: tuple[str, ...] = ()
    allow_mismatch: tuple[str, ...] = ()
    allow_partial: bool = False
    html: str | None = None
    markdown: str | None = None
    junit: str | None = None
    json: str | None = None
    out: str | None = None
    summary: str = "off"
    display: str = "auto"
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    passed: frozenset[str] = frozenset()
    from_environment: frozenset[str] = frozenset()

    @property
    def runs_path(self) -> Path:
        """The run store."""
        return Path(self.runs_dir)


def options_of(context: click.Context) -> Options:
    """The options of a command that click has parsed."""
    known = {item.name for item in fields(Options)} - {"passed", "from_environment"}
    given = {name: value for name, value in context.params.items() if name in known}

    def from_source(source: ParameterSource) -> frozenset[str]:
        return frozenset(name for name in given if context.get_parameter_source(name) is source)

    return Options(
        **given,
        passed=from_source(ParameterSource.COMMANDLINE),
        from_environment=from_source(ParameterSource.ENVIRONMENT),
    )


class GroupedOption(click.Option):
    """An option that knows its heading in `--help`."""

    def __init__(self, *args: Any, group: str = "Options", **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose `--help` lists options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section a group, in order of declaration."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "group", "Display"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def option_group(heading: str, declarations: Iterable[Declaration]) -> Callable[[F], F]:
    """A decorator that adds a group of options, first declared first shown."""
    built = [
        click.option(*names, cls=GroupedOption, group=heading, **settings)
        for names, settings in declarations
    ]

    def decorate(function: F) -> F:
        for option in reversed(built):
            function = option(function)
        return function

    return decorate


_SELECTION: tuple[Declaration, ...] = (
    (("--suite",), {"default": "core", "show_default": True, "help": "Suite of probes."}),
    (
        ("--lengths",),
        {
            "callback": values.turns,
            "metavar": "T,T,...",
            "help": "History lengths, user turns before the question.",
        },
    ),
    (
        ("--family",),
        {"multiple": True, "metavar": "GLOB", "help": "Only these families; repeatable."},
    ),
    (
        ("--condition",),
        {"multiple": True, "metavar": "GLOB", "help": "Only these conditions; repeatable."},
    ),
    (("--lang",), {"callback": values.words, "metavar": "en,zh", "help": "Only these languages."}),
    (
        ("--limit",),
        {
            "callback": values.whole(1),
            "metavar": "N",
            "help": "Rotations of every programme; smaller limits are nested in larger ones.",
        },
    ),
)

_OWN: tuple[Declaration, ...] = (
    (
        ("--tasks-dir",),
        {
            "multiple": True,
            "metavar": "DIR",
            "help": "Folder of your own probe families; name them with --family; repeatable.",
        },
    ),
    (
        ("--filler",),
        {
            "metavar": "FILE.jsonl",
            "help": "Your own ChatML conversations as history; leaks are refused.",
        },
    ),
)

seed_option = option_group(
    "Probes",
    (
        (
            ("--seed",),
            {
                "callback": values.whole(0),
                "default": "0",
                "show_default": True,
                "metavar": "N",
                "help": "Seed of the probe construction.",
            },
        ),
    ),
)

POLICY: Declaration = (
    ("--policy",),
    {
        "callback": values.history_policy,
        "default": "full",
        "show_default": True,
        "metavar": "POLICY",
        "help": "Which turns of a history are sent: full, last-turns:N, last-tokens:N, qwen-v1:N.",
    },
)
OFFLINE: Declaration = (
    ("--offline",),
    {"is_flag": True, "envvar": "HF_HUBOFFLINE", "help": "No network use at all."},
)


_selection_options = option_group("Probes", _SELECTION)
narrowing_options = option_group(
    "Probes",
    tuple(
        declaration
        for declaration in _SELECTION
        if declaration[0][0] in {"--lengths", "--family", "--condition", "--lang"}
    ),
)
own_options = option_group("Probes", _OWN)


def probe_options(function: F) -> F:
    """What is asked: suite, selection, seed, own families and filler."""
    return _selection_options(seed_option(own_options(function)))


policy_option = option_group("Probes", (POLICY,))


mode_option = option_group(
    "Probes",
    (
        (
            ("--mode",),
            {
                "type": click.Choice(["generate", "rank", "both"]),
                "help": "Free answers, log-probability of the candidates, or both.",
            },
        ),
    ),
)


max_error_rate_option = option_group(
    "Run",
    (
        (
            ("--max-error-rate",),
            {
                "callback": values.share,
                "default": "0",
                "show_default": True,
                "metavar": "PCT",
                "help": "Above it the command exits 1.",
            },
        ),
    ),
)

runs_dir_option = option_group(
    "Run",
    (
        (
            ("--runs-dir",),
            {"default": "runs", "show_default": True, "metavar": "DIR", "help": "Run store."},
        ),
    ),
)

run_options = option_group(
    "Run",
    (
        (("--run-id",), {"metavar": "NAME", "help": "Name of the run folder."}),
        (
            ("--resume",),
            {
                "is_flag": False,
                "flag_value": "latest",
                "metavar": "[RUN|latest]",
                "help": "Ask only what is missing in a run; without a value: in the newest one "
                "with the same settings.",
            },
        ),
        (("--retry-errors",), {"is_flag": True, "help": "With --resume: ask failed probes again."}),
        (
            ("--fingerprint",),
            {
                "type": click.Choice(["full", "fast"]),
                "default": "full",
                "show_default": True,
                "help": "How local weights are hashed.",
            },
        ),
        OFFLINE,
        (("--dry-run",), {"is_flag": True, "help": "Print what would be asked, then exit."}),
    ),
)


def verdict_options(fail_on: str | None) -> Callable[[F], F]:
    """The Verdict group; `fail_on` is the default of its flag, None for a command without gates."""
    gates: tuple[Declaration, ...] = (
        (
            ("--fail-on",),
            {
                "type": click.Choice(["regression", "inconclusive", "never"]),
                "default": fail_on,
                "show_default": True,
                "help": "Exit 3 after a regression, 4 when it cannot be told.",
            },
        ),
        (
            ("--gate",),
            {
                "multiple": True,
                "callback": values.gates,
                "metavar": "EXPR",
                "help": "Exit 3 unless it holds, whatever --fail-on says; repeatable. "
                "'[base:]NAME[@LENGTH] OP POINTS', NAME one of overall, a family, diff, "
                "error_rate, truncated_rate.",
            },
        ),
    )
    return option_group(
        "Verdict",
        (
            *(gates if fail_on is not None else ()),
            (
                ("--margin",),
                {
                    "callback": values.points,
                    "default": "5",
                    "show_default": True,
                    "metavar": "POINTS",
                    "help": "Differences inside it do not matter; percentage points.",
                },
            ),
            (
                ("--alpha",),
                {
                    "callback": values.significance,
                    "default": "0.05",
                    "show_default": True,
                    "metavar": "A",
                    "help": "Significance level, two-sided.",
                },
            ),
            (
                ("--allow-mismatch",),
                {
                    "multiple": True,
                    "metavar": "FIELD",
                    "help": "Compare although this setting differs; repeatable.",
                },
            ),
            (("--allow-partial",), {"is_flag": True, "help": "Compare unfinished runs."}),
        ),
    )


_MARKDOWN: Declaration = (
    ("--markdown",),
    {"metavar": "FILE", "help": "Write verdict and tables as Markdown; - is stdout."},
)

markdown_option = option_group("Output", (_MARKDOWN,))

output_options = option_group(
    "Output",
    (
        (("--html",), {"metavar": "FILE", "help": "Write the report page; - is stdout."}),
        _MARKDOWN,
        (("--junit",), {"metavar": "FILE", "help": "Write JUnit XML; - is stdout."}),
        (("--json",), {"metavar": "FILE", "help": "Write the result as JSON; - is stdout."}),
        (
            ("--summary",),
            {
                "type": click.Choice(["auto", "off"]),
                "default": "auto",
                "show_default": True,
                "help": "auto: append the Markdown to the file of $GITHUB_STEP_SUMMARY.",
            },
        ),
    ),
)

out_option = option_group(
    "Output",
    (
        (
            ("--out",),
            {
                "default": "qwen-bench-report",
                "show_default": True,
                "metavar": "DIR",
                "help": "Folder for report.html, summary.md, junit.xml and compare.json.",
            },
        ),
    ),
)

display_options = option_group(
    "Display",
    (
        (
            ("--display",),
            {
                "type": click.Choice(["auto", "rich", "plain", "none"]),
                "default": "auto",
                "show_default": True,
                "help": "Live bars, whole lines, or errors only.",
            },
        ),
        (("-q", "--quiet"), {"is_flag": True, "help": "Short for --display none."}),
        (("-v", "--verbose"), {"is_flag": True, "help": "Name every wrong or failed answer."}),
        (("--debug",), {"is_flag": True, "help": "Show tracebacks."}),
    ),
)
