"""Comparisons and profiles as GitHub Markdown, for comments and step summaries.

Pure text in, text out. Everything a model, a manifest or a user wrote stands in code spans, where
it is neither HTML nor a link, a mention or a workflow command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qwen_bench.report.quoting import answers_of, code, quoted, table_code
from qwen_bench.report.text import (
    count,
    interval,
    p_value,
    percent,
    plural,
    points,
    points_interval,
    true_minus,
)
from qwen_bench.stats.gates import gate_words
from qwen_bench.stats.verdict import sentences

if TYPE_CHECKING:
    from qwen_bench.record.outcome import Run
    from qwen_bench.stats.results import (
        Accuracy,
        Cell,
        Comparison,
        GateResult,
        ModeComparison,
        ModeSummary,
        Unjudged,
    )

MOST_BYTES = 60_000
"""A comment on GitHub holds 65,536 characters."""

MOST_LOST = 10
MOST_WARNINGS = 20

_ALERTS = {
    "regressed": "CAUTION",
    "inconclusive": "WARNING",
    "within noise": "NOTE",
    "not worse": "NOTE",
    "improved": "TIP",
}
_SCORERS = {
    "generate": "free answers (generate)",
    "rank": "log-probability of the candidates (rank)",
}


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of the document; `spare` pieces may be left out, the highest number first."""

    text: str
    spare: int = 0
    name: str = ""


def comparison_markdown(
    comparisons: Sequence[Comparison],
    runs: Sequence[Run],
    *,
    unjudged: Sequence[Unjudged] = (),
    report: str | None = None,
    command: str | None = None,
) -> str:
    """Verdict, tables, changed answers, gates and warnings of one or more candidates.

    Args:
        comparisons: against one baseline, in command order.
        runs: the runs they are made of, for the answers; the first is the baseline.
        unjudged: candidates that broke or could not be compared.
        report: where the HTML page is.
        command: the command line that made this.

    Returns:
        At most `MOST_BYTES` bytes; what was left out is said.
    """
    parts: list[_Part] = []
    if len(comparisons) + len(unjudged) > 1:
        parts.append(_Part(_overview(comparisons, unjudged)))
    parts += [
        _Part(f"> [!CAUTION]\n> {code(item.label)} has no verdict: {code(item.reason)}")
        for item in unjudged
    ]
    for comparison in comparisons:
        parts += _candidate(comparison, runs)
    ending = []
    if report:
        ending.append(f"Report: {code(report)}")
    if command:
        ending.append(f"Made by: {code(command, limit=2_000)}")
    parts.append(_Part("  \n".join(ending)))
    return _fitted(parts)


def profile_markdown(runs: Sequence[Run], summaries: Sequence[Mapping[str, ModeSummary]]) -> str:
    """Accuracy of single runs by length and family; nothing is compared.

    Args:
        runs: at least one.
        summaries: of each run, by scorer.
    """
    parts = []
    for run, by_mode in zip(runs, summaries, strict=True):
        primary = run.manifest.suite.primary
        parts.append(_Part(f"## {code(run.label)}\n\nSuite {code(_suite_name(run))}"))
        order = sorted(by_mode, key=lambda mode: (mode != primary, mode))
        for mode in order:
            summary = by_mode[mode]
            lengths = {str(length): cell for length, cell in summary.by_length.items()}
            lines = [f"### {_SCORERS[mode].capitalize()}", "", *_profile_rows("turns", lengths)]
            lines.append(_profile_row("**all**", summary.overall))
            parts.append(_Part("\n".join(lines)))
            families = {table_code(name): cell for name, cell in summary.by_family.items()}
            text = "\n".join(_profile_rows("family", families))
            parts.append(_Part(text, spare=1, name="families"))
    return _fitted(parts)


def _overview(comparisons: Sequence[Comparison], unjudged: Sequence[Unjudged]) -> str:
    """One row a candidate."""
    lines = [
        "Each candidate is compared with the baseline, not with the others.",
        "",
        "| candidate | verdict | difference | 95 % interval | gates |",
        "|---|---|--:|--:|---|",
    ]
    for comparison in comparisons:
        cell = comparison.verdict
        lines.append(
            f"| {table_code(comparison.candidate.label)} | {cell.word} | {points(cell.difference)} "
            f"| {points_interval(cell.low, cell.high)} | {_gates_in_short(comparison.gates)} |"
        )
    lines += [f"| {table_code(item.label)} | no verdict | – | – | – |" for item in unjudged]
    return "\n".join(lines)


