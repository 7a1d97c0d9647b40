"""Tables of what each run did alone: key figures, statuses, policy, rules, abstention, counters.

Each has a column or a group of columns a run. Computes no statistic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qwen_bench.record.counters import total_counters
from qwen_bench.record.formats import NO_INTERVAL, count, percent, plural, turns
from qwen_bench.report.tables import (
    UNKNOWN,
    ReportTable,
    TableRow,
    Unit,
    Value,
    accuracy_table,
    accuracy_value,
    run_table,
)
from qwen_bench.stats.isotonic import crossing, crossing_words
from qwen_bench.stats.pace import tokens_or_turns
from qwen_bench.stats.sanity import guessable_warnings
from qwen_bench.stats.survival import Checkpoint, abstention, instruction_survival, rule_scores
from qwen_bench.stats.token_bins import token_bin_name

if TYPE_CHECKING:
    from qwen_bench.record.outcome import Outcome, Run
    from qwen_bench.stats.pace import PaceDifference
    from qwen_bench.stats.results import Accuracy, ModeSummary

_RULE_FAMILIES = ("instruction_retention", "system_rule")
_ABSTENTION = "abstention"
_STATUSES = {
    "truncated": "truncated",
    "refused": "refused",
    "empty": "empty",
    "too long": "too_long",
    "error": "error",
}
# Field, name, unit and meaning of the counters, in the order of the table.
_COUNTERS: tuple[tuple[str, str, Unit, str], ...] = (
    ("seconds", "answering time", "seconds", "wall time, model load excluded"),
    ("forward_tokens", "tokens through the model", "count",
     ("prompts, candidates and generated tokens, what prompts share counted once; both scorers "
      "together")),
    ("naive_tokens", "tokens without sharing", "count",
     "what a program that reads every prompt whole would have computed"),
    ("sharing_ratio", "sharing ratio", "times",
     "tokens without sharing for each token through the model"),
    ("decoded_tokens", "tokens generated", "count", "the last one of an answer not counted"),
    ("padding_tokens", "padding", "count", "tokens that only fill up a batch"),
    ("recomputed_tokens", "tokens computed again", "count",
     "shared tokens that went through the model more than once"),
    ("peak_kv_bytes", "memory for keys and values", "bytes", "most at one time, all layers"),
    ("peak_memory_bytes", "memory in all", "bytes",
     "most at one time, weights included: of the GPU, or of the process on a CPU"),
    ("tokens_per_second", "tokens a second", "rate", "through the model, over the answering time"),
    ("answers_per_second", "answers a second", "rate", "over the answering time"),
    ("oom_splits", "memory ran out", "count", "times; less was computed together afterwards"),
    ("retries", "sent again", "count", "requests a server failed first, or units of a worker"),
)  # fmt: skip
_ALWAYS = {"seconds", "forward_tokens", "sharing_ratio"}
_MEANINGS = {
    "accuracy":
        "macro average over families, main condition; every probe counts, failures as wrong",
    "evidence visible": "share of probes whose evidence the history policy left in the prompt",
    "accuracy given visible":
        "what is forgotten although it was sent; below: the two parts that add up to accuracy",
    "group score":
        "probes that differ only in the fact under test count as one, right only if all are",
    "falls under 50 %": "crossing of the non-increasing fit of accuracy over history length",
    "ended inside a thought":
        "no answer followed the thought; wrong, truncated where its budget ended it, else empty",
    "empty": "the answer ended without a text; wrong",
    "balanced accuracy": "mean of the two kinds of question",
    "abstains although it was said": "of the answers stated",
    "invents an answer": "of the answers never stated: one value and no word of doubt",
}  # fmt: skip


def key_figures(
    title: str, summaries: Sequence[ModeSummary], retention: Sequence[TableRow] = ()
) -> ReportTable:
    """Accuracy, what is retained, and accounting of each run under one scorer.

    Args:
        title: of the table.
        summaries: of the runs.
        retention: rows on what is retained, shown before the accounting.
    """
    overall = [summary.overall for summary in summaries]
    groups = [summary.group_score for summary in summaries]
    falls = (Value(word=_falls_under(summary.by_length)) for summary in summaries)
    clusters = (Value(cell.n, "count", note=plural(cell.clusters, "skeleton")) for cell in overall)
    rows = [
        _row("accuracy", map(accuracy_value, overall)),
        *_policy_rows(summaries),
        _row("group score", map(accuracy_value, groups)),
        _row("falls under 50 %", falls),
        *retention,
        _row("probes", clusters),
    ]
    for name, field in _STATUSES.items():
        rows.append(_row(name, (_share(getattr(cell, field), cell.n) for cell in overall)))
    thoughts = [summary.reasons.get("no_answer", 0) for summary in summaries]
    if any(thoughts):
        shares = (_share(number, cell.n) for number, cell in zip(thoughts, overall, strict=True))
        rows.append(_row("ended inside a thought", shares))
    return ReportTable(title, "", (), tuple(rows))


def _row(name: str, values: Iterable[Value]) -> TableRow:
    return TableRow(name, tuple(values), _MEANINGS.get(name, ""))


def _share(number: int, of: int) -> Value:
    return Value(number, "count", note=percent(number / of) if number and of else "")


def _falls_under(by_length: Mapping[int, Accuracy]) -> str:
    """Where accuracy falls under 50 %, in words; a dash without lengths."""
    lengths = sorted(by_length)
    if not lengths:
        return "–"
    cells = [by_length[length] for length in lengths]
    place = crossing(lengths, [cell.accuracy for cell in cells], [cell.n for cell in cells])
    return crossing_words(place)


def _policy_rows(summaries: Sequence[ModeSummary]) -> list[TableRow]:
    """What a history policy cut, apart from what was forgotten; nothing when no run had one."""
    if not any(summary.policy for summary in summaries):
        return []
    visible, given = [], []
    for summary in summaries:
        if summary.policy is None:
            visible.append(Value(1.0, note="full history"))
            given.append(accuracy_value(summary.overall))
            continue
        whole = summary.policy.overall
        visible.append(Value(whole.share_visible, note=summary.policy.policy))
        parts = f"{percent(whole.visible_part)} + {percent(whole.invisible_part)} after the cut"
        given.append(Value(whole.accuracy_given_visible, note=parts))
    return [_row("evidence visible", visible), _row("accuracy given visible", given)]


def status_table(
    title: str, summaries: Sequence[ModeSummary], lengths: Mapping[int, str]
) -> ReportTable | None:
    """Probes by status and history length; None where every probe was answered in full."""
    fields = ("n", *_STATUSES.values())
    slices = [summary.by_length for summary in summaries]
    if not any(getattr(cell, f) for found in slices for cell in found.values() for f in fields[1:]):
        return None
    return run_table(
        title,
        ("n", *_STATUSES),
        lengths,
        slices,
        lambda cell: (Value(word=count(getattr(cell, field))) for field in fields),
        absent="",
    )


def policy_table(
    title: str, caption: str, summaries: Sequence[ModeSummary], lengths: Mapping[int, str]
) -> ReportTable | None:
    """What a history policy left in sight at each history length; None without a policy."""
    if not any(summary.policy for summary in summaries):
        return None
    slices = []
    for summary in summaries:
        rows = {}
        for length, whole in summary.by_length.items():
            right = Value(word=percent(whole.accuracy))
            rows[length] = (Value(word=percent(1.0)), right, right)
        for length, cell in summary.policy.by_length.items() if summary.policy else ():
            given = Value(word=percent(cell.accuracy_given_visible))
            rows[length] = (Value(cell.share_visible), given, Value(cell.accuracy))
        slices.append(rows)
    columns = ("in sight", "right if in sight", "right in all")
    return run_table(
        title, columns, lengths, slices, lambda values: values, caption=caption, absent=""
    )


def survival_tables(runs: Sequence[Sequence[Outcome]], scorer: str) -> tuple[ReportTable, ...]:
    """How long a rule holds by history length, one table a rule family that was asked.

    Args:
        runs: final rows of one scorer, a run each.
        scorer: its name.
    """

    def values(point: Checkpoint) -> Iterable[Value]:
        counts = (point.at_risk, point.violated)
        return *(Value(number, "count") for number in counts), Value(point.survival)

    tables = []
    for family in _RULE_FAMILIES:
        curves = [instruction_survival(row for row in run if row.family == family) for run in runs]
        keys = {n: turns(n) for n in sorted({n for curve in curves for n in curve})}
        if keys:
            columns = ("unbroken before", "broken here", "survival")
            title = f"Survival of {family}, {scorer}"
            caption = f"Dialogues whose rule was never broken so far, {family}, {scorer}"
            tables.append(run_table(title, columns, keys, curves, values, caption=caption))
    return tuple(tables)


def rules_table(title: str, runs: Sequence[Sequence[Outcome]]) -> ReportTable | None:
    """Form and content of replies to rules; None where no rule was asked for, or none so scored.

    Args:
        title: of the table.
        runs: final rows of one scorer, a run each.
    """
    found = [rule_scores(rows) for rows in runs]
    if not any(found):
        return None

    def row(name: str, field: str) -> TableRow:
        values = (
            Value(word="not scored")
            if one is None
            else Value(getattr(one, field), note=f"n {one.n:,}")
            for one in found
        )
        return _row(name, values)

    rows = (
        row("form: the rule is kept", "form"),
        row("content: the right thing is named", "content"),
        row("right: both", "both"),
    )
    return ReportTable(title, "", (), rows)


def abstention_table(title: str, runs: Sequence[Sequence[Outcome]]) -> ReportTable | None:
    """Balanced accuracy and both ways to be wrong; None where the family was not asked.

    Args:
        title: of the table.
        runs: final rows of one scorer, a run each.
    """
    found = [abstention(row for row in rows if row.family == _ABSTENTION) for rows in runs]
    if not any(found):
        return None

    def row(name: str, field: str, of: str = "") -> TableRow:
        values = (
            Value(word="not asked")
            if one is None
            else Value(getattr(one, field), note=f"n {getattr(one, of):,}" if of else "")
            for one in found
        )
        return _row(name, values)

    rows = (
        row("balanced accuracy", "balanced_accuracy"),
        row("abstains although it was said", "false_abstain", "stated"),
        row("invents an answer", "invented", "absent"),
    )
    return ReportTable(title, "", (), rows)


def paces_table(title: str, summaries: Sequence[ModeSummary]) -> ReportTable | None:
    """What more tokens and what more turns cost each run; None where one pace was asked.

    Args:
        title: of the table.
        summaries: of the runs.
    """
    found = [{pace_row(one): one for one in summary.paces} for summary in summaries]
    names = dict.fromkeys(name for one in found for name in one)
    if not names:
        return None

    def value(one: PaceDifference | None) -> Value:
        if one is None:
            return Value(word="not asked")
        note = "" if one.gap.low is not None else one.gap.note or NO_INTERVAL
        return Value(one.gap.value, "points", one.gap.low, one.gap.high, note=note)

    rows = [TableRow(name, tuple(value(one.get(name)) for one in found)) for name in names]
    words = (Value(word=tokens_or_turns(summary.paces) or "–") for summary in summaries)
    return ReportTable(title, "", (), (*rows, _row("in words", words)))


def pace_row(one: PaceDifference) -> str:
    """What there is more of, and where: ``more tokens: 32 turns, brief to long``."""
    less, more = one.less, one.more
    if one.of == "tokens":
        return f"more tokens: {turns(less.length)}, {less.pace} to {more.pace}"
    return f"more turns: {less.length} {less.pace} to {more.length} {more.pace}"


def tokens_table(title: str, summaries: Sequence[ModeSummary]) -> ReportTable:
    """Accuracy of each run by the tokens of its prompts."""
    bins = sorted({most for summary in summaries for most in summary.by_tokens})
    names = {most: token_bin_name(most) for most in bins}
    runs = [summary.by_tokens for summary in summaries]
    return accuracy_table(title, "prompt tokens", names, runs)


def uncounted_prompts(summaries: Sequence[ModeSummary]) -> int:
    """Probes that are in no bin of tokens: mocks and failures whose prompt nobody counted."""
    binned = sum(cell.n for summary in summaries for cell in summary.by_tokens.values())
    return sum(summary.overall.n for summary in summaries) - binned


def guessable_families(
    runs: Sequence[Sequence[Outcome]], chances: Mapping[str, float]
) -> tuple[str, ...]:
    """Families that some run answers without the history far above chance.

    Args:
        runs: final rows of one scorer, a run each.
        chances: score of a uniform guess by family.
    """

    def guessed(family: str, rows: Sequence[Outcome]) -> bool:
        return bool(guessable_warnings("", [r for r in rows if r.family == family], chances))

    families = sorted({row.family for rows in runs for row in rows})
    return tuple(family for family in families if any(guessed(family, rows) for rows in runs))


def level_loads(
    families: Iterable[str], levels: Iterable[int], loads: Mapping[str, tuple[str, tuple[int, ...]]]
) -> tuple[tuple[str, str], ...]:
    """What the levels of each family count: ``("fact_recall", "1, 2, 4 names")``.

    Args:
        families: of the runs; those of users, which declare nothing, are left out.
        levels: asked.
        loads: by family what its levels count, and how many at each.
    """
    asked = tuple(levels)
    named = {family: loads[family] for family in families if asked and family in loads}
    return tuple(
        (family, f"{', '.join(str(counts[level - 1]) for level in asked)} {items}")
        for family, (items, counts) in named.items()
    )


def counters_table(runs: Sequence[Run]) -> ReportTable | None:
    """Time, tokens, memory and speed of each run over all its processes; a dash is unknown.

    What went wrong on the way (tokens computed again, memory that ran out, requests sent again)
    has a row only where it happened; None where no run knows its counters.
    """
    totals = [_counters(run) for run in runs]
    if not any(totals):
        return None
    rows = (
        TableRow(name, tuple(_counter(total, field, unit) for total in totals), about)
        for field, name, unit, about in _COUNTERS
        if field in _ALWAYS or any(total.get(field) for total in totals)
    )
    return ReportTable("Time and tokens", "", (), tuple(rows))


def _counter(total: Mapping[str, Any], field: str, unit: Unit) -> Value:
    number = total.get(field)
    if number is None:
        return UNKNOWN
    killed = total.get("partial") and field == "seconds"
    return Value(number, unit, note="without killed invocations" if killed else "")


def _counters(run: Run) -> dict[str, Any]:
    """Counters of all invocations; `partial` when one was killed before it could report."""
    accounts = [item.efficiency for item in run.manifest.invocations]
    known = [account for account in accounts if account is not None]
    if not known:
        return {}
    return total_counters(known) | {"partial": len(known) < len(accounts)}
