"""What a data file holds, counted while it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.chat.languages import LONGEST, language_of

TURNS = ((1, 1), (2, 3), (4, 7), (8, 1 << 30))
"""Classes of user turns, first and last of each."""


def turns_name(turns: int) -> str:
    """The class of a number of user turns, as people read it.

    >>> [turns_name(turns) for turns in (0, 1, 3, 7, 100)]
    ['0', '1', '2-3', '4-7', '8+']
    """
    for first, last in TURNS:
        if first <= turns <= last:
            return str(first) if first == last else f"{first}-{last}" if last < 100 else f"{first}+"
    return "0"


@dataclass(slots=True)
class Counts:
    """Of one or more files.

    Attributes:
        conversations: that could be read.
        turns: conversations by class of their user turns.
        languages: conversations by language.
        sources: conversations by source; those without one are not counted.
        roles: messages by role.
        characters: of all contents.
        trained: answers that are learned.
        tools: conversations with calls of tools.
        thoughts: answers with a thought.
        longest: most user turns of a conversation.
        exactly: conversations by their user turns.
        sizes: conversations by characters, each class up to twice the one before.
    """

    conversations: int = 0
    turns: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    trained: int = 0
    tools: int = 0
    thoughts: int = 0
    longest: int = 0
    exactly: Counter[int] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)

    def add(self, record: ChatRecord) -> None:
        """Count one conversation."""
        opening: list[str] = []
        size = users = 0
        for message in record.messages:
            self.roles[message.role] += 1
            users += message.role == "user"
            self.thoughts += message.reasoning is not None
            if size < LONGEST:
                opening.append(message.content)
            size += len(message.content)
        self.conversations += 1
        self.turns[turns_name(users)] += 1
        self.longest = max(self.longest, users)
        self.exactly[users] += 1
        self.sizes[size.bit_length()] += 1
        self.languages[language_of(" ".join(opening))] += 1
        if record.source is not None:
            self.sources[record.source] += 1
        self.characters += size
        self.trained += sum(record.trained)
        self.tools += any(message.tool_calls for message in record.messages)

    def lines(self) -> list[str]:
        """The counts for people."""
        order = [turns_name(first) for first, _ in TURNS]
        turns = {name: self.turns[name] for name in order}
        lines = [
            f"conversations  {self.conversations:,}",
            f"user turns     {shares(turns)}",
            f"languages      {shares(self.languages)}",
            f"characters     {self.characters:,}",
            f"trained        {self.trained:,} of {self.roles['assistant']:,} answers",
        ]
        if self.sources:
            lines.insert(3, f"sources        {shares(self.sources)}")
        if self.tools or self.thoughts:
            told = (
                f"{self.tools:,} conversations call tools, {self.thoughts:,} answers have thoughts"
            )
            lines.append(f"tools          {told}")
        return lines

    def roles_line(self) -> str:
        """Messages by role, and the longest conversation."""
        return f"messages       {shares(self.roles)}; most user turns {self.longest:,}"

    def document(self) -> dict[str, object]:
        """The counts as JSON."""
        return {
            "conversations": self.conversations,
            "turns": dict(self.turns),
            "longest_turns": self.longest,
            "languages": dict(self.languages),
            "sources": dict(self.sources),
            "roles": dict(self.roles),
            "characters": self.characters,
            "trained_answers": self.trained,
            "with_tools": self.tools,
            "with_thoughts": self.thoughts,
        }


MOST_SHOWN = 6


def shares(counts: Mapping[str, int]) -> str:
    """Counts in one line, the largest first unless they are classes of turns.

    >>> shares({"en": 3, "zh": 1})
    'en 3 · zh 1'
    """
    names = list(counts)
    if not all(name[:1].isdecimal() for name in names):
        names.sort(key=lambda name: (-counts[name], name))
    shown = [f"{name} {counts[name]:,}" for name in names[:MOST_SHOWN]]
    if len(names) > MOST_SHOWN:
        rest = sum(counts[name] for name in names[MOST_SHOWN:])
        shown.append(f"{len(names) - MOST_SHOWN} others {rest:,}")
    return " · ".join(shown) or "none"
