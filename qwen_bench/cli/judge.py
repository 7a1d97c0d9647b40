"""From stored runs to a printed verdict, the files asked for, and an exit code.

Shared by `run --baseline` and `compare`, so that there is one way to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.cli.exits import MEANING, Code, Exit, decisive
from qwen_bench.cli.main import show_error
from qwen_bench.cli.outputs import STDOUT, write_json, write_page
from qwen_bench.cli.table import comparison_lines, policy_lines
from qwen_bench.errors import QwenBenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.cli.display import Screen
    from qwen_bench.cli.options import Options
    from qwen_bench.runs.store import StoredRun
    from qwen_bench.stats.model import Comparison
    from qwen_bench.stats.pairing import RunView


@dataclass(frozen=True, slots=True)
class Judged:
    """Comparisons of one baseline with several candidates.

    Attributes:
        comparisons: of the candidates that could be compared, in command order.
        codes: one for each candidate.
    """

    comparisons: tuple[Comparison, ...]
    codes: tuple[Code, ...]


def named_views(runs: Sequence[StoredRun]) -> list[RunView]:
    """Views whose labels differ: a label used twice is followed by the run's name."""
    labels = [run.manifest.model.label for run in runs]
    return [
        run.view(
            f"{label} ({run.manifest.run_id})" if labels.count(label) > 1 else label,
        )
        for run, label in zip(runs, labels, strict=True)
    ]


def judge(base: RunView, candidates: Sequence[RunView], options: Options) -> Judged:
    """Compare each candidate with the baseline.

    With several candidates one that cannot be compared is reported and the others go on.

    Raises:
        QwenBenchError: the only candidate cannot be compared.
    """
    from qwen_bench.stats.compare import adjust_over_candidates, compare
    from qwen_bench.stats.pairing import pair

    comparisons: list[Comparison] = []
    codes: list[Code] = []
    for candidate in candidates:
        try:
            pairing = pair(
                base,
                candidate,
                allow_mismatch=options.allow_mismatch,
                allow_partial=options.allow_partial,
                max_error_rate=options.max_error_rate / 100,
            )
            comparisons.append(
                compare(
                    pairing,
                    primary=_primary(base, candidate),
                    margin=options.margin / 100,
                    alpha=options.alpha,
                )
            )
        except QwenBenchError as error:
            if len(candidates) == 1:
                raise
            show_error(error, debug=options.debug)
            codes.append(Code(error.exit_code))
    adjusted = adjust_over_candidates(comparisons)
    codes += [_code(comparison, options.fail_on) for comparison in adjusted]
    return Judged(tuple(adjusted), tuple(codes))


def _primary(base: RunView, candidate: RunView) -> str:
    """The scorer that decides: the baseline's, unless the candidate was not asked in it."""
    wanted = str(base.manifest["suite"]["primary"])
    common = [
        mode
        for mode in base.manifest["suite"]["modes"]
        if mode in candidate.manifest["suite"]["modes"]
    ]
    return wanted if wanted in common or not common else str(common[0])


def _code(comparison: Comparison, fail_on: str) -> Code:
    """Exit code of one comparison under `--fail-on`."""
    word = comparison.verdict.word
    if fail_on != "never" and word == "regressed":
        return Code.REGRESSED
    if fail_on == "inconclusive" and word == "inconclusive":
        return Code.INCONCLUSIVE
    return Code.DONE


def present(
    judged: Judged,
    runs: Sequence[RunView],
    options: Options,
    screen: Screen,
    *,
    earlier: Sequence[Code] = (),
) -> Exit:
    """Print the tables, write the files asked for, and say how the command ends.

    Args:
        judged: the comparisons.
        runs: baseline first; the page shows those that were compared.
        options: of the command.
        screen: where to print.
        earlier: codes of candidates that broke before they could be compared.

    Returns:
        The exit; its text is empty where nothing gates.
    """
    from qwen_bench.stats.serialise import compare_document
    from qwen_bench.stats.verdict import sentences

    code = decisive([*judged.codes, *earlier])
    for number, comparison in enumerate(judged.comparisons):
        lines = comparison_lines(
            comparison,
            runs[0].manifest["suite"],
            sentences(comparison),
            remarks=_policy_remarks(comparison, runs),
        )
        screen.table([*([""] if number else []), *lines], stdout_is_free(options))
    if not judged.comparisons:
        return Exit(code)
    compared = {comparison.candidate.run_id for comparison in judged.comparisons}
    shown = [run for number, run in enumerate(runs) if number == 0 or run.run_id in compared]
    if options.json:
        write_json(options.json, compare_document(judged.comparisons, int(code)))
    if options.html:
        write_page(options.html, shown, judged.comparisons, screen)
    return _ending(code, judged, options)


def _policy_remarks(comparison: Comparison, runs: Sequence[RunView]) -> list[str]:
    """What a history policy cut on either side; nothing where every turn was sent."""
    from qwen_bench.stats.visibility import policy_split

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
    return STDOUT not in {options.json, options.html}


def _ending(code: Code, judged: Judged, options: Options) -> Exit:
    """The exit with its meaning and, after a regression, where to look."""
    if code is Code.REGRESSED and options.html and options.html != "-":
        return Exit(code, f"{MEANING[code]}, see {options.html}#flips")
    if code is Code.DONE and options.fail_on != "never":
        words = ", ".join(dict.fromkeys(str(item.verdict.word) for item in judged.comparisons))
        return Exit(code, f"no regression found ({words})")
    return Exit(code)
