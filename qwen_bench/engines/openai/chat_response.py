"""Reading a chat response: answer, thought, how it ended, what it cost.

Servers that separate thoughts put them into a field or a part of their own, others leave them in
the text; either way a thought is never part of the answer. Where no answer is left although the
server sent something, that is told apart from a model that says nothing. What a response does not
say stays None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from qwen_bench.chat.messages import THINK_CLOSE, THINK_OPEN, SplitReply, split_thought
from qwen_bench.engines.openai.client import ServerResponse
from qwen_bench.engines.openai.message_parts import Parts, only_calls, parts_of
from qwen_bench.record.unread import Unread

End = Literal["stop", "length", "filter", "other"]
_ENDS: dict[str | None, End] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "complete": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "filter",
    "sensitive": "filter",
    "safety": "filter",
}
_SAMPLE = 120
_UNSEEN = 8
"""Generated tokens that may leave no text: marks of an end, and of a thought that is empty."""


class Usage(NamedTuple):
    """Token counts of one response; None where the server does not say.

    Attributes:
        prompt: tokens of the prompt.
        cached: those of them that were taken from a cache.
        output: generated tokens.
        thought: generated tokens that the server counts as thought.
    """

    prompt: int | None = None
    cached: int | None = None
    output: int | None = None
    thought: int | None = None


class ChatAnswer(NamedTuple):
    """What a chat response says.

    Attributes:
        text: the answer without its thought; empty while the thought goes on.
        thought: text of the thought; None without one.
        complete: False when the output ended inside the thought.
        end: how it ended.
        finish_reason: in the server's words.
        margin: smallest gap between the best two log-probabilities, in nats.
        refusal: the model's words where the server says that it declined; None where it does not.
        unread: why a reply that ended holds no answer though the server sent something; None where
            there is an answer, or the model itself gave none.
        sent: what it sent instead, for people.
    """

    text: str
    thought: str | None
    complete: bool
    end: End
    finish_reason: str | None
    usage: Usage
    margin: float | None
    refusal: str | None = None
    unread: Unread | None = None
    sent: str = ""


def usage_of(data: Mapping[str, Any]) -> Usage:
    """Counts of a response, chat or completion."""
    usage = _mapping(data.get("usage"))
    prompt_details = _mapping(usage.get("prompt_tokens_details"))
    output_details = _mapping(usage.get("completion_tokens_details"))
    return Usage(
        _count(usage.get("prompt_tokens")),
        _count(prompt_details.get("cached_tokens")),
        _count(usage.get("completion_tokens")),
        _count(output_details.get("reasoning_tokens")),
    )


def answer_in(data: Mapping[str, Any], *, prompt_opened: bool = False) -> ChatAnswer | None:
    """Read a chat response; None when it holds no choice.

    Args:
        data: the response.
        prompt_opened: whether the prompt ends inside a thought.
    """
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    choice: dict[str, Any] = choices[0]
    parts = parts_of(choice)
    said = choice.get("finish_reason")
    reason = said if isinstance(said, str) else None
    end = _ENDS.get(reason and reason.lower(), "stop" if reason is None else "other")
    usage = usage_of(data)
    if parts.thought:
        answer = split_thought(parts.text)
        text = answer.text.strip()
        complete = answer.complete and (bool(text) or end != "length")
        answer = SplitReply(text, parts.thought, complete)
    else:
        answer = split_thought(parts.text, prompt_opened=prompt_opened)
    declined = bool(parts.refusal.strip()) and not answer.text.strip()
    found = ChatAnswer(
        *answer, end, reason, usage, _margin(choice), parts.refusal if declined else None
    )
    if declined or answer.text.strip() or end == "filter":
        return found
    unread, sent = _unread(parts, found)
    return found._replace(unread=unread, sent=sent)


def _unread(parts: Parts, found: ChatAnswer) -> tuple[Unread | None, str]:
    """Why there is no answer, and what there is; nothing where the model itself gave none."""
    if parts.others:
        kind: Unread = "ToolCallOnly" if only_calls(parts) else "UnreadableContent"
        return kind, f"{', '.join(dict.fromkeys(parts.others))} alone"
    if found.end == "length":
        return None, ""
    if parts.thought:
        return "ReasoningOnly", f"{parts.thought_in} alone: {_sample(parts.thought)}"
    if not found.complete and not parts.text.lstrip().startswith(THINK_OPEN):
        return "UnclosedThought", f"text without {THINK_CLOSE}: {_sample(parts.text)}"
    return _withheld(found.usage) if not parts.text else (None, "")


def _withheld(usage: Usage) -> tuple[Unread | None, str]:
    """The same of an answer without a character, by what the server counts."""
    if usage.thought:
        return "WithheldText", f"no text, but counts {usage.thought} tokens of reasoning"
    if usage.output is None:
        return "WithheldText", "no text, and does not count what was generated"
    if usage.output > _UNSEEN:
        return "WithheldText", f"no text, but counts {usage.output} generated tokens"
    return None, ""


def _sample(text: str) -> str:
    """The beginning of a text, on one line in which a runner of pipelines obeys nothing."""
    return " ".join(text.split())[:_SAMPLE].replace("##[", "## [")


def _margin(choice: Mapping[str, Any]) -> float | None:
    content = _mapping(choice.get("logprobs")).get("content")
    if not isinstance(content, list) or not content:
        return None
    gaps = []
    for entry in content:
        top = _mapping(entry).get("top_logprobs")
        values = [_mapping(item).get("logprob") for item in top] if isinstance(top, list) else []
        numbers = sorted((value for value in values if isinstance(value, float)), reverse=True)
        if len(numbers) < 2:
            return None
        gaps.append(numbers[0] - numbers[1])
    return min(gaps)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


@dataclass(slots=True)
class RequestCounters:
    """Sums over the HTTP requests of one request.

    Attributes:
        forward_tokens: prompt tokens not taken from a cache, and generated tokens fed back; None
            once a response did not tell cached tokens.
        decoded_tokens: generated tokens fed back.
        retries: requests sent again by the SDK.
        seconds: wall time.
    """

    forward_tokens: int | None = 0
    decoded_tokens: int = 0
    retries: int = 0
    seconds: float = 0.0

    def add(self, response: ServerResponse) -> None:
        """One more response."""
        usage = usage_of(response.data)
        decoded = max(0, (usage.output or 0) - 1)
        self.decoded_tokens += decoded
        self.retries += response.retries
        self.seconds += response.seconds
        if self.forward_tokens is None or usage.prompt is None or usage.cached is None:
            self.forward_tokens = None
        else:
            self.forward_tokens += usage.prompt - usage.cached + decoded
