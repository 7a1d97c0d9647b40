"""The task classes: real conversations through the model's own chat template, our scorer.

Only the constructor, the prompt, the warning about limits and the scoring are ours. Importing this
module needs the harness; `documents` and `replies` do not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qwen_bench.chat.messages import Message, as_dicts, opens_thought
from qwen_bench.chat.rendering import check_rendering
from qwen_bench.errors import TemplateError
from qwen_bench.lm_eval.documents import (
    OPENAI_ONLY,
    PREFIX,
    document,
    probe_of,
    probes_of_cell,
    read_choice,
)
from qwen_bench.lm_eval.harness_identity import answer_budget
from qwen_bench.lm_eval.log_errors import TaskError, check_harness
from qwen_bench.lm_eval.samples import ranked, written
from qwen_bench.scoring.score import score_reply

check_harness()

try:
    from lm_eval.api.task._generation import GenerateTask as _GenerationBase
    from lm_eval.api.task._ll import MultipleChoiceTask as _RankingBase
except ImportError:
    from lm_eval.api.task import ConfigurableTask as _GenerationBase
    from lm_eval.api.task import ConfigurableTask as _RankingBase

_LOG = logging.getLogger(__name__)
Document = dict[str, Any]


def dataset(
    cell: Mapping[str, Any], qwen_bench: Mapping[str, Any] | None = None, **_: object
) -> dict[str, Any]:
    """The documents of a cell, as the harness asks for them.

    Args:
        cell: family and length, of the YAML file.
        qwen_bench: what `--metadata` holds under this name.
        _: model arguments and other metadata, which must not change the data.

    Raises:
        TaskError: the choice is impossible.
    """
    import datasets  # noqa: PLC0415 - a second to import

    family, length = cell["family"], cell["length"]
    task = f"{PREFIX}_{family}_h{length}"
    choice = read_choice(qwen_bench or {}, family, length, task)
    records = [document(asked, choice) for asked in probes_of_cell(choice, family, length, task)]
    text, number = datasets.Value("string"), datasets.Value("int64")
    features = datasets.Features(
        {
            "id": text,
            "family": text,
            "lang": text,
            "length": number,
            "level": number,
            "wording": text,
            "position": datasets.Value("float64"),
            "cluster": text,
            "messages": [{"role": text, "content": text}],
            "question_text": text,
            "gold": text,
            "gold_index": number,
            "candidates": [text],
            "candidate_tokens": [number],
            "suite": {
                "name": text,
                "version": text,
                "sha256": text,
                "seed": number,
                "langs": [text],
                "limit": number,
            },
        }
    )
    return {"test": datasets.Dataset.from_list(records, features=features)}


def score(
    doc: Mapping[str, Any], results: Sequence[Any], *, opened: bool = False
) -> dict[str, int]:
    """The metric of a generated answer: 1 if it is right.

    Args:
        doc: a document of `dataset`.
        results: one text.
        opened: the prompt ended inside a thought.
    """
    asked = probe_of(doc)
    text = None if results[0] is None else str(results[0])
    outcome = score_reply(asked.probe, written(asked.probe, text, opened=opened), asked.messages)
    return {"retained": outcome.value}


def score_ranking(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, int]:
    """The metric of ranked candidates: 1 if the right one is the likeliest by token.

    Args:
        doc: a document of `dataset`, with `candidate_tokens` filled.
        results: (log-probability, is greedy) of each candidate.
    """
    asked = probe_of(doc)
    sums = [float(result[0]) for result in results]
    reply = ranked(asked.probe, sums, doc["candidate_tokens"])
    return {"retained": score_reply(asked.probe, reply, asked.messages).value}


class _Conversation:
    """What both kinds of task share; stands before the harness's own class."""

    def __init__(self, config: Mapping[str, Any] | None = None, **_: object) -> None:
        kept = {name: value for name, value in (config or {}).items() if name != "class"}
        settings = (kept.get("metadata") or {}).get(PREFIX) or {}
        cell = kept["dataset_kwargs"]["cell"]
        # A newer harness builds the documents only after the model is loaded.
        read_choice(settings, cell["family"], cell["length"], kept["task"])
        if settings.get(OPENAI_ONLY) and kept.get("generation_kwargs"):
            kept["generation_kwargs"] = {
                name: value
                for name, value in kept["generation_kwargs"].items()
                if name != "repetition_penalty"
            }
        self._opened = False
        self._tokenizer: Any = None
        super().__init__(config=kept)  # type: ignore[call-arg]  # of the harness's class

    def fewshot_context(
        self,
        doc: Document,
        num_fewshot: int = 0,
        *,
        system_instruction: str | None = None,
        apply_chat_template: bool = False,
        fewshot_as_multiturn: bool = False,
        chat_template: Callable[..., Any] | None = None,
        gen_prefix: str | None = None,
        **_: object,
    ) -> Any:  # noqa: ANN401 - text, or what a model of a server makes of messages
        """The prompt of a document: its messages through the model's chat template.

        Raises:
            TaskError: examples or a prefix are asked for, there is no chat template, the template
                loses part of the conversation, or the prompt does not fit the model.
        """
        del fewshot_as_multiturn
        name = self._name()
        if num_fewshot:
            raise TaskError(
                f"{name}: examples (num_fewshot {num_fewshot}) are not possible",
                why="they would stand inside the conversation that the model is to remember",
                fix="leave --num_fewshot out",
            )
        if gen_prefix:
            raise TaskError(
                f"{name}: gen_prefix is not possible",
                why="it becomes a last assistant message, which servers treat differently",
                fix="leave gen_prefix out",
            )
        if not apply_chat_template or chat_template is None:
            raise TaskError(
                f"{name}: add --apply_chat_template",
                why="the probes are conversations; without the chat template of the model they "
                "would be one text, which is another benchmark",
                fix="if it is set, the model has no chat template: give it one",
            )
        messages = _with_system(probe_of(doc).messages, system_instruction)
        prompt = chat_template(as_dicts(messages), add_generation_prompt=True)
        model = getattr(chat_template, "__self__", None)
        if isinstance(prompt, str):
            self._check(prompt, messages, model, doc)
        return prompt

    def build_all_requests(self, **options: Any) -> Any:  # noqa: ANN401 - the harness's own
        """Build the requests; say so when `--limit` cuts through a cluster."""
        limit = options.get("limit")
        size = self._cluster_size()
        if limit and limit % size:
            _LOG.warning(
                "%s: --limit %d cuts through a skeleton; multiples of %d keep languages and "
                "variants balanced",
                self._name(),
                limit,
                size,
            )
        return super().build_all_requests(**options)  # type: ignore[misc]  # as above

    def _name(self) -> str:
        return str(self.config.task)  # type: ignore[attr-defined]  # as above

    def _cluster_size(self) -> int:
        """Documents of one cluster, the same for all of a cell."""
        cell = self.config.dataset_kwargs["cell"]  # type: ignore[attr-defined]  # as above
        settings = (self.config.metadata or {}).get(PREFIX) or {}  # type: ignore[attr-defined]
        choice = read_choice(settings, cell["family"], cell["length"], self._name())
        asked = probes_of_cell(choice, cell["family"], cell["length"], self._name())
        return sum(item.probe.cluster == asked[0].probe.cluster for item in asked)

    def _check(
        self, prompt: str, messages: Sequence[Message], model: object, doc: Document
    ) -> None:
        """Remember what scoring needs of a rendered prompt, and refuse one that is cut or lossy."""
        try:
            check_rendering(messages, prompt)
        except TemplateError as error:
            raise TaskError(
                f"{self._name()}: {doc['id']}: {error.message}", why=error.why
            ) from error
        self._opened = opens_thought(prompt) and not getattr(model, "think_end_token", None)
        self._tokenizer = getattr(model, "tokenizer", None)
        window = getattr(model, "max_length", None)
        if self._tokenizer is None or not isinstance(window, int):
            return
        size, answer = self._tokens(prompt), self._answer_tokens(doc)
        if size + answer > window:
            raise TaskError(
                f"{self._name()}: {doc['id']} needs {size} + {answer} tokens; "
                f"max_length is {window}",
                why="the harness would cut the oldest turns, which hold what is asked about",
                fix=f"max_length={size + answer} or more in --model_args, or shorter histories",
            )

    def _tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def _answer_tokens(self, doc: Document) -> int:
        """Room that the answer needs."""
        budget = answer_budget(self.config.generation_kwargs or {})  # type: ignore[attr-defined]
        if budget is None:
            return max(self._tokens(text) for text in doc["candidates"])
        return budget


class ConversationTask(_Conversation, _GenerationBase):  # type: ignore[misc]  # untyped base
    """Free answers."""

    def process_results(self, doc: Document, results: Sequence[Any]) -> dict[str, int]:
        """Score an answer, with what the prompt says of thoughts."""
        return score(doc, results, opened=self._opened)


class RankingTask(_Conversation, _RankingBase):  # type: ignore[misc]  # as above
    """Candidates ranked by mean log-probability of a token."""

    def process_results(self, doc: Document, results: Sequence[Any]) -> dict[str, int]:
        """Score a ranking; the token counts stay in the document, for the log."""
        if self._tokenizer is None:
            raise TaskError(
                f"{self._name()}: this model has no tokenizer, so candidates cannot be ranked",
                fix=f"ask the generating tasks, {PREFIX}_...",
            )
        doc["candidate_tokens"] = [self._tokens(text) for text in doc["candidates"]]
        return score_ranking(doc, results)


def _with_system(messages: Sequence[Message], text: str | None) -> tuple[Message, ...]:
    """As `--system` does: a system message of the conversation's own wins."""
    if not text or messages[0].role == "system":
        return tuple(messages)
    return (Message("system", text), *messages)
