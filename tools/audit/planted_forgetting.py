"""Planted forgetting: what the statistics must say about a solver that forgets all but N turns.

Accuracies are closed forms of the turn plan: at history length T the slots inside the last N turns
are known, those before them are not, and a slot that N cuts through has no closed form. From the
same rows the effective history length and the half-life are computed as for any model (statistics
specification, sections 6, 7 and 11).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from qwen_bench.audit.findings import AuditLine, Findings
from qwen_bench.audit.maintenance import Key, WindowCurve
from qwen_bench.probes.probe import Condition, Probe
from qwen_bench.probes.programmes import Programme
from qwen_bench.probes.suites import Suite
from qwen_bench.record.outcome import Outcome
from qwen_bench.solvers.fixed_choice import sees
from qwen_bench.stats.profile import Profile, profile

# Share of the ability at distance 0 that a history length must keep (statistics, section 6).
RETAINED = Fraction(85, 100)
# Stands for all families together.
ALL = "all"
CONDITIONS: tuple[Condition, ...] = ("main", "adjacent", "blind")


@dataclass(frozen=True, slots=True)
class Row:
    """What the statistics need of one answer."""

    family: str
    cluster: str
    condition: Condition
    length: int
    distance: int | None
    slot: int
    seen: bool
    unanswerable: bool
    score: int


class WindowRows:
    """Rows of the window solvers, kept compactly until all dialogues were seen."""

    def __init__(self) -> None:
        self._rows: defaultdict[Key, list[Row]] = defaultdict(list)

    def add(self, turns: int, probe: Probe, score: int) -> None:
        """One answer of `window-<turns>`."""
        if probe.condition in CONDITIONS:
            self._rows[turns, probe.family, probe.lang].append(
                Row(
                    probe.family,
                    probe.cluster,
                    probe.condition,
                    probe.length,
                    probe.distance,
                    int(probe.factors["slot"]),
                    sees(probe, turns),
                    probe.gold_abstains or (probe.answer_kind == "rule" and probe.gold == "plain"),
                    score,
                )
            )

    def curves(self, suite: Suite) -> dict[Key, WindowCurve]:
        """The curve of every window, family and language with main rows of several lengths."""
        groups = {name: suite.sources.families[name].group for name in suite.families}
        programmes = {
            name: next(p for p in suite.programmes if group in p.groups)
            for name, group in groups.items()
        }
        pooled: defaultdict[Key, list[Row]] = defaultdict(list)
        for (turns, _, lang), rows in self._rows.items():
            pooled[turns, ALL, lang] += rows
        return {
            key: _curve(key, rows, programmes)
            for key, rows in (*sorted(self._rows.items()), *sorted(pooled.items()))
            if len({row.length for row in rows if row.condition == "main"}) > 1
        }


def _curve(key: Key, rows: list[Row], programmes: Mapping[str, Programme]) -> WindowCurve:
    turns, _, lang = key
    accuracy: dict[int, Fraction] = {}
    expected: dict[int, Fraction | None] = {}
    for length in sorted({row.length for row in rows if row.condition == "main"}):
        at = [row for row in rows if row.condition == "main" and row.length == length]
        accuracy[length] = Fraction(sum(row.score for row in at), len(at))
        expected[length] = closed_form(programmes, turns, length, at)
    measured = profile(_outcomes(rows, lang), mode="generate", replicates=1, fits=1)
    said = "-" if measured.history.ehl is None else measured.history.ehl.text
    due = history_due(rows)
    return WindowCurve(accuracy, expected, (said, due), _half_life(measured, turns, max(accuracy)))


def history_due(rows: list[Row]) -> str:
    """Effective history length that follows from what the window has seen, as it is printed."""
    lengths = sorted({row.length for row in rows if row.condition == "main"})
    kept = ""
    for length in lengths:
        at = [row for row in rows if row.condition == "main" and row.length == length]
        guess = Fraction(sum(row.unanswerable for row in at), len(at))
        right = Fraction(sum(row.seen or row.unanswerable for row in at), len(at))
        if (right - guess) / (1 - guess) < RETAINED:
            return kept or f"< {length}"
        kept = str(length)
    return f">= {kept}"


def closed_form(
    programmes: Mapping[str, Programme], turns: int, length: int, rows: list[Row]
) -> Fraction | None:
    """Accuracy of `window-<turns>` at one history length by the turn plan.

    Args:
        programmes: turn plan of every family.
        turns: size of the window.
        length: history length T.
        rows: main rows there; which slots and how many unanswerable probes.
    """
    oldest = length - turns + 1
    right = Fraction(0)
    for row in rows:
        slot = programmes[row.family].slots[row.slot]
        if slot.first < oldest <= slot.last:
            return None
        right += slot.first >= oldest or row.unanswerable
    return right / len(rows)


def _outcomes(rows: list[Row], lang: str) -> Iterator[Outcome]:
    for number, row in enumerate(rows):
        yield Outcome(
            probe_id=str(number),
            mode="generate",
            family=row.family,
            lang=lang,
            length=row.length,
            distance=row.distance,
            position=None,
            condition=row.condition,
            policy="full",
            cluster=row.cluster,
            twin_group="",
            variant="A",
            evidence_visible=row.condition != "blind",
            status="ok",
            output="",
            score=row.score,
            reason=None,
        )


def _half_life(measured: Profile, turns: int, longest: int) -> tuple[str, bool]:
    """The half-life as printed, and whether it says what a window of that size must give.

    A window that holds all is censored. One that forgets is not exponential; where it falls within
    the nearest distances, few probes cannot tell that from a very short half-life, which must then
    be no longer than the window. A family whose distance hardly varies has no half-life.
    """
    found = measured.half_life
    if found.decay is None:
        return found.text, True
    place = found.decay.place
    if turns >= longest:
        return found.text, place.state == "beyond"
    short = place.state == "before" or (place.state == "at" and place.at <= turns)
    return found.text, short or not found.decay.exponential


def window_line(curves: Mapping[Key, WindowCurve], *, enough: bool) -> AuditLine:
    """The audit of the curves.

    Args:
        curves: of all windows.
        enough: whether there are clusters enough for the half-life.
    """
    findings = Findings()
    for (turns, family, lang), curve in curves.items():
        where = f"window-{turns} {family} {lang}"
        for length, expected in curve.expected.items():
            if expected is not None and curve.accuracy[length] != expected:
                findings.add(
                    where, f"T = {length}: {curve.accuracy[length]}, by construction {expected}"
                )
        said, due = curve.history
        if said not in {due, "-"}:
            findings.add(where, f"effective history length {said}, by construction {due}")
        text, right = curve.half_life
        if enough and not right:
            findings.add(where, f"half-life {text}")
    named = sorted({turns for turns, _, _ in curves})
    return findings.line(
        "forgetting",
        f"closed forms, effective history lengths{' and half-lives' if enough else ''} of windows "
        f"of {', '.join(map(str, named))} turns",
    )
