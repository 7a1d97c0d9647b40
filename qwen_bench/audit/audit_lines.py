"""An audit as lines for the terminal and as a JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from qwen_bench.audit.audit_suite import Audit
from qwen_bench.audit.findings import AuditLine
from qwen_bench.audit.solver_rules import JudgedCell

_WORD = {"ok": "ok", "fail": "FAIL", "skipped": "skipped"}
# What the document tells of a suite.
_SUITE = ("name", "version", "sha256", "seed", "langs", "lengths", "limit")
# Findings shown of one audit; the JSON file has more.
SHOWN = 5


def short_names(families: Sequence[str]) -> dict[str, str]:
    """Two letters a family, a number more where two would agree.

    >>> short_names(["fact_recall", "pronoun", "fast_reply"])
    {'fact_recall': 'FR', 'pronoun': 'PR', 'fast_reply': 'FR2'}
    """
    found: dict[str, str] = {}
    for family in families:
        words = family.split("_")
        name = (words[0][0] + words[1][0] if len(words) > 1 else family[:2]).upper()
        again = sum(other.rstrip("0123456789") == name for other in found.values())
        found[family] = f"{name}{again + 1}" if again else name
    return found


def share_text(value: float) -> str:
    """A share as in the table of the specification: three digits, no zero before the point."""
    text = f"{value:.3f}"
    return {"0.000": "0", "1.000": "1"}.get(text, text.removeprefix("0"))


def audit_lines(audit: Audit) -> list[str]:
    """The table of solvers with what they score by construction, then one line an audit."""
    suite = audit.suite
    families = audit.families
    short = short_names(families)
    width = max(5, *(len(name) + 3 for name in short.values())) if short else 5
    title = [
        f"suite {suite.name} {suite.version}",
        f"{audit.probes} probes",
        ", ".join(suite.langs),
    ]
    lines = [
        " · ".join([*title, suite.sha256[:12]]),
        "",
        f" {'accuracy':<15}" + "".join(f"{short[family]:>{width}} " for family in families),
    ]
    for solver in audit.table.solvers:
        cells = audit.judged.cells
        if not any((solver, family) in cells for family in families):
            continue
        scores = [_cell(audit, solver, family) for family in families]
        lines.append(f" {solver:<15}" + "".join(f"{text:>{width + 1}}" for text in scores))
        due = [_due(audit, solver, family) for family in families]
        if any(due):
            lines.append(f" {'':<15}" + "".join(f"{text:>{width}} " for text in due))
    lines += [
        "",
        " mean over levels; second lines: as declared, where it is; ! breaks a pass rule",
        *_legend(short),
        "",
    ]
    if len(families) == 1:
        lines += [*_by_level(audit, families[0]), ""]
    if audit.composition is not None:
        lines += audit.composition.lines()
    if audit.separability is not None:
        lines += audit.separability.lines()
    lines += _audits(audit.lines)
    return [line.rstrip() for line in lines]


def _cell(audit: Audit, solver: str, family: str) -> str:
    cell = audit.judged.cells.get((solver, family))
    if cell is None:
        return " "
    mark = "!" if (solver, family) in audit.judged.failed else " "
    return share_text(cell.mean) + mark


def _due(audit: Audit, solver: str, family: str) -> str:
    cell = audit.judged.cells.get((solver, family))
    due = cell.mean_due if cell else None
    return "" if due is None or due.exact else f"({due})"


def _by_level(audit: Audit, family: str) -> list[str]:
    """The table of one family by level."""
    rows = level_rows(audit, family)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        " "
        + "  ".join(
            f"{cell:<{width}}" if i == 0 else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def level_rows(audit: Audit, family: str) -> list[list[str]]:
    """What every solver scores in a family by level: head, then a row a solver."""
    cells = {
        solver: audit.judged.cells[solver, family]
        for solver in audit.table.solvers
        if (solver, family) in audit.judged.cells
    }
    levels = sorted({level for cell in cells.values() for level in cell.levels})
    head = ["solver", *(f"level {level}" for level in levels), "mean", "declared", "twin groups"]
    rows = [head]
    for solver, cell in cells.items():
        shares = [share_text(cell.levels[level].value) for level in levels]
        whole = share_text(cell.whole.value) if cell.whole.n else ""
        rows.append([solver, *shares, share_text(cell.mean), declared_text(cell), whole])
    return rows


def declared_text(cell: JudgedCell) -> str:
    """What is declared of a cell: one value, or one for each level; empty where nothing is."""
    due = ["?" if value is None else str(value) for value in cell.due.values()]
    if set(due) == {"?"}:
        return ""
    return due[0] if len(set(due)) == 1 else " ".join(due)


def _legend(short: dict[str, str]) -> list[str]:
    texts = [f"{name} {family}" for family, name in short.items()]
    return [f" {', '.join(texts[i : i + 6])}" for i in range(0, len(texts), 6)]


def _audits(lines: Sequence[AuditLine]) -> list[str]:
    width = max(len(line.name) for line in lines)
    found = []
    for line in lines:
        count = f"{line.count} found; " if line.count else ""
        found.append(f" {_WORD[line.status]:<8}{line.name:<{width}}  {count}{line.summary}")
        found += [f"         {'':<{width}} {finding}" for finding in line.findings[:SHOWN]]
        if line.count > SHOWN:
            found.append(f"         {'':<{width}} and {line.count - SHOWN} more")
    return found


def failure(audit: Audit) -> str:
    """The audits that failed, in one line; empty when all passed."""
    failed = audit.failed
    if not failed:
        return ""
    return f"{len(failed)} of {len(audit.lines)} audits failed: {', '.join(f.name for f in failed)}"


def document(audit: Audit) -> dict[str, Any]:
    """The audit as JSON."""
    suite, judged = audit.suite, audit.judged
    by_lang = audit.table.shares(0, 1, 2)
    return {
        "suite": {name: getattr(suite, name) for name in _SUITE},
        "probes": audit.probes,
        "passed": not audit.failed,
        "solvers": [
            {
                "solver": solver,
                "family": family,
                "n": cell.n,
                "accuracy": cell.mean,
                "declared": declared_text(cell) or None,
                "by_level": {
                    str(level): {"right": share.right, "n": share.n, "accuracy": share.value}
                    for level, share in cell.levels.items()
                },
                "by_lang": {
                    lang: by_lang[solver, family, lang].value
                    for lang in suite.langs
                    if (solver, family, lang) in by_lang
                },
                "twin_groups": cell.whole.value if cell.whole.n else None,
                "passed": (solver, family) not in judged.failed,
            }
            for (solver, family), cell in judged.cells.items()
        ],
        "windows": [
            {
                "turns": turns,
                "family": family,
                "lang": lang,
                "accuracy": {str(length): str(value) for length, value in curve.accuracy.items()},
                "effective_history_length": curve.history[0],
                "half_life": curve.half_life[0],
            }
            for (turns, family, lang), curve in audit.curves.items()
        ],
        "composition": _composition(audit),
        "separability": _separability(audit),
        "audits": [asdict(line) for line in audit.lines],
    }


def _composition(audit: Audit) -> list[dict[str, Any]]:
    shares = audit.composition.shares() if audit.composition else {}
    return [
        {
            "lang": lang,
            "evidence_turns": evidence,
            "length": length,
            "families": share.families,
            "probes": share.probes,
            "levels": {str(level): str(value) for level, value in sorted(share.levels.items())},
            "forms": {form: str(value) for form, value in share.forms.items()},
            "wordings": {wording: str(value) for wording, value in share.wordings.items()},
        }
        for (lang, evidence, length), share in shares.items()
    ]


def _separability(audit: Audit) -> dict[str, Any]:
    found = audit.separability
    if found is None:
        return {}
    return {
        "surface": [
            {"programme": programme, "lang": lang, "gated": result.gated, **asdict(result)}
            for (programme, lang), result in found.separated.items()
        ],
        "bm25": [
            {
                "lang": lang,
                "level": level,
                "wording": wording,
                "n": search.first.n,
                "top_1": search.first.value,
                "top_3": search.among_three.value,
            }
            for (lang, level, wording), search in found.found().items()
        ],
    }
