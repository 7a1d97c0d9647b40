"""What a server is and can do, found out with a few tiny requests before anything is asked.

What a server says of itself and what it was seen to do; names of products decide as little as
possible. A field that changes no answer is not known to be understood, since some servers ignore
what they do not know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen_bench.chat.messages import Conversation, Message, as_dicts
from qwen_bench.chat.rendering import SWITCH, Thinking, with_system
from qwen_bench.engines.openai.chat_response import ChatAnswer, answer_in, usage_of
from qwen_bench.engines.openai.client import Client, ServerError
from qwen_bench.engines.openai.forcing import RankMethod, echoed_logprobs, first_position
from qwen_bench.engines.openai.server_request import Local

GREETING = (Message("user", "Hello"),)
_REPEATING = (Message("user", "Repeat this: one one one one one one one one one one"),)
_SYSTEMS = ("Be brief.", "Be brief, be polite, and answer in one short sentence.")
_PENALTIES = ("repetition_penalty", "repeat_penalty")
_TWICE = 2.0
_CACHED_IN_BLOCKS = ("vllm", "sglang")


@dataclass(frozen=True, slots=True)
class Ranks:
    """Whether and how candidates can be scored.

    Attributes:
        method: None when they cannot.
        why_not: in that case the reason.
        takes_ids: whether prompts may be token ids.
        fields: optional fields that the endpoint takes.
    """

    method: RankMethod | None
    why_not: str | None = None
    takes_ids: bool = False
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Survey:
    """A server and its model.

    Attributes:
        served: names in its list of models.
        entry: its own entry of the model.
        props: `/props` of llama.cpp; empty elsewhere.
        fingerprint: `system_fingerprint` of a response.
        accepted: optional fields that it did not refuse, with the values to send.
        refused: those that it did.
        penalty: the field that was seen to set the repetition penalty; None for not known.
        thinks: whether an answer began with a thought.
        system_messages: whether a system message reaches the model.
        greeting_tokens: prompt tokens that it counts for a greeting.
        own_greeting_tokens: those that the tokenizer here makes of it; None without one.
        tells_cached: whether it tells cached tokens.
    """

    served: tuple[str, ...]
    entry: Mapping[str, Any]
    props: Mapping[str, Any]
    fingerprint: str | None
    accepted: Mapping[str, object]
    refused: tuple[str, ...]
    penalty: str | None
    thinks: bool
    system_messages: bool
    greeting_tokens: int | None
    own_greeting_tokens: int | None
    tells_cached: bool
    ranks: Ranks

    @property
    def owner(self) -> str | None:
        """What the server calls itself in its list of models."""
        owner = self.entry.get("owned_by")
        return owner if isinstance(owner, str) else None

    @property
    def slots(self) -> int | None:
        """Slots of llama.cpp, each with a cache of its own; None elsewhere."""
        slots = self.props.get("total_slots")
        return slots if isinstance(slots, int) else None

    @property
    def max_context(self) -> int | None:
        """Tokens of prompt and answer together, as the server says."""
        settings = self.props.get("default_generation_settings")
        meta = self.entry.get("meta")
        found = (
            settings.get("n_ctx") if isinstance(settings, dict) else None,
            self.entry.get("max_model_len"),
            self.entry.get("context_length"),
            meta.get("n_ctx") if isinstance(meta, dict) else None,
        )
        return next((value for value in found if isinstance(value, int) and value > 0), None)

    @property
    def cached_in_blocks(self) -> bool:
        """Whether requests that run side by side take what they share from one cache."""
        return self.slots is None and (self.tells_cached or self.owner in _CACHED_IN_BLOCKS)


def survey(client: Client, thinking: Thinking, local: Local | None) -> Survey:
    """Ask a server about itself.

    Args:
        client: the server.
        thinking: as asked for.
        local: tokenizer on this side.

    Raises:
        ServerError: it is not there, refuses the key, or does not know the model.
    """
    hasty = client.hasty()
    models = hasty.models()
    props = hasty.props() or {}
    optional: dict[str, object] = {
        "seed": 0,
        **dict.fromkeys(_PENALTIES, 1.0),
        "top_k": 1,
        "min_p": 0.0,
        "logprobs": True,
        "top_logprobs": 2,
    }
    stops = local.prompter.stop_tokens(()).texts if local is not None else ()
    if stops:
        optional = {"stop": list(stops), **optional}
    if thinking != "auto":
        optional |= {"chat_template_kwargs": SWITCH[thinking], **SWITCH[thinking]}
    greeting: Conversation = GREETING
    if local is not None:
        greeting = with_system(GREETING, local.prompter.settings, local.prompter.tokenizer)
    try:
        data, accepted = _greet(client, greeting, optional)
    except ServerError as fault:
        fault.served = _served(models)
        raise
    said = answer_in(data)
    usage = usage_of(data)
    penalty = _penalty(hasty, [name for name in _PENALTIES if name in accepted])
    ranks = _ranks(hasty, local)
    fingerprint = data.get("system_fingerprint")
    refused = tuple(name for name in optional if name not in accepted)
    if said is None or said.margin is None:
        accepted = {k: v for k, v in accepted.items() if k not in {"logprobs", "top_logprobs"}}
    return Survey(
        served=_served(models),
        entry=_entry(models, client.model),
        props=props,
        fingerprint=fingerprint if isinstance(fingerprint, str) else None,
        accepted=accepted,
        refused=refused,
        penalty=penalty,
        thinks=said is not None and _thought(said),
        system_messages=_takes_system(hasty),
        greeting_tokens=usage.prompt,
        own_greeting_tokens=len(local.prompter.prompt(GREETING).ids) if local else None,
        tells_cached=usage.cached is not None,
        ranks=ranks,
    )


def _thought(said: ChatAnswer) -> bool:
    return said.thought is not None or not said.complete or bool(said.usage.thought)


def _greet(
    client: Client, greeting: Conversation, optional: Mapping[str, object]
) -> tuple[Mapping[str, Any], dict[str, object]]:
    """A first small answer, and the optional fields that were not refused.

    A server that refuses without naming a field loses them one by one, last first.
    """
    fields = dict(optional)
    while True:
        try:
            answer = client.chat(as_dicts(greeting), max_tokens=8, temperature=0, **fields)
        except ServerError as fault:
            if fault.code not in {400, 422} or fault.kind == "model" or not fields:
                raise
            named = [name for name in fields if re.search(rf"\b{name}\b", fault.body)]
            for name in named or list(fields)[-1:]:
                del fields[name]
        else:
            return answer.data, fields


def _penalty(client: Client, names: Sequence[str]) -> str | None:
    """The field that changes an answer as a repetition penalty does."""

    def text(**fields: object) -> str | None:
        answer = client.chat(as_dicts(_REPEATING), max_tokens=12, temperature=0, seed=0, **fields)
        said = answer_in(answer.data)
        return None if said is None else f"{said.thought} {said.text}"

    try:
        plain = text()
        if plain is None or text() != plain:
            return None
        return next((name for name in names if text(**{name: _TWICE}) != plain), None)
    except ServerError:
        return None


def _takes_system(client: Client) -> bool:
    """Whether a longer system message makes a longer prompt."""
    counts = []
    for system in _SYSTEMS:
        messages = (Message("system", system), *GREETING)
        try:
            answer = client.chat(as_dicts(messages), max_tokens=1, temperature=0)
        except ServerError as fault:
            if fault.code is None:
                raise
            return False
        counts.append(usage_of(answer.data).prompt)
    return None in counts or counts[0] != counts[1]


def _ranks(client: Client, local: Local | None) -> Ranks:
    """Try echo, then single tokens with log-probabilities; each with ids, then with text."""
    if local is None:
        return Ranks(None, "candidates need the model's tokenizer here: -M tokenizer=")
    prompt = local.prompter.prompt(GREETING)
    why = "the server has no /completions"
    for takes_ids in (True, False):
        sent: str | Sequence[int] = prompt.ids if takes_ids else prompt.text
        fields: dict[str, object] = {"return_tokens_as_token_ids": True}
        for method in _METHODS:
            try:
                data = _try_method(client, method, sent, fields)
            except ServerError as fault:
                if fault.code is None:
                    raise
                continue
            counted = usage_of(data).prompt
            if counted is not None and counted != len(prompt.ids):
                why = (
                    f"the server makes {counted} tokens of a prompt that the tokenizer here makes "
                    f"{len(prompt.ids)} of"
                )
            elif _shows(method, data, len(prompt.ids)):
                return Ranks(method, None, takes_ids, fields)
            else:
                why = "the server gives no log-probabilities of prompts or of next tokens"
    return Ranks(None, why)


def _shows(method: RankMethod, data: Mapping[str, Any], tokens: int) -> bool:
    """Whether a completion of a prompt of so many tokens holds what a method needs."""
    if method == "echo":
        return echoed_logprobs(data, tokens) is not None
    return len(first_position(data)) > 1


_METHODS: tuple[RankMethod, ...] = ("echo", "forcing")


def _try_method(
    client: Client, method: RankMethod, prompt: str | Sequence[int], fields: dict[str, object]
) -> Mapping[str, Any]:
    """One completion; a refused optional field is taken out of `fields`."""
    wanted: dict[str, object] = (
        {"echo": True, "logprobs": 1} if method == "echo" else {"logprobs": 5}
    )
    while True:
        try:
            answer = client.complete(prompt, max_tokens=1, temperature=0, **wanted, **fields)
        except ServerError as fault:
            named = [name for name in fields if name in fault.body]
            if fault.code not in {400, 422} or not named:
                raise
            for name in named:
                del fields[name]
        else:
            return answer.data


def _listed(models: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    data = (models or {}).get("data")
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []


def _served(models: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Names in the list; local paths by their last component."""
    return tuple(plain_name(entry.get("id")) for entry in _listed(models))


def _entry(models: Mapping[str, Any] | None, model: str) -> Mapping[str, Any]:
    """The entry of a model; the only one where the server has but one."""
    listed = _listed(models)
    found = [entry for entry in listed if entry.get("id") == model]
    return found[0] if found else listed[0] if len(listed) == 1 else {}


def plain_name(name: object) -> str:
    """A model's name; a local path by its last component."""
    text = str(name)
    return text.rstrip("/").rsplit("/", 1)[-1] if text.startswith(("/", "~", ".")) else text
