"""What a server's refusal means: for one request, or for the whole run.

Servers word the same refusal differently; the wordings are those of llama.cpp and transformers
serve as seen, of vLLM, SGLang, TGI, OpenAI and DashScope as their sources and documents have them.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Literal

from qwen_bench.errors import EngineError
from qwen_bench.record.outcome import Status

Kind = Literal["request", "key", "model", "fields"]

_MOST = 300
_CONTEXT = re.compile(
    r"exceed_context_size|context_length_exceeded|maximum context|context (?:length|size|window)"
    r"|max_model_len|max_total_tokens|(?:prompt|input)[^.]{0,40}(?:is )?too (?:long|large)"
    r"|range of input length|longer than the (?:model|maximum)",
    re.IGNORECASE,
)
_FILTER = re.compile(r"content_filter|data_inspection_failed|content management", re.IGNORECASE)
_MODEL = re.compile(r"model[^.]{0,80}(?:not (?:found|exist)|does not exist)", re.IGNORECASE)


class ServerError(Exception):
    """A request that got no proper answer. Turned into a reply or an `EngineError` by the caller.

    Attributes:
        kind: ``request`` where another request may well succeed; else what is wrong for all.
        status: of the reply, for a fault of one request.
        reason: of the reply.
        message: one line, without secrets.
        code: HTTP status; None where there was no response.
        body: what the server said, for finding names of fields in it; without secrets.
        retries: how often the SDK asked again before it gave up.
        served: names of the models that the server lists, once they are known.
    """

    def __init__(
        self,
        kind: Kind,
        reason: str,
        message: str,
        *,
        status: Status = "error",
        code: int | None = None,
        body: str = "",
        retries: int = 0,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.reason = reason
        self.message = message
        self.code = code
        self.body = body
        self.retries = retries
        self.served: tuple[str, ...] = ()


def status_fault(code: int, said: str, *, retries: int = 0) -> ServerError:
    """The fault behind an HTTP status of 400 or more.

    Args:
        code: the status.
        said: body of the response, secrets removed.
        retries: by the SDK.
    """
    message = f"HTTP {code}: {_sentence(said)}"
    if code in {400, 413, 422} and _CONTEXT.search(said):
        return ServerError(
            "request", "server", message, status="too_long", code=code, body=said, retries=retries
        )
    if code == 400 and _FILTER.search(said):
        return ServerError(
            "request",
            "content_filter",
            message,
            status="refused",
            code=code,
            body=said,
            retries=retries,
        )
    kinds: dict[int, Kind] = {401: "key", 403: "key", 404: "model", 422: "fields"}
    kind: Kind = kinds.get(code, "model" if code < 500 and _MODEL.search(said) else "request")
    return ServerError(kind, f"http_{code}", message, code=code, body=said, retries=retries)


def refusal(fault: ServerError, host: str, model: str) -> EngineError:
    """The error that ends a run, or keeps it from beginning, for a fault that hits all requests.

    Args:
        fault: what happened.
        host: of the server.
        model: name that was asked for.
    """
    nothing = "nothing was recorded as an answer"
    if fault.kind == "key":
        return EngineError(
            f"the server at {host} refused the key; {nothing}",
            why=fault.message,
            fix="set OPENAI_API_KEY to a key for this server and model",
        )
    if fault.kind == "model":
        names = f"it serves {', '.join(fault.served)}" if fault.served else "it lists no models"
        return EngineError(
            f"the server at {host} does not know the model '{model}', or has no such address",
            why=(fault.message, names),
            fix="write openai:NAME with a served name; the address mostly ends with /v1",
        )
    if fault.kind == "fields":
        return EngineError(
            f"the server at {host} does not understand the request; {nothing}", why=fault.message
        )
    if fault.reason in {"connection", "timeout"}:
        return EngineError(
            f"the server at {host} is not reachable; {nothing}",
            why=fault.message,
            fix="start it, or check --base-url",
        )
    return EngineError(
        f"the server at {host} does not answer a first small question; {nothing}", why=fault.message
    )


def _sentence(said: str) -> str:
    """What a body says in words, on one line."""
    found: object = said
    with suppress(ValueError):
        found = json.loads(said)
    for _ in range(3):
        if not isinstance(found, dict):
            break
        inner = (found.get(name) for name in ("error", "message", "detail", "msg"))
        found = next((value for value in inner if value), json.dumps(found, ensure_ascii=False))
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    line = " ".join(text.split())
    return line if len(line) <= _MOST else line[:_MOST] + "..."
