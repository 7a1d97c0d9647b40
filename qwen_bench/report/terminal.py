"""Tables and sentences as lines of text: one run, or two compared, and what a run took.

Tables are laid out by rich without markup, so that nothing in them is obeyed.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from qwen_bench.record.formats import (
    MINUS,
    NO_INTERVAL,
    axis_tokens,
    bare,
    byte_size,
    percent,
    rate,
    short_tokens,
    signed,
    size,
    times,
    turns,
)
from qwen_bench.report.retention_words import (
    half_life_line,
    kept_words,
    ratio_bounds,
    span_bounds,
    span_label,
)
from qwen_bench.report.run_tables import pace_row
from qwen_bench.report.tables import (
    Value,
    accounting_words,
    accuracy_table,
    gates_table,
    paired_table,
    parts_table,
    unanswered,
)
from qwen_bench.stats.isotonic import crosses_elsewhere, crossing_words, falls_under_half
from qwen_bench.stats.pace import tokens_or_turns
from qwen_bench.stats.span import level_label

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qwen_bench.record.manifest import SuiteInfo
    from qwen_bench.stats.results import (
        Accuracy,
        Cell,
        Comparison,
        Gap,
        GateResult,
        ModeComparison,
        ModeSummary,
        PolicySplit,
    )
    from qwen_bench.stats.span import Span

_ANSWERS = {
    "generate": "generate (free answers)",
    "rank": "rank (log-probability of the candidates)",
}
_WIDEST = 10_000


def table_lines(
    columns: Sequence[tuple[str, int]], rows: Sequence[Sequence[str]], *, left: Sequence[int] = ()
) -> list[str]:
    """Rows in columns, numbers to the right, without trailing blanks.

    Args:
        columns: heading and least width of each; a width counts the gap before it.
        rows: texts, as many as there are columns.
        left: columns whose texts stand to the left.
    """
    grid = RichTable(box=None, padding=0, show_edge=False, pad_edge=False)
    for place, (heading, width) in enumerate(columns):
        grid.add_column(
            _cell(heading),
            justify="left" if place in left else "right",
            min_width=width,
            no_wrap=True,
        )
    for row in rows:
        grid.add_row(*map(_cell, row))
    console = Console(file=io.StringIO(), width=_WIDEST, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(grid, crop=False)
    return [line.rstrip() for line in captured.get().splitlines()]


def _cell(text: str) -> Text:
    """A text that begins with a blank stands where it is, the others where their column says."""
    return Text(text, justify="left" if text.startswith(" ") else None)


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
    title = (
        f"{comparison.candidate.label} against {comparison.base.label} · suite {suite.name} "
        f"{suite.version} · {primary.overall.n} paired probes · "
        f"{primary.overall.clusters} skeletons"
    )
    lines = [title]
    for mode in sorted(comparison.modes, key=lambda mode: mode != comparison.primary):
        found = comparison.modes[mode]
        decides = mode == comparison.primary
        lines += ["", f" {_ANSWERS[mode]}" + ("" if decides else "; carries no verdict")]
        lines += _paired_lines(found, bare(comparison.margin) if decides else "")
        lines += [*_level_lines(found, decides=decides), *_parts_lines(found)]
        cell = found.overall
        changed = f" changed answers: {cell.lost} lost, {cell.gained} gained"
        unchanged = f"unchanged: {cell.both_right} right, {cell.both_wrong} wrong"
        lines += ["", f"{changed} · {unchanged}"]
        if found.answered_only is not None:
            answered = found.answered_only
            change = signed(answered.difference)
            lines.append(f" answered only: {answered.n} pairs, difference {change}")
    if whole := primary.retention.get("all"):
        lines += _span_lines({"base": whole.base.spans, "candidate": whole.candidate.spans})
    lines += [*_precision_lines(primary), *_falls(primary), *_retention_lines(primary)]
    lines.append(_accounting(comparison))
    lines += remarks
    lines += [f" warning: {warning}" for warning in comparison.warnings]
    return [*lines, "", *(f" {sentence}" for sentence in sentences)]


def _paired_lines(mode: ModeComparison, margin: str) -> list[str]:
    """Rows by history length, then all; without a margin nothing is decided."""
    cells = {str(length): cell for length, cell in mode.by_length.items()}
    table = paired_table("", "turns", cells, mode.overall)
    rows = []
    for row, cell in zip(table.rows, (*cells.values(), mode.overall), strict=True):
        _, base, candidate, difference, _, finding = row.values
        word = finding.word
        if margin and row.name == "all":
            note = f", {finding.note}" if finding.note else ""
            word = f"{word.upper()} (margin {margin}{note})"
        words = [word] if margin else []
        # Bounds of three digits may push the word aside, but not the words of the other rows.
        ending = "   ".join([_bounds(difference), *words, *_missed(cell)])
        rows.append([row.name, base.text, candidate.text, _ascii(difference), f"   {ending}"])
    verdict = "     verdict" if margin else ""
    columns = [
        (" turns", 6), ("base", 9), ("candidate", 12), ("difference", 13),
        (f"   95 % interval{verdict}", 0),
    ]  # fmt: skip
    return table_lines(columns, rows, left=[4])


def _level_lines(mode: ModeComparison, *, decides: bool) -> list[str]:
    """Rows by level; nothing where the suite has none."""
    if not mode.by_level:
        return []
    cells = {str(level): cell for level, cell in mode.by_level.items()}
    rows = []
    for row, cell in zip(paired_table("", "level", cells).rows, cells.values(), strict=True):
        _, base, candidate, difference, _, finding = row.values
        ending = "   ".join(
            [_bounds(difference), *([finding.word] if decides else []), *_missed(cell)]
        )
        rows.append([row.name, base.text, candidate.text, _ascii(difference), f"   {ending}"])
    columns = [
        (" level", 6), ("base", 9), ("candidate", 12), ("difference", 13), ("   95 % interval", 0),
    ]  # fmt: skip
    return ["", *table_lines(columns, rows, left=[4])]


def _parts_lines(mode: ModeComparison) -> list[str]:
    """What of the differences is ability and what is memory, by length, level and in all."""
    cells = {turns(length): cell for length, cell in mode.by_length.items()}
    cells |= {level_label(level): cell for level, cell in mode.by_level.items()}
    rows = []
    for row in parts_table("", "", cells, mode.overall).rows:
        _, difference, _, _, ability, _, memory, _ = row.values
        pair = [text for part in (ability, memory) for text in (_ascii(part), _bounds(part))]
        rows.append([f" {row.name}", _ascii(difference), *pair])
    columns = [
        (" points", 6), ("difference", 13), ("ability", 11), ("95 % interval", 18),
        ("memory", 11), ("95 % interval", 18),
    ]  # fmt: skip
    return ["", *table_lines(columns, rows, left=[0])] if rows else []


def _span_lines(sides: Mapping[str, Mapping[int, Span]]) -> list[str]:
    """Highest level kept by each side at every history length; nothing without levels."""
    lengths = tuple(next(iter(sides.values()), {}))
    if not lengths:
        return []
    rows = []
    for length in lengths:
        pair = [
            text
            for found in sides.values()
            for text in (span_label(found[length]), span_bounds(found[length]))
        ]
        rows.append([str(length), *pair])
    columns = [(" turns", 6)]
    for name in sides:
        columns += [(name, 18), ("95 % interval", 16)]
    return [
        "",
        " span: highest level at which half of the ability is kept",
        *table_lines(columns, rows),
    ]


def _missed(cell: Cell | Accuracy) -> list[str]:
    """What was not answered, in brackets; nothing when all was."""
    missed = unanswered(cell, grouping="")
    return [f"[{missed}]"] if missed else []


def _ascii(value: Value) -> str:
    """A value for the terminal, whose minus is the hyphen."""
    return value.text.replace(MINUS, "-")


def _bounds(value: Value) -> str:
    """Both bounds of a difference, each under those of the other rows."""
    if value.low is None or value.high is None:
        return f"{NO_INTERVAL:<15}"
    return f"{f'{signed(value.low):>5} to {signed(value.high):>5}':>15}"


def _falls(mode: ModeComparison) -> list[str]:
    """Where each side's plain accuracy falls under one half."""
    falls = falls_under_half(mode.by_length)
    if falls is None:
        return []
    lengths = sorted(mode.by_length)
    cells = [mode.by_length[length] for length in lengths]
    sides = [cell.base for cell in cells], [cell.candidate for cell in cells]
    smoothed = any(
        crosses_elsewhere(place, lengths, shares)
        for place, shares in zip(falls, sides, strict=True)
    )
    base, candidate = map(crossing_words, falls)
    fit = " by the non-increasing fit" if smoothed else ""
    return [f" falls under 50 %{fit}: base {base}, candidate {candidate}"]