def _gates_in_short(gates: Sequence[GateResult]) -> str:
    """How many gates are met; a dash when none was given."""
    return f"{sum(gate.passed for gate in gates)} of {len(gates)} met" if gates else "–"


def _candidate(comparison: Comparison, runs: Sequence[Run]) -> list[_Part]:
    """All pieces of one candidate."""
    mode = comparison.modes[comparison.primary]
    base = next((run for run in runs if run.run_id == comparison.base.run_id), None)
    suite = f"Suite {code(_suite_name(base))} · " if base else ""
    about = (
        f"{suite}{plural(mode.overall.n, 'paired probe')} · "
        f"{plural(mode.overall.clusters, 'skeleton')} · scored by {_SCORERS[comparison.primary]}"
    )
    parts = [
        _Part(f"## {code(comparison.candidate.label)} against {code(comparison.base.label)}"),
        _Part(_alert(comparison)),
        _Part(about),
        _Part(_by_length(mode)),
        _Part(_changes(comparison)),
    ]
    if comparison.gates:
        parts.append(_Part(_gates(comparison.gates)))
    parts.append(_Part(_by_family(mode), spare=1, name="families"))
    if mode.lost_ids:
        parts.append(_Part(_lost(comparison, runs), spare=3, name="lost answers"))
    if comparison.warnings:
        parts.append(_Part(_warnings(comparison.warnings), spare=2, name="warnings"))
    return parts


def _suite_name(run: Run) -> str:
    """Name and version of the suite."""
    return f"{run.manifest.suite.name} {run.manifest.suite.version}"


def _alert(comparison: Comparison) -> str:
    """The verdict as an alert of GitHub, in the colour of the worst news."""
    named = replace(
        comparison,
        base=replace(comparison.base, label=code(comparison.base.label)),
        candidate=replace(comparison.candidate, label=code(comparison.candidate.label)),
    )
    word = comparison.verdict.word or "inconclusive"
    lines = [f"**{word.capitalize()}.** " + " ".join(true_minus(s) for s in sentences(named) if s)]
    unmet = sum(not gate.passed for gate in comparison.gates)
    if unmet:
        verb = "is" if unmet == 1 else "are"
        lines.append(f"**{unmet} of {plural(len(comparison.gates), 'gate')} {verb} not met.**")
    alert = "CAUTION" if unmet else _ALERTS[word]
    return "\n".join([f"> [!{alert}]", *(f"> {line}" for line in "\n\n".join(lines).split("\n"))])


def _by_length(mode: ModeComparison) -> str:
    """Rows by history length, then all."""
    lines = [
        "| turns | base | candidate | difference | 95 % interval | verdict |",
        "|--:|--:|--:|--:|--:|---|",
    ]
    lines += [_row(str(length), cell) for length, cell in mode.by_length.items()]
    lines.append(_row("**all**", mode.overall))
    return "\n".join(lines)


def _row(name: str, cell: Cell) -> str:
    """One row of a paired table."""
    word = f"{cell.word or ''}{f' ({cell.note})' if cell.note else ''}{_unanswered(cell)}"
    return (
        f"| {name} | {percent(cell.base)} | {percent(cell.candidate)} | {points(cell.difference)} "
        f"| {points_interval(cell.low, cell.high)} | {word} |"
    )


def _unanswered(cell: Cell | Accuracy) -> str:
    """What was not answered in a cell."""
    counts = [(cell.too_long, "too long"), (cell.error, "errors")]
    named = [f"{number:,} {name}" for number, name in counts if number]
    return f"; {', '.join(named)}" if named else ""


def _changes(comparison: Comparison) -> str:
    """How many answers changed, and what was not simply answered."""
    cell, counts = comparison.verdict, comparison.accounting
    truncated = counts.truncated_base + counts.truncated_candidate
    refused = counts.refused_base + counts.refused_candidate
    lines = [
        (
            f"Changed answers: **{cell.lost:,} lost**, **{cell.gained:,} gained** · "
            f"unchanged: {cell.both_right:,} right, {cell.both_wrong:,} wrong  "
        ),
        (
            f"Rows of all conditions: {counts.paired:,} paired, {counts.error:,} errors, "
            f"{truncated:,} truncated, {counts.too_long:,} too long, {refused:,} refused"
        ),
    ]
    for name, mode in comparison.modes.items():
        if name != comparison.primary:
            other = mode.overall
            lines[-1] += "  "
            lines.append(
                f"{_SCORERS[name].capitalize()}, without a verdict: {points(other.difference)} "
                f"points ({points_interval(other.low, other.high)})"
            )
    return "\n".join(lines)


