"""Comparisons as JUnit XML: what a pipeline shows as passed and failed tests.

One suite a candidate. The overall verdict and every gate can fail, just as they set the exit code;
a family is a test that always passes and carries its figures. A candidate that broke or cannot be
compared is an error.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from qwen_bench.record.formats import MINUS, true_minus, turns
from qwen_bench.report.quoting import LONGEST_QUOTE, answers_of
from qwen_bench.report.tables import accounting_words, gates_table, paired_row, parts_words
from qwen_bench.report.untrusted_text import one_line, plain, private, slug
from qwen_bench.stats.gates import verdict_fails
from qwen_bench.stats.sentences import sentences
from qwen_bench.stats.span import level_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.record.outcome import Outcome, Run
    from qwen_bench.stats.results import Cell, Comparison, GateResult, Unjudged

MOST_LOST = 20


def junit_xml(
    comparisons: Sequence[Comparison],
    runs: Sequence[Run],
    *,
    fail_on: str,
    unjudged: Sequence[Unjudged] = (),
) -> str:
    """The file.

    Args:
        comparisons: against one baseline, in command order.
        runs: the runs they are made of, for answers and times.
        fail_on: when a verdict fails: `regression`, `inconclusive` or `never`.
        unjudged: candidates that broke or could not be compared.

    Returns:
        XML 1.0 with declaration; characters it does not allow are replaced by visible ones.
    """
    root = ET.Element("testsuites", name="qwen-bench")
    for comparison in comparisons:
        _suite(root, comparison, runs, fail_on)
    for item in unjudged:
        _broken(root, item)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in root):.3f}")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(root: ET.Element, comparison: Comparison, runs: Sequence[Run], fail_on: str) -> None:
    """One candidate."""
    seconds = _seconds(comparison.candidate.run_id, runs)
    suite = _new_suite(
        root,
        f"{comparison.candidate.label} against {comparison.base.label}",
        seconds,
    )
    cell = comparison.verdict
    owner = f"qwen-bench.{slug(comparison.candidate.label)}"
    case = _case(suite, owner, "verdict", seconds)
    word = cell.word or "inconclusive"
    said = " ".join(map(true_minus, sentences(comparison)))
    if verdict_fails(cell.word, fail_on):
        _problem(suite, case, "failure", word, said)
    went = f"rows of all conditions: {accounting_words(comparison.accounting)}"
    lines = [f"{word}: {said}", "", *_lengths(comparison), "", went, *_lost(comparison, runs)]
    _out(case, "\n".join(lines))
    for gate in comparison.gates:
        _gate(suite, owner, gate)
    for name, family in comparison.modes[comparison.primary].by_family.items():
        _out(_case(suite, owner, f"family {name}"), _figures(family))
    suite.set("tests", str(len(suite.findall("testcase"))))


def _gate(suite: ET.Element, owner: str, gate: GateResult) -> None:
    """One gate."""
    case = _case(suite, owner, f"gate {gate.expr}")
    value = gates_table([gate]).rows[0].values[0]
    figures = f"{value.text.removesuffix(' %')} (95 % interval {value.spread})".replace(MINUS, "-")
    said = gate.note or f"{figures}, from {gate.n} paired probes"
    if not gate.passed:
        _problem(suite, case, "failure", "gate", f"{gate.expr} is not met: {said}")
    _out(case, said)


def _broken(root: ET.Element, item: Unjudged) -> None:
    """A candidate without a verdict."""
    suite = _new_suite(root, item.label, 0.0)
    case = _case(suite, f"qwen-bench.{slug(item.label)}", "verdict")
    kind = "not comparable" if item.exit_code == 5 else "broke"
    _problem(suite, case, "error", kind, item.reason)
    suite.set("tests", "1")


def _new_suite(root: ET.Element, name: str, seconds: float) -> ET.Element:
    """An empty suite."""
    return ET.SubElement(
        root,
        "testsuite",
        name=one_line(private(name)),
        tests="0",
        failures="0",
        errors="0",
        skipped="0",
        time=f"{seconds:.3f}",
    )


def _case(suite: ET.Element, owner: str, name: str, seconds: float = 0.0) -> ET.Element:
    """One test."""
    return ET.SubElement(
        suite, "testcase", classname=owner, name=one_line(private(name)), time=f"{seconds:.3f}"
    )


def _problem(suite: ET.Element, case: ET.Element, kind: str, word: str, said: str) -> None:
    """A failure or an error of a test, counted in its suite."""
    text = one_line(private(said))
    ET.SubElement(case, kind, type=word, message=f"{word}: {text}").text = text
    total = f"{kind}s"
    suite.set(total, str(int(suite.get(total, "0")) + 1))


def _out(case: ET.Element, text: str) -> None:
    """What a test prints."""
    ET.SubElement(case, "system-out").text = str(private(text))


def _figures(cell: Cell) -> str:
    """A cell in one line."""
    _, base, candidate, difference, _, finding = paired_row("", cell).values
    return (
        f"{base.text} -> {candidate.text}, {difference.text} points "
        f"(95 % interval {difference.spread}), {cell.n} paired probes, "
        f"{cell.lost} lost, {cell.gained} gained"
        + (f"; {parts_words(cell.parts)}" if cell.parts else "")
        + (f": {finding.word}" if finding.word else "")
    )


def _lengths(comparison: Comparison) -> list[str]:
    """One line a history length, and a level."""
    mode = comparison.modes[comparison.primary]
    rows = [(turns(length), cell) for length, cell in mode.by_length.items()]
    rows += [(level_label(level), cell) for level, cell in mode.by_level.items()]
    return [f"{name:>10}: {_figures(cell)}" for name, cell in [*rows, ("all", mode.overall)]]


def _lost(comparison: Comparison, runs: Sequence[Run]) -> list[str]:
    """The first lost answers, one a line."""
    lost = comparison.modes[comparison.primary].lost_ids
    said = answers_of(comparison.candidate.run_id, comparison.primary, runs)
    lines = [""] if lost else []
    for name in lost[:MOST_LOST]:
        row = said.get(name)
        answer = "" if row is None else _said(row)
        lines.append(f"lost {name}: {one_line(plain(answer[:LONGEST_QUOTE]))}")
    if len(lost) > MOST_LOST:
        lines.append(f"and {len(lost) - MOST_LOST} more")
    return lines


def _said(row: Outcome) -> str:
    """The answer; in brackets what there is in place of one."""
    return f"({row.status})" if row.output is None else row.output or "(empty)"


def _seconds(run_id: str, runs: Sequence[Run]) -> float:
    """How long the processes that wrote a run worked, by its manifest."""
    total = 0.0
    for run in runs:
        if run.run_id == run_id:
            for item in run.manifest.invocations:
                total += _between(item.started, item.finished)
    return total


def _between(started: object, finished: object) -> float:
    """Seconds between two times of a manifest; 0 where one is missing or unreadable."""
    try:
        begin, end = (datetime.fromisoformat(str(moment)) for moment in (started, finished))
        return max(0.0, (end - begin).total_seconds())
    except (ValueError, TypeError):
        return 0.0
