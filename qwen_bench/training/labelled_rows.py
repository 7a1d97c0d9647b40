"""From conversations to token rows with labels: assistant text and its end-of-turn token.

The prompt of a target is rendered and encoded exactly as the engine does it for a probe, so that
training practises what the benchmark asks. Labels go by position, never by token id: where the
padding token is also the end-of-turn token, masking by id would teach a model not to stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.chat.messages import Message
from qwen_bench.chat.rendering import render, with_system
from qwen_bench.engines.prompter import EncodedPrompt, Prompter
from qwen_bench.errors import TemplateError

IGNORED = -100
"""Label of positions that carry no loss, the value torch's cross entropy skips."""


@dataclass(frozen=True, slots=True)
class Target:
    """One trained answer: P(k) and T(k) of a conversation."""

    turn: int  # index of its exchange in the conversation, from 0
    prompt: tuple[int, ...]  # ids of P(k), the prompt up to and including the assistant header
    answer: tuple[int, ...]  # ids of T(k), the assistant text with its end-of-turn token
    text: str  # T(k)
    without_thought: bool = False  # the data has a thought that the template does not write

    @property
    def ids(self) -> tuple[int, ...]:
        """Prompt and answer."""
        return self.prompt + self.answer


@dataclass(frozen=True, slots=True)
class Span:
    """Place of one answer in a row, end excluded, and the index of its exchange."""

    start: int
    end: int
    turn: int


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One training sequence; `conversation` is the id of its record."""

    conversation: str
    ids: tuple[int, ...]
    spans: tuple[Span, ...]

    @property
    def labels(self) -> tuple[int, ...]:
        """The id at every position of a span, `IGNORED` elsewhere."""
        labels = [IGNORED] * len(self.ids)
        for span in self.spans:
            labels[span.start : span.end] = self.ids[span.start : span.end]
        return tuple(labels)

    @property
    def trained_tokens(self) -> int:
        """Number of labelled positions."""
        return sum(span.end - span.start for span in self.spans)


def end_of_turn_of(prompter: Prompter) -> str:
    """The token that ends an assistant turn, read as text from a rendering.

    Raises:
        TemplateError: the template writes nothing between a turn and the next newline.
    """
    mark = "XYZZY"
    chat = (Message("user", "a"), Message("assistant", mark), Message("user", "b"))
    template = prompter.settings.template
    text = render(chat, template, prompter.tokenizer, thinking=prompter.settings.thinking)
    end_of_turn = text.partition(mark)[2].partition("\n")[0]
    if not end_of_turn:
        raise TemplateError(f"the chat template of {template.name} does not end turns")
    return end_of_turn


def make_targets(record: ChatRecord, prompter: Prompter, end_of_turn: str) -> list[Target]:
    """P(k) and T(k) of every trained answer of a conversation, in its order.

    Raises:
        TemplateError: the rendering of an answer does not continue its prompt, for example because
            the data has thoughts and thinking is off.
    """
    targets = []
    turn = -1
    for k, message in enumerate(record.messages):
        turn += message.role == "user"
        if not record.trained[k]:
            continue
        prompt = _prompt(record, k, prompter)
        answer = _answer_text(record, k, prompt.text, prompter, end_of_turn)
        if answer is None:
            raise TemplateError(
                f"{record.id}: the rendering of messages[{k}] does not begin with its prompt",
                why="this data has reasoning but thinking is off, or the template rewrites prompts",
                fix="take the thoughts out of the data",
            )
        ids = _encode(prompter.tokenizer, answer)
        lost = (message.reasoning or "").strip() not in answer
        targets.append(Target(turn, prompt.ids, ids, answer, lost))
    return targets


def _prompt(record: ChatRecord, k: int, prompter: Prompter) -> EncodedPrompt:
    """P(k); an error names the conversation and speaks of data, not of a model that is tested."""
    try:
        return prompter.prompt(record.messages[:k], record.tools)
    except TemplateError as error:
        where = f"{record.id}, line {record.line}" if record.line else record.id
        raise TemplateError(
            f"{where}: messages[{k}] cannot be trained with the chat template of "
            f"{prompter.settings.template.name}",
            why=(error.message.partition(";")[0], *error.why),
            fix='change or remove this conversation, or mask the answer with "loss": false',
        ) from error


def _answer_text(
    record: ChatRecord, k: int, prompt: str, prompter: Prompter, end_of_turn: str
) -> str | None:
    """T(k): what the template writes behind the prompt; None when that is not how it goes on."""
    settings, tokenizer = prompter.settings, prompter.tokenizer
    full = with_system(record.messages[: k + 1], settings, tokenizer)
    how: Any = {
        "thinking": settings.thinking,
        "add_generation_prompt": False,
        "tools": record.tools,
    }
    text = render(full, settings.template, tokenizer, **how)
    if not text.startswith(prompt):
        return None
    body, found, after = text[len(prompt) :].rpartition(end_of_turn)
    # Qwen1.5 as released leaves the last turn open; the model must still learn to close it.
    return body + end_of_turn if found and not after.strip() else text[len(prompt) :] + end_of_turn


def _encode(tokenizer: Any, text: str) -> tuple[int, ...]:  # noqa: ANN401 - untyped
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def rows_of(conversation: str, targets: Sequence[Target]) -> list[LabelledRow]:
    """One row when all targets lie on one id sequence, otherwise one row a target.

    Templates that write an answer differently once it is history need the second form. Decided by
    comparing ids, never by the name of a template.
    """
    if not targets:
        return []
    whole = targets[-1].ids
    if all(target.ids == whole[: len(target.ids)] for target in targets):
        return [LabelledRow(conversation, whole, tuple(_span(target) for target in targets))]
    return [LabelledRow(conversation, target.ids, (_span(target),)) for target in targets]


def _span(target: Target) -> Span:
    return Span(len(target.prompt), len(target.ids), target.turn)


def check_row(row: LabelledRow, texts: Sequence[str], tokenizer: Any, end_of_turn: str) -> None:  # noqa: ANN401
    """What must hold of every row before a step is taken.

    Raises:
        TemplateError: a span is empty, does not end its turn, holds a turn marker, or does
            not decode to the text it was made from.
    """
    end = _encode(tokenizer, end_of_turn)
    start = _encode(tokenizer, "<|im_start|>")
    for span, text in zip(row.spans, texts, strict=True):
        ids = row.ids[span.start : span.end]
        place = f"{row.conversation}, exchange {span.turn + 1}"
        if ids[-len(end) :] != end:
            raise TemplateError(f"{place}: the trained text does not end with {end_of_turn}")
        if len(start) == 1 and start[0] in ids:
            raise TemplateError(f"{place}: the trained text holds <|im_start|>")
        decoded = str(
            tokenizer.decode(
                list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )
        if normalize("NFC", decoded) != normalize("NFC", text):
            raise TemplateError(
                f"{place}: the tokenizer does not give the answer back",
                why=f"{decoded!r} instead of {text!r}",
            )


def marked(row: LabelledRow, tokenizer: Any) -> list[str]:  # noqa: ANN401 - as above
    """A row decoded, trained text between ``[[`` and ``]]``, then a line for each span."""
    text, spans, end = "", [], 0
    for span in row.spans:
        trained = tokenizer.decode(list(row.ids[span.start : span.end]))
        text += tokenizer.decode(list(row.ids[end : span.start])) + f"[[{trained}]]"
        spans.append(f"  turn {span.turn + 1}: {span.end - span.start} tokens  {trained!r}")
        end = span.end
    head = f"row {row.conversation}: {len(row.ids)} tokens, {row.trained_tokens} trained"
    return [head, *text.splitlines(), *spans]
