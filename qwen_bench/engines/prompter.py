"""Between messages and token ids: one tokenizer, one template, the tokens that stop an answer.

Ids are always resolved from strings, because they differ between generations of a model. Knows no
weights and no tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from os.path import commonprefix
from typing import Any

from qwen_bench.chat.messages import Conversation, Message
from qwen_bench.chat.rendering import (
    IM_START,
    ChatSettings,
    choose_template,
    default_system_text,
    prompt_text,
    render,
    with_system,
)
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.errors import TemplateError

STOP_STRINGS = ("<|im_end|>", "<|endoftext|>", IM_START)
_MARK = "qzjx"
# Blocks of a prompt from which on they are encoded apart, and how many are remembered: those of the
# longest dialogue of the suites.
_BLOCKS = 4
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A rendered and encoded conversation."""

    text: str
    ids: tuple[int, ...]

    @property
    def sha256(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class StopTokens:
    """Tokens that end an answer.

    Attributes:
        ids: all of them.
        names: their strings and those that stop as text, sorted.
        end_of_turn: the token that ends an assistant turn; scored after every candidate.
        end_of_turn_name: its string.
        texts: markers of the template that are no single token of this tokenizer; an answer ends
            where its text has one.
    """

    ids: frozenset[int]
    names: tuple[str, ...]
    end_of_turn: int
    end_of_turn_name: str
    texts: tuple[str, ...] = ()


def chat_settings(spec: ModelSpec, options: EngineOptions, own: str | None) -> ChatSettings:
    """How prompts of a model are written; `own` is the template that came with it.

    Raises:
        TemplateError: there is no template, or it cannot be read.
    """
    template = choose_template(options.chat_template, own, spec.default_label)
    return ChatSettings(template, options.system, options.thinking)


class Prompter:
    """Turns messages into ids and ids into text; counts tokens for history policies.

    Args:
        tokenizer: a transformers tokenizer.
        settings: template, system option, thinking mode.
    """

    def __init__(self, tokenizer: Any, settings: ChatSettings) -> None:  # noqa: ANN401 - untyped
        self.tokenizer = tokenizer
        self.settings = settings
        start = tokenizer.convert_tokens_to_ids(IM_START)
        self._start = start if IM_START in tokenizer.get_vocab() else None
        # Whether blocks may be encoded apart; None until a prompt has shown it.
        self._apart: bool | None = None if self._start is not None else False
        self._block = lru_cache(maxsize=_REMEMBERED)(self._encode)
        self._latest: tuple[tuple[Conversation, tuple[str, ...]], EncodedPrompt] | None = None

    def prompt(self, messages: Sequence[Message], tools: Sequence[str] = ()) -> EncodedPrompt:
        """Render, check and encode a conversation that ends with a message of a user or a tool.

        Args:
            messages: the conversation.
            tools: those that may be called, each as JSON.

        The latest one is remembered, because each probe is asked in two modes in a row.

        Raises:
            TemplateError: part of the conversation is lost, or a content opens a turn by itself.
        """
        asked = tuple(messages), tuple(tools)
        if self._latest is None or self._latest[0] != asked:
            self._latest = asked, self._checked(*asked)
        return self._latest[1]

    def _checked(self, messages: Conversation, tools: tuple[str, ...]) -> EncodedPrompt:
        text = prompt_text(messages, self.settings, self.tokenizer, tools)
        ids = self._encoded(text)
        if self._start is not None and ids.count(self._start) != text.count(IM_START):
            raise TemplateError(
                f"{ids.count(self._start)} turn starts are encoded, "
                f"{text.count(IM_START)} are written",
                why="the tokenizer does not read the turn markers of the template as one token",
            )
        return EncodedPrompt(text, ids)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _encoded(self, text: str) -> tuple[int, ...]:
        """Ids of a prompt; blocks that an earlier one had are not encoded again.

        A long history is asked about many times, and encoding it costs more than anything else
        here. Tokenizers encode what stands between special tokens apart; that this one does is seen
        on the first prompt with a history.
        """
        head, *blocks = text.split(IM_START)
        if self._apart is False or len(blocks) < _BLOCKS:
            return self._encode(text)
        pieces = [*([head] if head else []), *(IM_START + block for block in blocks)]
        ids = tuple(chain.from_iterable(map(self._block, pieces)))
        if self._apart is None:
            whole = self._encode(text)
            self._apart = ids == whole
            return whole
        return ids

    def takes_system(self) -> bool:
        """Whether the template writes a system message; some refuse or lose it."""
        try:
            self.prompt((Message("system", "Be brief."), Message("user", "Hello")))
        except TemplateError:
            return False
        return True

    def candidate(self, text: str) -> tuple[int, ...]:
        """Ids of a candidate as the model would write it after a prompt; markers are plain text."""
        ids = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return tuple(ids)

    def prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the complete prompt of a conversation; errors as for `prompt`."""
        return len(self.prompt(messages).ids)

    def text_tokens(self, text: str) -> int:
        """Tokens of a text encoded alone; markers are plain text."""
        return len(self.candidate(text))

    def system_text(self, messages: Sequence[Message]) -> str | None:
        """Text of the system block in the prompt of a conversation; None when it has none.

        Read from a rendering, because a template may add to the text it is given.
        """
        full = with_system(messages, self.settings, self.tokenizer)
        given = full[0].content if full[0].role == "system" else None
        opening = full[:1] if given is not None else ()
        text = render(
            (*opening, full[-1]),
            self.settings.template,
            self.tokenizer,
            thinking=self.settings.thinking,
        )
        written = default_system_text(text)
        return given if written is None else written

    def blocks(self, prompt: EncodedPrompt) -> tuple[int, ...]:
        """Tokens of each ChatML block of a prompt, in order; they add up to the whole prompt.

        What stands before the first block counts with it. Empty where the template writes no
        ChatML or the tokenizer does not know its markers.
        """
        if self._start is None or self._start not in prompt.ids:
            return ()
        starts = [place for place, token in enumerate(prompt.ids) if token == self._start]
        edges = [0, *starts[1:], len(prompt.ids)]
        return tuple(end - begin for begin, end in pairwise(edges))

    def text(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens removed."""
        decoded = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(decoded)

    def whole_text(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens kept."""
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def name(self, token: int) -> str:
        """String of one token."""
        return str(self.tokenizer.convert_ids_to_tokens(token))

    def stop_tokens(self, shipped: Sequence[int]) -> StopTokens:
        """Union of what the checkpoint stops at, the tokenizer's end, and the ChatML markers.

        What the template writes between turns stops an answer too, as text where the tokenizer has
        no token for it.

        Args:
            shipped: ids of the checkpoint's generation config.

        Raises:
            TemplateError: the template ends an assistant turn with nothing.
        """
        end_of_turn = self._end_of_turn()
        vocabulary = self.tokenizer.get_vocab()
        ids = set(shipped)
        ids |= {vocabulary[name] for name in STOP_STRINGS if name in vocabulary}
        if self.tokenizer.eos_token_id is not None:
            ids.add(self.tokenizer.eos_token_id)
        if len(end_of_turn) == 1:
            ids.add(end_of_turn[0])
        markers = () if ids.intersection(end_of_turn) else self._markers()
        encoded = {
            text: tuple(self.tokenizer.encode(text, add_special_tokens=False)) for text in markers
        }
        ids |= {only for only, *more in encoded.values() if not more}
        texts = tuple(text for text, pieces in encoded.items() if len(pieces) > 1)
        names = tuple(sorted({*(self.name(token) for token in ids), *texts}))
        return StopTokens(frozenset(ids), names, end_of_turn[0], self.name(end_of_turn[0]), texts)

    def _markers(self) -> tuple[str, ...]:
        """What the template writes after an assistant's content, and the opening of ChatML turns.

        The last turn of a conversation shows where its end is over, whatever the next one opens
        with.
        """
        asked, said = Message("user", "a"), Message("assistant", _MARK)
        after = [
            render(
                (asked, said, *more),
                self.settings.template,
                self.tokenizer,
                add_generation_prompt=False,
            ).partition(_MARK)[2]
            for more in ((), (Message("user", "b"),))
        ]
        end = commonprefix(after).split("\n", 1)[0].strip()  # noqa: RUF071 - characters are meant
        opening = IM_START if IM_START in after[1] and self._start is None else ""
        return tuple(text for text in (end, opening) if text)

    def _end_of_turn(self) -> tuple[int, ...]:
        """Ids between an assistant's content and the end of its line."""
        chat = (Message("user", "a"), Message("assistant", _MARK), Message("user", "b"))
        text = render(chat, self.settings.template, self.tokenizer)
        after = text.partition(_MARK)[2].split("\n", 1)[0]
        ids = tuple(self.tokenizer.encode(after, add_special_tokens=False)) if after else ()
        if not ids and self.tokenizer.eos_token_id is not None:
            return (self.tokenizer.eos_token_id,)
        if not ids:
            raise TemplateError(
                f"the chat template of {self.settings.template.name} does not end assistant turns",
                fix="pass another template with --chat-template FILE or chatml",
            )
        return ids
