"""Who answers, in the words of the manifest."""

from __future__ import annotations

from typing import Any

from qwen_bench.chat.rendering import effective_thinking
from qwen_bench.engines.adapters import AttachedAdapter
from qwen_bench.engines.hub_files import shown_folder
from qwen_bench.engines.loading import LoadedBase
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.prompter import Prompter, StopTokens
from qwen_bench.engines.prompting import system_sha256, template_info
from qwen_bench.protocol import Identity
from qwen_bench.record.manifest import DecodingInfo, EngineInfo, ModelInfo


def identity_of(
    base: LoadedBase,
    spec: ModelSpec,
    prompter: Prompter,
    stops: StopTokens,
    engine: EngineInfo,
    *,
    adapter: AttachedAdapter | None,
) -> Identity:
    """Identity of an engine with a tokenizer here; local paths keep their last component only.

    Args:
        base: the model.
        spec: what the user asked for.
        prompter: how prompts are written.
        stops: what ends answers.
        engine: the engine's account of itself.
        adapter: on the base, if any.
    """
    source = base.source
    resolved = f"{source.resolved} + {shown_folder(adapter.folder)}" if adapter else source.resolved
    model = ModelInfo(
        spec=spec.text,
        label=spec.default_label,
        kind=spec.kind,
        resolved=resolved,
        revision=source.revision,
        fingerprint=adapter.fingerprint if adapter else source.fingerprint,
        base_fingerprint=source.fingerprint if adapter else None,
        architecture=base.architecture,
        parameters=base.parameters,
        context_window=base.context_window,
        dtype=str(base.dtype).removeprefix("torch."),
        quantisation=source.quantisation,
    )
    template = template_info(prompter, base.tokenizer_sha256)
    generation = DecodingInfo(
        stop=stops.names,
        system_sha256=system_sha256(prompter.settings.system),
        checkpoint_defaults=_plain(base.checkpoint_defaults),
    )
    return Identity(model, template, generation, engine, _warnings(base, prompter, stops, adapter))


def _warnings(
    base: LoadedBase, prompter: Prompter, stops: StopTokens, adapter: AttachedAdapter | None
) -> tuple[str, ...]:
    name = base.source.resolved
    settings = prompter.settings
    lines = [*base.notices, *(adapter.warnings if adapter else ())]
    penalty = base.checkpoint_defaults.get("repetition_penalty")
    if penalty not in {None, 1.0}:
        lines.append(f"{name} sets repetition_penalty {penalty}; the benchmark uses 1.0")
    if base.eos_ids and stops.end_of_turn not in base.eos_ids:
        lines.append(
            f"the template of {name} closes turns with {stops.end_of_turn_name}, which its "
            "generation config does not stop at; the benchmark stops there"
        )
    requested = settings.thinking
    if requested != "auto" and effective_thinking(settings, base.tokenizer) != requested:
        lines.append(f"the chat template of {name} has no thinking switch; --thinking is ignored")
    if stops.texts:
        lines.append(
            f"{name} has no token for {' or '.join(stops.texts)}; an answer ends where its text "
            "has it"
        )
    return tuple(lines)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a generation config holds
    """The value as JSON; what JSON does not know as text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
