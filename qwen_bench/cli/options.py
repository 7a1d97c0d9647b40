"""Commands made of the options that `RunConfig` declares, in the groups of `--help`.

Parameter names equal flag names. A command names the groups and single options it has, beside those
that are its own, and gets them as one `RunConfig`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from qwen_bench.app.config import RunConfig, Source, default_of, flag_of, options, value_of
from qwen_bench.app.option_values import Option

if TYPE_CHECKING:
    from qwen_bench.cli.display import Screen
    from qwen_bench.cli.exits import Exit

R = TypeVar("R", "Exit | None", None)
# Where the default of a command is not that of the option.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "compare": {"fail_on": "regression"},
    "check": {"fail_on": "regression", "out": "qwen-bench-report"},
    "report": {"summary": "off"},
}
PROBES = (
    "suite",
    "lengths",
    "level",
    "family",
    "condition",
    "lang",
    "limit",
    "max_tokens",
    "seed",
    "tasks_dir",
    "filler",
)
NARROWING = ("lengths", "level", "family", "condition", "lang")
RUN = ("Model", "Probes", "Generation", "Run", "Verdict", "Output", "Display")
_SOURCES: Mapping[ParameterSource | None, Source] = {
    ParameterSource.COMMANDLINE: "command line",
    ParameterSource.ENVIRONMENT: "environment",
}


class Call(NamedTuple):
    """One call of a command.

    Attributes:
        config: its options.
        screen: where it prints.
        words: of the command line, after the program's name.
    """

    config: RunConfig
    screen: Screen
    words: tuple[str, ...]


class GroupedOption(click.Option):
    """An option that knows its heading in `--help`."""

    def __init__(self, flags: list[str], group: str, **settings: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(flags, **settings)
        self.group = group


class SharedOption(GroupedOption):
    """An option of `RunConfig`."""


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


def command(
    name: str, *items: str | click.Parameter, examples: str | None = None
) -> Callable[[Callable[..., R]], click.Command]:
    """Makes a command of a function that takes a `Call` and the command's own options by name.

    Args:
        name: of the command.
        items: arguments and options as `--help` shows them; a word is a group of `RunConfig`, less
            what only some commands have, or the name of one option.
        examples: below the options.
    """
    defaults = DEFAULTS.get(name, {})
    shown = list(_expanded(items, defaults))

    def decorate(function: Callable[..., R]) -> click.Command:
        @click.pass_context
        def called(context: click.Context, /, **values: Any) -> R:  # noqa: ANN401 - of options
            from qwen_bench.cli.display import new_screen

            shared = {item.name for item in shown if isinstance(item, SharedOption)}
            config = _config(context, {key: values.pop(key) for key in shared}, defaults)
            screen = new_screen(config)
            try:
                return function(Call(config, screen, tuple(context.obj or ())), **values)
            finally:
                screen.close()

        return GroupedCommand(
            name, params=shown, callback=called, help=function.__doc__, epilog=examples
        )

    return decorate


def own(
    group: str,
    *flags: str,
    read: Callable[[str], Any] | None = None,
    **settings: Any,  # noqa: ANN401 - click's
) -> GroupedOption:
    """An option that one command has for itself; `settings` are those of click.Option."""
    if read is not None:
        settings["callback"] = _callback(read, repeated=False)
    if "default" in settings:
        settings["show_default"] = True
    return GroupedOption(list(flags), group, **settings)


def shared(
    name: str,
    group: str | None = None,
    *,
    default: Any = None,  # noqa: ANN401 - the value of an option
    **settings: Any,  # noqa: ANN401 - click's
) -> SharedOption:
    """An option of `RunConfig`.

    Args:
        name: of the field.
        group: heading, where it is not the field's.
        default: of this command, where it is not the field's.
        settings: of click.Option, where they are not the field's.
    """
    said = options()[name]
    value = default_of(name) if default is None else default
    made: dict[str, Any] = {"help": said.help, "envvar": said.variable}
    if isinstance(value, bool):
        made["is_flag"] = True
    else:
        made |= {"metavar": said.metavar, "multiple": said.repeated}
        made["callback"] = _callback(lambda text: value_of(said, text), repeated=said.repeated)
    if said.choices:
        made["type"] = click.Choice(said.choices)
    if said.alone:
        made |= {"is_flag": False, "flag_value": said.alone}
    typed = _typed(said, value)
    if typed is not None:
        made |= {"default": typed, "show_default": True}
    flags = [*([said.short] if said.short else []), flag_of(name)]
    return SharedOption(flags, group or said.group, **(made | settings))


def _typed(said: Option, value: Any) -> str | None:  # noqa: ANN401 - the value of an option
    """A default as it would be typed; None for no default."""
    if value is None:
        return said.none
    if isinstance(value, bool | tuple):
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)


def _callback(
    read: Callable[[str], Any], *, repeated: bool
) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A reader as a callback of click."""

    def callback(_: click.Context, __: click.Parameter, given: Any) -> Any:  # noqa: ANN401 - click's
        if given is None:
            return None
        try:
            return tuple(read(text) for text in given) if repeated else read(given)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


def _expanded(
    items: Sequence[str | click.Parameter], defaults: Mapping[str, Any]
) -> Iterator[click.Parameter]:
    """The parameters that the items of a command stand for."""
    for item in items:
        if isinstance(item, click.Parameter):
            yield item
        elif item in options():
            yield shared(item, default=defaults.get(item))
        else:
            for name, said in options().items():
                if said.group == item and (name != "out" or "out" in defaults):
                    yield shared(name, default=defaults.get(name))


def _config(
    context: click.Context, values: Mapping[str, Any], defaults: Mapping[str, Any]
) -> RunConfig:
    """The config of a call that click has parsed."""
    sources = {
        name: _SOURCES[source]
        for name in values
        if (source := context.get_parameter_source(name)) in _SOURCES
    }
    return RunConfig(**{**defaults, **values}, sources=sources)
