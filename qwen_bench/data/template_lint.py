"""A data file against one model: does its template keep every turn, and does all of it fit?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.chat.json_objects import JsonObject
from qwen_bench.data.findings import Finding
from qwen_bench.engines.prompter import Prompter
from qwen_bench.errors import TemplateError
from qwen_bench.training.labelled_rows import end_of_turn_of, make_targets, rows_of


@dataclass(slots=True)
class TemplateLint:
    """Looks at conversations as training would render them.

    Attributes:
        file: as the user gave it.
        prompter: of the model.
        limit: tokens of the longest row; None for no limit.
        tokens: of each conversation.
        above: conversations longer than the limit.
        dropped: answers that do not fit.
        answers: all that are learned.
        several: conversations that need one row a turn.
        row_tokens: tokens of all rows.
        trained_tokens: of all learned answers.
    """

    file: str
    prompter: Prompter
    limit: int | None
    tokens: list[int] = field(default_factory=list)
    above: int = 0
    dropped: int = 0
    answers: int = 0
    several: int = 0
    row_tokens: int = 0
    trained_tokens: int = 0
    _end_of_turn: str = ""

    def look(self, item: JsonObject, record: ChatRecord) -> Iterator[Finding]:
        """What is wrong with one conversation under this template."""
        self._end_of_turn = self._end_of_turn or end_of_turn_of(self.prompter)
        try:
            targets = make_targets(record, self.prompter, self._end_of_turn)
        except TemplateError as error:
            why = "; ".join(error.why)
            what = error.message.partition(": ")[2] or error.message
            yield Finding(self.file, item.line, "error", "template", f"{what} ({why})", error.fix)
            return
        if not targets:
            return
        rows = rows_of(record.id, targets)
        longest = max(len(target.ids) for target in targets)
        self.tokens.append(longest)
        self.answers += len(targets)
        self.several += len(rows) > 1
        self.trained_tokens += sum(len(target.answer) for target in targets)
        self.row_tokens += sum(len(row.ids) for row in rows)
        if self.limit is not None and longest > self.limit:
            lost = sum(len(target.ids) > self.limit for target in targets)
            self.above += 1
            self.dropped += lost
            what = f"{longest:,} tokens, above {self.limit:,}: {lost} of {len(targets)} answers"
            yield Finding(self.file, item.line, "warning", "length", f"{what} would be dropped")

    def lines(self) -> list[str]:
        """What was found, for people."""
        if not self.tokens:
            return ["tokens         no conversation could be rendered"]
        tokens = sorted(self.tokens)
        middle, high = tokens[len(tokens) // 2], tokens[int(0.95 * (len(tokens) - 1))]
        total = f"{sum(tokens):,} in all, {self.trained_tokens:,} trained"
        lines = [f"tokens         {total}"]
        lines += [f"each           median {middle:,} · 95 % {high:,} · longest {tokens[-1]:,}"]
        if self.limit is not None:
            told = f"{self.limit:,} tokens; {self.above:,} conversations above it"
            lines.append(
                f"limit          {told}, {self.dropped:,} of {self.answers:,} answers dropped"
            )
        if self.several:
            factor = self.row_tokens / sum(tokens)
            told = f"one a turn in {self.several:,} conversations: {factor:.1f} x as many tokens"
            lines.append(f"rows           {told} as one row a conversation")
        else:
            lines.append("rows           one a conversation")
        return lines

    def document(self) -> dict[str, object]:
        """What was found, as JSON."""
        tokens = sorted(self.tokens)
        return {
            "limit": self.limit,
            "median_tokens": tokens[len(tokens) // 2] if tokens else None,
            "p95_tokens": tokens[int(0.95 * (len(tokens) - 1))] if tokens else None,
            "longest_tokens": tokens[-1] if tokens else None,
            "conversations_above": self.above,
            "answers": self.answers,
            "answers_dropped": self.dropped,
            "conversations_with_one_row_a_turn": self.several,
            "tokens": sum(tokens),
            "trained_tokens": self.trained_tokens,
            "row_tokens": self.row_tokens,
        }
