"""Progress and messages on stderr: live bars, whole lines, or nothing.

Whether output is live is decided from the stream, `CI` and `TERM`, never from colour settings.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TextIO

from qwen_bench.cli.text import printable, quoted_block, shortened, write_line
from qwen_bench.runs.job import Reporter, Watcher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.progress import Progress

    from qwen_bench.app.config import RunConfig
    from qwen_bench.errors import QwenBenchError
    from qwen_bench.record.outcome import Outcome
    from qwen_bench.runs.store import StoredRun

Mode = Literal["rich", "plain", "none"]
PLAIN_SECONDS = 30.0


def choose(wanted: str, *, quiet: bool, stream: TextIO, environment: Mapping[str, str]) -> Mode:
    """The display for a stream.

    Args:
        wanted: `--display`.
        quiet: `-q`.
        stream: stderr.
        environment: of the process; `CI` and `TERM` are read.
    """
    if quiet or wanted == "none":
        return "none"
    if wanted in {"rich", "plain"}:
        return "rich" if wanted == "rich" else "plain"
    live = stream.isatty() and not environment.get("CI") and environment.get("TERM") != "dumb"
    return "rich" if live else "plain"


def new_screen(config: RunConfig) -> Screen:
    """Where a command of this config prints."""
    mode = choose(config.display, quiet=config.quiet, stream=sys.stderr, environment=os.environ)
    return Screen(mode, verbose=config.verbose, debug=config.debug, environment=os.environ)


@dataclass(slots=True)
class Tally:
    """Counts of one model's answers so far."""

    total: int
    done: int = 0
    scored: int = 0
    right: int = 0
    errors: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one row."""
        self.done += 1
        self.errors += outcome.status == "error"
        self.scored += outcome.score is not None
        self.right += outcome.value

    @property
    def accuracy(self) -> str:
        """Share of right answers among all rows, failures included."""
        return f"{100 * self.right / self.done:.1f} %" if self.done else ""


class Screen(Reporter):
    """Where a command prints; stdout is only for results.

    Args:
        mode: how progress is shown.
        verbose: name every wrong or failed answer.
        debug: show tracebacks.
        environment: of the process.
    """

    def __init__(
        self, mode: Mode, *, verbose: bool, debug: bool, environment: Mapping[str, str]
    ) -> None:
        self.mode = mode
        self.verbose = verbose
        self.debug = debug
        self.environment = environment
        self._progress: Progress | None = None

    def say(self, text: str) -> None:
        """A line for the user on stderr."""
        if self.mode != "none":
            self._line(printable(text))

    def table(self, lines: Sequence[str], stdout_is_free: bool) -> None:  # noqa: FBT001
        """A result: on stdout, or for reading on stderr when stdout carries a file."""
        for line in lines:
            if stdout_is_free:
                write_line(sys.stdout, printable(line))
            else:
                self.say(line)

    def watcher(self, label: str, probes: int) -> Watcher:
        """A bar, or lines."""
        if self.mode == "rich":
            return _Bar(self, label)
        return _Lines(self, label, probes)

    def broke(self, error: QwenBenchError) -> None:
        """An error that does not end the command."""
        from qwen_bench.cli.main import show_error

        self.close()
        show_error(error, debug=self.debug)

    def finished(self, label: str, run: StoredRun) -> None:
        """What answering took."""
        from qwen_bench.cli.results import work_of

        for line in work_of(label, run):
            self.say(line)

    def bars(self) -> Progress:
        """The live display; started on first use."""
        if self._progress is None:
            self._progress = _new_progress()
            self._progress.start()
        return self._progress

    def close(self) -> None:
        """Stop the live display; the last state stays on the screen."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def quote(self, outcome: Outcome) -> None:
        """Name an answer that is wrong or missing, when asked to."""
        if not self.verbose or self.mode == "none" or outcome.score == 1:
            return
        said = outcome.error_message if outcome.retriable else outcome.output
        text = f"{outcome.status} {outcome.reason or '-'}  {outcome.probe_id} {outcome.mode}"
        lines = [printable(f"{text}  {shortened(said or '')}")]
        for line in quoted_block(lines, self.environment):
            self._line(line)

    def _line(self, text: str) -> None:
        """One line on stderr, above the bars when there are some."""
        if self._progress is None:
            write_line(sys.stderr, text)
            return
        from rich.text import Text

        self._progress.console.print(Text(text), soft_wrap=True)


