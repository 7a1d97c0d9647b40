"""The report page: runs, summaries and comparisons in, one HTML text out.

Pure: no file is read but the package's own templates, no clock, no host, no network; equal inputs
give equal bytes. Computes no statistic; every number comes from `stats` or a manifest. Knows
nothing of engines or run folders.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from qwen_bench.errors import InputError
from qwen_bench.record import formats
from qwen_bench.record.formats import turns
from qwen_bench.record.outcome import final_outcomes
from qwen_bench.report import untrusted_text as text
from qwen_bench.report.answers import REASON_WORDS, AnswersToRead, changed, rebuild, wrong
from qwen_bench.report.charts.accuracy_by_family import families_chart
from qwen_bench.report.charts.differences import forest_chart, strip_chart
from qwen_bench.report.charts.length_distance_grid import grid_section
from qwen_bench.report.charts.lines import accuracy_chart, tokens_chart
from qwen_bench.report.charts.outcomes import outcomes_chart
from qwen_bench.report.retention_section import (
    headline_rows,
    language_profiles,
    retention_section,
)
from qwen_bench.report.retention_words import bin_name
from qwen_bench.report.run_cards import run_card, unique_labels
from qwen_bench.report.run_tables import (
    abstention_table,
    counters_table,
    guessable_families,
    key_figures,
    level_loads,
    paces_table,
    policy_table,
    rules_table,
    status_table,
    survival_tables,
    tokens_table,
    uncounted_prompts,
)
from qwen_bench.report.tables import (
    ABSENT,
    Key,
    ReportTable,
    accounting_table,
    accuracy_table,
    effects_table,
    gates_table,
    languages_table,
    outcomes_table,
    paired_table,
    parts_table,
)
from qwen_bench.stats.paired_retention import ALL
from qwen_bench.stats.sentences import sentences
from qwen_bench.stats.span import level_label
from qwen_bench.stats.token_bins import token_bin_name

if TYPE_CHECKING:
    from qwen_bench.probes.suites import Suite
    from qwen_bench.record.outcome import Outcome, Run
    from qwen_bench.stats.results import Cell, Comparison, ModeComparison, ModeSummary

MOST_RUNS = 5
"""Colours, dashes and markers stop being distinguishable above this."""

_BADGES = {
    "regressed": ("▼", "Regressed"),
    "improved": ("▲", "Improved"),
    "within noise": ("●", "Within noise"),
    "not worse": ("✓", "Not worse"),
    "inconclusive": ("?", "Inconclusive"),
    "cannot tell": ("?", "Cannot tell"),
}
_SCORERS = {
    "generate": (
        "Written answers (generate)",
        "The model writes its answer, right when it names the right value and no other.",
    ),
    "rank": (
        "Ranked answers (rank)",
        "The model ranks the possible answers by log-probability per token; the first counts.",
    ),
}
_CONDITIONS = {
    "adjacent": "evidence directly before (adjacent)",
    "main": "whole history (main)",
    "blind": "question alone (blind)",
}


def build_report(
    runs: Sequence[Run],
    summaries: Sequence[Mapping[str, ModeSummary]],
    comparisons: Sequence[Comparison],
    suite: Suite | None,
    *,
    chances: Mapping[str, float],
    loads: Mapping[str, tuple[str, tuple[int, ...]]],
    title: str | None = None,
) -> str:
    """Make the page.

    Args:
        runs: one (profile), or the baseline and one to four candidates.
        summaries: of each run, by scorer.
        comparisons: of each candidate with the baseline, in the order of `runs[1:]`.
        suite: the suite the runs were asked, to show conversations; with None, or a suite that is
            not the one in the manifests, the page says why they are absent.
        chances: score of a uniform guess by family.
        loads: by family what its levels count, and how many at each.
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
    labels = unique_labels(
        [text.one_line(run.label) or text.one_line(run.run_id) for run in runs],
        [text.one_line(run.run_id) for run in runs],
    )
    primary = comparisons[0].primary if comparisons else runs[0].manifest.suite.primary
    asked = [*summaries, *(comparison.modes for comparison in comparisons)]
    modes = sorted(
        (mode for mode in summaries[0] if all(mode in found for found in asked)),
        key=lambda mode: (mode != primary, mode),
    )
    return _render(
        title=text.one_line(title) if title else _title(labels),
        profile=not comparisons,
        runs=tuple(map(run_card, range(len(runs)), labels, runs)),
        verdicts=tuple(map(_verdict, range(1, len(runs)), labels[1:], comparisons)),
        modes=tuple(
            _mode_section(
                mode,
                runs,
                labels,
                [summary[mode] for summary in summaries],
                comparisons,
                chances=chances,
                loads=loads,
                answers=_answers(mode, runs, comparisons, suite) if mode == modes[0] else None,
            )
            for mode in modes
        ),
        counters=counters_table(runs),
        accounting=accounting_table(comparisons, labels[1:]),
        comparisons=tuple(comparisons),
        suite=runs[0].manifest.suite,
        method={
            "margin": formats.bare(comparisons[0].margin),
            "alpha": comparisons[0].alpha,
            "seed": comparisons[0].seed,
        }
        if comparisons
        else None,
    )


