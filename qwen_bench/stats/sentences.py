"""A comparison in words: verdict, what stands behind it, every history length, end of a command.

Terminal, Markdown, page, JUnit and `compare.json` take their sentences from here. Every history
length is named once, with what its own row of the table shows, so that no row contradicts a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.record.formats import NO_INTERVAL, about, bare, signed, size
from qwen_bench.stats.cells import DEPENDS
from qwen_bench.stats.explanations import ability_and_memory, cut, failures
from qwen_bench.stats.verdict import DISAGREE

if TYPE_CHECKING:
    from qwen_bench.stats.results import Cell, Comparison, Sameness, Word

TOO_FEW = "too few clusters to tell"
_VERBS: Mapping[Word, str] = {
    "regressed": "{candidate} answers {size} fewer of the questions right than {base}",
    "improved": "{candidate} answers {size} more of the questions right than {base}",
    "within noise":
        "{candidate} answers as many of the questions right as {base}, within the margin",
    "not worse":
        "{candidate} answers no fewer of the questions right than {base}, within the margin",
    "inconclusive":
        "It is open whether {candidate} answers as many of the questions right as {base}",
    "cannot tell":
        "It cannot be told whether {candidate} answers as many of the questions right as {base}",
}  # fmt: skip
_DIRECTIONS: Mapping[Word, str] = {"regressed": "down", "improved": "up"}


@dataclass(frozen=True, slots=True)
class AlongHistory:
    """History lengths by what the row of each shows; rows that cannot tell are left out.

    Attributes:
        loss, gain: lengths whose row is called regressed or improved.
        kept: those whose interval excludes a loss larger than the margin.
        undecided: those with an interval and a row called inconclusive.
        untold: those without an interval, each with its observed difference.
    """

    loss: tuple[int, ...]
    gain: tuple[int, ...]
    kept: tuple[int, ...]
    undecided: tuple[int, ...]
    untold: Mapping[int, float]

    @property
    def text(self) -> str:
        """One sentence; empty without a length."""
        observed = _listed([signed(difference) for difference in self.untold.values()])
        parts = [
            (self.loss, "a loss shows"),
            (self.gain, "a gain shows"),
            (self.kept, "there is no loss larger than the margin"),
            (self.undecided, "it is open"),
            (tuple(self.untold), f"there are {TOO_FEW}: observed {_points(observed)}"),
        ]
        said: list[str] = []
        for lengths, claim in parts:
            if lengths:
                where = f"at {_turns(lengths)}" if said else f"At {_turns(lengths)} of history"
                said.append(f"{where} {claim}")
        return "; ".join(said) + "." if said else ""


def along_history(by_length: Mapping[int, Cell]) -> AlongHistory:
    """What the rows by history length show.

    Args:
        by_length: judged cells by history length in user turns.
    """
    told: dict[Word, list[int]] = {}
    untold = {}
    for length in sorted(by_length):
        cell = by_length[length]
        if cell.word == "cannot tell":
            continue
        if cell.low is None or cell.high is None:
            untold[length] = cell.difference
        else:
            told.setdefault(cell.word or "inconclusive", []).append(length)

    def named(*words: Word) -> tuple[int, ...]:
        return tuple(sorted(length for word in words for length in told.get(word, ())))

    return AlongHistory(
        loss=named("regressed"),
        gain=named("improved"),
        kept=named("within noise", "not worse"),
        undecided=named("inconclusive"),
        untold=untold,
    )


def sentences(comparison: Comparison) -> tuple[str, ...]:
    """The comparison in words, one sentence each.

    The verdict, which speaks of answers; what failed and what the client cut, where there is such;
    what of the difference is ability and what is memory; what each history length shows.
    """
    mode = comparison.modes[comparison.primary]
    told = (
        failures(mode),
        cut(mode, comparison.margin),
        ability_and_memory(comparison) if comparison.verdict.word != "cannot tell" else "",
        along_history(mode.by_length).text,
    )
    return (verdict_sentence(comparison), *(sentence for sentence in told if sentence))


def verdict_sentence(comparison: Comparison) -> str:
    """How many of the questions each side answers right."""
    cell = comparison.verdict
    word = cell.word or "inconclusive"
    start = _VERBS[word].format(
        base=comparison.base.label,
        candidate=comparison.candidate.label,
        size=_points(size(abs(cell.difference))),
    )
    if word == "cannot tell":
        return f"{start}: {_same(comparison.sameness)}."
    if _decided_otherwise(comparison):
        start = f"Overall {start.replace('It is', 'it is', 1) if word == 'inconclusive' else start}"
    pairs = f"{cell.n} paired probe{'' if cell.n == 1 else 's'}"
    spread = f"({_spread(cell)}, margin {bare(comparison.margin)})"
    if word in {"regressed", "improved"}:
        return f"{start} {spread}, {pairs}."
    tail = f"; {cell.note}" if cell.note else ""
    return f"{start}: {_points(signed(cell.difference))} {spread}, {pairs}{tail}."


def _spread(cell: Cell) -> str:
    """The interval of a row in words."""
    if cell.low is None or cell.high is None:
        return NO_INTERVAL
    return f"95 % interval {signed(cell.low)} to {signed(cell.high)}"


def _points(number: str) -> str:
    """A number of points with its unit."""
    return f"{number} point{'' if number.strip('+-') == '1.0' else 's'}"


def _same(same: Sameness) -> str:
    """Why two runs that are the same tell nothing."""
    if same.repeated:
        differ = same.answers - same.identical
        found = f"all {same.answers} outputs are identical"
        if differ or not same.answers:
            found = f"{differ} of {same.answers} outputs differ"
        return f"both sides are the same model, asked in the same way; {found}"
    cause = "as when an adapter is not applied or one model answers twice"
    return f"all {same.answers} outputs are identical, {cause}"


def _decided_otherwise(comparison: Comparison) -> bool:
    """Whether a row shows a loss or a gain that the verdict does not."""
    mode = comparison.modes[comparison.primary]
    rows = (*mode.by_length.values(), *mode.by_family.values(), *mode.by_lang.values())
    decided = {_DIRECTIONS.get(cell.word) for cell in rows if cell.word} - {None}
    return bool(decided - {_DIRECTIONS.get(comparison.verdict.word or "inconclusive")})


def in_short(comparison: Comparison) -> str:
    """What is known, for the last line of a command."""
    cell = comparison.verdict
    if cell.word == "cannot tell":
        return f"cannot tell: {_same(comparison.sameness)}"
    if cell.word == "regressed":
        return f"regression: {signed(cell.difference)} points"
    if cell.word != "inconclusive":
        return _without_loss(comparison)
    why = TOO_FEW
    if cell.low is not None and cell.high is not None:
        why = _spread(cell)
    notes = [part for part in cell.note.split("; ") if part.startswith((DEPENDS, DISAGREE))]
    if cell.more_probes is not None:
        notes.append(f"about {about(cell.more_probes)} more probes would settle it")
    return "; ".join([f"inconclusive: {signed(cell.difference)} points observed, {why}", *notes])


def _without_loss(comparison: Comparison) -> str:
    """A verdict without a loss, and the history lengths at which there is one."""
    loss = along_history(comparison.modes[comparison.primary].by_length).loss
    if not loss:
        return f"no regression found ({comparison.verdict.word})"
    return f"no regression overall ({comparison.verdict.word}), but a loss at {_turns(loss)}"


def _turns(lengths: Sequence[int]) -> str:
    """History lengths as a list: ``1 turn``, ``1, 2 and 4 turns``."""
    return f"{_listed([str(length) for length in lengths])} turn{'' if lengths == (1,) else 's'}"


def _listed(words: Sequence[str]) -> str:
    """Words as a list: ``a``, ``a and b``, ``a, b and c``."""
    *first, last = words or ("",)
    return f"{', '.join(first)} and {last}" if first else last
