"""Result tables as lines of text: one run, or two compared. Points on display, fractions inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_bench.cli.retention_lines import precision_lines, retention_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qwen_bench.record.manifest import SuiteInfo
    from qwen_bench.stats.results import (
        Accuracy,
        Cell,
        Comparison,
        ModeComparison,
        ModeSummary,
        PolicySplit,
    )

_ANSWERS = {
    "generate": "generate (free answers)",
    "rank": "rank (log-probability of the candidates)",
}


def percent(share: float) -> str:
    """A fraction as ``97.9 %``."""
    return f"{100 * share:.1f} %"


def signed(share: float) -> str:
    """A difference in points with its sign; zero has none.

    >>> signed(-0.104), signed(0.0)
    ('-10.4', '0.0')
    """
    text = f"{100 * share:+.1f}"
    return "0.0" if text in {"+0.0", "-0.0"} else text


def comparison_lines(
    comparison: Comparison,
    suite: SuiteInfo,
    sentences: Sequence[str],
    *,
    remarks: Sequence[str] = (),
) -> list[str]:
    """The comparison of two runs: the deciding scorer's table first, the other one below.

    Args:
        comparison: the figures.
        suite: the `suite` part of the baseline's manifest.
        sentences: the verdict in words.
        remarks: lines to put below the tables.
    """
    primary = comparison.modes[comparison.primary]
    lines = [
        (
            f"{comparison.candidate.label} against {comparison.base.label} · suite {suite.name} "
            f"{suite.version} · {primary.overall.n} paired probes · "
            f"{primary.overall.clusters} skeletons"
        ),
    ]
    order = [comparison.primary, *(mode for mode in comparison.modes if mode != comparison.primary)]
    for mode in order:
        decides = mode == comparison.primary
        title = f" {_ANSWERS[mode]}" + ("" if decides else "; carries no verdict")
        lines += ["", title, *_paired_rows(comparison.modes[mode], comparison, decides=decides)]
        lines += ["", *_changes(comparison.modes[mode].overall)]
        answered = comparison.modes[mode].answered_only
        if answered is not None:
            lines.append(
                f" answered only: {answered.n} pairs, difference {signed(answered.difference)}"
            )
    lines += precision_lines(primary)
    lines += _falls(primary)
    lines += retention_lines(primary)
    lines += _accounting(comparison)
    lines += remarks
    lines += [f" warning: {warning}" for warning in comparison.warnings]
    lines += ["", *(f" {sentence}" for sentence in sentences if sentence)]
    return lines


def _paired_rows(modes: ModeComparison, comparison: Comparison, *, decides: bool) -> list[str]:
    """Header and one line a history length, then all."""
    verdict = "   verdict" if decides else ""
    lines = [f" turns     base   candidate   difference   95 % interval  {verdict}".rstrip()]
    for length, cell in modes.by_length.items():
        word = f"   {cell.word or ''}" if decides else ""
        lines.append(_paired_row(str(length), cell, word))
    overall = modes.overall
    word = ""
    if decides:
        note = f", {overall.note}" if overall.note else ""
        shown = (overall.word or "").upper()
        word = f"   {shown} (margin {100 * comparison.margin:g}{note})"
    lines.append(_paired_row("all", overall, word))
    return lines


def _paired_row(name: str, cell: Cell, word: str) -> str:
    """One line of the comparison."""
    if cell.low is None or cell.high is None:
        interval = "no interval    "
    else:
        interval = f"{signed(cell.low):>5} to {signed(cell.high):>5}"
    return (
        f"{name:>6}  {percent(cell.base):>7}     {percent(cell.candidate):>7}   "
        f"{signed(cell.difference):>10}   {interval:>15}{word}{_unanswered(cell)}"
    ).rstrip()


def _unanswered(cell: Cell | Accuracy) -> str:
    """What was not answered in a cell; nothing when all was."""
    counts = [(cell.too_long, "too long"), (cell.error, "errors")]
    named = [f"{count} {name}" for count, name in counts if count]
    return f"   [{', '.join(named)}]" if named else ""


def _changes(cell: Cell) -> list[str]:
    """How many answers changed."""
    return [
        (
            f" changed answers: {cell.lost} lost, {cell.gained} gained · "
            f"unchanged: {cell.both_right} right, {cell.both_wrong} wrong"
        )
    ]


def _falls(modes: ModeComparison) -> list[str]:
    """Where each side's plain accuracy falls under one half."""
    from qwen_bench.stats.isotonic import crossing_words, falls_under_half

    falls = falls_under_half(modes.by_length)
    if falls is None:
        return []
    base, candidate = (crossing_words(place) for place in falls)
    return [f" falls under 50 %: base {base}, candidate {candidate}"]


