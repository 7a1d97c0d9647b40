"""From stored runs to a printed verdict, the files asked for, and an exit code.

Shared by `run --baseline`, `compare` and `check`, so that there is one way to judge.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qwen_bench.cli.exits import Code, Exit, decisive
from qwen_bench.cli.gating import code_of, ending, read_gates
from qwen_bench.cli.main import show_error
from qwen_bench.cli.outputs import (
    Targets,
    targets_of,
    wants_summary,
    write_json,
    write_markdown,
    write_output,
    write_page,
)
from qwen_bench.errors import QwenBenchError
from qwen_bench.report.run_cards import unique_labels
from qwen_bench.report.terminal import comparison_lines, gate_lines, policy_lines
from qwen_bench.stats.results import Unjudged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.cli.display import Screen
    from qwen_bench.cli.options import Options
    from qwen_bench.record.run import Run
    from qwen_bench.runs.store import StoredRun
    from qwen_bench.stats.gates import Gate
    from qwen_bench.stats.results import Comparison


@dataclass(frozen=True, slots=True)
class Judged:
    """Comparisons of one baseline with several candidates.

    Attributes:
        comparisons: of the candidates that could be compared, in command order.
        unjudged: the others.
    """

    comparisons: tuple[Comparison, ...]
    unjudged: tuple[Unjudged, ...] = ()


def command_line(arguments: Sequence[str]) -> str:
    """The command as it can be typed again, without its secrets.

    Args:
        arguments: the words after the program's name.
    """
    from qwen_bench.record.redaction import redact_argv

    return shlex.join(["qwen-bench", *redact_argv(arguments)])


def named_views(runs: Sequence[StoredRun]) -> list[Run]:
    """Views whose labels differ: a label used twice is followed by the run's name."""
    manifests = [run.manifest for run in runs]
    labels = unique_labels(
        [one.model.label for one in manifests], [one.run_id for one in manifests]
    )
    return [run.view(label) for run, label in zip(runs, labels, strict=True)]


def judge(base: Run, candidates: Sequence[Run], options: Options, *, note: str = "") -> Judged:
    """Compare each candidate with the baseline.

    With several candidates one that cannot be compared is reported and the others go on.

    Args:
        base: the baseline.
        candidates: in command order.
        options: of the command.
        note: stands first among the warnings of every comparison.

    Raises:
        QwenBenchError: the only candidate cannot be compared, or a gate names what was not asked.
    """
    from qwen_bench.stats.paired_comparison import adjust_over_candidates

    suites = [run.manifest.suite for run in (base, *candidates)]
    gates = read_gates(
        options.gate,
        {family for suite in suites for family in suite.families},
        {length for suite in suites for length in suite.lengths},
    )
    comparisons: list[Comparison] = []
    unjudged: list[Unjudged] = []
    for candidate in candidates:
        try:
            comparisons.append(_compared(base, candidate, gates, options))
        except QwenBenchError as error:
            if len(candidates) == 1:
                raise
            show_error(error, debug=options.debug)
            unjudged.append(Unjudged(candidate.label, error.message, error.exit_code))
    noted = (note,) if note else ()
    return Judged(
        tuple(
            replace(comparison, warnings=(*noted, *comparison.warnings))
            for comparison in adjust_over_candidates(comparisons)
        ),
        tuple(unjudged),
    )


def _compared(base: Run, candidate: Run, gates: Sequence[Gate], options: Options) -> Comparison:
    """One comparison with its gates.

    Raises:
        QwenBenchError: the two cannot be compared.
    """
    from qwen_bench.stats.gates import evaluate
    from qwen_bench.stats.half_life import REPLICATES
    from qwen_bench.stats.paired_comparison import compare
    from qwen_bench.stats.pairing import pair

    pairing = pair(
        base,
        candidate,
        allow_mismatch=options.allow_mismatch,
        allow_partial=options.allow_partial,
        max_error_rate=options.max_error_rate / 100,
    )
    comparison = compare(
        pairing,
        primary=_primary(base, candidate),
        margin=options.margin / 100,
        alpha=options.alpha,
        fits=REPLICATES if options.json or options.html or options.out else 0,
    )
    pairs = [(item.base, item.candidate) for item in pairing.pairs]
    return replace(comparison, gates=evaluate(gates, comparison, pairs))


