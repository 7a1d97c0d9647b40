"""Gates and verdicts on the command line: which are set, how they read, and how they end it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_bench.cli.exits import MEANING, Code, Exit
from qwen_bench.record.formats import about
from qwen_bench.stats.gates import Gate, check_gate, parse_gate, verdict_fails

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from qwen_bench.stats.results import Comparison


def read_gates(
    texts: Sequence[str], families: Collection[str], lengths: Collection[int]
) -> tuple[Gate, ...]:
    """The gates of a command.

    Args:
        texts: as typed.
        families: those asked.
        lengths: history lengths asked.

    Raises:
        InputError: one has not the form of a gate, or names what was never asked.
    """
    gates = tuple(parse_gate(text) for text in texts)
    for gate in gates:
        check_gate(gate, families, lengths)
    return gates


def code_of(comparison: Comparison, fail_on: str) -> Code:
    """Exit code of one comparison: `--fail-on` rules the verdict, an unmet gate always fails."""
    failed = verdict_fails(comparison.verdict.word, fail_on)
    if any(not gate.passed for gate in comparison.gates):
        return Code.REGRESSED
    if failed and comparison.verdict.word == "regressed":
        return Code.REGRESSED
    return Code.INCONCLUSIVE if failed else Code.DONE


def ending(
    code: Code,
    comparisons: Sequence[Comparison],
    *,
    fail_on: str,
    say_ungated: bool,
    page: str | None,
) -> Exit:
    """The exit with its meaning.

    Args:
        code: the decisive one.
        comparisons: of the candidates that were compared.
        fail_on: of the command.
        say_ungated: say that the verdict decides nothing where it does not.
        page: the report, for a regression.
    """
    if code is Code.REGRESSED:
        return Exit(code, _failed(comparisons, fail_on, page))
    if code is Code.INCONCLUSIVE:
        more = [c.verdict.more_probes for c in comparisons if c.verdict.word == "inconclusive"]
        known = [number for number in more if number is not None]
        hint = f"; about {about(max(known))} more probes would settle it" if known else ""
        return Exit(code, f"{MEANING[code]}{hint}")
    if code is not Code.DONE:
        return Exit(code)
    words = ", ".join(dict.fromkeys(str(item.verdict.word) for item in comparisons))
    count = sum(len(item.gates) for item in comparisons)
    parts = [f"no regression found ({words})"] if fail_on != "never" else []
    if fail_on == "never" and say_ungated:
        parts.append(f"the verdict decides nothing with --fail-on never ({words})")
    if count:
        parts.append("the gate is met" if count == 1 else f"all {count} gates are met")
    return Exit(code, ", ".join(parts))


def _failed(comparisons: Sequence[Comparison], fail_on: str, page: str | None) -> str:
    """What failed, and where to look."""
    regressed = fail_on != "never" and any(c.verdict.word == "regressed" for c in comparisons)
    several = len(comparisons) > 1
    unmet = [
        f"{gate.expr} ({item.candidate.label})" if several else gate.expr
        for item in comparisons
        for gate in item.gates
        if not gate.passed
    ]
    parts = [MEANING[Code.REGRESSED]] if regressed else []
    if unmet:
        plural = "" if len(unmet) == 1 else "s"
        parts.append(f"{len(unmet)} gate{plural} not met ({', '.join(unmet)})")
    text = " and ".join(parts)
    return f"{text}, see {page}#flips" if page and regressed else text
