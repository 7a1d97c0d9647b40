"""`docs/calibration.md`: the tables of a calibration, in words."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from tools.calibration.coverage import CLUSTERS, H_BASE, H_CANDIDATE, JUDGED
from tools.calibration.memory import HISTORIES, QUESTIONS
from tools.calibration.pictures import COVERED, EQUAL
from tools.calibration.results import Results, by_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.calibration.counting import Demand, Finding
    from tools.calibration.forgetting import Planted

_WIDTH = 100
_HEAD = """\
# Calibration

Do the verdicts mean what they say? Models whose true difference is known are simulated, compared
with the functions that `qwen-bench compare` uses, and the answers are counted. Written by `make
calibrate` (`python -m tools.calibration`, seed {seed}); the same seed gives the same page.
A small form of every simulation is a test."""
_EQUAL = """\
## Equal models: false alarms

Both sides have the same accuracy in every probe; the answers of a skeleton are alike (logit of a
right answer = 1 + skeleton N(0, 1) + skeleton and model N(0, 0.7²) + probe N(0, 1)). {tries:,}
comparisons a design (the suite gets half of that), alpha 5 %, {replicates:,}
bootstrap replicates. A verdict "regressed" or "improved" is a false alarm; at most 6 % is demanded.

![False alarms by design]({picture})"""
_AFTER_EQUAL = """\
The last column is what a test over single probes would do to the same answers: it takes them for
independent and cries wolf {least:.0f} to {most:.0f} times in a hundred. It is not used where
skeletons have several probes."""
_COVERED = """\
## Intervals: coverage

Share of 95 % intervals that hold the true value, by number of skeletons. Between 93 and 97 % is
demanded at {judged}. Half-lives and their ratio rest on {fits:,} fits of {fit_replicates}
replicates, and a sixth of that at the other numbers of skeletons. The bound without any change is
exact at 97.5 %. Differences: true loss of 6.5 points. Retention and half-lives: true half-lives of
{base:g} and {candidate:g} turns. Ability and memory: readers that differ in both.

![Coverage of intervals]({picture})"""
_PLANNED = """\
## Planning: power

`qwen-bench plan --effect 5` with its defaults (15 % of the answers change, correlation 0.1
inside a skeleton) names a size; at that size a true drop of 5 points must be found in 80 % of
the comparisons, within 4 %."""
_MEMORY = """\
## Ability and memory

Simulated readers with {questions} questions a skeleton, each asked next to its evidence and behind
{histories} histories. Memory is called changed where its interval excludes 0 and p is at most
alpha; at most 6 % of false alarms are demanded. A planted loss is called by its larger part, if
that is significant; at least 95 % right are demanded."""
_WINDOWS = """\
## Planted forgetting: solvers

`mock:window-N` answers what stands in the last N turns and abstains otherwise; `mock:oracle`
remembers all. Suite `core`, {rotations} rotations. Expected without tolerance: the difference of
window-8 is -3755/8208, nothing is lost inside a window, every longer history is called regressed,
the effective history length is the window, and what is longer than the suite is censored, not
extrapolated. All that is lost is memory, nothing ability."""
_CURVES = """\
## Planted forgetting: curves