def _primary(base: Run, candidate: Run) -> str:
    """The scorer that decides: the baseline's, unless the candidate was not asked in it."""
    suite = base.manifest.suite
    common = [mode for mode in suite.modes if mode in candidate.manifest.suite.modes]
    return suite.primary if suite.primary in common or not common else common[0]


def present(
    judged: Judged,
    runs: Sequence[Run],
    options: Options,
    screen: Screen,
    *,
    command: str,
) -> Exit:
    """Print the tables, write the files asked for, and say how the command ends.

    Args:
        judged: the comparisons, and the candidates without one.
        runs: baseline first; the page shows those that were compared.
        options: of the command.
        screen: where to print.
        command: the command line, secrets removed.

    Returns:
        The exit; its text is empty where nothing gates.
    """
    from qwen_bench.stats.verdict import sentences

    targets = targets_of(options)
    codes = [code_of(comparison, options.fail_on) for comparison in judged.comparisons]
    code = decisive([*codes, *(Code(item.exit_code) for item in judged.unjudged)])
    for number, comparison in enumerate(judged.comparisons):
        lines = comparison_lines(
            comparison,
            runs[0].manifest.suite,
            sentences(comparison),
            remarks=_policy_remarks(comparison, runs),
        )
        lines += gate_lines(comparison.gates)
        screen.table([*([""] if number else []), *lines], targets.stdout_is_free)
    write_files(judged, runs, options, screen, code=code, command=command)
    return ending(
        code,
        judged.comparisons,
        fail_on=options.fail_on,
        say_ungated="fail_on" in options.passed,
        page=targets.page,
    )


def write_files(
    judged: Judged,
    runs: Sequence[Run],
    options: Options,
    screen: Screen,
    *,
    code: Code,
    command: str,
) -> None:
    """Write JSON, JUnit, Markdown, step summary and page, the quick ones first.

    Without a comparison there is neither page nor JSON.

    Args:
        judged: the comparisons, and the candidates without one.
        runs: baseline first.
        options: of the command.
        screen: is told the path of the page.
        code: of the command.
        command: the command line, secrets removed.
    """
    from qwen_bench.stats.serialise import compare_document

    targets = targets_of(options) if judged.comparisons else _without_figures(options)
    for target in targets.json:
        write_json(target, compare_document(judged.comparisons, int(code)))
    if targets.junit:
        from qwen_bench.report.junit import junit_xml

        xml = junit_xml(judged.comparisons, runs, fail_on=options.fail_on, unjudged=judged.unjudged)
        for target in targets.junit:
            write_output(target, xml)
    if targets.markdown or wants_summary(options, os.environ):
        from qwen_bench.report.markdown import comparison_markdown

        text = comparison_markdown(
            judged.comparisons, runs, unjudged=judged.unjudged, report=targets.page, command=command
        )
        write_markdown(text, options, screen)
    compared = {comparison.candidate.run_id for comparison in judged.comparisons}
    shown = [run for number, run in enumerate(runs) if number == 0 or run.run_id in compared]
    write_page(targets.html, shown, judged.comparisons, screen)


def _without_figures(options: Options) -> Targets:
    """Targets that can be written although nothing was compared."""
    return replace(targets_of(options), html=(), json=())


def _policy_remarks(comparison: Comparison, runs: Sequence[Run]) -> list[str]:
    """What a history policy cut on either side; nothing where every turn was sent."""
    from qwen_bench.stats.policy_split import policy_split

    lines: list[str] = []
    for run in runs:
        if run.run_id in {comparison.base.run_id, comparison.candidate.run_id}:
            main = [
                row
                for row in run.outcomes
                if row.mode == comparison.primary and row.condition == "main"
            ]
            split = policy_split(main)
            lines += policy_lines(split, run.label) if split else []
    return lines


def stdout_is_free(options: Options) -> bool:
    """Whether tables may use stdout because no file output does."""
    return targets_of(options).stdout_is_free
