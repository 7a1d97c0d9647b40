"""A user's own conversations as filler: what is usable, and why the rest is not.

A file that is not ChatML JSONL is an error with its line. Exchanges that would give an answer away,
contradict a probe or make no sense inside another conversation are refused one by one, with a
reason (specification of probes, 3.3; the conflict rule is NoLiMa's, the leak rule LongMemEval's).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.chat.jsonl import read_records
from qwen_bench.chat.plain_text import lone_surrogate
from qwen_bench.errors import DataError
from qwen_bench.probes.bank import Bank, Exchange, Thread
from qwen_bench.probes.definitions import Family
from qwen_bench.probes.probe import LANGS, Lang
from qwen_bench.probes.word_templates import pattern_of

Reason = Literal[
    "leak", "conflict", "marker", "encoding", "tool", "reference", "length", "repeated"
]
_Forbidden = tuple[tuple[Reason, re.Pattern[str] | None], ...]
REASONS: Mapping[Reason, str] = {
    "leak": "holds a word that is an answer of some probe",
    "conflict": "speaks of something that probes ask about",
    "marker": "holds a chat marker or a reasoning block",
    "encoding": "holds half of a surrogate pair, which cannot be encoded",
    "tool": "is not one user message and one reply",
    "reference": "opens with a word that refers to something said before",
    "length": "is too short or too long for one turn",
    "repeated": "is the same as an earlier exchange",
}

# Characters of user and assistant text together: about 15 to 250 tokens of either language.
_BOUNDS: Mapping[Lang, tuple[int, int]] = {"en": (60, 1000), "zh": (25, 400)}
_MARKER = re.compile(r"<\|[^|<>]*\|>|</?think>")
_REFERENCE: Mapping[Lang, re.Pattern[str]] = {
    "en": re.compile(
        r"(?:and|but|so|then|also|ok(?:ay)?|yes|no|thanks|it|they|he|she|him|her|them|its|their"
        r"|th(?:at|is|ose|ese)|which one|the (?:first|second|last|other) one)\b"
        r"|.*\byou (?:just )?(?:said|told|mentioned)\b",
        re.IGNORECASE,
    ),
    "zh": re.compile(
        r"(?:那|这|它|他|她|然后|另外|还有|所以|但是?|不过|好的?|嗯|谢谢|对|不对|上面|刚才|前面|后者|前者)"
        r"|.*你(?:刚才|刚刚|之前)?(?:说过|提到|讲过)"
    ),
}
_CJK = re.compile(r"[\u3400-\u9fff]")
_LATIN = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class RefusedExchange:
    """An exchange that was left out.

    Attributes:
        record: id of its conversation; made from file and line where the file gives none.
        line: physical line in which the conversation begins, from 1.
        exchange: its number in the conversation, from 1.
        found: the word or characters that decided, if any.
    """

    record: str
    line: int
    exchange: int
    reason: Reason
    found: str = ""


@dataclass(frozen=True, slots=True)
class Screened:
    """What a user's file gave.

    Attributes:
        banks: by language, for the languages asked.
        refused: in the order of the file.
        ignored: keys that were not read, and how often they stand there.
    """

    path: str
    banks: Mapping[Lang, Bank]
    refused: tuple[RefusedExchange, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)

    def report(self) -> list[str]:
        """Lines for people: what is kept, and what was refused why, with the first of each."""
        kept = ", ".join(f"{bank.exchanges} {lang}" for lang, bank in self.banks.items())
        lines = [f"filler {self.path}: {kept} exchanges kept, {len(self.refused)} refused"]
        counts = Counter(refusal.reason for refusal in self.refused)
        for reason, count in counts.most_common():
            first = next(refusal for refusal in self.refused if refusal.reason == reason)
            found = f" ({first.found})" if first.found else ""
            lines.append(
                f"  {count:>5} {reason:<9} {REASONS[reason]}; "
                f"first: {self.path}:{first.line} exchange {first.exchange}{found}"
            )
        if self.ignored:
            named = ", ".join(f"{key} ({count})" for key, count in sorted(self.ignored.items()))
            lines.append(f"  keys that are not read: {named}")
        return lines


def load_own_filler(
    path: Path, families: Mapping[str, Family], langs: tuple[Lang, ...], longest: int
) -> Screened:
    """A user's conversations, screened against every family.

    Args:
        path: ChatML JSONL; English and Chinese conversations may be mixed.
        families: whose answers and keys must not occur.
        langs: languages asked; each needs enough.
        longest: longest history in turns.

    Raises:
        InputError: the file cannot be opened.
        DataError: a line is not a conversation, or too few exchanges are left.
    """
    forbidden = {lang: _forbidden(families, lang) for lang in LANGS}
    threads: dict[Lang, list[Thread]] = {lang: [] for lang in LANGS}
    refused: list[RefusedExchange] = []
    seen: set[str] = set()
    ignored: Counter[str] = Counter()
    for record in read_records(path, check_texts=False):
        ignored.update(record.ignored)
        lang = _language(record)
        for item in _screened(record, lang, forbidden[lang], seen):
            if isinstance(item, RefusedExchange):
                refused.append(item)
            else:
                threads[lang].append(Thread(record.id, item))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    banks = {lang: Bank(tuple(threads[lang]), digest, path.name) for lang in langs}
    screened = Screened(str(path), banks, tuple(refused), ignored)
    for lang, bank in banks.items():
        if bank.exchanges < 2 * longest:
            raise DataError(
                path,
                None,
                f"{bank.exchanges} exchanges in '{lang}' are left, {2 * longest} are needed "
                f"for histories of {longest} turns",
                fix=[
                    "add conversations, ask for shorter histories (--lengths) or another language",
                    *screened.report(),
                ],
            )
    return screened


def _forbidden(families: Mapping[str, Family], lang: Lang) -> _Forbidden:
    """What no exchange of a language may hold, with the reason to refuse it."""
    answers: set[str] = set()
    keys: set[str] = set()
    for family in families.values():
        for (of_lang, split), words in family.words.items():
            if of_lang == lang and split == "eval":
                answers |= set(words.answers)
                keys |= {re.sub(r"^(?:the|my|an?) ", "", key) for key in words.keys}
    return (
        ("marker", _MARKER),
        ("leak", pattern_of(answers, plurals=True)),
        ("conflict", pattern_of(keys, plurals=True)),
    )


def _language(record: ChatRecord) -> Lang:
    """Chinese when Chinese characters outnumber Latin words."""
    text = " ".join(message.content for message in record.messages)
    return "zh" if len(_CJK.findall(text)) > len(_LATIN.findall(text)) else "en"


def _screened(
    record: ChatRecord, lang: Lang, forbidden: _Forbidden, seen: set[str]
) -> Iterator[tuple[Exchange, ...] | RefusedExchange]:
    """Threads of usable exchanges; a refused exchange ends one thread and the next may begin."""
    thread: list[Exchange] = []
    for number, exchange in enumerate(_exchanges(record), start=1):
        refusal = _refusal(exchange, lang, forbidden, seen, first=not thread)
        if refusal is None and exchange is not None:
            seen.add(exchange.request)
            thread.append(exchange)
            continue
        if thread:
            yield tuple(thread)
        thread = []
        reason, found = refusal or ("tool", "")
        yield RefusedExchange(record.id, record.line, number, reason, found)
    if thread:
        yield tuple(thread)


def _exchanges(record: ChatRecord) -> Iterator[Exchange | None]:
    """User messages with their replies; None for anything else, such as a call of a tool."""
    messages = [message for message in record.messages if message.role != "system"]
    place = 0
    while place < len(messages):
        end = place + 1
        while end < len(messages) and messages[end].role != "user":
            end += 1
        if end - place == 2 and not messages[place + 1].tool_calls:
            request, answer = (m.content.strip() for m in messages[place:end])
            yield Exchange(request, (answer,))
        else:
            yield None
        place = end


def _refusal(
    exchange: Exchange | None, lang: Lang, forbidden: _Forbidden, seen: set[str], *, first: bool
) -> tuple[Reason, str] | None:
    """Why an exchange is left out, and what decided; None for a usable one."""
    if exchange is None:
        return "tool", ""
    text = f"{exchange.request}\n{exchange.answers[0]}"
    half = lone_surrogate(text)
    if half is not None:
        return "encoding", half
    for reason, pattern in forbidden:
        if pattern is not None and (found := pattern.search(text)):
            return reason, found[0]
    shortest, longest = _BOUNDS[lang]
    if not shortest <= len(text) <= longest:
        return "length", f"{len(text)} characters"
    if exchange.request in seen:
        return "repeated", ""
    opening = _REFERENCE[lang].match(exchange.request) if first else None
    return ("reference", opening[0]) if opening else None
