"""`--dry-run`: what would be asked, what a resume would skip, and about what it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qwen_bench.cli.planned import cache_of
from qwen_bench.cli.recorded import rate_of_model
from qwen_bench.engines.cost_estimate import ANSWER_TOKENS, TokenBudget, estimate_tokens
from qwen_bench.errors import ModelError
from qwen_bench.record.formats import byte_size, rough_duration, short_tokens
from qwen_bench.runs.journal import JOURNAL_NAME, final_keys, read_journal
from qwen_bench.runs.runner import units
from qwen_bench.runs.store import readable_runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from qwen_bench.cli.asking import Asking
    from qwen_bench.engines.model_spec import ModelSpec
    from qwen_bench.protocol import Unit
    from qwen_bench.record.run import Key


def dry_run_lines(asking: Asking) -> list[str]:
    """What would be asked, one line a model; no weights are loaded and nothing is counted exactly.

    For `--resume` without a value the newest run of the same SPEC and suite is looked at, since the
    settings of a model are known only once it is loaded.
    """
    suite = asking.suite
    lines = [
        (
            f"{asking.plan.probes} probes ({len(suite.families)} families, "
            f"{len(suite.langs)} languages, "
            f"{len(suite.lengths)} lengths, {asking.plan.clusters} skeletons) · "
            f"{asking.plan.dialogues} dialogues"
        )
    ]
    for spec, label in zip(asking.specs, asking.labels, strict=True):
        done = _done_keys(asking, spec.text)
        missing = len(asking.plan.keys) - len(done)
        lines.append(f"{label}: {len(done)} answers are there, {missing} to ask")
        # A policy that counts tokens needs the tokenizer to know what is sent.
        if missing and spec.kind != "mock" and not asking.engine.policy.counts_tokens:
            tokens = estimate_tokens(_units(asking, done), policy=asking.engine.policy)
            lines.append(f"  {_cost(asking, spec, tokens)}")
    return lines


def _cost(asking: Asking, spec: ModelSpec, tokens: TokenBudget) -> str:
    """Tokens, memory of keys and values, and time; the last two where they are known."""
    parts = [
        (
            f"about {short_tokens(tokens.naive)} prompt tokens naive, "
            f"{short_tokens(tokens.shared)} shared (from characters)"
        )
    ]
    try:
        cache = cache_of(spec, asking.engine)
    except ModelError:
        cache = None
    window = f" of {cache.window:,}" if cache and cache.window else ""
    parts.append(f"longest about {tokens.longest:,}{window}")
    if cache is not None:
        parts.append(f"K/V {byte_size(cache.bytes_of(tokens.longest), least='MB')} for it")
    rate = rate_of_model(spec, asking.options.runs_path, asking.engine.device)
    if rate is not None:
        answer = min(ANSWER_TOKENS, asking.generation.max_new_tokens)
        time = rough_duration(tokens.forward(answer) / rate[0])
        parts.append(f"about {time} at the rate of {rate[1]}")
    return " · ".join(parts)


def _units(asking: Asking, done: AbstractSet[Key]) -> Iterator[Unit]:
    """The requests that are left."""
    for unit in units(asking.suite.dialogues(), asking.modes, asking.generation):
        left = tuple(item for item in unit.requests if (item.id, item.mode) not in done)
        if left:
            yield replace(unit, requests=left)


def _done_keys(asking: Asking, spec: str) -> AbstractSet[Key]:
    """Keys a resume would skip."""
    folder: Path | None = None
    if asking.resume == "latest":
        suite = asking.suite
        folder = next(
            (
                found
                for found, manifest in readable_runs(asking.options.runs_path)
                if manifest.model.spec == spec
                and (manifest.suite.sha256, manifest.suite.seed) == (suite.sha256, suite.seed)
                and manifest.suite.policy == asking.options.policy
            ),
            None,
        )
    elif asking.resume is not None:
        folder = asking.resume
    if folder is None:
        return frozenset()
    outcomes = read_journal(folder / JOURNAL_NAME).outcomes
    done = final_keys(outcomes, retry_errors=asking.options.retry_errors)
    return done & asking.plan.keys
