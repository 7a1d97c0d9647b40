"""A user's own conversations as filler: what is usable, and why the rest is not.

A file that is not ChatML JSONL is an error with its line. Exchanges that would give an answer away,
contradict a probe or make no sense inside another conversation are refused one by one, with a
reason (specification of probes, 3.3; the conflict rule is NoLiMa's, the leak rule LongMemEval's).

A conversation stays one thread. What stands before a refused exchange is kept, since every
beginning of a conversation makes sense; after it the thread goes on with the next request that can
be understood without what was left out.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.chat.jsonl import read_records
from qwen_bench.chat.plain_text import lone_surrogate
from qwen_bench.probes.bank import Bank, Exchange, Thread
from qwen_bench.probes.definitions import Family
from qwen_bench.probes.probe import LANGS, Lang
from qwen_bench.probes.word_templates import pattern_of

Reason = Literal[
    "leak", "conflict", "marker", "encoding", "tool", "reference", "length", "repeated"
]
REASONS: Mapping[Reason, str] = {
    "leak": "holds a word that is an answer of some probe",
    "conflict": "speaks of something that probes ask about",
    "marker": "holds a chat marker or a reasoning block",
    "encoding": "holds half of a surrogate pair, which cannot be encoded",
    "tool": "is not one user message and one reply",
    "reference": "refers to something said before that is not there",
    "length": "opens a conversation with next to nothing, or has more than 8,000 characters",
    "repeated": "is the same as an earlier exchange",
}

# Characters of user and assistant text together. Less is next to nothing: it opens no conversation,
# and nothing depends on it.
_SHORTEST: Mapping[Lang, int] = {"en": 60, "zh": 25}
_LONGEST = 8000
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
# After a gap a request has to be understood alone: no fragment, and nothing in its first sentence
# that may stand for what was left out.
_POINTS_BACK: Mapping[Lang, re.Pattern[str]] = {
    "en": re.compile(
        r"\b(?:it|its|they|them|their|he|she|him|his|her|those|these|above|again|instead|earlier"
        r"|previous|same|continue"
        r"|this(?! (?:week|month|year|morning|afternoon|evening|spring|summer"
        r"|autumn|winter|time of)))\b",
        re.IGNORECASE,
    ),
    "zh": re.compile(
        r"它|(?<!其)他|她|这[个些样]|那[个些样]|上面|上述|前面|刚[才刚]|继续|换成|改成|同样"
    ),
}
_FRAGMENT: Mapping[Lang, re.Pattern[str]] = {
    "en": re.compile(r"\W*(?:[\w'’-]+\W*){0,3}"),
    "zh": re.compile(r".{0,6}"),
}
_FIRST_SENTENCE = re.compile(r".+?(?:[.!?](?=\s)|[。！？\n]|$)", re.DOTALL)
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


class _Barred(NamedTuple):
    """Words in small letters that no exchange of a language may hold."""

    answers: tuple[str, ...]
    keys: tuple[str, ...]


def load_own_filler(
    path: Path, families: Mapping[str, Family], langs: tuple[Lang, ...]
) -> Screened:
    """A user's conversations, screened against every family.

    Args:
        path: ChatML JSONL; English and Chinese conversations may be mixed.
        families: whose answers and keys must not occur.
        langs: languages asked.

    Raises:
        InputError: the file cannot be opened.
        DataError: a line is not a conversation.
    """
    barred = tuple(_barred(families, lang) for lang in LANGS)
    # Of a file that is not there the reader says so.
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    screened = _screened(path, digest, barred)
    banks = {lang: screened.banks[lang] for lang in langs}
    return Screened(screened.path, banks, screened.refused, screened.ignored)


@lru_cache(maxsize=2)
def _screened(path: Path, digest: str, barred: tuple[_Barred, ...]) -> Screened:
    """The file, read once however often a command builds its suite; banks of both languages."""
    threads: dict[Lang, list[Thread]] = {lang: [] for lang in LANGS}
    refused: list[RefusedExchange] = []
    seen: set[str] = set()
    ignored: Counter[str] = Counter()
    for record in read_records(path, check_texts=False):
        ignored.update(record.ignored)
        lang = _language(record)
        thread, left_out = _thread(record, lang, barred[LANGS.index(lang)], seen)
        refused += left_out
        if thread.exchanges:
            threads[lang].append(thread)
    banks = {lang: Bank(tuple(threads[lang]), digest, path.name, own=True) for lang in LANGS}
    return Screened(str(path), banks, tuple(refused), ignored)


def _barred(families: Mapping[str, Family], lang: Lang) -> _Barred:
    """Answers of all families, and what their questions are about, without an article."""
    answers: set[str] = set()
    keys: set[str] = set()
    for family in families.values():
        for (of_lang, split), words in family.words.items():
            if of_lang == lang and split == "eval":
                answers |= {answer.lower() for answer in words.answers}
                keys |= {re.sub(r"^(?:the|my|an?) ", "", key).lower() for key in words.keys}
    return _Barred(tuple(sorted(answers)), tuple(sorted(keys)))


def _language(record: ChatRecord) -> Lang:
    """Chinese when Chinese characters outnumber Latin words."""
    text = " ".join(message.content for message in record.messages)
    return "zh" if len(_CJK.findall(text)) > len(_LATIN.findall(text)) else "en"


def _thread(
    record: ChatRecord, lang: Lang, barred: _Barred, seen: set[str]
) -> tuple[Thread, list[RefusedExchange]]:
    """The usable exchanges of a conversation in their order, and the others."""
    kept: list[Exchange] = []
    refused: list[RefusedExchange] = []
    gap = False
    for number, exchange in enumerate(_exchanges(record), start=1):
        refusal = _refusal(exchange, barred, seen) or _out_of_place(
            exchange, lang, first=not (kept or gap), gap=gap
        )
        if refusal is None and exchange is not None:
            seen.add(exchange.request)
            kept.append(exchange)
            gap = False
            continue
        reason, found = refusal or ("tool", "")
        refused.append(RefusedExchange(record.id, record.line, number, reason, found))
        gap = gap or exchange is None or _size(exchange) >= _SHORTEST[lang]
    resumes = frozenset(i for i, e in enumerate(kept) if _points_back(e.request, lang) is None)
    return Thread(record.id, tuple(kept), resumes), refused


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
    exchange: Exchange | None, barred: _Barred, seen: set[str]
) -> tuple[Reason, str] | None:
    """Why an exchange is left out wherever it stands, and what decided; None for a usable one."""
    if exchange is None:
        return "tool", ""
    text = f"{exchange.request}\n{exchange.answers[0]}"
    marker = _MARKER.search(text)
    too_long = _size(exchange) > _LONGEST
    reasons: tuple[tuple[Reason, str | None], ...] = (
        ("encoding", lone_surrogate(text)),
        ("marker", marker[0] if marker else None),
        ("length", f"{_size(exchange)} characters" if too_long else None),
        ("leak", _word_of(barred.answers, text)),
        ("conflict", _word_of(barred.keys, text)),
        ("repeated", "" if exchange.request in seen else None),
    )
    return next(((reason, found) for reason, found in reasons if found is not None), None)


def _size(exchange: Exchange) -> int:
    """Characters of request and answer."""
    return len(exchange.request) + len(exchange.answers[0])


def _word_of(words: tuple[str, ...], text: str) -> str | None:
    """The first of the words in a text, as it stands there; None without one.

    One pattern of all words would take a second for every few texts of 8,000 characters.
    """
    folded = text.lower()
    pattern = pattern_of((word for word in words if word in folded), plurals=True)
    found = pattern.search(text) if pattern else None
    return found[0] if found else None


def _out_of_place(
    exchange: Exchange | None, lang: Lang, *, first: bool, gap: bool
) -> tuple[Reason, str] | None:
    """Why a usable exchange cannot open a conversation, or go on after one that was left out."""
    if exchange is None or not (first or gap):
        return None
    if _size(exchange) < _SHORTEST[lang]:
        return "length", f"{_size(exchange)} characters"
    if gap:
        found = _points_back(exchange.request, lang)
        return None if found is None else ("reference", found)
    opening = _REFERENCE[lang].match(exchange.request)
    return ("reference", opening[0]) if opening else None


def _points_back(request: str, lang: Lang) -> str | None:
    """What in a request needs something said before; None if it can be understood alone."""
    if found := _REFERENCE[lang].match(request) or _FRAGMENT[lang].fullmatch(request):
        return found[0]
    sentence = _FIRST_SENTENCE.match(request)
    found = _POINTS_BACK[lang].search(sentence[0] if sentence else request)
    return found[0] if found else None
