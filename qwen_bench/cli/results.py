"""Printing what the app found, and the exit code it comes to; the one caller of line renderers."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from qwen_bench.app.outputs import targets_of, write_outputs, write_profiles
from qwen_bench.cli.exits import MEANING, Code, Exit, decisive
from qwen_bench.record.formats import byte_size, plural, rough_duration, short_tokens
from qwen_bench.record.redaction import redact_argv
from qwen_bench.report.terminal import (
    comparison_lines,
    efficiency_lines,
    gate_lines,
    policy_lines,
    profile_lines,
)
from qwen_bench.runs.store import total_efficiency
from qwen_bench.stats.gates import verdict_fails
from qwen_bench.stats.sentences import in_short, sentences
from qwen_bench.stats.summary import policy_split, summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.app.asking import Asking
    from qwen_bench.app.comparing import Judged
    from qwen_bench.app.config import RunConfig
    from qwen_bench.app.dry_run import DryRun
    from qwen_bench.cli.options import Call
    from qwen_bench.engines.cost_estimate import TokenBudget
    from qwen_bench.record.outcome import Run
    from qwen_bench.report.plan_text import Planned
    from qwen_bench.runs.store import StoredRun
    from qwen_bench.stats.results import Comparison

_FAILURES = {"regressed": Code.REGRESSED, "cannot tell": Code.NOT_COMPARABLE}


def command_line(words: Sequence[str]) -> str:
    """The command as it can be typed again, without its secrets.

    Args:
        words: after the program's name.
    """
    return shlex.join(["qwen-bench", *redact_argv(words)])


def show_judged(judged: Judged, call: Call) -> Exit:
    """Print the tables, write the files asked for, and say how the command ends.

    Returns:
        The exit; its text is empty where nothing gates.
    """
    config = call.config
    codes = [code_of(comparison, config.fail_on) for comparison in judged.comparisons]
    code = decisive([*codes, *(Code(item.exit_code) for item in judged.unjudged)])
    for number, comparison in enumerate(judged.comparisons):
        lines = comparison_lines(
            comparison,
            judged.runs[0].manifest.suite,
            sentences(comparison),
            remarks=_policy_remarks(comparison, judged.runs),
        )
        _table([*lines, *gate_lines(comparison.gates)], call, number)
    write_outputs(
        judged, config, call.screen, exit_code=int(code), command=command_line(call.words)
    )
    return _ending(code, judged.comparisons, config)


def show_profiles(runs: Sequence[StoredRun], views: Sequence[Run], call: Call) -> None:
    """Print one table a run, and write the files asked for.

    Args:
        runs: as recorded.
        views: the same under labels that differ.
        call: of the command.
    """
    for number, view in enumerate(views):
        show_profile(view, call, number)
    if runs:
        write_profiles(runs, call.config, call.screen)


def show_profile(run: Run, call: Call, number: int = 0) -> None:
    """Print the profile of one of several runs."""
    lines = profile_lines(run.label, run.manifest.suite, summarise(run.outcomes))
    _table(lines, call, number)


def show_dry_run(asking: Asking, call: Call) -> None:
    """Print what would be asked, one line a model, and about what it costs."""
    from qwen_bench.app.dry_run import dry_run

    suite, plan = asking.suite, asking.plan
    header = (
        f"{plan.probes} probes ({len(suite.families)} families, {len(suite.langs)} languages, "
        f"{len(suite.lengths)} lengths, {plan.clusters} skeletons) · {plan.dialogues} dialogues"
    )
    lines = [header]
    for model in dry_run(asking):
        goes_on = f" · continues {model.found}" if model.found is not None else ""
        asked = f"{model.done} answers are there, {model.missing} to ask"
        lines.append(f"{model.label}: {asked}{goes_on}")
        if model.tokens is not None:
            lines.append(f"  {' · '.join(_costs(model, model.tokens))}")
    call.screen.table(lines, stdout_is_free=True)


def _costs(model: DryRun, tokens: TokenBudget) -> list[str]:
    """Tokens, memory of keys and values, and time; the last two where they are known."""
    cache = model.cache
    window = f" of {cache.window:,}" if cache and cache.window else ""
    naive, shared = short_tokens(tokens.naive), short_tokens(tokens.shared)
    parts = [
        f"about {naive} prompt tokens naive, {shared} shared (from characters)",
        f"longest about {tokens.longest:,}{window}",
    ]
    if cache is not None:
        parts.append(f"K/V {byte_size(cache.bytes_of(tokens.longest), least='MB')} for it")
    if model.seconds is not None and model.speed is not None:
        parts.append(f"about {rough_duration(model.seconds)} at the rate of {model.speed.source}")
    return parts


def show_plan(made: Planned, call: Call) -> None:
    """Print a plan."""
    from qwen_bench.report.plan_text import plan_lines

    _table(plan_lines(made), call)


def work_of(label: str, run: StoredRun) -> list[str]:
    """What answering took, in at most two lines."""
    return efficiency_lines(label, total_efficiency(run.manifest.invocations))


def _table(lines: Sequence[str], call: Call, number: int = 0) -> None:
    """One of several tables of a command."""
    free = targets_of(call.config).stdout_is_free
    call.screen.table([*([""] if number else []), *lines], stdout_is_free=free)


def code_of(comparison: Comparison, fail_on: str) -> Code:
    """Exit code of one comparison: `--fail-on` rules the verdict, an unmet gate always fails."""
    codes = [Code.REGRESSED for gate in comparison.gates if not gate.passed]
    word = comparison.verdict.word
    if verdict_fails(word, fail_on):
        codes.append(_FAILURES.get(word or "", Code.INCONCLUSIVE))
    return decisive(codes)


def _ending(code: Code, comparisons: Sequence[Comparison], config: RunConfig) -> Exit:
    """The exit with its meaning: what failed, or what is known although nothing did."""
    if code is Code.REGRESSED:
        return Exit(code, _failed(comparisons, config))
    failed = [item for item in comparisons if verdict_fails(item.verdict.word, config.fail_on)]
    if code in {code_of(item, config.fail_on) for item in failed}:
        return Exit(code, " and ".join([_known(failed, comparisons), *_unmet(comparisons)]))
    if code is not Code.DONE:
        return Exit(code)
    words = ", ".join(dict.fromkeys(str(item.verdict.word) for item in comparisons))
    count = sum(len(item.gates) for item in comparisons)
    parts = [_known(comparisons, comparisons)] if config.fail_on != "never" else []
    if config.fail_on == "never" and config.given("fail_on"):
        parts.append(f"the verdict decides nothing with --fail-on never ({words})")
    if count:
        parts.append("the gate is met" if count == 1 else f"all {count} gates are met")
    return Exit(code, ", ".join(parts))


def _known(shown: Sequence[Comparison], comparisons: Sequence[Comparison]) -> str:
    """What some of the comparisons found, by candidate where there are several."""
    if len(comparisons) == 1:
        return "".join(map(in_short, shown))
    return "; ".join(f"{item.candidate.label}: {in_short(item)}" for item in shown)


def _unmet(comparisons: Sequence[Comparison]) -> list[str]:
    """The gates that are not met, in words; nothing where all are."""
    unmet = [
        f"{gate.expr} ({item.candidate.label})" if len(comparisons) > 1 else gate.expr
        for item in comparisons
        for gate in item.gates
        if not gate.passed
    ]
    return [f"{plural(len(unmet), 'gate')} not met ({', '.join(unmet)})"] if unmet else []


def _failed(comparisons: Sequence[Comparison], config: RunConfig) -> str:
    """What failed, and where to look."""
    never = config.fail_on == "never"
    regressed = not never and any(c.verdict.word == "regressed" for c in comparisons)
    parts = [*([MEANING[Code.REGRESSED]] if regressed else []), *_unmet(comparisons)]
    page = targets_of(config).page
    return " and ".join(parts) + (f", see {page}#flips" if page and regressed else "")


def _policy_remarks(comparison: Comparison, runs: Sequence[Run]) -> list[str]:
    """What a history policy cut on either side; nothing where every turn was sent."""
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
