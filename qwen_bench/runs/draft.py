"""The manifest of a run that has not begun, from a suite and an engine's account of itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from qwen_bench.runs.identity import with_identity
from qwen_bench.runs.manifest import (
    EngineInfo,
    Expected,
    GenerationInfo,
    Manifest,
    ModelInfo,
    ScorerInfo,
    SuiteInfo,
    TemplateInfo,
)
from qwen_bench.runs.provenance import redact_mapping, redact_text, tool_info
from qwen_bench.scoring.outcome import SCORER_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qwen_bench.engines.protocol import Identity, Mode
    from qwen_bench.probes.suites import Suite
    from qwen_bench.runs.runner import Plan

_NOT_IN_SLUG = re.compile(r"[^a-z0-9._-]+")


def suite_info(suite: Suite, modes: Sequence[Mode], policy: str) -> SuiteInfo:
    """What the manifest records of a suite; the primary scorer is one that is asked."""
    return SuiteInfo(
        name=suite.name,
        version=suite.version,
        sha256=suite.sha256,
        seed=suite.seed,
        filler_sha256=suite.filler_sha256,
        policy=policy,
        filler=suite.own.filler,
        tasks_dirs=suite.own.tasks_dirs,
        langs=suite.langs,
        families=suite.families,
        lengths=suite.lengths,
        conditions=suite.conditions,
        limit=suite.limit,
        modes=tuple(modes),
        primary=suite.primary if suite.primary in modes else modes[0],
    )


def expected_of(whole: Plan) -> Expected:
    """Which rows a complete run of this plan has."""
    return Expected(rows=len(whole.keys), ids_sha256=whole.ids_sha256)


def draft_manifest(
    suite: Suite,
    modes: Sequence[Mode],
    whole: Plan,
    identity: Identity,
    *,
    spec: str,
    label: str,
    kind: str,
    max_new_tokens: int,
    policy: str = "full",
) -> Manifest:
    """A manifest with status `running`, no folder name and no invocation yet.

    Args:
        suite: what is asked.
        modes: scorers asked.
        whole: plan of suite and modes.
        identity: the engine's account of model, template, generation and engine.
        spec: the SPEC as typed.
        label: name of the model in tables.
        kind: kind of the SPEC.
        max_new_tokens: budget of an answer.
        policy: history policy of the run.
    """
    model = {"kind": kind, **_plain(identity.model), "spec": redact_text(spec), "label": label}
    generation = _plain(identity.generation) | {"max_new_tokens": max_new_tokens}
    return with_identity(
        Manifest(
            run_id="",
            status="running",
            identity="",
            tool=tool_info(),
            suite=suite_info(suite, modes, policy),
            model=ModelInfo.model_validate(model),
            template=TemplateInfo.model_validate(_plain(identity.template)),
            generation=GenerationInfo.model_validate(generation),
            engine=EngineInfo.model_validate(_plain(identity.engine)),
            scorer=ScorerInfo(version=SCORER_VERSION),
            expected=expected_of(whole),
            warnings=identity.warnings,
        )
    )


def folder_name(started: str, label: str, identity: str) -> str:
    """``<UTC>-<model slug>-<6 hex>``; equal settings show as equal digits.

    Args:
        started: UTC, ISO 8601.
        label: name of the model.
        identity: the identity hash.
    """
    moment = started.replace("-", "").replace(":", "")
    slug = _NOT_IN_SLUG.sub("-", label.lower()).strip("-.")[:40] or "model"
    return f"{moment}-{slug}-{identity[:6]}"


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping of an engine without secrets; nulls go, so that defaults apply."""
    return {name: value for name, value in redact_mapping(values).items() if value is not None}
