"""One server through the official SDK, which alone retries and keeps the time.

Gives and takes JSON; knows no prompts and no replies. Secrets go into requests and nowhere else.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import openai

from qwen_bench.engines.openai.address import Address
from qwen_bench.engines.openai.server_errors import ServerError, status_fault

_RETRY_COUNT = "x-stainless-retry-count"
_CONNECT_SECONDS = 10.0
HIDDEN = "***"


class Answer(NamedTuple):
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

    def chat(self, messages: Sequence[Mapping[str, str]], **fields: object) -> Answer:
        """``/chat/completions``.

        Raises:
            ServerError: no proper response.
        """
        chats: Any = self._sdk.chat.completions.with_raw_response
        return self._ask(chats.create, messages=list(messages), model=self.model, extra_body=fields)

    def complete(self, prompt: str | Sequence[int], **fields: object) -> Answer:
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

    def _ask(self, call: Any, **arguments: Any) -> Answer:  # noqa: ANN401 - methods of the SDK
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
        return Answer(data, retries, time.perf_counter() - begun)

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
