"""The group of commands and the one place where errors become messages and exit codes."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from typing import TYPE_CHECKING

import click

from qwen_bench.cli.exits import Code, Exit
from qwen_bench.cli.text import printable, write_line
from qwen_bench.engines.openmp import wait_passively
from qwen_bench.errors import InputError, QwenBenchError, near
from qwen_bench.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

# name: (module, object in it, line in the list of commands)
COMMANDS = {
    "run": ("run", "run", "Ask a model every probe; with a baseline also compare."),
    "compare": ("compare", "compare", "Paired comparison of run folders."),
    "report": ("report", "report", "One self-contained HTML page from run folders."),
    "check": ("check", "check", "Run both sides, compare, report and gate; for pipelines."),
    "plan": ("plan", "plan", "Probes needed to see a drop, tokens, memory and time."),
    "probes": ("probes", "probes", "What will be asked: list, show, audit."),
    "data": ("data", "data", "Training data: validate, convert, make, check, count."),
    "finetune": ("finetune", "finetune", "Train a LoRA adapter with a recipe."),
    "lm-eval-path": ("lm_eval_path", "lm_eval_path", "Folder of the tasks for lm-eval."),
    "import-lm-eval": ("import_lm_eval", "import_lm_eval", "A run folder from logs of lm-eval."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of work."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name.

        Raises:
            click.UsageError: there is none.
        """
        if cmd_name not in COMMANDS:
            if cmd_name.startswith("-") or ctx.resilient_parsing:
                return None
            raise click.UsageError(f"no such command '{cmd_name}'{_near(cmd_name, COMMANDS)}", ctx)
        module, name, _ = COMMANDS[cmd_name]
        found = getattr(importlib.import_module(f"qwen_bench.cli.{module}"), name)
        assert isinstance(found, click.Command), f"{module}.{name} is no command"  # noqa: S101
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="qwen-bench")
def cli() -> None:
    """Does a fine-tuned ChatML model still remember the conversation?"""


def entry_point() -> None:
    """The console script."""
    wait_passively()
    code = main(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader is gone; without this the interpreter complains once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(code)


def main(arguments: Sequence[str]) -> int:
    """Run a command line.

    Args:
        arguments: the words after the program's name.

    Returns:
        The exit code; everything has been printed.
    """
    try:
        _check_words(arguments)
        result = cli.main(
            args=list(arguments),
            prog_name="qwen-bench",
            standalone_mode=False,
            obj=tuple(arguments),
        )
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place that maps them
        result = _after(error, debug="--debug" in arguments)
    ending = result if isinstance(result, Exit) else Exit(Code.DONE)
    if ending.text or ending.code is not Code.DONE:
        write_line(sys.stderr, printable(ending.line))
    return int(ending.code)


def _check_words(words: Sequence[str]) -> None:
    """Refuse words that no file of a run could hold.

    Raises:
        InputError: a word is not UTF-8, which the system hands over as half characters.
    """
    for number, word in enumerate(words, start=1):
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"word {number} of the command line is not UTF-8: {word}",
                fix="rename the file, or set a locale with UTF-8",
            ) from None


def _after(error: Exception | KeyboardInterrupt, *, debug: bool) -> Exit:
    """Print what ended a command early, and say how it ends."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Exit(Code.INTERRUPTED)
    if isinstance(error, BrokenPipeError):
        return Exit(Code.DONE)
    if isinstance(error, click.UsageError):
        error = usage_error(error)
    elif isinstance(error, OSError):
        error = _file_error(error)
    if isinstance(error, QwenBenchError):
        show_error(error, debug=debug)
        return Exit(Code(error.exit_code))
    traceback.print_exception(error)
    return Exit(Code.BROKE, "this is a bug in qwen-bench; please report the lines above")


def show_error(error: QwenBenchError, *, debug: bool = False) -> None:
    """Print an error: what happened, why, and what mends it."""
    if debug:
        traceback.print_exception(error)
    lines = [f"error: {error.message}"]
    for word, texts in (("why", error.why), ("fix", error.fix)):
        for number, text in enumerate(texts):
            lines.append(f"  {word}: {text}" if number == 0 else f"       {text}")
    for line in lines:
        write_line(sys.stderr, printable(line))


def usage_error(error: click.UsageError) -> QwenBenchError:
    """A usage error of click in the shape of all errors."""
    command = error.ctx.command_path if error.ctx else "qwen-bench"
    message = error.message
    if isinstance(error, click.NoSuchOption):
        message = f"no such option {error.option_name}{_near(error.option_name, _flags(error.ctx))}"
    elif isinstance(error, click.MissingParameter):
        message = f"missing {_what(error)}"
    elif isinstance(error, click.BadParameter):
        hint = error.param.opts[-1] if error.param is not None else ""
        if isinstance(error.param, click.Argument):
            hint = error.param.make_metavar(error.ctx or click.Context(cli))
        message = f"{hint}: {_lowered(error.message)}" if hint else _lowered(error.message)
    else:
        message = _lowered(message)
    return InputError(message, fix=f"{command} --help")


def _file_error(error: OSError) -> QwenBenchError:
    """A failure of a file that nothing nearer could explain."""
    reason = (error.strerror or str(error)).lower()
    fault = QwenBenchError(f"{error.filename}: {reason}" if error.filename else reason)
    fault.__cause__ = error
    return fault


def _what(error: click.MissingParameter) -> str:
    """The parameter that is missing, as it is typed."""
    if isinstance(error.param, click.Option):
        return f"option {error.param.opts[0]}"
    name = error.param.make_metavar(error.ctx) if error.param and error.ctx else "argument"
    return f"argument {name}"


def _lowered(message: str) -> str:
    """A sentence of click as the first line of an error: small first letter, no full stop."""
    text = " ".join(message.split()).rstrip(".")
    return re.sub(r"^[A-Z](?=[a-z ])", lambda match: match[0].lower(), text)


def _flags(context: click.Context | None) -> list[str]:
    """Long flags of the command that was called."""
    if context is None:
        return []
    return [
        flag
        for parameter in context.command.get_params(context)
        for flag in parameter.opts
        if flag.startswith("--")
    ]


def _near(word: str, known: Sequence[str] | dict[str, tuple[str, str, str]]) -> str:
    """``; near: ...`` when something is near, else nothing."""
    hint = near(word, known)
    return f"; {hint}" if hint.startswith("near") else ""