Simulated models at 60 skeletons, distances 0 to 63 turns."""


def page(results: Results) -> str:
    """The page as Markdown."""
    slack = results.size.slack
    naive = [100 * item.share.rate for item in results.equal if "McNemar" in item.name]
    sections = [
        _HEAD.format(seed=results.seed),
        _summary(results),
        _EQUAL.format(tries=results.size.equal, replicates=results.size.replicates, picture=EQUAL),
        _equal_table(results.equal, slack),
        _AFTER_EQUAL.format(least=min(naive), most=max(naive)),
        _COVERED.format(
            judged=JUDGED,
            fits=2 * results.size.fits,
            fit_replicates=results.size.fit_replicates,
            base=H_BASE,
            candidate=H_CANDIDATE,
            picture=COVERED,
        ),
        _coverage_table(results.covered, slack),
        _coverage_note(results.covered),
        _PLANNED,
        _plain_table(results.planned, slack, "planned size", "difference found"),
        _MEMORY.format(questions=QUESTIONS, histories=HISTORIES),
        _plain_table(results.memory, slack, "readers", "said"),
        _WINDOWS.format(rotations=results.size.rotations),
        _window_table(results.windows),
        _CURVES,
        _plain_table(results.curves, slack, "curve", "as it should"),
    ]
    return "\n\n".join(_prose(section) for section in sections if section) + "\n"


def _prose(section: str) -> str:
    """A section with its paragraphs broken into lines; headings, tables and pictures stay."""
    parts = section.split("\n\n")
    return "\n\n".join(
        part if part.startswith(("#", "|", "!", "-")) else _broken(part) for part in parts
    )


def _broken(paragraph: str) -> str:
    """A paragraph in lines of the same length, whatever was filled in."""
    return fill(" ".join(paragraph.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _summary(results: Results) -> str:
    """One line that says whether all demands are met."""
    demands = sum(item.demand is not None for item in results.findings) + len(results.windows)
    if not results.missed:
        return f"**All {demands} demands are met.**"
    lines = "\n".join(f"- {name}" for name in results.missed)
    return f"**{demands - len(results.missed)} of {demands} demands are met.** Not met:\n\n{lines}"


def _equal_table(findings: Sequence[Finding], slack: float) -> str:
    """A row a design."""
    rows: dict[str, list[Finding]] = {}
    for item in findings:
        rows.setdefault(item.name.rpartition(": ")[0], []).append(item)
    head = ("design", "verdict, margin 5", "verdict, margin 0", "sign-flip test", "single probes")
    return _table(
        head, [(name, *(_rate(item, slack) for item in items)) for name, items in rows.items()]
    )


def _coverage_table(findings: Sequence[Finding], slack: float) -> str:
    """A row an interval, a column a number of clusters."""
    rows = by_name(findings)
    head = ("interval", *(str(number) for number in CLUSTERS), f"demand at {JUDGED}", "runs")
    return _table(
        head,
        [
            (
                name,
                *(_rate(found[number], slack) for number in CLUSTERS),
                _bounds(found[JUDGED].demand),
                f"{found[JUDGED].share.tries:,}",
            )
            for name, found in rows.items()
        ],
    )


def _coverage_note(findings: Sequence[Finding]) -> str:
    """Runs that had no interval."""
    notes = [f"{item.name} at {item.clusters}: {item.note}" for item in findings if item.note]
    return f"Not in the table: {'; '.join(notes)}." if notes else ""


def _plain_table(findings: Sequence[Finding], slack: float, what: str, hit: str) -> str:
    """Name, rate, demand, note."""
    return _table(
        (what, "skeletons", hit, "demand", "tries", ""),
        [
            (
                item.name,
                f"{item.clusters:,}",
                _rate(item, slack),
                _bounds(item.demand),
                f"{item.share.tries:,}",
                item.note,
            )
            for item in findings
        ],
    )


def _window_table(windows: Sequence[Planted]) -> str:
    """A row a window."""
    lengths = list(windows[0].by_length)
    head = (
        "solver",
        "difference",
        "95 % interval",
        "verdict",
        *(f"T = {length}" for length in lengths),
        "effective length",
        "half-life",
    )
    return _table(
        head,
        [
            (
                f"window-{item.window}",
                f"{100 * item.difference:+.2f}",
                f"{_points(item.low)} to {_points(item.high)}",
                item.word,
                *(f"{100 * item.by_length[length]:.1f} %" for length in lengths),
                item.history,
                item.half_life,
            )
            for item in windows
        ],
    )


def _rate(item: Finding, slack: float) -> str:
    """A rate in percent; bold where it misses its demand."""
    text = f"{100 * item.share.rate:.1f} %"
    return text if item.passed(slack=slack) else f"**{text}**"


def _bounds(demand: Demand | None) -> str:
    """A demand in words."""
    if demand is None:
        return ""
    if demand.least is None:
        return f"at most {100 * (demand.most or 0):.0f} %"
    least = f"{100 * demand.least:.3g}"
    return f"{least} to {100 * demand.most:.3g} %" if demand.most else f"at least {least} %"


def _points(fraction: float | None) -> str:
    """Points with sign."""
    return "-" if fraction is None else f"{100 * fraction:+.1f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first to the right."""
    lines = [head, ("---", *("--:" for _ in head[1:])), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
