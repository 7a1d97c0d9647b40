"""Builds one dialogue: instances placed, turns written, and the probes about them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qwen_bench.probes.bank import (
    Pace,
    Requested,
    Thread,
    requests,
    with_long_answers,
    within_tokens,
    without,
)
from qwen_bench.probes.conditions import PACE_OF, UNPLACED, History, ShownHistory, ask, prompts
from qwen_bench.probes.instance import Question
from qwen_bench.probes.probe import (
    LEVELS,
    WORDINGS,
    AskedProbe,
    Cluster,
    Condition,
    Dialogue,
    Lang,
    Probe,
    ProbeId,
    Turn,
    Variant,
)
from qwen_bench.probes.programmes import PlacedInstance, Programme, Sources, place
from qwen_bench.probes.remarks import PLAIN_TURNS, Remark, lures, manner_of, remark_of, turn_of
from qwen_bench.probes.seeded_draws import Stream
from qwen_bench.probes.word_templates import render

_NUMBER = re.compile(r"\d+|[零一二两三四五六七八九十]+")


@dataclass(frozen=True, slots=True)
class WantedProbes:
    """Which probes of a dialogue are wanted.

    Attributes:
        lengths: history lengths of the suite, increasing: the adjacent and blind conditions ask
            about the instances that the longest of them holds.
        families: families to ask; evidence of all families stands in the history regardless.
        conditions: conditions to ask in, each with its history lengths; adjacent and blind have no
            lengths of their own.
        levels: of memory load to ask; evidence of all levels stands in the history regardless.
    """

    lengths: tuple[int, ...]
    families: frozenset[str]
    conditions: Mapping[Condition, tuple[int, ...]]
    levels: tuple[int, ...] = tuple(range(1, LEVELS + 1))

    def asks(self, item: PlacedInstance, question: Question) -> bool:
        """Whether a question about an instance is asked at all."""
        return (
            item.level in self.levels
            and question.family in self.families
            and item.asked_at(max(self.lengths))
        )

    def times(self, item: PlacedInstance) -> Mapping[Condition, int]:
        """How often a question about an instance is asked in each condition."""
        return {
            condition: 1 if condition in UNPLACED else sum(map(item.asked_at, lengths))
            for condition, lengths in self.conditions.items()
        }


def build_dialogue(
    sources: Sources,
    programme: Programme,
    number: int,
    rendering: tuple[Variant, Lang],
    asking: WantedProbes,
) -> Dialogue:
    """One rendering of a cluster: its turns up to the longest asked for, and the wanted probes.

    Raises:
        QwenBenchError: a word template fails.
        DataError: the bank is too small.
    """
    variant, lang = rendering
    placed = tuple(place(sources, programme, number, variant, lang))
    turns = write_turns(
        sources, programme, number, placed, lang=lang, lengths=_lengths(asking, sources.pace)
    )
    told = turns[sources.pace]
    history = History(lang, system_text(sources, placed, lang), told, turns)
    frame = _Frame(
        sources,
        programme,
        Cluster(f"{sources.dialogues}{programme.name}-{number}"),
        variant,
        history,
    )
    name = f"{frame.cluster}/{variant}/{lang}"
    return Dialogue(
        id=name,
        cluster=frame.cluster,
        variant=variant,
        lang=lang,
        turns=told,
        probes=tuple(frame.probes(placed, asking)),
        system=history.system,
    )


def _lengths(asking: WantedProbes, pace: Pace) -> Mapping[Pace, int]:
    """Turns to write at each pace: those of the longest history asked for."""
    lengths = {pace: max(asking.lengths)}
    for condition, asked in asking.conditions.items():
        told = PACE_OF.get(condition, pace)
        lengths[told] = max(lengths.get(told, 0), *asked, 0)
    return {told: length for told, length in lengths.items() if length}


@dataclass(frozen=True, slots=True)
class _Frame:
    """A dialogue under construction: asks questions about placed instances."""

    sources: Sources
    programme: Programme
    cluster: Cluster
    variant: Variant
    history: History

    def probes(
        self, placed: Sequence[PlacedInstance], asking: WantedProbes
    ) -> Iterator[AskedProbe]:
        for item in placed:
            for question in item.instance.questions:
                if not asking.asks(item, question):
                    continue
                text = render(*self.sources.phrasing(item, question, self.history.lang))
                needs = item.needs(question)
                for prompt in prompts(self.history, item, needs, asking.conditions):
                    yield AskedProbe(self._probe(item, question, prompt, text), ask(prompt, text))

    def _probe(
        self, item: PlacedInstance, question: Question, prompt: ShownHistory, text: str
    ) -> Probe:
        family = self.sources.families[question.family]
        lang = self.history.lang
        ranked = question.options
        needs = prompt.needs
        place_name = f"T{prompt.length}/{prompt.condition}"
        return Probe(
            id=ProbeId(
                f"{self.cluster}/{self.variant}/{lang}/{question.family}.{question.name}"
                f"/{place_name}"
            ),
            programme=self.programme.name,
            cluster=self.cluster,
            variant=self.variant,
            lang=lang,
            family=question.family,
            question=question.name,
            twin_group=f"{self.cluster}/{lang}/{item.group}/{place_name}",
            condition=prompt.condition,
            length=prompt.length,
            distance=prompt.shown - needs[-1] if needs else None,
            distance_first=prompt.shown - needs[0] if needs else None,
            position=_position(needs[-1], prompt.shown) if needs else None,
            needs=needs,
            question_text=text,
            gold=question.gold,
            candidates=question.candidates,
            rank_candidates=ranked,
            aliases=question.aliases,
            answer_kind=family.task.answer,
            gold_abstains=question.gold_abstains,
            chance=1 / len(ranked) if ranked else family.task.chance,
            factors={"slot": str(item.slot_number), **item.factors},
            gold_items=question.gold_items,
            rule=question.rule,
            forms=question.forms,
            content=question.content,
            key_words=question.key_words,
            level=item.level,
            wording=_wording(question),
        )


def _wording(question: Question) -> str:
    """Wording of a question by the name of its templates, such as `lexical` or `nth_lexical`."""
    name = (question.templates or "").rpartition("_")[2]
    return name if name in WORDINGS else ""


def _position(turn: int, length: int) -> float:
    """Place of a turn in a history, 0 oldest to 1 newest; the system message stands before all."""
    if turn == 0:
        return 0.0
    return 1.0 if length == 1 else (turn - 1) / (length - 1)


def write_turns(
    sources: Sources,
    programme: Programme,
    number: int,
    placed: Sequence[PlacedInstance],
    *,
    lang: Lang,
    lengths: Mapping[Pace, int],
) -> Mapping[Pace, tuple[Turn, ...]]:
    """The first turns at each pace: the same remarks and requests, answered at another length.

    The plan covers all turns, so they do not depend on how many are wanted.

    Args:
        sources: words and bank.
        programme: of the dialogue; with the number it decides requests and lures, for both
            variants.
        number: of the cluster.
        placed: instances of the cluster.
        lang: of the text.
        lengths: turns wanted, by pace.

    Raises:
        QwenBenchError: a word template fails.
        DataError: the bank is too small.
    """
    seed = (*sources.scope, sources.dialogues + programme.name, number, lang)
    evidence = _evidence(sources, placed, lang)
    asked = _asked(sources, placed, lang, Stream(*seed, "requests"), lengths)
    others = lures(sources, programme, number, lang)
    written: dict[Pace, list[Turn]] = {pace: [] for pace in lengths}
    for turn, requested in enumerate(asked, start=1):
        stream = Stream(*seed, "turn", turn)
        remark = evidence.get(turn)
        if remark is None and stream.index(PLAIN_TURNS):
            remark = next(others, None)
        manner = manner_of(stream, lang)
        group = remark.group if remark else None
        for pace, length in lengths.items():
            if turn <= length:
                user, reply = turn_of(remark, requested, pace, manner, lang)
                written[pace].append(Turn(user, reply, group, requested.place))
    return {pace: tuple(turns) for pace, turns in written.items()}


def _asked(
    sources: Sources,
    placed: Sequence[PlacedInstance],
    lang: Lang,
    stream: Stream,
    lengths: Mapping[Pace, int],
) -> list[Requested]:
    """One request a turn; which, and in which order, does not depend on pace or length."""
    bank, fixed = sources.banks[lang], sources.long_tokens
    long = "long" in lengths or fixed is not None
    threads = usable_threads(sources, placed, lang, long=long)
    longest = max(lengths.values())
    if fixed is None or bank.own:
        return requests(bank, threads, stream, longest)
    # A bank that is too small for the whole plan may do for what is asked.
    told = max(longest, min(sources.turns, sum(len(t.exchanges) for t in threads)))
    preferred = with_long_answers(stream.shuffled(threads), told)
    asked = requests(bank, preferred, stream, told)
    return within_tokens(asked, stream, fixed * told // sources.turns)[:longest]


def usable_threads(
    sources: Sources, placed: Sequence[PlacedInstance], lang: Lang, *, long: bool
) -> tuple[Thread, ...]:
    """Threads of the bank that a dialogue may tell.

    Args:
        sources: words and bank.
        placed: instances of the dialogue, whose answers and keys no exchange may hold.
        lang: of the text.
        long: answers are told at pace long.
    """
    bank, most = sources.banks[lang], sources.longest_exchange
    threads = without(bank, _barred(sources, placed), long=long)
    if most is None:
        return threads
    too_long = [
        {i for i, e in enumerate(thread.exchanges) if e.length(sources.pace) > most}
        for thread in threads
    ]
    if not bank.own:
        return tuple(t for t, places in zip(threads, too_long, strict=True) if not places)
    left = [t.leaving_out(places) for t, places in zip(threads, too_long, strict=True)]
    return tuple(thread for thread in left if thread.exchanges)


def _barred(sources: Sources, placed: Sequence[PlacedInstance]) -> list[str]:
    """Words that no request or answer of the bank may hold: answers, and what is asked about.

    Words of every conversation stay: yes and no, what a rule's reply speaks of, and bare numbers,
    as which a day may be written.
    """
    found: dict[str, None] = {}
    for item in placed:
        found |= dict.fromkeys(item.instance.barred)
        for question in item.instance.questions:
            found |= dict.fromkeys(question.key_words)
            if sources.families[question.family].task.answer not in {"yesno", "rule"}:
                forms = (form for of_one in question.aliases.values() for form in of_one)
                words = (*question.candidates, *forms)
                found |= dict.fromkeys(word for word in words if not _NUMBER.fullmatch(word))
    return [*found]


def system_text(sources: Sources, placed: Sequence[PlacedInstance], lang: Lang) -> str | None:
    """Text of the system message that an instance brings; None without one."""
    for item in placed:
        if item.instance.system is not None:
            join = sources.families[item.group].joins[lang]
            return render(item.instance.system, item.instance.system_context, join, lines=True)
    return None


def _evidence(sources: Sources, placed: Sequence[PlacedInstance], lang: Lang) -> dict[int, Remark]:
    """Remarks that are evidence, by turn."""
    remarks: dict[int, Remark] = {}
    for item in placed:
        if not item.instance.evidence:
            continue
        join = sources.families[item.group].joins[lang]
        for number, stage in zip(item.turns, item.instance.evidence, strict=True):
            remarks[number] = remark_of(stage, join, item.group)
    return remarks
