"""Untrusted text inside Markdown: code spans in which nothing is obeyed.

Knows nothing of the documents it is put into.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qwen_bench.record.outcome import final_outcomes
from qwen_bench.record.redaction import redact_shown
from qwen_bench.report.answers import REASON_WORDS
from qwen_bench.report.untrusted_text import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.record.outcome import Outcome, Run

LONGEST_QUOTE = 200


def code(text: object, *, limit: int = LONGEST_QUOTE) -> str:
    """Untrusted text as a code span on one line, outside tables.

    Line breaks become ``⏎``, control and invisible characters visible, home folders and
    credentials hidden; the old form of workflow commands, which the runner obeys anywhere in a
    line, is broken up.

    Args:
        text: any value.
        limit: characters kept; what is cut is counted.
    """
    whole = str(redact_shown(str(text)))
    shown = plain(re.sub(r"\r\n|[\r\n]", "⏎", whole[:limit])).replace("\t", " ")
    shown = shown.replace("##[", "##［") or "(empty)"
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    pad = " " if len(fence) > 1 else ""
    rest = f" ({len(whole) - limit:,} more characters)" if len(whole) > limit else ""
    return f"{fence}{pad}{shown}{pad}{fence}{rest}"


def table_code(text: object) -> str:
    """Untrusted text as a code span inside a table, where a bare ``|`` ends the cell."""
    # A backslash before the escaped bar would escape the backslash instead.
    shown = re.sub(r"\\(?=\\*\|)", "⧵", str(text))
    return code(shown).replace("|", r"\|")


def answers_of(run_id: str, mode: str, runs: Sequence[Run]) -> dict[str, Outcome]:
    """Final rows of one run and scorer by probe id; empty when the run is not among them."""
    return {
        row.probe_id: row
        for run in runs
        if run.run_id == run_id
        for row in final_outcomes(run.outcomes)
        if row.mode == mode
    }


def quoted(row: Outcome) -> str:
    """What a model said, and the scorer's reason where it is not right."""
    said = row.status.replace("_", " ") if row.output is None else code(row.output)
    reason = REASON_WORDS.get(row.reason or "", row.reason or "")
    known = row.reason in REASON_WORDS
    note = "" if row.value or not reason else f" – {reason if known else code(reason)}"
    return f"{said}{note}"
