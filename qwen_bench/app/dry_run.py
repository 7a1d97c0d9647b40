"""`--dry-run`: what would be asked, what a resume would skip, and about what it costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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
from qwen_bench.runs.runner import units
from qwen_bench.runs.store import readable_runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from qwen_bench.app.asking import Asking
    from qwen_bench.engines.model_spec import ModelSpec
    from qwen_bench.protocol import Unit
    from qwen_bench.record.outcome import Key


@dataclass(frozen=True, slots=True)
class DryRun:
    """What one model would be asked.

    Attributes:
        done: answers that a resume would skip.
        missing: answers to ask.
        tokens: of what is missing, estimated; None where there is nothing to estimate.
        cache: keys and values; None where the model's configuration is not known.
        speed: of a recorded run of the same model; None without one.
        answer_tokens: assumed length of an answer.
    """

    label: str
    done: int
    missing: int
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

    For `--resume` without a value the newest run of the same SPEC and suite is looked at, since the
    settings of a model are known only once it is loaded.
    """
    return [
        _of_model(asking, item.spec, label)
        for item, label in zip(asking.models, asking.labels, strict=True)
    ]


def _of_model(asking: Asking, spec: ModelSpec, label: str) -> DryRun:
    done = _done_keys(asking, spec.text)
    found = DryRun(label, len(done), len(asking.plan.keys) - len(done))
    # A policy that counts tokens needs the tokenizer to know what is sent.
    if not found.missing or spec.kind == "mock" or asking.engine.policy.counts_tokens:
        return found
    try:
        cache = cache_of(spec, asking.engine)
    except ModelError:
        cache = None
    return replace(
        found,
        tokens=estimate_tokens(_units(asking, done), policy=asking.engine.policy),
        cache=cache,
        speed=rate_of_model(spec, asking.config.runs_path, asking.engine.device),
        answer_tokens=min(ANSWER_TOKENS, asking.generation.max_new_tokens),
    )


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
                for found, manifest in readable_runs(asking.config.runs_path)
                if manifest.model.spec == spec
                and (manifest.suite.sha256, manifest.suite.seed) == (suite.sha256, suite.seed)
                and manifest.suite.policy == asking.config.policy
            ),
            None,
        )
    elif asking.resume is not None:
        folder = asking.resume
    if folder is None:
        return frozenset()
    outcomes = read_journal(folder / JOURNAL_NAME).outcomes
    done = final_keys(outcomes, retry_errors=asking.config.retry_errors)
    return done & asking.plan.keys
