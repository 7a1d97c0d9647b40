"""What a conversation is about beside the facts it plants: requests with their answers, in threads.

A request has its answer in several lengths, the shorter one the beginning of the longer, so that
turns and tokens are independent. Threads are drawn without replacement inside a dialogue, those of
the user's own topics first, and go on from turn to turn. Which they are, and in which order, does
not depend on the pace of the answers, so that the same conversation can be told at each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import yaml

from qwen_bench.chat.token_estimate import text_tokens
from qwen_bench.errors import DataError
from qwen_bench.probes.definitions import FAST_LOADER
from qwen_bench.probes.probe import LANGS, Lang, Split
from qwen_bench.probes.seeded_draws import Stream
from qwen_bench.probes.word_templates import pattern_of

K = TypeVar("K")
Pace = Literal["brief", "chat", "long"]
PACES: tuple[Pace, ...] = ("brief", "chat", "long")
# Answers up to this pace decide whether a thread may be told; a long one alone can be left out.
_SCREENED = PACES.index("chat") + 1


class Exchange(NamedTuple):
    """A request and its answer by pace, each the beginning of the next."""

    request: str
    answers: tuple[str, ...]

    def length(self, pace: Pace) -> int:
        """Characters of the request and its answer."""
        return len(self.request) + len(self.answer(pace))

    def answer(self, pace: Pace) -> str:
        """The answer at a pace; the longest there is, if it has none so long."""
        return self.answers[min(PACES.index(pace), len(self.answers) - 1)]


class Thread(NamedTuple):
    """Exchanges on one matter in their order; every beginning of it makes sense.

    Attributes:
        resumes: places from which it can go on when what stands before was left out; none where a
            thread is told whole or not at all.
    """

    topic: str
    exchanges: tuple[Exchange, ...]
    resumes: frozenset[int] = frozenset()

    @property
    def long_share(self) -> float:
        """Share of its exchanges that have an answer at pace long."""
        return sum(len(e.answers) == len(PACES) for e in self.exchanges) / len(self.exchanges)

    def leaving_out(self, places: Collection[int]) -> Thread:
        """The thread without some exchanges, and without what makes no sense after each of them."""
        if not places:
            return self
        kept: list[int] = []
        gap = False
        for place in range(len(self.exchanges)):
            gap = place in places or (gap and place not in self.resumes)
            if not gap:
                kept.append(place)
        resumes = frozenset(i for i, place in enumerate(kept) if place in self.resumes)
        return Thread(self.topic, tuple(self.exchanges[place] for place in kept), resumes)


@dataclass(frozen=True, slots=True)
class Bank:
    """Threads of one language, and the hash of the files they come from.

    Attributes:
        personas: topics of one user's life each; empty where threads have no topics.
        own: conversations of a user's: a thread loses single exchanges rather than be left out, and
            an answer is the same at every pace.
    """

    threads: tuple[Thread, ...] = field(hash=False)
    sha256: str
    path: str
    personas: tuple[tuple[str, ...], ...] = ()
    own: bool = False

    @property
    def exchanges(self) -> int:
        """Number of exchanges in all threads."""
        return sum(len(thread.exchanges) for thread in self.threads)


@lru_cache(maxsize=8)
def load_bank(tasks: Path, lang: Lang, split: Split) -> Bank:
    """The bank of one language and split.

    Raises:
        DataError: a file is missing or is not as it should be.
    """
    if split == "train":
        return _training_bank(tasks / "filler" / f"{lang}.train.jsonl")
    folder = tasks / "bank"
    digest = hashlib.sha256()
    threads: list[Thread] = []
    for path in sorted((folder / lang).glob("*.yaml")):
        content = path.read_bytes()
        digest.update(content)
        threads += _threads(path, yaml.load(content, Loader=FAST_LOADER))  # noqa: S506 - safe
    path = folder / "personas.yaml"
    content = path.read_bytes()
    digest.update(content)
    personas = tuple(tuple(topics) for topics in yaml.safe_load(content)[lang])
    return Bank(tuple(threads), digest.hexdigest(), f"{folder.name}/{lang}", personas)


def _threads(path: Path, content: Any) -> Iterator[Thread]:  # noqa: ANN401 - whatever YAML holds
    try:
        for thread in content["threads"]:
            exchanges = tuple(_exchange(turn) for turn in thread["turns"])
            yield Thread(path.stem, exchanges)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(path, None, f"not a topic of the bank: {error}") from None


def _exchange(turn: Mapping[str, str]) -> Exchange:
    """Answers of a file are what each pace adds to the one before."""
    answers = [turn["brief"].strip()]
    answers.append(f"{answers[0]}\n\n{turn['chat'].strip()}")
    if "long" in turn:
        answers.append(f"{answers[1]}\n\n{turn['long'].strip()}")
    return Exchange(turn["request"].strip(), tuple(answers))


def _training_bank(path: Path) -> Bank:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(path, None, "this file is missing") from None
    threads = []
    for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            texts = [message["content"] for message in record["messages"]]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(path, number, f"not a ChatML record: {error}") from None
        exchanges = tuple(
            Exchange(user, (reply,)) for user, reply in zip(texts[::2], texts[1::2], strict=True)
        )
        threads.append(Thread(record["topic"], exchanges))
    return Bank(tuple(threads), hashlib.sha256(content).hexdigest(), path.name)


def without(bank: Bank, barred: Iterable[str], *, long: bool) -> tuple[Thread, ...]:
    """The threads whose requests and answers hold none of the words.

    Latin words match whole, with a plural s or es; Chinese ones match as substrings. Threads of a
    user's own are not left out for one exchange that holds a word, but go on without it.

    Args:
        bank: whose threads they are.
        barred: the words.
        long: answers are told at pace long; one that holds a word only there ends before. The
            choice of threads does not depend on it.
    """
    words = tuple(barred)
    if bank.own:
        return _without_exchanges(bank, words)
    dropped = frozenset[int]().union(*(_threads_with(bank, word) for word in words))
    cut: dict[int, set[int]] = {}
    for word in words if long else ():
        for number, place in _long_answers_with(bank, word):
            cut.setdefault(number, set()).add(place)
    return tuple(
        _cut(thread, cut[number]) if number in cut else thread
        for number, thread in enumerate(bank.threads)
        if number not in dropped
    )


def _without_exchanges(bank: Bank, words: Iterable[str]) -> tuple[Thread, ...]:
    """The threads without the exchanges that hold a word; those of which nothing is left go."""
    gone: dict[int, set[int]] = {}
    for word in words:
        for number, place in _exchanges_with(bank, word):
            gone.setdefault(number, set()).add(place)
    left = (thread.leaving_out(gone.get(number, ())) for number, thread in enumerate(bank.threads))
    return tuple(thread for thread in left if thread.exchanges)


@lru_cache(maxsize=1 << 15)
def _exchanges_with(bank: Bank, word: str) -> frozenset[tuple[int, int]]:
    """Numbers of thread and exchange of the exchanges that hold a word."""
    return frozenset(
        (number, place)
        for number in _threads_with(bank, word)
        for place in _holding(_told(bank.threads[number]), word)
    )


def _told(thread: Thread) -> Mapping[int, str]:
    """What is said in each exchange of a thread, in small letters."""
    return {
        place: f"{exchange.request}\n{exchange.answers[-1]}".lower()
        for place, exchange in enumerate(thread.exchanges)
    }


def _cut(thread: Thread, places: Collection[int]) -> Thread:
    """The thread without the long answers of some of its exchanges."""
    exchanges = tuple(
        e._replace(answers=e.answers[:_SCREENED]) if i in places else e
        for i, e in enumerate(thread.exchanges)
    )
    return thread._replace(exchanges=exchanges)


@lru_cache(maxsize=1 << 15)
def _threads_with(bank: Bank, word: str) -> frozenset[int]:
    """Numbers of the threads that hold a word, long answers aside."""
    return frozenset(_holding(_texts(bank), word))


@lru_cache(maxsize=1 << 15)
def _long_answers_with(bank: Bank, word: str) -> frozenset[tuple[int, int]]:
    """Numbers of thread and exchange of the long answers that hold a word."""
    return frozenset(_holding(_long_texts(bank), word))


def _holding(texts: Mapping[K, str], word: str) -> Iterator[K]:
    """Names of the texts, in small letters, that hold a word."""
    pattern = pattern_of((word,), plurals=True)
    folded = word.lower()
    for name, text in texts.items():
        if pattern is not None and folded in text and pattern.search(text):
            yield name


@lru_cache(maxsize=16)
def _texts(bank: Bank) -> Mapping[int, str]:
    """What is said in each thread, long answers aside, in small letters."""
    return {
        number: "\n".join(
            text for e in thread.exchanges for text in (e.request, e.answers[:_SCREENED][-1])
        ).lower()
        for number, thread in enumerate(bank.threads)
    }


@lru_cache(maxsize=16)
def _long_texts(bank: Bank) -> Mapping[tuple[int, int], str]:
    """The long answers by thread and exchange, in small letters."""
    return {
        (number, place): exchange.answers[-1].lower()
        for number, thread in enumerate(bank.threads)
        for place, exchange in enumerate(thread.exchanges)
        if len(exchange.answers) > _SCREENED
    }


class Requested(NamedTuple):
    """An exchange in a dialogue; `place` is its number in its thread, from 0."""

    exchange: Exchange
    place: int


def requests(bank: Bank, threads: Sequence[Thread], stream: Stream, length: int) -> list[Requested]:
    """One exchange a turn: whole threads, those of one persona's topics first.

    Args:
        bank: names the personas.
        threads: of the bank, to draw from.
        stream: decides persona and order. A shorter length gives a prefix of the result.
        length: turns.

    Raises:
        DataError: the threads have too few exchanges.
    """
    persona = bank.personas[stream.index(len(bank.personas))] if bank.personas else ()
    shuffled = stream.shuffled(threads)
    ordered = sorted(shuffled, key=lambda thread: thread.topic not in persona)
    found = [Requested(e, i) for thread in ordered for i, e in enumerate(thread.exchanges)]
    if len(found) < length:
        what = f"{len(found)} exchanges, too few for a history of {length} turns"
        raise DataError(bank.path, None, what)
    return found[:length]


def with_long_answers(threads: Sequence[Thread], turns: int) -> tuple[Thread, ...]:
    """The threads with most long answers that fill so many turns, in the order given.

    The others are left out rather than put last: a conversation says as much a turn at its end as
    at its beginning.
    """
    spare = sum(len(thread.exchanges) for thread in threads) - turns
    left_out = set[int]()
    for i in sorted(range(len(threads)), key=lambda i: threads[i].long_share):
        if len(threads[i].exchanges) <= spare:
            spare -= len(threads[i].exchanges)
            left_out.add(i)
    return tuple(thread for i, thread in enumerate(threads) if i not in left_out)


def within_tokens(asked: Sequence[Requested], stream: Stream, most: int) -> list[Requested]:
    """The exchanges, some without their long answers, so that all have about so many tokens.

    Args:
        asked: of a whole plan.
        stream: decides which end at pace chat: any are as likely, at the end as at the beginning.
        most: tokens of requests and answers together, estimated.
    """
    total = sum(_tokens(of.exchange) for of in asked)
    kept = [*asked]
    for place in stream.sample(len(asked), len(asked)):
        exchange = asked[place].exchange
        if total <= most:
            break
        short = exchange._replace(answers=exchange.answers[:_SCREENED])
        total -= _tokens(exchange) - _tokens(short)
        kept[place] = kept[place]._replace(exchange=short)
    return kept


def _tokens(exchange: Exchange) -> float:
    """About how many tokens a request and its longest answer have."""
    return text_tokens(exchange.request) + text_tokens(exchange.answers[-1])


def all_banks_sha256(banks: Mapping[Lang, Bank]) -> str:
    """One hash over the banks of all languages."""
    joined = "".join(banks[lang].sha256 for lang in LANGS)
    return hashlib.sha256(joined.encode()).hexdigest()
