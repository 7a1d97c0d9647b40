"""The report page: runs, summaries and comparisons in, one HTML text out.

Pure: no file is read but the package's own templates, no clock, no host, no network; equal inputs
give equal bytes. Computes no statistic; every number comes from `stats` or a manifest. Knows
nothing of engines or run folders.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from qwen_bench.errors import InputError
from qwen_bench.report import text
from qwen_bench.report.answers import REASON_WORDS, Reading, changed, rebuild, wrong
from qwen_bench.report.facts import (
    STATUS_FIELDS,
    FactRow,
    RunCard,
    effort_rows,
    has_failures,
    key_figures,
    run_cards,
    unique_labels,
)
from qwen_bench.report.figures import (
    Chart,
    families_chart,
    forest_chart,
    outcomes_chart,
    retention_chart,
    strip_chart,
)
from qwen_bench.stats.pairing import final_outcomes
from qwen_bench.stats.verdict import sentences

if TYPE_CHECKING:
    from qwen_bench.probes.suites import Suite
    from qwen_bench.scoring.outcome import Outcome
    from qwen_bench.stats.model import Cell, Comparison, ModeComparison, ModeSummary
    from qwen_bench.stats.pairing import RunView

MOST_RUNS = 5
"""Colours, dashes and markers stop being distinguishable above this."""

BADGES = {
    "regressed": ("▼", "Regressed"),
    "improved": ("▲", "Improved"),
    "within noise": ("●", "Within noise"),
    "not worse": ("✓", "Not worse"),
    "inconclusive": ("?", "Inconclusive"),
}

MODE_NAMES = {"generate": "Written answers (generate)", "rank": "Ranked answers (rank)"}
MODE_WORDS = {
    "generate": "The model writes its answer, right when it names the right value and no other.",
    "rank": "The model ranks the possible answers by log-probability per token; the first counts.",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the card, or one row of the table of cards, says about one candidate."""

    side: int
    label: str
    tone: str
    symbol: str
    word: str
    first: str
    second: str
    cell: Cell
    strip: Chart
    remarks: tuple[str, ...]


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
    answers: Reading | None


@dataclass(frozen=True, slots=True)
class PageData:
    """All the templates read.

    Attributes:
        profile: one run, no comparison.
        suite: (name, value) facts of the suite.
        method: margin in points, alpha and seed of the comparisons; None for a profile.
    """

    title: str
    profile: bool
    runs: tuple[RunCard, ...]
    verdicts: tuple[Verdict, ...]
    modes: tuple[ModeSection, ...]
    effort: tuple[FactRow, ...]
    comparisons: tuple[Comparison, ...]
    suite: Mapping[str, object]
    method: Mapping[str, float] | None


def build_report(
    runs: Sequence[RunView],
    summaries: Sequence[Mapping[str, ModeSummary]],
    comparisons: Sequence[Comparison],
    suite: Suite | None,
    *,
    title: str | None = None,
) -> str:
    """Make the page.

    Args:
        runs: one (profile), or the baseline and one to four candidates.
        summaries: of each run, by scorer.
        comparisons: of each candidate with the baseline, in the order of `runs[1:]`.
        suite: the suite the runs were asked, to show conversations; with None, or a suite that is
            not the one in the manifests, the page says why they are absent.
        title: heading of the page; by default the names of the runs.

    Returns:
        A complete HTML document.

    Raises:
        InputError: no run or more than five.
        ValueError: summaries or comparisons do not belong to the runs.
    """
    if not 1 <= len(runs) <= MOST_RUNS:
        raise InputError(
            f"a report shows 1 to {MOST_RUNS} runs, not {len(runs)}",
            fix="make several reports, each with the baseline first",
        )
    if len(summaries) != len(runs) or len(comparisons) != len(runs) - 1:
        raise ValueError("every run needs a summary and every run but the first a comparison")
    return render(page_data(runs, summaries, comparisons, suite, title=title))