def _gates(gates: Sequence[GateResult]) -> str:
    """One row a gate."""
    lines = ["### Gates", "", "| gate | value | 95 % interval | |", "|---|--:|--:|---|"]
    for gate in gates:
        value, spread = gate_words(gate)
        word = "met" if gate.passed else f"**not met**{f' ({gate.note})' if gate.note else ''}"
        spread = true_minus(f" {spread}").strip()
        lines.append(
            f"| {table_code(gate.expr)} | {true_minus(f' {value}').strip()} | {spread} | {word} |"
        )
    return "\n".join(lines)


def _by_family(mode: ModeComparison) -> str:
    """One row a family, with the p-value that is adjusted over them."""
    lines = [
        "### By family",
        "",
        "| family | probes | base | candidate | difference | 95 % interval | p (Holm) | verdict |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for name, cell in mode.by_family.items():
        lines.append(
            f"| {table_code(name)} | {count(cell.n)} | {percent(cell.base)} "
            f"| {percent(cell.candidate)} | {points(cell.difference)} "
            f"| {points_interval(cell.low, cell.high)} | {p_value(cell.p_adjusted)} "
            f"| {cell.word or ''}{_unanswered(cell)} |"
        )
    return "\n".join(lines)


def _lost(comparison: Comparison, runs: Sequence[Run]) -> str:
    """The first answers that were right in the baseline only, as both models gave them."""
    lost = comparison.modes[comparison.primary].lost_ids
    shown = lost[:MOST_LOST]
    lines = [f"### Lost answers ({len(shown)} of {len(lost):,})", ""]
    base, candidate = (
        answers_of(side.run_id, comparison.primary, runs)
        for side in (comparison.base, comparison.candidate)
    )
    for name in shown:
        lines.append(f"- {code(name)}")
        if name in base and name in candidate:
            lines.append(f"  - base: {quoted(base[name])}")
            lines.append(f"  - candidate: {quoted(candidate[name])}")
    return "\n".join(lines)


def _warnings(warnings: Sequence[str]) -> str:
    """The first warnings, as code: they quote settings and manifests."""
    lines = ["### Warnings", "", *(f"- {code(text)}" for text in warnings[:MOST_WARNINGS])]
    if len(warnings) > MOST_WARNINGS:
        lines.append(f"- and {len(warnings) - MOST_WARNINGS} more")
    return "\n".join(lines)


def _profile_rows(name: str, cells: Mapping[str, Accuracy]) -> list[str]:
    """Header and rows of one run."""
    header = [f"| {name} | accuracy | 95 % interval | probes | |", "|---|--:|--:|--:|---|"]
    return header + [_profile_row(key, cell) for key, cell in cells.items()]


def _profile_row(name: str, cell: Accuracy) -> str:
    """One row of a profile."""
    return (
        f"| {name} | {percent(cell.accuracy)} | {interval(cell.low, cell.high)} "
        f"| {count(cell.n)} | {_unanswered(cell).removeprefix('; ')} |"
    )


def _fitted(parts: Sequence[_Part]) -> str:
    """The document, with spare pieces left out and said so where it would be too long."""
    kept = [part for part in parts if part.text]
    missing: list[str] = []
    while _size(kept, missing) > MOST_BYTES and any(part.spare for part in kept):
        worst = max(part.spare for part in kept)
        missing += dict.fromkeys(part.name for part in kept if part.spare == worst)
        kept = [part for part in kept if part.spare != worst]
    text = _joined(kept, missing)
    if len(text.encode()) <= MOST_BYTES:
        return text
    lines: list[str] = []
    room = MOST_BYTES - len(_CUT.encode())
    for line in text.split("\n"):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        lines.append(line)
    return "\n".join(lines) + _CUT


_CUT = "\n\n_Cut here; the report has everything._\n"


def _joined(parts: Sequence[_Part], missing: Sequence[str]) -> str:
    """The pieces with empty lines between them."""
    texts = [part.text for part in parts]
    if missing:
        texts.append(f"_Left out for length: {', '.join(missing)}._")
    return "\n\n".join(texts) + "\n"


def _size(parts: Sequence[_Part], missing: Sequence[str]) -> int:
    """Bytes of the document."""
    return len(_joined(parts, missing).encode())
