"""What answering one request cost a server, as far as it says."""

from __future__ import annotations

from dataclasses import dataclass

from qwen_bench.engines.openai.chat_response import usage_of
from qwen_bench.engines.openai.client import Answer


@dataclass(slots=True)
class Spent:
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

    def add(self, answer: Answer) -> None:
        """One more response."""
        usage = usage_of(answer.data)
        decoded = max(0, (usage.output or 0) - 1)
        self.decoded_tokens += decoded
        self.retries += answer.retries
        self.seconds += answer.seconds
        if self.forward_tokens is None or usage.prompt is None or usage.cached is None:
            self.forward_tokens = None
        else:
            self.forward_tokens += usage.prompt - usage.cached + decoded
