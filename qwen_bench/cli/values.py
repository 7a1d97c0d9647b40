"""Reading option values; each function turns a bad value into the message the user needs.

They are click callbacks: they take the text that was typed, or None, and return the value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable


def whole(minimum: int) -> Callable[[click.Context, click.Parameter, str | None], int | None]:
    """A callback for a whole number of at least `minimum`."""

    def read(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
        if text is None:
            return None
        try:
            number = int(text)
        except ValueError:
            raise click.BadParameter(f"'{text}' is not a number") from None
        if number < minimum:
            raise click.BadParameter(f"{number} is too small, must be {minimum} or more")
        return number

    return read


def between(
    above: float, below: float
) -> Callable[[click.Context, click.Parameter, str | None], float | None]:
    """A callback for a number between two bounds, both excluded."""

    def read(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
        if text is None:
            return None
        number = _number(text)
        if not above < number < below:
            most = "" if math.isinf(below) else f" and below {below:g}"
            raise click.BadParameter(f"{text} is not above {above:g}{most}")
        return number

    return read


def from_to(least: float, most: float) -> Callable[[click.Context, click.Parameter, str], float]:
    """A callback for a number between two bounds, both included."""

    def read(_: click.Context, __: click.Parameter, text: str) -> float:
        number = _number(text)
        if not least <= number <= most:
            raise click.BadParameter(f"{text} is not between {least:g} and {most:g}")
        return number

    return read


def probability(_: click.Context, __: click.Parameter, text: str) -> float:
    """A probability above 0, 1 included."""
    number = _number(text)
    if not 0 < number <= 1:
        raise click.BadParameter(f"{text} is not above 0 and at most 1")
    return number


def batch_size(context: click.Context, parameter: click.Parameter, text: str) -> int | None:
    """`auto`, which is None, or a whole number from 1 on."""
    if text == "auto":
        return None
    return whole(1)(context, parameter, text)


def share(_: click.Context, __: click.Parameter, text: str) -> float:
    """A percentage from 0 to 100."""
    number = _number(text)
    if not 0 <= number <= 100:
        raise click.BadParameter(f"{text} is not between 0 and 100")
    return number


def significance(_: click.Context, __: click.Parameter, text: str) -> float:
    """A significance level between 0 and 0.5, both excluded."""
    number = _number(text)
    if not 0 < number < 0.5:
        raise click.BadParameter(f"{text} is not between 0 and 0.5")
    return number


def points(_: click.Context, __: click.Parameter, text: str) -> float:
    """A margin in percentage points: 0, or 0.5 to 50."""
    number = _number(text)
    if 0 < number < 0.5:
        raise click.BadParameter("margin is in points: write 5 for five points")
    if number and not 0.5 <= number <= 50:
        raise click.BadParameter(f"{text} is not 0 or 0.5 to 50 points")
    return number


def turns(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """History lengths, a comma list; the suite checks their range."""
    if text is None:
        return None
    found = []
    for part in text.split(","):
        try:
            found.append(int(part))
        except ValueError:
            raise click.BadParameter(f"'{part.strip()}' is not a number of turns") from None
    return tuple(found)


def words(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """Words, a comma list."""
    if text is None:
        return None
    return tuple(part.strip() for part in text.split(",") if part.strip())


def history_policy(_: click.Context, __: click.Parameter, text: str) -> str:
    """A history policy in its shortest spelling.

    Raises:
        InputError: it is none.
    """
    from qwen_bench.chat.policy import parse_policy

    return str(parse_policy(text))


def gates(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Gates as typed; what they name is checked once the probes are known.

    Raises:
        InputError: one does not have the form of a gate.
    """
    if texts:
        from qwen_bench.stats.gates import parse_gate

        for text in texts:
            parse_gate(text)
    return texts


def _number(text: str) -> float:
    """A finite number, or a usage error."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise click.BadParameter(f"'{text}' is not a number")
    return number
