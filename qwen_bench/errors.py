"""Errors that a user can mend, and the exit code of each.

::

    QwenBenchError          message, why, fix                      exit 1
    |-- InputError          flag, SPEC, config key, path           exit 2
    |-- DataError           file and line of a bad record          exit 1
    |-- ModelError          a model cannot be used as given        exit 1
    |   |-- ModelNotFoundError
    |   |-- AdapterMismatchError
    |   `-- TemplateError
    |-- EngineError         an engine cannot do the work           exit 1
    |   `-- MissingExtraError
    |-- RunError            a run folder cannot be read or written exit 1
    |   |-- RunLockedError
    |   `-- NewerSchemaError
    `-- NotComparableError  list of (field, baseline, candidate)   exit 5

Raise at the place that knows the fix. Anything else that escapes is a bug and shows a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class QwenBenchError(Exception):
    """Something the user can mend.

    Args:
        message: what happened, one line, no full stop.
        why: lines that explain it.
        fix: lines that say what to do, commands included.
    """

    exit_code = 1

    def __init__(
        self, message: str, *, why: str | Sequence[str] = (), fix: str | Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.why = (why,) if isinstance(why, str) else tuple(why)
        self.fix = (fix,) if isinstance(fix, str) else tuple(fix)


class InputError(QwenBenchError):
    """A flag, SPEC, config key or path argument is not what it should be."""

    exit_code = 2


class DataError(QwenBenchError):
    """A record in a data file is unusable.

    Args:
        file: path as the user gave it.
        line: physical line from 1, or None when the whole file is meant.
        what: what is wrong there; the place inside the record first, if there is one.
        fix: how to mend it.
        kind: of the fault, in one word; empty where nobody counts kinds.
    """

    def __init__(
        self,
        file: object,
        line: int | None,
        what: str,
        *,
        fix: str | Sequence[str] = (),
        kind: str = "",
    ) -> None:
        place = f"{file}:{line}" if line is not None else f"{file}"
        super().__init__(f"{place}  error  {what}", fix=fix)
        self.file = str(file)
        self.line = line
        self.what = what
        self.kind = kind


class ModelError(QwenBenchError):
    """A model cannot be used as given."""


class ModelNotFoundError(ModelError):
    """The model's files are neither here nor in the local cache."""


class AdapterMismatchError(ModelError):
    """An adapter does not fit the base it is put on."""


class TemplateError(ModelError):
    """A chat template is missing, fails, or loses part of the conversation."""


class EngineError(QwenBenchError):
    """An engine cannot do the work as configured; no probe was answered."""


class MissingExtraError(EngineError):
    """A package of an optional extra is not installed."""

    def __init__(self, extra: str, package: str) -> None:
        super().__init__(
            f"this needs the package {package}, which is not installed",
            fix=(
                f"pip install 'qwen-bench[{extra}]'",
                "--model mock:oracle works without",
            ),
        )


class RunError(QwenBenchError):
    """A run folder cannot be read or written."""


class RunLockedError(RunError):
    """Another process writes to this run folder."""


class NewerSchemaError(RunError):
    """A file was written by a newer version of qwen-bench."""


class NotComparableError(QwenBenchError):
    """Two runs, or a run and its resumption, differ in settings that must agree.

    Args:
        message: what was refused.
        differences: (field, baseline value, candidate value).
    """

    exit_code = 5

    def __init__(
        self,
        message: str,
        differences: Sequence[tuple[str, object, object]] = (),
        *,
        why: str | Sequence[str] = (),
        fix: str | Sequence[str] = (),
    ) -> None:
        width = max((len(field) for field, _, _ in differences), default=0)
        lines = [f"{field:<{width}}  {old}  ->  {new}" for field, old, new in differences]
        count = len(differences)
        header = [f"{count} setting{'s' if count != 1 else ''} differ{'' if count != 1 else 's'}"]
        given = (why,) if isinstance(why, str) else tuple(why)
        super().__init__(message, why=[*given, *(header + lines if lines else [])], fix=fix)
        self.differences = tuple(differences)


def near(word: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """Text ``near: a, b`` naming the closest known words, or all of them when none is close.

    Args:
        word: as typed.
        known: what could have been meant.
        cutoff: how alike a word has to be, from 0 to 1.
    """
    options = sorted(set(known))
    matches = get_close_matches(word, options, n=3, cutoff=cutoff)
    if matches:
        return f"near: {', '.join(matches)}"
    return f"there are {', '.join(options)}" if options else "there are none"