def page_data(
    runs: Sequence[RunView],
    summaries: Sequence[Mapping[str, ModeSummary]],
    comparisons: Sequence[Comparison],
    suite: Suite | None,
    *,
    title: str | None,
) -> PageData:
    """Collect what the templates read; arguments as for `build_report`."""
    labels = unique_labels(runs)
    suite_facts = runs[0].manifest.get("suite") or {}
    if comparisons:
        primary = comparisons[0].primary
        shared = [
            mode for mode in comparisons[0].modes if all(mode in c.modes for c in comparisons)
        ]
    else:
        shared = list(summaries[0])
        primary = suite_facts.get("primary") or next(iter(sorted(shared)), "generate")
    modes = sorted(
        (mode for mode in shared if all(mode in summary for summary in summaries)),
        key=lambda mode: (mode != primary, mode),
    )
    return PageData(
        title=text.one_line(title) if title else _title(labels),
        profile=not comparisons,
        runs=run_cards(runs, labels),
        verdicts=tuple(
            _verdict(side, labels[side], comparison)
            for side, comparison in enumerate(comparisons, 1)
        ),
        modes=tuple(
            _mode_section(
                mode,
                labels,
                [summary[mode] for summary in summaries],
                comparisons,
                answers=_reading(mode, runs, comparisons, suite) if mode == modes[0] else None,
            )
            for mode in modes
        ),
        effort=effort_rows(runs),
        comparisons=tuple(comparisons),
        suite=suite_facts,
        method={
            "margin": 100 * comparisons[0].margin,
            "alpha": comparisons[0].alpha,
            "seed": comparisons[0].seed,
        }
        if comparisons
        else None,
    )


def render(data: PageData) -> str:
    """Fill the templates; style and script come from the package and stand in the page."""
    environment = Environment(
        loader=PackageLoader("qwen_bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        name: getattr(text, name)
        for name in (
            "percent", "points", "interval", "points_interval", "p_value", "count", "plural",
            "tokens", "plain", "slug", "private",
        )
    }  # fmt: skip
    # The policy names the hash of exactly the text between the script tags.
    script = environment.get_template("report.js").render()
    digest = hashlib.sha256(script.encode()).digest()
    return environment.get_template("base.html.j2").render(
        page=data,
        script_hash=base64.b64encode(digest).decode(),
        statuses=STATUS_FIELDS,
        has_failures=has_failures,
        reason_words=REASON_WORDS,
    )


def _title(labels: Sequence[str]) -> str:
    if len(labels) == 1:
        return f"Conversation memory of {labels[0]}"
    if len(labels) == 2:
        return f"{labels[1]} against {labels[0]}"
    return f"{len(labels) - 1} candidates against {labels[0]}"


def _verdict(side: int, label: str, comparison: Comparison) -> Verdict:
    cell = comparison.verdict
    symbol, word = BADGES[cell.word] if cell.word else ("–", "No verdict")
    first, second = sentences(comparison)
    allowed = [
        f"Allowed difference: {item.field} is {text.private(item.base, name=item.field)} for the "
        f"baseline and {text.private(item.candidate, name=item.field)} for the candidate."
        for item in comparison.settings
        if item.kind == "must match"
    ]
    return Verdict(
        side=side,
        label=label,
        tone=text.slug(cell.word or "none"),
        symbol=symbol,
        word=word,
        first=text.true_minus(text.plain(first)),
        second=text.true_minus(text.plain(second)),
        cell=cell,
        strip=strip_chart(f"chart-verdict-{side}", cell, comparison.margin),
        remarks=tuple(text.private(line) for line in (*comparison.warnings, *allowed)),
    )


def _mode_section(
    mode: str,
    labels: Sequence[str],
    summaries: Sequence[ModeSummary],
    comparisons: Sequence[Comparison],
    *,
    answers: Reading | None,
) -> ModeSection:
    lengths = sorted({n for summary in summaries for n in summary.by_length})
    families = dict.fromkeys(name for summary in summaries for name in summary.by_family)
    return ModeSection(
        mode=mode,
        name=MODE_NAMES.get(mode, text.plain(mode)),
        about=MODE_WORDS.get(mode, ""),
        primary=answers is not None,
        summaries=tuple(summaries),
        lengths=tuple(lengths),
        families=tuple(families),
        langs=tuple(sorted({lang for summary in summaries for lang in summary.by_lang})),
        figures=key_figures(summaries),
        curve=retention_chart(mode, labels, summaries) if lengths else None,
        family_chart=families_chart(mode, labels, summaries) if families else None,
        candidates=tuple(
            _candidate_section(mode, side, labels[side], comparison)
            for side, comparison in enumerate(comparisons, 1)
        ),
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


def _reading(
    mode: str, runs: Sequence[RunView], comparisons: Sequence[Comparison], suite: Suite | None
) -> Reading:
    """Changed answers of a comparison, wrong answers of a single run."""
    sides: list[dict[str, Outcome]] = [
        {row.probe_id: row for row in final_outcomes(run.outcomes) if row.mode == mode}
        for run in runs
    ]
    facts = runs[0].manifest.get("suite") or {}
    if not comparisons:
        failed = {row.probe_id for row in sides[0].values() if not row.value}
        return wrong(sides[0], *rebuild(suite, facts, failed))
    changes = [(c.modes[mode].lost_ids, c.modes[mode].gained_ids) for c in comparisons]
    wanted = {probe_id for lost, gained in changes for probe_id in (*lost, *gained)}
    return changed(sides, changes, *rebuild(suite, facts, wanted))
