"""Renderings that belong to no checkpoint: plain ChatML and the prompt of Qwen v1's `chat()`.

Neither is ever chosen silently: `--chat-template chatml` asks for the first, the adapter for legacy
models uses the second.
"""

from __future__ import annotations

from collections.abc import Sequence

from qwen_bench.chat.messages import Message

CHATML = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
"""ChatML without a default system text, as a Jinja template."""

V1_SYSTEM = "You are a helpful assistant."


def render_qwen_v1(messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
    """The text Qwen v1's `make_context` builds, without its window.

    Blocks are joined by a newline instead of ended by one, so nothing follows the last closer. A
    system block is always there; without a system message it holds the sentence `chat()` passes.

    Source: `qwen_generation_utils.py` of QwenLM/Qwen (Apache-2.0), rules re-stated.
    """
    turns = list(messages)
    if not turns or turns[0].role != "system":
        turns.insert(0, Message("system", V1_SYSTEM))
    text = "\n".join(f"<|im_start|>{turn.role}\n{turn.content}<|im_end|>" for turn in turns)
    return text + "\n<|im_start|>assistant\n" if add_generation_prompt else text
