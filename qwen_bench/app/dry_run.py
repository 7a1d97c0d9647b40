"""`--dry-run`: what would be asked, what a resume would skip, and about what it costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qwen_bench.app.foreseen import foresee, run_to_continue
from qwen_bench.app.plan_run import cache_of, rate_of_model
from qwen_bench.engines.cost_estimate import (
    ANSWER_TOKENS,
    KvCache,
    TokenBudget,
    estimate_tokens,
)
from qwen_bench.errors import ModelError
from qwen_bench.report.plan_text import Speed
from qwen_bench.runs.journal import JOURNAL_NAME, final_keys, read_journal
from qwen_bench.runs.manifest_file import read_manifest
from qwen_bench.runs.recorder import refuse_other_settings, with_recorded
from qwen_bench.runs.runner import units

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from qwen_bench.app.asking import Asking
    from qwen_bench.probes.suites import Suite
    from qwen_bench.protocol import Generation, Unit
    from qwen_bench.record.outcome import Key, Mode


@dataclass(frozen=True, slots=True)
class DryRun:
    """What one model would be asked.

    Attributes:
        done: answers that a resume would skip.
        missing: answers to ask.
        found: the run that would be continued, where none was named; None for a new one.
        tokens: of what is missing, estimated; None where there is nothing to estimate.
        cache: keys and values; None where the model's configuration is not known.
        speed: of a recorded run of the same model; None without one.
        answer_tokens: assumed length of an answer.
    """

    label: str
    done: int
    missing: int
    found: Path | None = None
    tokens: TokenBudget | None = None
    cache: KvCache | None = None
    speed: Speed | None = None
    answer_tokens: int = ANSWER_TOKENS

    @property
    def seconds(self) -> float | None:
        """Time for what is missing; None where no rate is known."""
        if self.tokens is None or self.speed is None:
            return None
        return self.tokens.forward(self.answer_tokens) / self.speed.tokens_per_second


def dry_run(asking: Asking) -> list[DryRun]:
    """What each model would be asked; no weights are loaded and nothing is counted exactly.

    For `--resume` without a value the run that is looked at is the newest of the same SPEC that
    agrees in what is known before the model is loaded.

    Raises:
        NotComparableError: the run to resume was made with other settings.
        QwenBenchError: a model of which a run is to be resumed cannot be used as given.
    """
    return [_of_model(asking, position) for position in range(len(asking.models))]


def _of_model(asking: Asking, position: int) -> DryRun:
    spec, label = asking.models[position].spec, asking.labels[position]
    suite, modes, whole = asking.suite, asking.modes, asking.plan
    folder = _folder(asking, position)
    done: AbstractSet[Key] = frozenset()
    if folder is not None:
        suite, modes, whole = with_recorded(suite, modes, whole, read_manifest(folder))
        outcomes = read_journal(folder / JOURNAL_NAME).outcomes
        done = final_keys(outcomes, retry_errors=asking.config.retry_errors) & whole.keys
    looked_for = asking.models[position].resume == "latest"
    found = DryRun(label, len(done), len(whole.keys) - len(done), folder if looked_for else None)
    # A policy that counts tokens needs the tokenizer to know what is sent.
    if not found.missing or spec.kind == "mock" or asking.engine.policy.counts_tokens:
        return found
    try:
        cache = cache_of(spec, asking.engine)
    except ModelError:
        cache = None
    return replace(
        found,
        tokens=estimate_tokens(
            _units(suite, modes, asking.generation, done), policy=asking.engine.policy
        ),
        cache=cache,
        speed=rate_of_model(spec, asking.config.runs_path, asking.engine.device),
        answer_tokens=min(ANSWER_TOKENS, asking.generation.max_new_tokens),
    )


def _units(
    suite: Suite, modes: Sequence[Mode], generation: Generation, done: AbstractSet[Key]
) -> Iterator[Unit]:
    """The requests that are left."""
    for unit in units(suite.dialogues(), modes, generation):
        left = tuple(item for item in unit.requests if (item.id, item.mode) not in done)
        if left:
            yield replace(unit, requests=left)


def _folder(asking: Asking, position: int) -> Path | None:
    """The run that would be continued.

    Raises:
        NotComparableError: it was made with other settings.
    """
    folder = asking.models[position].resume
    if folder is None:
        return None
    foreseen = foresee(asking, position)
    if folder == "latest":
        folder = run_to_continue(asking, position, foreseen)
    if folder is not None and foreseen is not None:
        refuse_other_settings(folder, foreseen.differences(read_manifest(folder)))
    return folder
