"""From a suite and an engine's account of itself to the manifest of a run, and back to the suite.

A run can be widened: the union of what it has and what is now asked for. Limits are nested and
probe ids do not depend on the selection, so its rows stay valid.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qwen_bench.probes.probe import LANGS
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Own, Suite, build_suite
from qwen_bench.protocol import Generation
from qwen_bench.record.manifest import (
    EngineInfo,
    Expected,
    GenerationInfo,
    Manifest,
    ModelInfo,
    ScorerInfo,
    Section,
    SuiteInfo,
    TemplateInfo,
)
from qwen_bench.record.marks import with_identity
from qwen_bench.record.outcome import MODES
from qwen_bench.record.redaction import redact_mapping, redact_text
from qwen_bench.runs.provenance import tool_info
from qwen_bench.scoring.score import SCORER_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.protocol import Identity
    from qwen_bench.record.outcome import Mode
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
        levels=suite.levels,
        conditions=suite.conditions,
        limit=suite.limit,
        max_tokens=suite.max_tokens,
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
    generation: Generation,
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
        generation: how answers are generated.
        policy: history policy of the run.
    """
    model = _plain(identity.model) | {"spec": redact_text(spec), "label": label}
    template = TemplateInfo.model_validate(_plain(identity.template))
    # A server that renders by itself does not say what the request came to. Budgets of imported
    # answers are not ours.
    asked = template.thinking.effective or template.thinking.requested
    thinks = asked == "on" and identity.model.kind != "imported"
    settings = _plain(identity.generation) | generation_settings(generation, thinks=thinks)
    return with_identity(
        Manifest(
            run_id="",
            status="running",
            identity="",
            tool=tool_info(),
            suite=suite_info(suite, modes, policy),
            model=ModelInfo.model_validate(model),
            template=template,
            generation=GenerationInfo.model_validate(settings),
            engine=EngineInfo.model_validate(_plain(identity.engine)),
            scorer=ScorerInfo(version=SCORER_VERSION),
            expected=expected_of(whole),
            warnings=(*identity.warnings, *_thinking_warnings(generation, modes, thinks=thinks)),
        )
    )


def generation_settings(generation: Generation, *, thinks: bool) -> dict[str, Any]:
    """What the manifest records of how answers are generated, beside the engine's own account.

    What has no effect is left out: sampling at temperature 0, and the budget of thoughts, as long
    as it is the usual one, where no prompt opens any. So runs without either stay comparable with
    those of versions that knew neither.

    Args:
        generation: of the run.
        thinks: whether the prompts ask for thoughts.
    """
    found: dict[str, Any] = {"max_new_tokens": generation.max_new_tokens}
    thought = generation.max_thinking_tokens
    if thinks or thought != Generation().max_thinking_tokens:
        found["max_thinking_tokens"] = thought
    sampling = generation.sampling
    if sampling.temperature:
        found |= {"temperature": sampling.temperature, "seed": sampling.seed}
        if sampling.top_p < 1:
            found["top_p"] = sampling.top_p
        if sampling.top_k:
            found["top_k"] = sampling.top_k
    return found


def _thinking_warnings(
    generation: Generation, modes: Sequence[Mode], *, thinks: bool
) -> tuple[str, ...]:
    """What a reader of the answers of a model that thinks should know."""
    found = []
    if thinks and "generate" in modes and not generation.sampling.temperature:
        found.append(
            "the model thinks, and greedy thoughts tend to repeat themselves; Qwen advises "
            "--temperature 0.6 --top-p 0.95 --top-k 20 --sampling-seed N"
        )
    if thinks and "rank" in modes:
        found.append(
            "the model thinks, but rank scores candidates where its thought would begin; "
            "--thinking off, or --mode generate"
        )
    return tuple(found)


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


def _plain(section: Section) -> dict[str, Any]:
    """What an engine says of itself without secrets; nulls go, so that defaults apply."""
    values = redact_mapping(section.model_dump(mode="json"))
    return {name: value for name, value in values.items() if value is not None}


def selection_of(info: SuiteInfo) -> Selection:
    """The selection a manifest records."""
    return Selection(
        lengths=info.lengths,
        levels=info.levels or None,
        families=info.families,
        conditions=info.conditions,
        langs=tuple(lang for lang in LANGS if lang in info.langs),
        limit=info.limit,
        max_tokens=info.max_tokens,
    )


def own_of(info: SuiteInfo) -> Own:
    """The user's own families and filler that a manifest records."""
    return Own(info.tasks_dirs, info.filler)


def suite_of(info: SuiteInfo) -> Suite:
    """The suite of a run, rebuilt from its manifest by the installed definitions.

    Its `sha256` differs from the manifest's when the definitions have changed since.

    Raises:
        InputError: the suite or a family no longer exists.
    """
    return build_suite(info.name, selection_of(info), info.seed, own_of(info))


def widened(asked: Suite, info: SuiteInfo) -> Suite:
    """The suite that covers both what was asked for and what a run already has."""
    selection = Selection(
        lengths=tuple(sorted({*asked.lengths, *info.lengths})),
        levels=tuple(sorted({*asked.levels, *info.levels})),
        families=_union(info.families, asked.families),
        conditions=_union(info.conditions, asked.conditions),
        langs=tuple(lang for lang in LANGS if lang in info.langs or lang in asked.langs),
        max_tokens=_covering_tokens(asked.max_tokens, info.max_tokens),
    )
    whole = build_suite(asked.name, selection, asked.seed, asked.own)
    rotations = [n for by_length in whole.rotations.values() for n in by_length.values()]
    limit = _covering_limit(asked.limit, info.limit, rotations)
    if limit is None:
        return whole
    return build_suite(asked.name, replace(selection, limit=limit), asked.seed, asked.own)


def _covering_tokens(first: int | None, second: int | None) -> int | None:
    """What the lengths of both were narrowed to fit; None where one was not narrowed."""
    return None if first is None or second is None else max(first, second)


def joined_modes(first: Sequence[Mode], second: Sequence[Mode]) -> tuple[Mode, ...]:
    """Scorers of both, generate before rank."""
    return tuple(mode for mode in MODES if mode in first or mode in second)


def _union(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """Members of both, in order of appearance."""
    return tuple(dict.fromkeys([*first, *second]))


def _covering_limit(
    first: int | None, second: int | None, own_rotations: Sequence[int]
) -> int | None:
    """The smallest limit whose probes include those of both; None is the suite's own number.

    The suite's own number may differ by history length. A limit between its smallest and largest
    is covered by the largest.
    """
    limits = [limit for limit in (first, second) if limit is not None]
    if not limits:
        return None
    if len(limits) == 2:
        return max(limits)
    return None if limits[0] <= min(own_rotations) else max(limits[0], *own_rotations)