def _render(**page: object) -> str:
    """Fill the templates; style and script come from the package and stand in the page.

    Args:
        page: all they read; a name that is missing is an error.
    """
    environment = Environment(
        loader=PackageLoader("qwen_bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    numbers = ("percent", "points", "interval", "points_interval", "p_value", "count", "plural")
    names = ("plain", "slug", "private")
    environment.filters |= {name: getattr(formats, name) for name in (*numbers, "decimal", "size")}
    environment.filters |= {name: getattr(text, name) for name in names}
    environment.globals["absent"] = ABSENT
    # The policy names the hash of exactly the text between the script tags.
    script = environment.get_template("report.js").render()
    digest = hashlib.sha256(script.encode()).digest()
    return environment.get_template("base.html.j2").render(
        page=page,
        script_hash=base64.b64encode(digest).decode(),
        reason_words=REASON_WORDS,
    )


def _title(labels: Sequence[str]) -> str:
    if len(labels) == 1:
        return f"Conversation memory of {labels[0]}"
    if len(labels) == 2:
        return f"{labels[1]} against {labels[0]}"
    return f"{len(labels) - 1} candidates against {labels[0]}"


def _verdict(side: int, label: str, comparison: Comparison) -> SimpleNamespace:
    """What the card, or one row of the table of cards, says about one candidate."""
    cell = comparison.verdict
    symbol, word = _BADGES[cell.word] if cell.word else ("–", "No verdict")
    allowed = [
        f"Allowed difference: {item.field} is {text.private(item.base, name=item.field)} for the "
        f"baseline and {text.private(item.candidate, name=item.field)} for the candidate."
        for item in comparison.settings
        if item.kind == "must match"
    ]
    return SimpleNamespace(
        side=side,
        label=label,
        tone=text.slug(cell.word or "none"),
        symbol=symbol,
        word=word,
        sentences=tuple(formats.true_minus(text.plain(line)) for line in sentences(comparison)),
        cell=cell,
        strip=strip_chart(f"chart-verdict-{side}", cell, comparison.margin),
        gates=gates_table(comparison.gates),
        remarks=tuple(text.private(line) for line in (*comparison.warnings, *allowed)),
    )


def _mode_section(
    mode: str,
    runs: Sequence[Run],
    labels: Sequence[str],
    summaries: Sequence[ModeSummary],
    comparisons: Sequence[Comparison],
    *,
    chances: Mapping[str, float],
    loads: Mapping[str, tuple[str, tuple[int, ...]]],
    answers: AnswersToRead | None,
) -> SimpleNamespace:
    """Everything shown for one scorer; None stands for what was not asked.

    Args:
        mode: the scorer, asked in every run.
        runs: baseline first.
        labels: of the runs.
        summaries: of the runs under this scorer.
        comparisons: of each candidate with the baseline; none for a profile.
        chances: score of a uniform guess by family.
        loads: by family what its levels count, and how many at each.
        answers: for the primary scorer.
    """
    name, about = _SCORERS.get(mode, (text.plain(mode), ""))
    scorer = name.lower()
    rows = [[row for row in final_outcomes(run.outcomes) if row.mode == mode] for run in runs]
    lengths = {n: turns(n) for n in sorted({n for one in summaries for n in one.by_length})}
    families = {name: name for one in summaries for name in one.by_family}
    langs = {lang: lang for lang in sorted({lang for one in summaries for lang in one.by_lang})}
    levels = {n: level_label(n) for n in sorted({n for one in summaries for n in one.by_level})}
    profiles = language_profiles(runs[0], comparisons, mode, tuple(langs))

    def accuracy(title: str, first: str, keys: Mapping[Key, str], field: str) -> ReportTable:
        slices = [getattr(summary, field) for summary in summaries]
        return accuracy_table(f"{title}, {scorer}", first, keys, slices)

    return SimpleNamespace(
        mode=mode,
        name=name,
        about=about,
        primary=answers is not None,
        summaries=tuple(summaries),
        lengths=tuple(lengths),
        langs=tuple(langs),
        levels=tuple(levels),
        loads=level_loads(families, levels, loads),
        figures=key_figures(
            f"Key figures, {scorer}",
            summaries,
            headline_rows(profiles[ALL]) if ALL in profiles else (),
        ),
        statuses=status_table(f"Probes by status and history length, {scorer}", summaries, lengths),
        curve=accuracy_chart(mode, labels, summaries) if lengths else None,
        by_length=accuracy_table(
            f"Accuracy by history length, {scorer}",
            "history",
            lengths,
            [summary.by_length for summary in summaries],
        ),
        tokens_chart=tokens_chart(mode, labels, summaries),
        by_tokens=tokens_table(f"Accuracy by prompt tokens, {scorer}", summaries),
        uncounted=uncounted_prompts(summaries),
        family_chart=families_chart(mode, labels, summaries) if families else None,
        by_family=accuracy("Accuracy by family", "family", families, "by_family"),
        by_lang=accuracy("Accuracy by language", "language", langs, "by_lang"),
        by_level=accuracy("Accuracy by level", "level", levels, "by_level"),
        candidates=tuple(
            _candidate_section(mode, scorer, side, labels[side], comparison)
            for side, comparison in enumerate(comparisons, 1)
        ),
        retention=retention_section(mode, scorer, labels, profiles),
        grid=grid_section(mode, scorer, labels, rows),
        cut=policy_table(
            f"What the history policy cut, {scorer}",
            f"Evidence that the history policy left in sight, {scorer}; macro average over "
            "families",
            summaries,
            lengths,
        ),
        survivals=survival_tables(rows, scorer),
        rules=rules_table(f"Form and content of replies to rules, {scorer}", rows),
        paces=paces_table(f"Tokens or turns, {scorer}", summaries),
        abstention=abstention_table(f"Abstention, {scorer}", rows),
        controls=(
            accuracy("Accuracy by condition", "condition", _CONDITIONS, "by_condition"),
            accuracy("Question alone, by family", "family", families, "blind_by_family"),
            accuracy(
                "Evidence directly before, by family", "family", families, "adjacent_by_family"
            ),
        ),
        guessable=guessable_families(rows, chances),
        answers=answers,
    )


def _candidate_section(
    mode: str, scorer: str, side: int, label: str, comparison: Comparison
) -> SimpleNamespace:
    """One candidate against the baseline under one scorer."""
    cells = comparison.modes[mode]
    name = f"{mode}-{side}"
    minus = f"{label} minus baseline, {scorer}"
    against = f"{label} against the baseline, {scorer}"
    by_length = {turns(length): cell for length, cell in sorted(cells.by_length.items())}
    by_level = {level_label(level): cell for level, cell in cells.by_level.items()}
    by_tokens = {token_bin_name(most): cell for most, cell in cells.by_tokens.items()}
    return SimpleNamespace(
        side=side,
        label=label,
        anchor=f"difference-{text.slug(name)}",
        comparison=cells,
        forest=forest_chart(f"chart-forest-{name}", label, cells, comparison.margin),
        outcomes=outcomes_chart(f"chart-outcomes-{name}", label, cells.by_length)
        if cells.by_length
        else None,
        by_length=paired_table(f"By history length: {minus}", "history", by_length, cells.overall),
        by_family=paired_table(
            f"By family: {minus}; p adjusted over the families (Holm)",
            "family",
            cells.by_family,
            adjusted=True,
        ),
        by_lang=paired_table(f"By language: {minus}", "language", cells.by_lang),
        by_level=paired_table(f"By level: {minus}", "level", by_level) if by_level else None,
        by_tokens=paired_table(f"By prompt tokens: {minus}", "prompt tokens", by_tokens)
        if len(by_tokens) > 1
        else None,
        parts=_parts(cells, against, {"history": by_length, "level": by_level}),
        effects=effects_table(
            f"Sizes of the change, they decide nothing: {against}", cells.by_family, cells.overall
        ),
        by_outcome=outcomes_table(
            f"Pairs by outcome and history length, {label}, {scorer}", cells.by_length
        ),
        gap=languages_table(cells.languages) if cells.languages else None,
    )


def _parts(
    cells: ModeComparison, against: str, named: Mapping[str, Mapping[str, Cell]]
) -> tuple[ReportTable, ...]:
    """Ability and memory in every slice; empty where they are not known.

    Args:
        cells: of one candidate and scorer.
        against: who is compared, for the titles.
        named: cells of history lengths and levels by name.
    """
    if cells.overall.parts is None:
        return ()
    slices = {
        **named,
        "family": cells.by_family,
        "language": cells.by_lang if len(cells.by_lang) > 1 else {},
        "distance at the longest history": {
            bin_name(key): cell for key, cell in cells.by_distance.items()
        },
    }
    return tuple(
        parts_table(
            f"Ability and memory by {first}, points: {against}",
            first,
            found,
            cells.overall if first == "history" else None,
        )
        for first, found in slices.items()
        if found
    )


def _answers(
    mode: str, runs: Sequence[Run], comparisons: Sequence[Comparison], suite: Suite | None
) -> AnswersToRead:
    """Changed answers of a comparison, wrong answers of a single run."""
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