def _new_progress() -> Progress:
    """Bars on stderr, one line a model."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    # "rich" was asked for or stderr is a terminal: the choice is not rich's to make again.
    console = Console(stderr=True, force_terminal=True)
    plain: dict[str, Any] = {"markup": False}
    return Progress(
        TextColumn("{task.fields[label]}", **plain),
        BarColumn(bar_width=28),
        TextColumn("{task.completed:.0f}/{task.total:.0f}", **plain),
        TextColumn("{task.fields[accuracy]}", **plain),
        TextColumn("{task.fields[errors]} errors", **plain),
        TextColumn("{task.fields[reading]}", **plain),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )


class _Counting(Watcher):
    """Counts the answers of one model, rows of earlier invocations included."""

    def __init__(self, screen: Screen, label: str) -> None:
        self._screen = screen
        self._label = label
        self._tally = Tally(0)
        self._warned = False

    def started(self, folder: Path, total: int, kept: Sequence[Outcome]) -> None:
        """Asking begins."""
        del folder
        self._tally = Tally(total)
        for outcome in kept:
            self._tally.add(outcome)

    def answered(self, outcome: Outcome) -> None:
        """One row is written; that answers are not read is said at once, not after hours."""
        self._tally.add(outcome)
        if outcome.unread and not self._warned:
            self._warned = True
            said = shortened(outcome.error_message or "")
            self._screen.say(f"warning: {self._label}: an answer could not be read: {said}")

    def notice(self, text: str) -> None:
        """Something the user should know."""
        self._screen.say(text)


class _Bar(_Counting):
    """One live bar."""

    def __init__(self, screen: Screen, label: str) -> None:
        super().__init__(screen, printable(label))
        self._task: Any = None

    def started(self, folder: Path, total: int, kept: Sequence[Outcome]) -> None:
        """Show the bar."""
        super().started(folder, total, kept)
        self._task = self._screen.bars().add_task(
            "",
            total=total,
            completed=len(kept),
            label=self._label,
            accuracy="",
            errors=0,
            reading="",
        )

    def answered(self, outcome: Outcome) -> None:
        """Move the bar."""
        super().answered(outcome)
        self._screen.bars().update(
            self._task,
            completed=self._tally.done,
            accuracy=self._tally.accuracy,
            errors=self._tally.errors,
            reading="",
        )
        self._screen.quote(outcome)

    def reading(self, read: int, total: int) -> None:
        """Show the tokens of a history that is long in coming."""
        self._screen.bars().update(self._task, reading=_read_words(read, total))


class _Lines(_Counting):
    """Whole lines, at each tenth or after half a minute."""

    def __init__(self, screen: Screen, label: str, probes: int) -> None:
        super().__init__(screen, label)
        self._probes = probes
        self._kept = 0
        self._began = self._spoke = time.monotonic()
        self._tenth = 0

    def started(self, folder: Path, total: int, kept: Sequence[Outcome]) -> None:
        """Say what begins, and where it is written."""
        super().started(folder, total, kept)
        self._kept = len(kept)
        self._tenth = self._tally.done * 10 // total if total else 0
        self._began = self._spoke = time.monotonic()
        already = f"  {len(kept)} answers are there" if kept else ""
        self._say(f"start  {self._probes} probes, {total} answers{already}  {folder}")

    def answered(self, outcome: Outcome) -> None:
        """Speak at a new tenth or after a pause."""
        super().answered(outcome)
        self._screen.quote(outcome)
        tally = self._tally
        tenth = tally.done * 10 // tally.total
        now = time.monotonic()
        if tenth == self._tenth and now - self._spoke < PLAIN_SECONDS:
            return
        self._tenth, self._spoke = tenth, now
        rate = (now - self._began) / max(1, tally.done - self._kept)
        left = round(rate * (tally.total - tally.done))
        self._say(
            f"{100 * tally.done // tally.total:>3} %  {tally.done}/{tally.total}  "
            f"errors {tally.errors}  eta {left // 60}:{left % 60:02d}"
        )

    def reading(self, read: int, total: int) -> None:
        """Speak after a pause, so that it is seen that something moves."""
        now = time.monotonic()
        if now - self._spoke >= PLAIN_SECONDS:
            self._spoke = now
            tally = self._tally
            self._say(f"{tally.done}/{tally.total}  {_read_words(read, total)}")

    def _say(self, text: str) -> None:
        """A line with clock and label."""
        clock = datetime.now().astimezone().strftime("%H:%M:%S")
        self._screen.say(f"{clock} {self._label}  {text}")


def _read_words(read: int, total: int) -> str:
    """How far a history is read; before the first token its prompts are being encoded."""
    return f"{read:,}/{total:,} tokens" if read else f"{total:,} tokens encoded"
