"""Who answers behind an address, in the words of the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import openai

from qwen_bench.chat.rendering import effective_thinking, template_system
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.openai.capabilities import plain_name
from qwen_bench.engines.openai.client import Patience
from qwen_bench.engines.openai.one_server import Server
from qwen_bench.engines.prompting import system_sha256
from qwen_bench.protocol import Identity
from qwen_bench.record.manifest import DecodingInfo, EngineInfo, ModelInfo, TemplateInfo, Thinking

_DEFAULTS = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
)
_PINNED = ("seed", "chat_template_kwargs", "enable_thinking", "top_k", "min_p")


def describe(
    servers: tuple[Server, ...], spec: ModelSpec, options: EngineOptions, patience: Patience
) -> Identity:
    """Identity of an engine on servers that all serve the same model."""
    server = servers[0]
    survey, local = server.survey, server.local
    hosts = ",".join(sorted(other.client.address.host for other in servers))
    name = plain_name(survey.entry.get("id") or spec.name)
    seen = f"openai|{hosts}|{spec.name}|{name}|{survey.fingerprint or ''}"
    template = survey.props.get("chat_template")
    prompter = local.prompter if local is not None else None
    model = ModelInfo(
        spec=spec.text,
        label=spec.default_label,
        kind="openai",
        resolved=name,
        fingerprint=f"unverified:{hashlib.sha256(seen.encode()).hexdigest()}",
        parameters=_whole(survey.entry.get("meta"), "n_params"),
        context_window=server.limit,
        dtype=survey.props.get("model_ftype"),
    )
    settings = prompter.settings if prompter is not None else None
    written = TemplateInfo(
        chat_template_sha256=hashlib.sha256(template.encode()).hexdigest()
        if isinstance(template, str)
        else None,
        source="server",
        default_system=template_system(settings, prompter.tokenizer)
        if settings is not None and prompter is not None
        else None,
        thinking=Thinking(requested=options.thinking, effective=_thinking(server, options)),
    )
    generation = DecodingInfo(
        stop=_stops(survey.accepted),
        system_sha256=system_sha256(options.system),
        checkpoint_defaults=_defaults(survey.props),
    )
    own: dict[str, Any] = {
        "base_url": ",".join(other.client.address.shown for other in servers),
        "server": survey.owner,
        "server_build": survey.props.get("build_info"),
        "system_fingerprint": survey.fingerprint,
        "serves": list(survey.served),
        "slots": survey.slots,
        "concurrency": options.concurrency,
        "ranking": survey.ranks.method or "off",
        "ranking_reason": survey.ranks.why_not,
        "pinned": _pinned(server),
        "refused_fields": list(survey.refused),
        "tokenizer": local.name if local is not None else None,
        "timeout": patience.timeout,
        "max_retries": patience.max_retries,
    }
    engine = EngineInfo(name="openai", version=openai.__version__, **own)
    return Identity(model, written, generation, engine, _warnings(servers, spec, options))


def _pinned(server: Server) -> list[str]:
    survey = server.survey
    names = ["temperature"]
    names += [name for name in _PINNED if name in survey.accepted]
    return [*names, *([survey.penalty] if survey.penalty else [])]


def _warnings(
    servers: tuple[Server, ...], spec: ModelSpec, options: EngineOptions
) -> tuple[str, ...]:
    server = servers[0]
    survey, host = server.survey, server.client.address.host
    lines = [f"the weights behind {host} cannot be verified; the server may change them unseen"]
    if survey.penalty is None:
        lines.append(
            f"penalty not pinned: no field was seen to set the repetition penalty at {host}; "
            "one above 1 would make recalled facts improbable"
        )
    if survey.served and plain_name(spec.name) not in survey.served:
        lines.append(
            f"the server at {host} serves {', '.join(survey.served)}; it answers as '{spec.name}' "
            "all the same"
        )
    if options.thinking == "off" and survey.thinks:
        lines.append(f"the model at {host} thinks although --thinking is off")
    if options.thinking == "on" and not survey.thinks:
        lines.append(f"no thought was seen from the model at {host} although --thinking is on")
    own = survey.own_greeting_tokens
    if own is not None and survey.greeting_tokens is not None and survey.greeting_tokens > own:
        lines.append(
            f"the server at {host} makes {survey.greeting_tokens} tokens of a greeting that has "
            f"{own} here: it adds text, or uses another template"
        )
    if survey.slots is not None and survey.slots > 1:
        lines.append(
            f"llama.cpp at {host} has {survey.slots} slots, which share nothing: each computes a "
            "dialogue again; one slot is several times faster here"
        )
    return tuple(lines)


def _thinking(server: Server, options: EngineOptions) -> str:
    local = server.local
    if server.survey.thinks:
        return "on"
    if local is not None:
        return effective_thinking(local.prompter.settings, local.prompter.tokenizer)
    return "off" if options.thinking == "off" else "none"


def _defaults(props: Mapping[str, Any]) -> dict[str, Any] | None:
    settings = props.get("default_generation_settings")
    params = settings.get("params") if isinstance(settings, dict) else None
    if not isinstance(params, dict):
        return None
    return {name: params[name] for name in _DEFAULTS if name in params}


def _stops(accepted: Mapping[str, object]) -> tuple[str, ...] | None:
    """Strings that the server was told to stop at; None where it goes by its own template alone."""
    stops = accepted.get("stop")
    return tuple(map(str, stops)) if isinstance(stops, list) else None


def _whole(mapping: object, name: str) -> int | None:
    value = mapping.get(name) if isinstance(mapping, dict) else None
    return value if isinstance(value, int) else None