def _accounting(comparison: Comparison) -> list[str]:
    """Where rows went that are not simply answered; all scorers and conditions together."""
    counts = comparison.accounting
    truncated = counts.truncated_base + counts.truncated_candidate
    refused = counts.refused_base + counts.refused_candidate
    line = (
        f" rows of all conditions: {counts.paired} paired, {counts.error} errors, "
        f"{truncated} truncated, {counts.too_long} too long, {refused} refused"
    )
    if counts.only_base or counts.only_candidate:
        line += f", {counts.only_base} only in base, {counts.only_candidate} only in candidate"
    return [line]


def profile_lines(label: str, suite: SuiteInfo, summaries: Mapping[str, ModeSummary]) -> list[str]:
    """The profile of one run, its primary scorer first.

    Args:
        label: name of the model.
        suite: the `suite` part of its manifest.
        summaries: by scorer.
    """
    lines = [f"{label} · suite {suite.name} {suite.version}"]
    primary = suite.primary
    for mode in sorted(summaries, key=lambda mode: (mode != primary, mode)):
        summary = summaries[mode]
        lines += ["", f" {_ANSWERS[mode]}", " turns   accuracy   95 % interval     probes"]
        lines += [_profile_row(str(length), cell) for length, cell in summary.by_length.items()]
        lines.append(_profile_row("all", summary.overall))
        controls = [
            f"{name} {percent(cell.accuracy)} of {cell.n}"
            for name, cell in summary.by_condition.items()
            if name != "main"
        ]
        if controls:
            lines += ["", f" controls: {' · '.join(controls)}"]
        overall = summary.overall
        if summary.policy is not None:
            lines += policy_lines(summary.policy)
        thoughts = summary.reasons.get("no_answer", 0)
        lines.append(
            f" {overall.error} errors, {overall.truncated} truncated, "
            f"{overall.too_long} too long, {overall.refused} refused"
            + (f", {thoughts} ended inside a thought" if thoughts else "")
        )
    return lines


def policy_lines(split: PolicySplit, label: str = "") -> list[str]:
    """What the history policy cut, apart from what was forgotten.

    Args:
        split: of one run and scorer.
        label: of the run, where several are shown.
    """
    whole = split.overall
    given = whole.accuracy_given_visible
    name = f"{label}, " if label else ""
    return [
        (
            f" {name}history policy {split.policy}: accuracy {percent(whole.accuracy)} · evidence "
            f"visible {percent(whole.share_visible)} · accuracy given visible "
            f"{'none' if given is None else percent(given)}"
        ),
        (
            f"   {percent(whole.accuracy)} = {percent(whole.visible_part)} with the evidence in "
            f"the prompt + {percent(whole.invisible_part)} after it was cut"
        ),
    ]


def _profile_row(name: str, cell: Accuracy) -> str:
    """One line of a profile."""
    if cell.low is None or cell.high is None:
        interval = "no interval"
    else:
        interval = f"{100 * cell.low:.1f} to {100 * cell.high:.1f}"
    row = f"{name:>6}   {percent(cell.accuracy):>8}   {interval:>13}     {cell.n:>6}"
    return row + _unanswered(cell)
