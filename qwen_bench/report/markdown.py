"""Comparisons and profiles as GitHub Markdown, for comments and step summaries.

Pure text in, text out. Everything a model, a manifest or a user wrote stands in code spans, where
it is neither HTML nor a link, a mention or a workflow command.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qwen_bench.record.formats import plural, points, points_interval, true_minus, turns
from qwen_bench.report.quoting import answers_of, code, quoted, table_code
from qwen_bench.report.retention_words import span_words
from qwen_bench.report.tables import (
    accounting_words,
    accuracy_table,
    gates_table,
    paired_row,
    paired_table,
    parts_table,
    unanswered,
)
from qwen_bench.stats.sentences import sentences
from qwen_bench.stats.span import level_label

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
    "cannot tell": "CAUTION",
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
        for mode in sorted(by_mode, key=lambda mode: (mode != primary, mode)):
            summary = by_mode[mode]
            lengths = {str(length): cell for length, cell in summary.by_length.items()}
            text = _accuracy("turns", {**lengths, "**all**": summary.overall})
            parts.append(_Part(f"### {_SCORERS[mode].capitalize()}\n\n{text}"))
            levels = {str(level): cell for level, cell in summary.by_level.items()}
            if levels:
                parts.append(_Part(_accuracy("level", levels)))
            if summary.spans:
                parts.append(_Part(f"Half of the ability is kept at {span_words(summary.spans)}"))
            families = {table_code(name): cell for name, cell in summary.by_family.items()}
            parts.append(_Part(_accuracy("family", families), spare=1, name="families"))
    return _fitted(parts)


def _accuracy(first: str, cells: Mapping[str, Accuracy]) -> str:
    """A table of one run."""
    table = accuracy_table("", first, {name: name for name in cells}, [cells])
    rows = []
    for row, cell in zip(table.rows, cells.values(), strict=True):
        n, accuracy, spread = row.values
        rows.append((row.name, accuracy.text, spread.text, n.text, unanswered(cell)))
    return _pipes(f"| {first} | accuracy | 95 % interval | probes | |", "lrrrl", rows)


def _pipes(heading: str, sides: str, rows: Iterable[Sequence[str]]) -> str:
    """A table; `sides` is l or r for each column, its texts stand as they are."""
    marks = {"l": "---", "r": "--:"}
    lines = [heading, f"|{'|'.join(marks[side] for side in sides)}|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def _overview(comparisons: Sequence[Comparison], unjudged: Sequence[Unjudged]) -> str:
    """One row a candidate."""
    rows = []
    for comparison in comparisons:
        cell, gates = comparison.verdict, _gates_in_short(comparison.gates)
        spread = points_interval(cell.low, cell.high)
        name = table_code(comparison.candidate.label)
        rows.append((name, str(cell.word), points(cell.difference), spread, gates))
    rows += [(table_code(item.label), "no verdict", "–", "–", "–") for item in unjudged]
    heading = "| candidate | verdict | difference | 95 % interval | gates |"
    about = "Each candidate is compared with the baseline, not with the others."
    return f"{about}\n\n{_pipes(heading, 'llrrl', rows)}"


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
        _Part(_ability_and_memory(mode)),
        _Part(_by_level(mode)),
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
    lines = [f"**{word.capitalize()}.** " + " ".join(map(true_minus, sentences(named)))]
    unmet = sum(not gate.passed for gate in comparison.gates)
    if unmet:
        verb = "is" if unmet == 1 else "are"
        lines.append(f"**{unmet} of {plural(len(comparison.gates), 'gate')} {verb} not met.**")
    alert = "CAUTION" if unmet else _ALERTS[word]
    return "\n".join([f"> [!{alert}]", *(f"> {line}" for line in "\n\n".join(lines).split("\n"))])


def _by_length(mode: ModeComparison) -> str:
    """Rows by history length, then all."""
    cells = {str(length): cell for length, cell in mode.by_length.items()}
    cells["**all**"] = mode.overall
    rows = []
    for row, cell in zip(paired_table("", "turns", cells).rows, cells.values(), strict=True):
        _, base, candidate, difference, _, finding = row.values
        note = f" ({finding.note})" if finding.note else ""
        texts = (base.text, candidate.text, difference.text, difference.spread)
        rows.append((row.name, *texts, f"{finding.word}{note}{_unanswered(cell)}"))
    heading = "| turns | base | candidate | difference | 95 % interval | verdict |"
    return _pipes(heading, "rrrrrl", rows)


def _by_level(mode: ModeComparison) -> str:
    """Rows by level and the spans; nothing where the suite has no levels."""
    if not mode.by_level:
        return ""
    cells = {str(level): cell for level, cell in mode.by_level.items()}
    rows = []
    for row, cell in zip(paired_table("", "level", cells).rows, cells.values(), strict=True):
        _, base, candidate, difference, _, finding = row.values
        texts = (base.text, candidate.text, difference.text, difference.spread)
        rows.append((row.name, *texts, f"{finding.word}{_unanswered(cell)}"))
    heading = "| level | base | candidate | difference | 95 % interval | verdict |"
    table = f"### By level\n\n{_pipes(heading, 'rrrrrl', rows)}"
    whole = mode.retention.get("all")
    if whole is None or not whole.base.spans:
        return table
    return (
        f"{table}\n\nHalf of the ability is kept: base at {span_words(whole.base.spans)}; "
        f"candidate at {span_words(whole.candidate.spans)}"
    )


def _ability_and_memory(mode: ModeComparison) -> str:
    """What of the differences is ability and what is memory, by length, level and in all."""
    cells = {turns(length): cell for length, cell in mode.by_length.items()}
    cells |= {level_label(level): cell for level, cell in mode.by_level.items()}
    rows = []
    for row in parts_table("", "", {**cells, "**all**": mode.overall}).rows:
        _, difference, _, _, ability, _, memory, _ = row.values
        texts = (difference.text, ability.text, ability.spread, memory.text, memory.spread)
        rows.append((row.name, *texts))
    if not rows:
        return ""
    heading = "| points | difference | ability | 95 % interval | memory | 95 % interval |"
    about = (
        "Ability: the difference with the evidence directly before the question; memory: the rest."
    )
    return f"### Ability and memory\n\n{_pipes(heading, 'lrrrrr', rows)}\n\n{about}"


def _unanswered(cell: Cell) -> str:
    """What was not answered in a cell, behind the verdict."""
    missed = unanswered(cell)
    return f"; {missed}" if missed else ""


def _changes(comparison: Comparison) -> str:
    """How many answers changed, and what was not simply answered."""
    cell, counts = comparison.verdict, comparison.accounting
    lines = [
        (
            f"Changed answers: **{cell.lost:,} lost**, **{cell.gained:,} gained** · "
            f"unchanged: {cell.both_right:,} right, {cell.both_wrong:,} wrong  "
        ),
        f"Rows of all conditions: {accounting_words(counts)}",
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
    rows = []
    for row in gates_table(gates).rows:
        value, _, met = row.values
        note = f" ({met.note})" if met.note else ""
        word = "met" if met.word == "met" else f"**not met**{note}"
        rows.append((table_code(row.name), value.text.removesuffix(" %"), value.spread, word))
    return f"### Gates\n\n{_pipes('| gate | value | 95 % interval | |', 'lrrl', rows)}"


def _by_family(mode: ModeComparison) -> str:
    """One row a family, with the p-value that is adjusted over them."""
    rows = []
    for name, cell in mode.by_family.items():
        n, base, candidate, difference, p, finding = paired_row(name, cell, adjusted=True).values
        texts = (n.text, base.text, candidate.text, difference.text, difference.spread, p.text)
        rows.append((table_code(name), *texts, f"{finding.word}{_unanswered(cell)}"))
    heading = (
        "| family | probes | base | candidate | difference | 95 % interval | p (Holm) | verdict |"
    )
    return f"### By family\n\n{_pipes(heading, 'lrrrrrrl', rows)}"


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
