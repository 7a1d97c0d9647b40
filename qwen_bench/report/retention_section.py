"""What each model keeps, for the page: profiles of one scorer as tables and charts.

Takes the profiles from comparisons, or of one run from `stats.profile`; computes no statistic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.report import retention_words as words
from qwen_bench.report.charts.heat_map import bin_name
from qwen_bench.report.facts import FactRow, Value
from qwen_bench.report.figures import Chart
from qwen_bench.report.retention_charts import distance_chart, length_chart
from qwen_bench.report.text import percent, plain, plural
from qwen_bench.stats.paired_retention import ALL
from qwen_bench.stats.profile import profile

if TYPE_CHECKING:
    from qwen_bench.record.outcome import Run
    from qwen_bench.stats.paired_retention import PairedRetention
    from qwen_bench.stats.profile import Profile
    from qwen_bench.stats.results import Comparison
    from qwen_bench.stats.retention import Retention, Shift


@dataclass(frozen=True, slots=True)
class Profiles:
    """Profiles under one scorer.

    Attributes:
        runs: by language group (`all` first), one a run; None where a comparison has none.
        pairs: of each candidate, by language group.
    """

    runs: Mapping[str, tuple[Profile | None, ...]]
    pairs: tuple[Mapping[str, PairedRetention], ...]


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One slice: R of every run and its change in every candidate."""

    name: str
    runs: tuple[Retention | None, ...]
    changes: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """What the templates show of retention under one scorer.

    Attributes:
        remarks: why a model has no R, and what that means for a comparison.
        facts: one column a run.
        by_lang: the leading figures of each language, empty with one language.
        length_chart, distance_chart: None where no model is measurable.
        farthest: history length of the distance slice.
        sentence: effective history length of a single run; empty for a comparison.
    """

    remarks: tuple[str, ...]
    facts: tuple[FactRow, ...]
    by_lang: tuple[tuple[str, tuple[FactRow, ...]], ...]
    length_chart: Chart | None
    length_rows: tuple[SliceRow, ...]
    distance_chart: Chart | None
    distance_rows: tuple[SliceRow, ...]
    farthest: int
    sentence: str


def profiles_of_run(run: Run, mode: str, langs: Sequence[str]) -> Profiles:
    """Profile of one run, of all languages and of each where there are several.

    Args:
        run: with rows of the main condition under this scorer.
        mode: the scorer.
        langs: languages asked.
    """
    groups: dict[str, str | None] = {ALL: None}
    groups |= {lang: lang for lang in langs if len(langs) > 1}
    runs = {name: (profile(run.outcomes, mode=mode, lang=lang),) for name, lang in groups.items()}
    return Profiles(runs, ())


def profiles_of_comparisons(comparisons: Sequence[Comparison], mode: str) -> Profiles:
    """Profiles over the paired probes; the baseline's are those of the first comparison."""
    pairs = tuple(comparison.modes[mode].retention for comparison in comparisons)
    groups = dict.fromkeys(name for found in pairs for name in found)
    runs: dict[str, tuple[Profile | None, ...]] = {}
    for name in groups:
        base = next(found[name].base for found in pairs if name in found)
        runs[name] = (
            base,
            *(found[name].candidate if name in found else None for found in pairs),
        )
    return Profiles(runs, pairs)


def kept_section(mode: str, labels: Sequence[str], profiles: Profiles) -> Kept | None:
    """Everything shown of retention under one scorer; None where nothing was computed."""
    runs = profiles.runs.get(ALL)
    if runs is None:
        return None
    pairs = [found.get(ALL) for found in profiles.pairs]
    lengths = sorted({n for found in runs if found for n in found.by_length})
    bins = sorted({n for found in runs if found for n in found.by_distance})
    farthest = lengths[-1] if lengths else 0
    return Kept(
        remarks=tuple(_remarks(labels, runs, pairs)),
        facts=tuple(_facts(runs, pairs, farthest)),
        by_lang=tuple(
            (
                lang,
                tuple(_leading(found, [pair.get(lang) for pair in profiles.pairs])),
            )
            for lang, found in profiles.runs.items()
            if lang != ALL
        ),
        length_chart=length_chart(mode, labels, runs, lengths),
        length_rows=tuple(
            SliceRow(
                plural(length, "turn"),
                tuple(found.by_length.get(length) if found else None for found in runs),
                tuple(
                    words.shift_value(pair.by_length.get(length) if pair else None)
                    for pair in pairs
                ),
            )
            for length in lengths
        ),
        distance_chart=distance_chart(mode, labels, runs, bins, farthest),
        distance_rows=tuple(
            SliceRow(
                bin_name(item),
                tuple(found.by_distance.get(item) if found else None for found in runs),
                tuple(
                    words.shift_value(pair.by_distance.get(item) if pair else None)
                    for pair in pairs
                ),
            )
            for item in bins
        ),
        farthest=farthest,
        sentence="" if pairs else _sentence(runs[0]),
    )


