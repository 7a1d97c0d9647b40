"""What each model retains, for the page: profiles of one scorer as tables and charts.

Takes the profiles from comparisons, or of one run from `stats.profile`; computes no statistic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qwen_bench.record.formats import percent, turns
from qwen_bench.report.charts.lines import retained_chart
from qwen_bench.report.retention_words import (
    bin_name,
    control_value,
    crossing_value,
    half_life_value,
    half_life_words,
    kept_label,
    length_value,
    length_words,
    longest_span,
    observed_only,
    ratio_value,
    retained_value,
    shift_value,
    span_value,
    strict_value,
)
from qwen_bench.report.tables import UNKNOWN, Key, ReportTable, Slice, TableRow, Value, run_table
from qwen_bench.report.untrusted_text import plain
from qwen_bench.stats.paired_retention import ALL
from qwen_bench.stats.profile import RETAINED, profile
from qwen_bench.stats.span import level_label

if TYPE_CHECKING:
    from qwen_bench.record.outcome import Run
    from qwen_bench.report.charts.svg import Chart
    from qwen_bench.stats.clusters import Bin
    from qwen_bench.stats.paired_retention import PairedRetention
    from qwen_bench.stats.profile import Profile
    from qwen_bench.stats.results import Comparison
    from qwen_bench.stats.retention import Retention, Shift

_HALF = 0.5
_MEANINGS = {
    "effective history length":
        "largest history up to which at least 85 % is kept, at every shorter one too",
    "half-life": "distance after which half of the ability is left, at the longest history",
    "half-life, candidate over baseline": "above 1: longer",
    "span":
        "highest level of memory load at which half of the ability is kept, at every lower one too",
    "the same, strict": "with the lower end of the interval of R instead of R",
    "the same, absolute":
        "plain accuracy at least 85.6 %, the threshold of RULER; for comparison with it only",
    "falls under one half":
        "distance at which the non-increasing fit of R crosses 50 %; needs no shape",
    "evidence directly before":
        "accuracy without any distance: what the model can do at all, R = 100 %",
    "question alone": "accuracy without the history: what guessing earns, R = 0 %",
    "recency": "R of the nearest distances minus R of the middle ones, in points",
    "primacy": "R of the farthest distances minus R of the middle ones, in points",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LanguageProfiles:
    """What is retained under one scorer in one language, or in all.

    Attributes:
        runs: None where a comparison has no profile of this language.
        pairs: of each candidate with the baseline.
    """

    runs: tuple[Profile | None, ...]
    pairs: tuple[PairedRetention | None, ...] = ()


def language_profiles(
    run: Run, comparisons: Sequence[Comparison], mode: str, langs: Sequence[str]
) -> dict[str, LanguageProfiles]:
    """Profiles of all languages (`all`) and of each where there are several.

    Args:
        run: the baseline; without a comparison its rows are profiled here.
        comparisons: hold the profiles over their paired probes; the baseline's are those of the
            first.
        mode: the scorer.
        langs: languages asked; empty where nothing of the main condition was.
    """
    if not comparisons:
        groups = [(ALL, None), *((lang, lang) for lang in langs if len(langs) > 1)]
        return {
            name: LanguageProfiles((profile(run.outcomes, mode=mode, lang=lang),))
            for name, lang in (groups if langs else ())
        }
    found = [comparison.modes[mode].retention for comparison in comparisons]
    profiles = {}
    for name in dict.fromkeys(name for one in found for name in one):
        pairs = tuple(one.get(name) for one in found)
        base = next(pair.base for pair in pairs if pair)
        runs = (base, *(pair.candidate if pair else None for pair in pairs))
        profiles[name] = LanguageProfiles(runs, pairs)
    return profiles


@dataclass(frozen=True, slots=True)
class RetentionSection:
    """What the page shows of retention under one scorer.

    Attributes:
        remarks: why a model has no R, and what that means for a comparison.
        facts: one column a run.
        by_lang: the leading figures of each language, empty with one language.
        length_chart, distance_chart: None where no model is measurable.
        level_table: R by level; None where the suite has no levels.
        span_table: spans by history length; None alike.
        sentence: effective history length of a single run; empty for a comparison.
    """

    remarks: tuple[str, ...]
    facts: ReportTable
    by_lang: tuple[ReportTable, ...]
    length_chart: Chart | None
    length_table: ReportTable
    distance_chart: Chart | None
    distance_table: ReportTable
    level_table: ReportTable | None
    span_table: ReportTable | None
    sentence: str


def retention_section(
    mode: str, scorer: str, labels: Sequence[str], profiles: Mapping[str, LanguageProfiles]
) -> RetentionSection | None:
    """Everything shown of retention under one scorer; None where nothing was computed.

    Args:
        mode: the scorer.
        scorer: its name on the page.
        labels: of the runs.
        profiles: by language.
    """
    if ALL not in profiles:
        return None
    runs, pairs = profiles[ALL].runs, profiles[ALL].pairs
    lengths = {n: turns(n) for n in sorted({n for one in runs if one for n in one.by_length})}
    bins = [bin_name(n) for n in sorted({n for one in runs if one for n in one.by_distance})]
    places = dict(zip(bins, bins, strict=True))
    levels = {n: level_label(n) for n in sorted({n for one in runs if one for n in one.by_level})}
    longest = max(lengths, default=0)
    farthest = turns(longest)
    ends = [one.history.ehl if one else None for one in runs]
    drops = [end.turns if end and end.state != "before" else None for end in ends]
    axis = "history length"
    by_length = [one.by_length if one else {} for one in runs]
    by_distance = [_named(one.by_distance) if one else {} for one in runs]
    return RetentionSection(
        remarks=tuple(_remarks(labels, runs, pairs)),
        facts=ReportTable(f"What is kept, {scorer}", "", (), tuple(_facts(profiles[ALL], longest))),
        by_lang=tuple(
            ReportTable(f"What is kept, {plain(lang)}, {scorer}", "", (), headline_rows(found))
            for lang, found in profiles.items()
            if lang != ALL
        ),
        length_chart=retained_chart(
            f"chart-kept-{mode}",
            "Share of the ability that is kept, guesses removed",
            labels,
            by_length,
            lengths,
            ends=[kept_label(one.history) if one else "" for one in runs],
            drops=drops,
            level=RETAINED,
            xlabel=f"{axis}; a line falls to the axis at the effective {axis}"
            if any(drops)
            else axis,
        ),
        length_table=_slices(
            f"R by history length, {scorer}",
            "history",
            lengths,
            by_length,
            [one.by_length if one else {} for one in pairs],
        ),
        distance_chart=retained_chart(
            f"chart-distance-{mode}",
            f"Share that is kept by distance, history of {farthest}",
            labels,
            by_distance,
            places,
            ends=[half_life_words(one.half_life) if one else "" for one in runs],
            level=_HALF,
            xlabel="turns between the evidence and the question",
        ),
        distance_table=_slices(
            f"R by distance at {farthest}, {scorer}",
            "turns before the question",
            places,
            by_distance,
            [_named(one.by_distance) if one else {} for one in pairs],
        ),
        level_table=_slices(
            f"R by level, {scorer}",
            "level",
            levels,
            [one.by_level if one else {} for one in runs],
            [one.by_level if one else {} for one in pairs],
        )
        if levels
        else None,
        span_table=run_table(
            f"Span by history length, {scorer}",
            ("highest level kept",),
            lengths,
            [one.spans if one else {} for one in runs],
            lambda span: (span_value(span),),
        )
        if levels
        else None,
        sentence="" if pairs else _sentence(runs[0]),
    )


def _named(found: Mapping[Bin, Slice]) -> dict[str, Slice]:
    return {bin_name(key): item for key, item in found.items()}


def _slices(
    title: str,
    first: str,
    keys: Mapping[Key, str],
    runs: Sequence[Mapping[Key, Retention]],
    pairs: Sequence[Mapping[Key, Shift]],
) -> ReportTable:
    """R of every run with all it is made of, and its change in every candidate."""

    def values(point: Retention) -> Iterable[Value]:
        controls = (Value(word=percent(one)) for one in (point.adjacent, point.blind))
        return Value(point.n, "count"), Value(point.accuracy), *controls, retained_value(point)

    columns = ("n", "accuracy", "evidence directly before", "question alone", "R")
    caption = f"{title}; accuracies over all probes together"
    table = run_table(title, columns, keys, runs, values, first=first, caption=caption)
    rows = (
        replace(row, changes=tuple(shift_value(found.get(key)) for found in pairs))
        for key, row in zip(keys, table.rows, strict=True)
    )
    return replace(table, rows=tuple(rows))


def _sentence(found: Profile | None) -> str:
    """What a single run says about the effective history length."""
    if found is None or found.history.ehl is None:
        return ""
    ehl = found.history.ehl
    kept = f"at least 85 % of its score without distance up to {length_words(ehl)}"
    if ehl.state == "before":
        kept = f"less than 85 % of its score without distance at {turns(ehl.turns)} already"
    doubt = (
        "; observed, at some length there is no interval" if observed_only(found.history) else ""
    )
    return f"After guesses are removed it keeps {kept} (effective history length{doubt})."


def headline_rows(found: LanguageProfiles) -> tuple[TableRow, ...]:
    """Effective history length, half-life, spans and, with a candidate, the ratio."""
    rows = [
        _row("effective history length", found.runs, lambda one: length_value(one.history)),
        _row("half-life", found.runs, lambda one: half_life_value(one.half_life)),
    ]
    if any(one is not None and one.spans for one in found.runs):
        rows.append(_row("span", found.runs, lambda one: longest_span(one.spans)))
    if found.pairs:
        ratios = (ratio_value(pair.half_life) if pair else UNKNOWN for pair in found.pairs)
        name = "half-life, candidate over baseline"
        rows.append(TableRow(name, (UNKNOWN, *ratios), _MEANINGS[name]))
    return tuple(rows)


def _facts(found: LanguageProfiles, longest: int) -> list[TableRow]:
    """The table of what each model retains; `longest` is a history length."""

    def row(name: str, value: Callable[[Profile], Value]) -> TableRow:
        return _row(name, found.runs, value)

    length, *others = headline_rows(found)
    adjacent = row("evidence directly before", lambda one: control_value(one.adjacent))
    blind = row("question alone", lambda one: control_value(one.blind))
    absolute = row("the same, absolute", lambda one: Value(word=length_words(one.history.absolute)))
    if all(one is None or one.note for one in found.runs):
        span = [other for other in others if other.name == "span"]
        return [length, absolute, others[0], *span, adjacent, blind]
    rows = [
        length,
        row("the same, strict", lambda one: strict_value(one.history)),
        absolute,
        *others,
        row("falls under one half", lambda one: crossing_value(one.half_life.crossing)),
        adjacent,
        blind,
        row("recency", lambda one: shift_value(one.recency)),
        row("primacy", lambda one: shift_value(one.primacy)),
    ]
    if found.pairs:
        pairs = found.pairs
        changes = (shift_value(one.by_length.get(longest) if one else None) for one in pairs)
        about = "candidate minus baseline from the same resamples, in points"
        rows.append(TableRow(f"change of R at {turns(longest)}", (UNKNOWN, *changes), about))
    return rows


def _row(name: str, runs: Sequence[Profile | None], value: Callable[[Profile], Value]) -> TableRow:
    values = (UNKNOWN if found is None else value(found) for found in runs)
    return TableRow(name, tuple(values), _MEANINGS[name])


def _remarks(
    labels: Sequence[str],
    runs: Sequence[Profile | None],
    pairs: Sequence[PairedRetention | None],
) -> list[str]:
    """Models without R, and comparisons in which only one side has it."""
    found = [
        f"{plain(label)}: not measurable. {_why(one)}"
        for label, one in zip(labels, runs, strict=True)
        if one is not None and one.note
    ]
    return found + [
        f"{plain(label)}: R is {pair.one_sided}. With the evidence directly before the question "
        "only that one does much better than without it, so a change of R has no figure; ability "
        "and memory have theirs."
        for label, pair in zip(labels[1:], pairs, strict=False)
        if pair is not None and pair.one_sided
    ]


def _why(found: Profile) -> str:
    """The controls a ratio would rest on."""
    if found.adjacent is None or found.blind is None:
        return (
            "The evidence directly before the question and the question alone were not both asked."
        )
    return (
        f"It answers {percent(found.adjacent)} with the evidence directly before the question and "
        f"{percent(found.blind)} with the question alone; with less than 20 points between the "
        "two a ratio would be noise."
    )