def _accounting(comparison: Comparison) -> str:
    """Where rows went that are not simply answered; all scorers and conditions together."""
    counts = comparison.accounting
    line = f" rows of all conditions: {accounting_words(counts, grouping='')}"
    if counts.only_base or counts.only_candidate:
        line += f", {counts.only_base} only in base, {counts.only_candidate} only in candidate"
    return line


def _retention_lines(mode: ModeComparison) -> list[str]:
    """Effective history length and half-life of both sides; nothing where it was not computed."""
    whole = mode.retention.get("all")
    if whole is None:
        return []
    base, candidate = whole.base, whole.candidate
    if base.note and candidate.note:
        return [f" effective history length and half-life: {candidate.note}"]
    lines = []
    if whole.one_sided:
        shares = [
            f"{name} {_share(side.adjacent)} next to the evidence, {_share(side.blind)} without it"
            for name, side in (("base", base), ("candidate", candidate))
        ]
        lines.append(f" R is {whole.one_sided}: {'; '.join(shares)}")
    lines.append(
        f" keeps 85 % of its ability up to: base {kept_words(base.history)}, "
        f"candidate {kept_words(candidate.history)}"
    )
    one, two, ratio = base.half_life, candidate.half_life, whole.half_life
    if one.decay is None and two.decay is None:
        return [*lines, f" half-life: {two.note}"]
    ending = ""
    if ratio.value is not None:
        bounds = ratio_bounds(ratio)
        ending = f" · ratio {ratio.value:.2f}{f' ({bounds})' if bounds else ''}"
    elif ratio.direction in {"longer", "shorter"}:
        ending = f" · candidate {ratio.direction}"
    words = f"base {half_life_line(one)}, candidate {half_life_line(two)}"
    return [*lines, f" half-life: {words}{ending}"]


