"""What an option is, and how the text of one becomes its value.

Readers raise ValueError, whose text says what is wrong with the value, or InputError.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import Field, dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

T = TypeVar("T")
Group = Literal["Model", "Probes", "Generation", "Run", "Verdict", "Output", "Display"]
_KEY = "option"


class Meaning(NamedTuple):
    """What an option means for a recorded run.

    Attributes:
        resumed: where `--resume RUN` takes the value from: the field of the manifest that is marked
            with the flag, or the arguments that the run was started with; None where it does not.
        identity: it changes answers, so a run with another value is another run.
    """

    resumed: Literal["manifest", "arguments"] | None
    identity: bool


SETTING = Meaning("manifest", identity=True)
SELECTION = Meaning("manifest", identity=False)
ENGINE = Meaning("arguments", identity=True)
MACHINE = Meaning("arguments", identity=False)
COMMAND = Meaning(None, identity=False)


@dataclass(frozen=True, slots=True)
class Option:
    """One option, on the command line `--name` of the field that carries it.

    Attributes:
        group: heading in `--help`.
        meaning: for runs.
        help: its line there.
        metavar: stands for the value in `--help`.
        read: value of a text; None where the text is the value.
        choices: the only words allowed.
        repeated: the flag is given once a value, and the field holds all of them.
        short: one-letter flag.
        alone: value of the flag given without one.
        none: the word for None.
        variable: environment variable that sets it.
        recorded: the value as an option, where the manifest keeps it in another form.
    """

    group: Group
    meaning: Meaning
    help: str
    metavar: str | None = None
    read: Callable[[str], Any] | None = None
    choices: tuple[str, ...] = ()
    repeated: bool = False
    short: str | None = None
    alone: str | None = None
    none: str | None = None
    variable: str | None = None
    recorded: Callable[[Any], Any] | None = None


def option(default: T, group: Group, meaning: Meaning, *said: Any, **more: Any) -> T:  # noqa: ANN401 - attributes of Option
    """A field of a config with the option that sets it: its default, then what `Option` takes."""
    made: T = field(default=default, metadata={_KEY: Option(group, meaning, *said, **more)})
    return made


def switch(group: Group, meaning: Meaning, *said: Any, **more: Any) -> bool:  # noqa: ANN401 - as above
    """The same for a flag without a value."""
    return option(False, group, meaning, *said, **more)  # noqa: FBT003 - the default


def option_of(item: Field[Any]) -> Option:
    """The option of a field.

    Raises:
        TypeError: it has none.
    """
    found = item.metadata.get(_KEY)
    if not isinstance(found, Option):
        raise TypeError(f"{item.name} does not say what option it is")
    return found


def whole(minimum: int) -> Callable[[str], int]:
    """A reader of whole numbers of at least `minimum`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"'{text}' is not a number") from None
        if value < minimum:
            raise ValueError(f"{value} is too small, must be {minimum} or more")
        return value

    return read


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"'{text}' is not a number")
    return value


def numbers(allowed: Callable[[float], bool], words: str) -> Callable[[str], float]:
    """A reader of numbers of which some are allowed; `words` tell of another one what it is not."""

    def read(text: str) -> float:
        value = number(text)
        if not allowed(value):
            raise ValueError(f"{text} is not {words}")
        return value

    return read


def above(least: float, below: float = math.inf) -> Callable[[str], float]:
    """A reader of numbers between two bounds, both excluded."""
    most = "" if math.isinf(below) else f" and below {below:g}"
    return numbers(lambda value: least < value < below, f"above {least:g}{most}")


def between(least: float, most: float) -> Callable[[str], float]:
    """A reader of numbers between two bounds, both included."""
    return numbers(lambda value: least <= value <= most, f"between {least:g} and {most:g}")


probability = numbers(lambda value: 0 < value <= 1, "above 0 and at most 1")
significance = numbers(lambda value: 0 < value < 0.5, "between 0 and 0.5")
_margin = numbers(lambda value: value == 0 or 0.5 <= value <= 50, "0 or 0.5 to 50 points")


def points(text: str) -> float:
    """A margin in percentage points: 0, or 0.5 to 50."""
    if 0 < number(text) < 0.5:
        raise ValueError("margin is in points: write 5 for five points")
    return _margin(text)


def turns(text: str) -> tuple[int, ...]:
    """History lengths, a comma list; the suite checks their range."""
    found = []
    for part in text.split(","):
        try:
            found.append(int(part))
        except ValueError:
            raise ValueError(f"'{part.strip()}' is not a number of turns") from None
    return tuple(found)


def levels(text: str) -> tuple[int, ...]:
    """Levels of memory load, a comma list; the suite checks which there are."""
    found = []
    for part in text.split(","):
        try:
            found.append(int(part))
        except ValueError:
            raise ValueError(f"'{part.strip()}' is not a level, a number from 1 to 5") from None
    return tuple(found)


def words(text: str) -> tuple[str, ...]:
    """Words, a comma list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def policy(text: str) -> str:
    """A history policy in its shortest spelling."""
    from qwen_bench.chat.policy import parse_policy

    return str(parse_policy(text))


def gate(text: str) -> str:
    """A gate as typed; what it names is checked once the probes are known."""
    from qwen_bench.stats.gates import parse_gate

    parse_gate(text)
    return text
