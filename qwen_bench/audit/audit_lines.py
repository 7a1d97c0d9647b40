"""An audit as lines for the terminal and as a JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from qwen_bench.audit.audit_suite import Audit
from qwen_bench.audit.findings import AuditLine

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
    families = audit.table.families
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
    lines += ["", " second lines: by construction; ! breaks a pass rule", *_legend(short), ""]
    lines += _audits(audit.lines)
    return [line.rstrip() for line in lines]


def _cell(audit: Audit, solver: str, family: str) -> str:
    share = audit.judged.cells.get((solver, family))
    if share is None:
        return " "
    mark = "!" if (solver, family) in audit.judged.failed else " "
    return share_text(share.value) + mark


def _due(audit: Audit, solver: str, family: str) -> str:
    shown = audit.judged.shown.get((solver, family), "")
    if shown in {"", "0", "1"}:
        return ""
    return f"({shown if shown.startswith('<') else share_text(float(shown))})"


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
                "right": share.right,
                "n": share.n,
                "accuracy": share.value,
                "by_lang": {
                    lang: by_lang[solver, family, lang].value
                    for lang in suite.langs
                    if (solver, family, lang) in by_lang
                },
                "expected": judged.shown[solver, family] or None,
                "twin_groups": judged.groups[solver, family].value,
                "passed": (solver, family) not in judged.failed,
            }
            for (solver, family), share in judged.cells.items()
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
        "audits": [asdict(line) for line in audit.lines],
    }