def _precision_lines(mode: ModeComparison) -> list[str]:
    """What the flips and the standard error say; decides nothing."""
    lines = []
    effects, seen, gap = mode.overall.effects, mode.achieved, mode.languages
    if effects is not None and effects.odds_ratio is not None and effects.cohens_g is not None:
        lines.append(
            f" flip rate {percent(effects.flip_rate)} · lost to gained {effects.odds_ratio:.2f} · "
            f"Cohen's g {effects.cohens_g:.2f} · one-sided p of a loss {effects.p_loss:.2g} "
            "(decides nothing)"
        )
    if seen is not None:
        lines.append(
            f" in 80 % of such runs: a difference of {size(seen.detectable)} points is seen, "
            f"equal models are within noise at a margin of {size(seen.margin)}"
        )
    if gap is not None:
        lines.append(
            f" Chinese minus English: base {signed(gap.base.value)}, candidate "
            f"{signed(gap.candidate.value)} · change {_gap(gap.change)}"
        )
    return lines


def _gap(gap: Gap) -> str:
    """A change with its interval."""
    if gap.low is None or gap.high is None:
        return f"{signed(gap.value)} ({NO_INTERVAL})"
    return f"{signed(gap.value)} ({signed(gap.low)} to {signed(gap.high)})"


def _share(share: float | None) -> str:
    return "none" if share is None else percent(share)


def gate_lines(gates: Sequence[GateResult]) -> list[str]:
    """Value, interval and outcome of every gate; nothing without gates."""
    if not gates:
        return []
    width = max(4, *(len(gate.expr) for gate in gates))
    rows = []
    for row in gates_table(gates).rows:
        value, _, met = row.values
        word = "met" if met.word == "met" else "NOT MET"
        note = f" ({met.note})" if met.note else ""
        bounds = value.spread.replace(MINUS, "-")
        rows.append([f" {row.name}", _ascii(value).removesuffix(" %"), bounds, f"   {word}{note}"])
    columns = [(" gate", width + 1), ("value", 10), ("   95 % interval", 18), ("", 0)]
    return ["", *table_lines(columns, rows, left=[0, 3])]


def profile_lines(label: str, suite: SuiteInfo, summaries: Mapping[str, ModeSummary]) -> list[str]:
    """The profile of one run, its primary scorer first.

    Args:
        label: name of the model.
        suite: the `suite` part of its manifest.
        summaries: by scorer.
    """
    lines = [f"{label} · suite {suite.name} {suite.version}"]
    for mode in sorted(summaries, key=lambda mode: (mode != suite.primary, mode)):
        summary = summaries[mode]
        overall = summary.overall
        lines += ["", f" {_ANSWERS[mode]}", *_profile_rows(summary), *_profile_levels(summary)]
        lines += _span_lines({"span": summary.spans})
        controls = [
            f"{name} {percent(cell.accuracy)} of {cell.n}"
            for name, cell in summary.by_condition.items()
            if name != "main"
        ]
        lines += ["", f" controls: {' · '.join(controls)}"] if controls else []
        if (rules := summary.rules) is not None:
            lines.append(
                f" rules: form {percent(rules.form)}, content {percent(rules.content)}, "
                f"both {percent(rules.both)} of {rules.n} replies"
            )
        lines += policy_lines(summary.policy) if summary.policy is not None else []
        lines += _pace_lines(summary)
        thoughts = summary.reasons.get("no_answer", 0)
        lines.append(
            f" {overall.error} errors, {overall.truncated} truncated, "
            f"{overall.too_long} too long, {overall.refused} refused, {overall.empty} empty"
            + (f", {thoughts} ended inside a thought" if thoughts else "")
        )
    return lines


