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
from qwen_bench.report.answers import REASON_WORDS
from qwen_bench.report.effort import effort_rows
from qwen_bench.report.facts import (
    STATUS_FIELDS,
    FactRow,
    RunCard,
    has_failures,
    run_cards,
    unique_labels,
)
from qwen_bench.report.figures import Chart, strip_chart
from qwen_bench.report.retention_words import kept_value
from qwen_bench.report.sections import ModeSection, mode_section, reading
from qwen_bench.stats.verdict import sentences

if TYPE_CHECKING:
    from qwen_bench.probes.suites import Suite
    from qwen_bench.record.manifest import SuiteInfo
    from qwen_bench.record.outcome import Run
    from qwen_bench.stats.results import Cell, Comparison, ModeSummary

MOST_RUNS = 5
"""Colours, dashes and markers stop being distinguishable above this."""

BADGES = {
    "regressed": ("▼", "Regressed"),
    "improved": ("▲", "Improved"),
    "within noise": ("●", "Within noise"),
    "not worse": ("✓", "Not worse"),
    "inconclusive": ("?", "Inconclusive"),
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
    suite: SuiteInfo
    method: Mapping[str, float] | None


def build_report(
    runs: Sequence[Run],
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
    runs: Sequence[Run],
    summaries: Sequence[Mapping[str, ModeSummary]],
    comparisons: Sequence[Comparison],
    suite: Suite | None,
    *,
    title: str | None,
) -> PageData:
    """Collect what the templates read; arguments as for `build_report`."""
    labels = unique_labels(runs)
    suite_facts = runs[0].manifest.suite
    if comparisons:
        primary = comparisons[0].primary
        shared = [
            mode for mode in comparisons[0].modes if all(mode in c.modes for c in comparisons)
        ]
    else:
        shared = list(summaries[0])
        primary = suite_facts.primary
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
            mode_section(
                mode,
                runs,
                labels,
                [summary[mode] for summary in summaries],
                comparisons,
                answers=reading(mode, runs, comparisons, suite) if mode == modes[0] else None,
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
            "decimal", "size", "tokens", "plain", "slug", "private",
        )
    }  # fmt: skip
    environment.filters["kept_value"] = kept_value
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
