"""One server through the official SDK, which alone retries and keeps the time; and its refusals.

Gives and takes JSON; knows no prompts and no replies. Secrets go into requests and nowhere else.

What a refusal means, for one request or for the whole run, is told by its status and its words.
Servers word the same refusal differently; the wordings are those of llama.cpp and transformers
serve as seen, of vLLM, SGLang, TGI, OpenAI and DashScope as their sources and documents have them.
"""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import openai

from qwen_bench.engines.openai.address import Address
from qwen_bench.errors import EngineError
from qwen_bench.record.outcome import Status

_RETRY_COUNT = "x-stainless-retry-count"
_CONNECT_SECONDS = 10.0
HIDDEN = "***"
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


class ServerResponse(NamedTuple):
    """A response of the server.

    Attributes:
        data: its JSON object.
        retries: requests sent again before it came.
        seconds: wall time, retries included.
    """

    data: Mapping[str, Any]
    retries: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often the SDK tries.

    Attributes:
        timeout: seconds for one try.
        max_retries: of connection errors, 408, 409, 429 and 5xx.
    """

    timeout: float = 600.0
    max_retries: int = 5


class Client:
    """A server and a model on it.

    Args:
        address: of the server.
        model: name of the model there.
        key: of the account; a local server mostly needs none.
        patience: timeouts and retries.
    """

    def __init__(self, address: Address, model: str, key: str | None, patience: Patience) -> None:
        self.address = address
        self.model = model
        password = urlsplit(address.url).password
        self._secrets = [secret for secret in (key, password) if secret]
        self._sdk = openai.OpenAI(
            base_url=address.url,
            api_key=key or "none",
            timeout=openai.Timeout(patience.timeout, connect=_CONNECT_SECONDS),
            max_retries=patience.max_retries,
        )

    def chat(self, messages: Sequence[Mapping[str, str]], **fields: object) -> ServerResponse:
        """``/chat/completions``.

        Raises:
            ServerError: no proper response.
        """
        chats: Any = self._sdk.chat.completions.with_raw_response
        return self._ask(chats.create, messages=list(messages), model=self.model, extra_body=fields)

    def complete(self, prompt: str | Sequence[int], **fields: object) -> ServerResponse:
        """``/completions``, for a prompt that is text or token ids.

        Raises:
            ServerError: no proper response.
        """
        completions: Any = self._sdk.completions.with_raw_response
        sent = prompt if isinstance(prompt, str) else list(prompt)
        return self._ask(completions.create, prompt=sent, model=self.model, extra_body=fields)

    def models(self) -> Mapping[str, Any] | None:
        """``/models``; None where the server has no such page.

        Raises:
            ServerError: the key is refused, or nobody is there.
        """
        return self._look(self._sdk.models.with_raw_response.list)

    def props(self) -> Mapping[str, Any] | None:
        """``/props`` of llama.cpp; None where the server has no such page.

        Raises:
            ServerError: nobody is there any more.
        """

        def get() -> Any:  # noqa: ANN401 - JSON
            return self._sdk.get(f"{self.address.root}/props", cast_to=object)

        return self._look(get)

    def hasty(self) -> Client:
        """The same server, for requests that it may well refuse: tried twice.

        Not once, because a server that failed may drop the connection, and the next request on it
        is then lost whatever it asks.
        """
        other = copy.copy(self)
        other._sdk = self._sdk.with_options(max_retries=1)  # noqa: SLF001 - its own kind
        return other

    def close(self) -> None:
        """Close the connections."""
        self._sdk.close()

    def hide(self, text: str) -> str:
        """The text without the key and the password."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def _look(self, call: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 - methods of the SDK
        try:
            found = self._ask(call).data
        except ServerError as fault:
            if fault.kind == "key" or fault.reason in {"connection", "timeout"}:
                raise
            return None
        return found

    def _ask(self, call: Any, **arguments: Any) -> ServerResponse:  # noqa: ANN401 - methods of the SDK
        begun = time.perf_counter()
        try:
            raw = call(**arguments)
            retries = getattr(raw, "retries_taken", 0)
            data = raw.http_response.json() if hasattr(raw, "http_response") else raw
        except openai.OpenAIError as error:
            # The chain is cut: the SDK's own message may repeat the key it was refused for.
            raise self._fault(error) from None
        except ValueError:
            raise ServerError("request", "invalid", "the response is not JSON") from None
        if not isinstance(data, dict):
            raise ServerError("request", "invalid", "the response is not a JSON object")
        return ServerResponse(data, retries, time.perf_counter() - begun)

    def _fault(self, error: openai.OpenAIError) -> ServerError:
        request = getattr(error, "request", None)
        retries = int(request.headers.get(_RETRY_COUNT, 0)) if request is not None else 0
        if isinstance(error, openai.APITimeoutError):
            return ServerError("request", "timeout", "no response in time", retries=retries)
        if isinstance(error, openai.APIConnectionError):
            cause = type(error.__cause__).__name__ if error.__cause__ else "no connection"
            return ServerError(
                "request", "connection", f"connection lost: {cause}", retries=retries
            )
        if isinstance(error, openai.APIStatusError):
            said = self.hide(error.response.text)
            return status_fault(error.status_code, said, retries=retries)
        return ServerError(
            "request", "invalid", self.hide(f"{type(error).__name__}: {error}"), retries=retries
        )


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


def no_choice(data: Mapping[str, Any]) -> ServerError:
    """The fault of a response without a choice; some servers say in it what went wrong."""
    error = data.get("error")
    if not error:
        return ServerError("request", "empty", "the response holds no choice")
    said = json.dumps(data, ensure_ascii=False)
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and 400 <= code < 600:
        return status_fault(code, said)
    return ServerError("request", "empty", f"the response holds an error: {_sentence(said)}")


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