def _sentence(found: Profile | None) -> str:
    """What a single run says about the effective history length."""
    if found is None or found.history.ehl is None:
        return ""
    ehl = found.history.ehl
    if ehl.state == "before":
        return (
            f"After guesses are removed it keeps less than 85 % of its score without distance at "
            f"{plural(ehl.turns, 'turn')} already (effective history length)."
        )
    return (
        f"After guesses are removed it keeps at least 85 % of its score without distance up to "
        f"{words.length_words(ehl)} (effective history length)."
    )


def headline_rows(profiles: Profiles) -> tuple[FactRow, ...]:
    """Effective history length and half-life, for the key figures; empty without profiles."""
    runs = profiles.runs.get(ALL)
    if runs is None:
        return ()
    return tuple(_leading(runs, [found.get(ALL) for found in profiles.pairs]))


def _facts(
    runs: Sequence[Profile | None], pairs: Sequence[PairedRetention | None], farthest: int
) -> list[FactRow]:
    """The table of what each model keeps."""
    leading = _leading(runs, pairs)
    controls = [
        FactRow(
            "evidence directly before",
            _each(runs, lambda one: words.share_value(one.adjacent)),
            "accuracy without any distance: what the model can do at all, R = 100 %",
        ),
        FactRow(
            "question alone",
            _each(runs, lambda one: words.share_value(one.blind)),
            "accuracy without the history: what guessing earns, R = 0 %",
        ),
    ]
    absolute = FactRow(
        "the same, absolute",
        _each(runs, lambda one: Value(words.length_words(one.history.absolute))),
        "plain accuracy at least 85.6 %, the threshold of RULER; for comparison with it only",
    )
    if all(one is None or one.note for one in runs):
        return [leading[0], absolute, leading[1], *controls]
    changes: list[Shift | None] = [pair.by_length.get(farthest) if pair else None for pair in pairs]
    rows = [
        leading[0],
        FactRow(
            "the same, strict",
            _each(runs, lambda one: words.strict_value(one.history)),
            "with the lower end of the interval of R instead of R",
        ),
        absolute,
        *leading[1:],
        FactRow(
            "falls under one half",
            _each(runs, lambda one: words.crossing_value(one.half_life.crossing)),
            "distance at which the non-increasing fit of R crosses 50 %; needs no shape",
        ),
        *controls,
        FactRow(
            "recency",
            _each(runs, lambda one: words.shift_value(one.recency)),
            "R of the nearest distances minus R of the middle ones, in points",
        ),
        FactRow(
            "primacy",
            _each(runs, lambda one: words.shift_value(one.primacy)),
            "R of the farthest distances minus R of the middle ones, in points",
        ),
    ]
    if pairs:
        rows.append(
            FactRow(
                f"change of R at {plural(farthest, 'turn')}",
                (Value("–"), *(words.shift_value(change) for change in changes)),
                "candidate minus baseline from the same resamples, in points",
            )
        )
    return rows


def _leading(
    runs: Sequence[Profile | None], pairs: Sequence[PairedRetention | None]
) -> list[FactRow]:
    """Effective history length, half-life and, with a candidate, its ratio."""
    rows = [
        FactRow(
            "effective history length",
            _each(runs, lambda one: words.length_value(one.history)),
            "largest history up to which at least 85 % is kept, at every shorter one too",
        ),
        FactRow(
            "half-life",
            _each(runs, lambda one: words.half_life_value(one.half_life)),
            "distance after which half of the ability is left, at the longest history",
        ),
    ]
    if pairs:
        ratios = (words.ratio_value(pair.half_life) if pair else Value("–") for pair in pairs)
        rows.append(
            FactRow("half-life, candidate over baseline", (Value("–"), *ratios), "above 1: longer")
        )
    return rows


def _each(runs: Sequence[Profile | None], value: Callable[[Profile], Value]) -> tuple[Value, ...]:
    return tuple(Value("–") if found is None else value(found) for found in runs)


def _remarks(
    labels: Sequence[str],
    runs: Sequence[Profile | None],
    pairs: Sequence[PairedRetention | None],
) -> list[str]:
    """Models without R, and abilities that only one side has."""
    found = [
        f"{plain(label)}: not measurable. {_why(one)}"
        for label, one in zip(labels, runs, strict=True)
        if one is not None and one.note
    ]
    return found + [
        f"{plain(label)} has {plain(pair.ability)}: only one of the two models can do the task "
        "with the evidence directly before the question, so what they keep cannot be compared."
        for label, pair in zip(labels[1:], pairs, strict=False)
        if pair is not None and pair.ability
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
