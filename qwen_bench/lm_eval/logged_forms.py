"""Arguments and answers of a logged sample, in the forms that versions of the harness write.

0.4.13 numbers its arguments and nests answers by request and repeat; older logs have lists, and
some tools flatten the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any


def arguments_of(arguments: object) -> list[tuple[Any, Any]]:
    """Both arguments of every request of a sample: numbered keys, or the lists of older logs.

    Raises:
        ValueError: another form.
        KeyError: a key is missing.

    >>> arguments_of({"gen_args_0": {"arg_0": "Hi", "arg_1": {}}})
    [('Hi', {})]
    >>> arguments_of([["Hi", {}]])
    [('Hi', {})]
    """
    if isinstance(arguments, Mapping):
        numbered = [arguments[f"gen_args_{i}"] for i in range(len(arguments))]
        pairs = [(one["arg_0"], one["arg_1"]) for one in numbered]
    elif isinstance(arguments, list) and all(isinstance(one, list) for one in arguments):
        pairs = [(one[0], one[1]) for one in arguments]
    else:
        raise ValueError("its arguments have a form that no known version of lm-eval writes")
    if not pairs:
        raise ValueError("it has no arguments")
    return pairs


def text_of(answers: object) -> str | None:
    """The first reply to the one request of a sample, however deep the log nests it.

    Raises:
        TypeError: something that is no text stands there.

    >>> text_of([["Li"]]), text_of(["Li"]), text_of("Li"), text_of([])
    ('Li', 'Li', 'Li', None)
    """
    while isinstance(answers, list):
        answers = answers[0] if answers else None
    if answers is not None and not isinstance(answers, str):
        raise TypeError(f"a reply is {type(answers).__name__}, not text")
    return answers


def sums_of(answers: object) -> list[float]:
    """Log-probability of each candidate: ``[sum, greedy]``, or a list that begins with that pair.

    Raises:
        TypeError: another form.
        ValueError: no finite number.

    >>> sums_of([[["-1.5", "False"]]]), sums_of([["-1.5", "False"]]), sums_of([-1.5])
    ([-1.5], [-1.5], [-1.5])
    """
    if not isinstance(answers, list):
        raise TypeError("its answers are no list")
    sums = []
    for answer in answers:
        found = answer
        while isinstance(found, list):
            found = found[0]
        if isinstance(found, bool) or not isinstance(found, int | float | str):
            raise TypeError(f"a log-probability is {type(found).__name__}, not a number")
        sums.append(float(found))
        if not isfinite(sums[-1]):
            raise ValueError(f"a log-probability is {found}")
    return sums
