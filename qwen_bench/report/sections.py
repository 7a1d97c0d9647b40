"""Everything the page shows for one scorer, collected for the templates.

Joins summaries, comparisons and rows of the runs; computes no statistic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.probes.definitions import declared_chances
from qwen_bench.record.outcome import final_outcomes
from qwen_bench.report import text
from qwen_bench.report.answers import Reading, changed, rebuild, wrong
from qwen_bench.report.behaviour import (
    Survival,
    abstention_rows,
    guessable_families,
    survivals,
)
from qwen_bench.report.facts import FactRow, key_figures
from qwen_bench.report.figures import (
    Chart,
    families_chart,
    forest_chart,
    outcomes_chart,
    retention_chart,
)
from qwen_bench.report.length_distance_grid import Where, where_section
from qwen_bench.report.retention_section import (
    Kept,
    Profiles,
    headline_rows,
    kept_section,
    profiles_of_comparisons,
    profiles_of_run,
)

if TYPE_CHECKING:
    from qwen_bench.probes.suites import Suite
    from qwen_bench.record.outcome import Outcome, Run
    from qwen_bench.stats.results import Comparison, ModeComparison, ModeSummary

MODE_NAMES = {"generate": "Written answers (generate)", "rank": "Ranked answers (rank)"}
MODE_WORDS = {
    "generate": "The model writes its answer, right when it names the right value and no other.",
    "rank": "The model ranks the possible answers by log-probability per token; the first counts.",
}


@dataclass(frozen=True, slots=True)
class CandidateSection:
    """One candidate against the baseline under one scorer."""

    side: int
    label: str
    anchor: str
    comparison: ModeComparison
    forest: Chart
    outcomes: Chart | None


@dataclass(frozen=True, slots=True)
class ModeSection:
    """Everything shown for one scorer; the primary scorer comes first.

    Attributes:
        kept: retention; None where nothing of the main condition was asked.
        where: grid of history length by distance; None likewise.
        survivals: how long rules hold, one a rule family that was asked.
        abstention: both ways to be wrong about what was never said; empty if it was not asked.
        guessable: families some run answers without the history.
        answers: changed answers, of a single run the wrong ones; None for a secondary scorer.
    """

    mode: str
    name: str
    about: str
    primary: bool
    summaries: tuple[ModeSummary, ...]
    lengths: tuple[int, ...]
    families: tuple[str, ...]
    langs: tuple[str, ...]
    figures: tuple[FactRow, ...]
    curve: Chart | None
    family_chart: Chart | None
    candidates: tuple[CandidateSection, ...]
    kept: Kept | None
    where: Where | None
    survivals: tuple[Survival, ...]
    abstention: tuple[FactRow, ...]
    guessable: tuple[str, ...]
    answers: Reading | None


def mode_section(
    mode: str,
    runs: Sequence[Run],
    labels: Sequence[str],
    summaries: Sequence[ModeSummary],
    comparisons: Sequence[Comparison],
    *,
    answers: Reading | None,
) -> ModeSection:
    """Collect the tables and charts of one scorer.

    Args:
        mode: the scorer, asked in every run.
        runs: baseline first.
        labels: of the runs.
        summaries: of the runs under this scorer.
        comparisons: of each candidate with the baseline; none for a profile.
        answers: for the primary scorer.
    """
    rows = [[row for row in final_outcomes(run.outcomes) if row.mode == mode] for run in runs]
    lengths = sorted({n for summary in summaries for n in summary.by_length})
    families = dict.fromkeys(name for summary in summaries for name in summary.by_family)
    langs = tuple(sorted({lang for summary in summaries for lang in summary.by_lang}))
    profiles = Profiles({}, ())
    if comparisons:
        profiles = profiles_of_comparisons(comparisons, mode)
    elif lengths:
        profiles = profiles_of_run(runs[0], mode, langs)
    return ModeSection(
        mode=mode,
        name=MODE_NAMES.get(mode, text.plain(mode)),
        about=MODE_WORDS.get(mode, ""),
        primary=answers is not None,
        summaries=tuple(summaries),
        lengths=tuple(lengths),
        families=tuple(families),
        langs=langs,
        figures=key_figures(summaries, headline_rows(profiles)),
        curve=retention_chart(mode, labels, summaries) if lengths else None,
        family_chart=families_chart(mode, labels, summaries) if families else None,
        candidates=tuple(
            _candidate_section(mode, side, labels[side], comparison)
            for side, comparison in enumerate(comparisons, 1)
        ),
        kept=kept_section(mode, labels, profiles),
        where=where_section(mode, labels, rows),
        survivals=survivals(rows),
        abstention=abstention_rows(rows),
        guessable=guessable_families(rows, declared_chances()),
        answers=answers,
    )


def _candidate_section(
    mode: str, side: int, label: str, comparison: Comparison
) -> CandidateSection:
    cells = comparison.modes[mode]
    name = f"{mode}-{side}"
    return CandidateSection(
        side=side,
        label=label,
        anchor=f"difference-{text.slug(name)}",
        comparison=cells,
        forest=forest_chart(f"chart-forest-{name}", label, cells, comparison.margin),
        outcomes=outcomes_chart(f"chart-outcomes-{name}", label, cells.by_length)
        if cells.by_length
        else None,
    )


def reading(
    mode: str, runs: Sequence[Run], comparisons: Sequence[Comparison], suite: Suite | None
) -> Reading:
    """Changed answers of a comparison, wrong answers of a single run.

    Args:
        mode: the scorer.
        runs: baseline first.
        comparisons: of each candidate with the baseline.
        suite: to rebuild the conversations; None leaves them out.
    """
    sides: list[dict[str, Outcome]] = [
        {row.probe_id: row for row in final_outcomes(run.outcomes) if row.mode == mode}
        for run in runs
    ]
    facts = runs[0].manifest.suite
    if not comparisons:
        failed = {row.probe_id for row in sides[0].values() if not row.value}
        return wrong(sides[0], *rebuild(suite, facts, failed))
    changes = [(c.modes[mode].lost_ids, c.modes[mode].gained_ids) for c in comparisons]
    wanted = {probe_id for lost, gained in changes for probe_id in (*lost, *gained)}
    return changed(sides, changes, *rebuild(suite, facts, wanted))