def _pace_lines(summary: ModeSummary) -> list[str]:
    """What more tokens and more turns cost; nothing where the suite has one pace."""
    rows = []
    for one in summary.paces:
        sizes = [axis_tokens(place.tokens) for place in (one.less, one.more)]
        asked = f"{one.n:,} questions" + (f", {' to '.join(sizes)}" if all(sizes) else "")
        shares = [percent(place.accuracy) for place in (one.less, one.more)]
        rows.append([f" {pace_row(one)}", *shares, f"   {_gap(one.gap)}", f"   {asked}"])
    if not rows:
        return []
    columns = [
        (" tokens or turns", 6), ("less", 9), ("more", 9), ("   difference", 13), ("", 0),
    ]  # fmt: skip
    words = tokens_or_turns(summary.paces)
    return ["", *table_lines(columns, rows, left=[0, 3, 4]), *([f" {words}"] if words else [])]


def _profile_rows(summary: ModeSummary) -> list[str]:
    """Accuracy by history length, then of all."""
    cells = {str(length): cell for length, cell in summary.by_length.items()}
    return _accuracy_lines("turns", {**cells, "all": summary.overall})


def _profile_levels(summary: ModeSummary) -> list[str]:
    """Accuracy by level; nothing where the suite has none."""
    cells = {str(level): cell for level, cell in summary.by_level.items()}
    return ["", *_accuracy_lines("level", cells)] if cells else []


def _accuracy_lines(first: str, cells: Mapping[str, Accuracy]) -> list[str]:
    """A table of one run."""
    table = accuracy_table("", first, {name: name for name in cells}, [cells])
    rows = []
    for row, cell in zip(table.rows, cells.values(), strict=True):
        n, accuracy, spread = row.values
        missed = "".join(f"   {text}" for text in _missed(cell))
        rows.append([row.name, accuracy.text, spread.text, f"{n.number}", missed])
    columns = [
        (f" {first}", 6), ("accuracy", 11), ("95 % interval", 16), ("probes", 11), ("", 0),
    ]  # fmt: skip
    return table_lines(columns, rows, left=[4])


def policy_lines(split: PolicySplit, label: str = "") -> list[str]:
    """What the history policy cut, apart from what was forgotten.

    Args:
        split: of one run and scorer.
        label: of the run, where several are shown.
    """
    whole = split.overall
    name = f"{label}, " if label else ""
    return [
        (
            f" {name}history policy {split.policy}: accuracy {percent(whole.accuracy)} · evidence "
            f"visible {percent(whole.share_visible)} · accuracy given visible "
            f"{_share(whole.accuracy_given_visible)}"
        ),
        (
            f"   {percent(whole.accuracy)} = {percent(whole.visible_part)} with the evidence in "
            f"the prompt + {percent(whole.invisible_part)} after it was cut"
        ),
    ]


# Counters and how each is said; one that is 0 or unknown is left out.
_TOKENS: Mapping[str, Callable[[float], str]] = {
    "sharing_ratio": lambda ratio: f"sharing {ratio:.1f} x",
    "decoded_tokens": lambda tokens: f"{short_tokens(tokens)} decoded",
    "padding_tokens": lambda tokens: f"{short_tokens(tokens)} padding",
    "recomputed_tokens": lambda tokens: f"{short_tokens(tokens)} recomputed",
}
_WORK: Mapping[str, Callable[[float], str]] = {
    "peak_memory_bytes": lambda size: f"peak {byte_size(size, least='MB')}",
    "peak_kv_bytes": lambda size: f"K/V {byte_size(size, least='MB')}",
    "tokens_per_second": lambda number: f"{rate(number)} tokens/s",
    "answers_per_second": lambda number: f"{rate(number)} answers/s",
    "oom_splits": lambda number: f"out of memory {times(number)}, then less at once",
    "retries": lambda number: f"sent again {times(number)}",
}


def efficiency_lines(label: str, efficiency: Mapping[str, Any] | None) -> list[str]:
    """Work of a run in at most two lines; none where nothing went through a model.

    Args:
        label: of the model.
        efficiency: counters of all invocations; what is null is unknown, never 0.
    """
    known = efficiency or {}
    naive, forward = known.get("naive_tokens"), known.get("forward_tokens", 0)
    if not naive or forward == 0:
        return []
    computed = "unknown" if forward is None else short_tokens(forward)
    tokens = [f"{computed} forward for {short_tokens(naive)} naive", *_said(known, _TOKENS)]
    work = _said(known, _WORK)
    lines = [f"{label}  tokens  {' · '.join(tokens)}"]
    return [*lines, f"{label}  work    {' · '.join(work)}"] if work else lines


def _said(counters: Mapping[str, Any], ways: Mapping[str, Callable[[float], str]]) -> list[str]:
    return [say(counters[name]) for name, say in ways.items() if counters.get(name)]
