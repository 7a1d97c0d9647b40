"""Writes what audits of suite core, and of the families that only full has, measured into `tasks/`.

AUDIT.md is the whole of it, each README has the solver table of its family.

The texts hold no date and no timing, so a fresh audit of the same suite gives the same bytes; a
test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qwen_bench.audit.audit_lines import level_rows, share_text, short_names
from qwen_bench.audit.audit_suite import Audit, audit_suite
from qwen_bench.audit.maintenance import Key, WindowCurve
from qwen_bench.audit.separability import need_classifier
from qwen_bench.audit.shortcuts import same_everywhere
from qwen_bench.errors import InputError
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from tools.audit.planted_forgetting import ALL

OPEN, CLOSE = "<!-- solvers -->", "<!-- /solvers -->"
AUDIT = "AUDIT.md"
_PREAMBLE = """\
# Audit

What `qwen-bench probes audit` finds; written by `qwen-bench probes audit --suite core --write`,
and a test compares this page with a fresh audit. No solver reads a history as a model does, and
none may score above what its family declares (blank where a solver does not apply)."""
_WINDOWS = """\
A solver that knows the last N turns only. Accuracies by history length are exact; EHL is the
effective history length. It and the half-life are computed as for a model."""


def released_audits(progress: Callable[[str], None] = lambda _: None) -> list[Audit]:
    """Audit every built-in family once, in the smallest suite with clusters enough.

    Args:
        progress: is told what comes next.

    Raises:
        InputError: scikit-learn is not installed, so that an audit would be left out.
    """
    need_classifier()
    core = build_suite("core")
    rest = [name for name in build_suite("full").families if name not in core.families]
    audits = [audit_suite(core, Selection(), build_suite, progress=progress)]
    if rest:
        chosen = Selection(families=tuple(rest))
        full = build_suite("full", chosen)
        audits.append(audit_suite(full, chosen, build_suite, progress=progress))
    return audits


def published(audits: Sequence[Audit], tasks: Path) -> dict[Path, str]:
    """New content of every file by path.

    Args:
        audits: each family is in one of them.
        tasks: folder of the family folders.

    Raises:
        InputError: a README has no place for the table.
    """
    texts = {tasks / AUDIT: audit_page(audits)}
    for audit in audits:
        for family in audit.families:
            path = tasks / family / "README.md"
            texts[path] = _with_table(path, solver_table(audit, family))
    return texts


def _with_table(path: Path, table: str) -> str:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, opened, rest = text.partition(OPEN)
    _, closed, after = rest.partition(CLOSE)
    if not (opened and closed):
        raise InputError(
            f"{path} has no place for the solver table",
            fix=f"write the two lines {OPEN} and {CLOSE} under a heading '## Solvers'",
        )
    return f"{before}{OPEN}\n{table}\n{CLOSE}{after}"


def solver_table(audit: Audit, family: str) -> str:
    """The measured table of one family."""
    suite = audit.suite
    rows = level_rows(audit, family)
    rows.insert(1, ["---", *("--:" for _ in rows[0][1:])])
    cell = audit.judged.cells["oracle", family]
    intro = (
        f"Measured by `qwen-bench probes audit` on suite {suite.name} {suite.version}, main "
        f"condition, {cell.n} probes of {audit.table.clusters[family]} skeletons. Level by level: "
        "share of answers right; declared: one value for all levels, or one for each."
    )
    return "\n".join([intro, "", *_table(rows)])


def audit_page(audits: Sequence[Audit]) -> str:
    """AUDIT.md."""
    lines = [_PREAMBLE]
    for audit in audits:
        lines += ["", *_section(audit)]
    return "\n".join(lines) + "\n"


def _section(audit: Audit) -> list[str]:
    """One suite."""
    suite, families = audit.suite, audit.families
    short = short_names(families)
    looked = [[line.name, line.status, line.summary] for line in audit.lines]
    return [
        f"## Suite {suite.name} {suite.version}: {len(families)} families",
        "",
        f"- sha256 `{suite.sha256}`",
        f"- {audit.probes} probes, languages {', '.join(suite.langs)}",
        f"- history lengths {', '.join(map(str, suite.lengths))}",
        f"- {', '.join(f'{name} {family}' for family, name in short.items())}",
        "",
        "### Accuracy in the main condition",
        "",
        "Mean over the levels, and in brackets what is declared.",
        "",
        *_table(_accuracy(audit, short)),
        "",
        "### Accuracy by level",
        "",
        "Solvers that score the same in every family, such as the oracle, are left out.",
        "",
        *_table(_by_level(audit, short)),
        "",
        "### Composition",
        "",
        "Share of each level, form and wording; families count the same. All rows of a block",
        "of equal evidence turns agree, so no history length is harder by what it asks.",
        "",
        *_fenced(audit.composition.lines() if audit.composition else []),
        "",
        "### Separability",
        "",
        *_fenced(audit.separability.lines() if audit.separability else []),
        "",
        "### Whole twin groups right",
        "",
        "Solvers that are not named have none right in any family.",
        "",
        *_table(_groups(audit, short)),
        "",
        "### Windows",
        "",
        _WINDOWS,
        "",
        *_table(_windows(audit.curves, short)),
        "",
        "### Audits",
        "",
        *_table([["audit", "result", "what was looked at"], ["---", "---", "---"], *looked]),
    ]


def _accuracy(audit: Audit, short: Mapping[str, str]) -> list[list[str]]:
    rows = [["solver", *short.values()], ["---", *("--:" for _ in short)]]
    for solver in audit.table.solvers:
        cells = [_measured(audit, solver, family) for family in short]
        if any(cells):
            rows.append([solver, *cells])
    return rows


def _measured(audit: Audit, solver: str, family: str) -> str:
    cell = audit.judged.cells.get((solver, family))
    if cell is None:
        return ""
    due = cell.mean_due
    mean = share_text(cell.mean)
    return mean if due is None or due.exact else f"{mean} ({due})"


def _by_level(audit: Audit, short: Mapping[str, str]) -> list[list[str]]:
    """One row a solver and level, where a family declares what it scores or none does."""
    levels = audit.suite.levels
    rows = [["solver", "level", *short.values()], ["---", "--:", *("--:" for _ in short)]]
    for solver in audit.table.solvers:
        cells = [audit.judged.cells.get((solver, family)) for family in short]
        if all(same_everywhere(solver, audit.table.kinds[family]) for family in short):
            continue
        for level in levels if any(cells) else ():
            shares = [cell.levels.get(level) if cell else None for cell in cells]
            texts = ["" if share is None else share_text(share.value) for share in shares]
            rows.append([solver, str(level), *texts])
    return rows


def _fenced(lines: Sequence[str]) -> list[str]:
    return ["```", *[line.rstrip() for line in lines if line], "```"]


def _groups(audit: Audit, short: Mapping[str, str]) -> list[list[str]]:
    rows = [["solver", *short.values()], ["---", *("--:" for _ in short)]]
    for solver in audit.table.solvers:
        cells = [audit.judged.cells.get((solver, family)) for family in short]
        shares = [None if cell is None else cell.whole for cell in cells]
        if any(share is not None and share.right for share in shares):
            texts = ["" if share is None else share_text(share.value) for share in shares]
            rows.append([solver, *texts])
    return rows


def _windows(curves: Mapping[Key, WindowCurve], short: Mapping[str, str]) -> list[list[str]]:
    """One row for families and languages that agree in all columns."""
    lengths = sorted({length for curve in curves.values() for length in curve.accuracy})
    merged: dict[tuple[str, ...], list[str]] = {}
    for (turns, family, lang), curve in curves.items():
        accuracies = [str(curve.accuracy.get(length, "")) for length in lengths]
        row = (str(turns), *accuracies, curve.history[0], curve.half_life[0])
        merged.setdefault(row, []).append(f"{ALL if family == ALL else short[family]} {lang}")
    rows = [
        ["N", "families", *(f"T = {length}" for length in lengths), "EHL", "half-life"],
        ["--:", "---", *("--:" for _ in lengths), "--:", "---"],
    ]
    for row, names in sorted(merged.items(), key=lambda item: (int(item[0][0]), item[1])):
        rows.append([row[0], _both(names), *row[1:]])
    return rows


def _both(names: Sequence[str]) -> str:
    """Families, with a language only where the other one differs."""
    families: dict[str, list[str]] = {}
    for name in names:
        family, lang = name.split()
        families.setdefault(family, []).append(lang)
    return ", ".join(
        family if len(langs) > 1 else f"{family} {langs[0]}" for family, langs in families.items()
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
