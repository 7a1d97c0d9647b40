"""Builds one dialogue of the programme `mixed`: plan, evidence, filler, and the probes about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from qwen_bench.chat.messages import Message
from qwen_bench.probes.definitions import Family
from qwen_bench.probes.draws import Draw, Stream
from qwen_bench.probes.filler import FillerBank, fill
from qwen_bench.probes.instance import Brief, Instance, Question
from qwen_bench.probes.model import (
    AskedProbe,
    Cluster,
    Condition,
    Dialogue,
    Lang,
    Probe,
    ProbeId,
    Split,
    Turn,
    Variant,
)
from qwen_bench.probes.plan import (
    MAX_TURNS,
    MIXED_GROUPS,
    MIXED_SLOTS,
    ROTATION,
    Slot,
    evidence_turns,
    slot_of,
    stage_count,
)
from qwen_bench.probes.wording import render

PROGRAMME = "mixed"


@dataclass(frozen=True, slots=True)
class Sources:
    """What dialogues are made from, and the names that seed them.

    Attributes:
        forced: factor levels to use instead of the counterbalanced ones; none in suites.
    """

    families: Mapping[str, Family]
    filler: Mapping[Lang, FillerBank]
    split: Split
    scope: tuple[object, ...]
    forced: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asking:
    """Which probes of a dialogue are wanted.

    Attributes:
        lengths: history lengths of the main condition, increasing; the dialogue has the largest.
        families: families to ask; evidence of all families stands in the history regardless.
        conditions: conditions to ask in.
    """

    lengths: tuple[int, ...]
    families: frozenset[str]
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """An instance at its turns."""

    group: str
    slot: Slot
    turns: tuple[int, ...]
    instance: Instance
    factors: Mapping[str, str]

    def asked_at(self, length: int) -> bool:
        """Whether a history of this length holds the instance whole and its slot is over."""
        return self.turns[-1] <= length and (self.slot.last <= length or self.slot.first == 1)


def build_dialogue(
    sources: Sources, skeleton: int, variant: Variant, lang: Lang, asking: Asking
) -> Dialogue:
    """One rendering of a skeleton: its first max(asking.lengths) turns and the wanted probes.

    Raises:
        QwenBenchError: a word template fails.
        DataError: the filler bank is too small.
    """
    placed = tuple(_place(sources, skeleton, variant, lang))
    turns = _turns(sources, placed, skeleton, lang, max(asking.lengths))
    cluster = Cluster(f"{PROGRAMME}-{skeleton}")
    frame = _Frame(sources, cluster, variant, lang, turns)
    return Dialogue(
        id=f"{cluster}/{variant}/{lang}",
        cluster=cluster,
        variant=variant,
        lang=lang,
        turns=turns,
        probes=tuple(frame.probes(placed, asking)),
    )


def _place(sources: Sources, skeleton: int, variant: Variant, lang: Lang) -> Iterator[Placed]:
    rotation = skeleton // ROTATION
    for index, group in enumerate(MIXED_GROUPS):
        members = [f for f in sources.families.values() if f.group == group]
        if group not in sources.families:
            continue
        host = sources.families[group]
        slot_number = slot_of(index, skeleton)
        slot = MIXED_SLOTS[slot_number]
        draw = Draw((*sources.scope, PROGRAMME), group, slot_number, rotation, sources.forced)
        fewest, most = host.task.evidence_turns
        count = stage_count(draw, slot, fewest, most)
        turns = evidence_turns(draw, slot, count)
        if turns is None:
            continue
        others = sorted(f.name for f in members if f.name != group)
        brief = Brief(draw, variant, (group, *others), count, host.task.params)
        instance = host.builder.build(brief, host.words[lang, sources.split])
        for question in instance.questions:
            draw.level(f"question template {question.family}", _template_count(sources, question))
        yield Placed(group, slot, turns, instance, dict(draw.factors))


def _templates(sources: Sources, question: Question, lang: Lang) -> Sequence[str]:
    words = sources.families[question.family].words[lang, sources.split]
    templates: Sequence[str] = (
        getattr(words.questions, question.wording) if question.wording else words.questions
    )
    return templates


def _template_count(sources: Sources, question: Question) -> int:
    return min(len(_templates(sources, question, lang)) for lang in sources.filler)


def _turns(
    sources: Sources, placed: Sequence[Placed], skeleton: int, lang: Lang, length: int
) -> tuple[Turn, ...]:
    """The first `length` turns; the plan covers all 64, so they do not depend on `length`."""
    evidence: dict[int, Turn] = {}
    for item in placed:
        join = sources.families[item.group].joins[lang]
        for number, stage in zip(item.turns, item.instance.evidence, strict=True):
            context = dict(stage.context)
            if "request" in context:
                context["request"] = render(str(context["request"]), context, join)
            evidence[number] = Turn(
                render(stage.user, context, join),
                render(stage.assistant, context, join),
                item.group,
            )
    free = [number not in evidence for number in range(1, MAX_TURNS + 1)][:length]
    stream = Stream(*sources.scope, PROGRAMME, skeleton, "filler", lang)
    filler = fill(sources.filler[lang], free, stream)
    return tuple(turn or evidence[number] for number, turn in enumerate(filler, start=1))


@dataclass(frozen=True, slots=True)
class _Frame:
    """A dialogue under construction: asks questions about placed instances."""

    sources: Sources
    cluster: Cluster
    variant: Variant
    lang: Lang
    turns: tuple[Turn, ...]

    def probes(self, placed: Sequence[Placed], asking: Asking) -> Iterator[AskedProbe]:
        history = [turn.messages for turn in self.turns]
        longest = max(asking.lengths)
        for item in placed:
            for question in item.instance.questions:
                if question.family not in asking.families or not item.asked_at(longest):
                    continue
                text = self._text(question, item)
                last = (Message("user", text),)
                for place in _places(item, question, asking):
                    shown = (
                        item.turns if place.condition == "adjacent" else range(1, place.length + 1)
                    )
                    messages = tuple(m for number in shown for m in history[number - 1])
                    yield AskedProbe(self._probe(item, question, place, text), messages + last)

    def _text(self, question: Question, item: Placed) -> str:
        family = self.sources.families[question.family]
        words = family.words[self.lang, self.sources.split]
        templates = _templates(self.sources, question, self.lang)
        level = int(item.factors[f"question template {question.family}"])
        return render(
            templates[level], {**question.context, "only": words.only}, family.joins[self.lang]
        )

    def _probe(self, item: Placed, question: Question, place: _Place, text: str) -> Probe:
        family = self.sources.families[question.family]
        extra = (question.abstain_phrase,) if question.abstain_phrase else ()
        condition, length, needs = place
        return Probe(
            id=ProbeId(
                f"{self.cluster}/{self.variant}/{self.lang}/{question.family}.{question.name}"
                f"/T{length}/{condition}"
            ),
            programme=PROGRAMME,
            cluster=self.cluster,
            variant=self.variant,
            lang=self.lang,
            family=question.family,
            question=question.name,
            twin_group=f"{self.cluster}/{self.lang}/{item.group}/T{length}/{condition}",
            condition=condition,
            length=length,
            distance=length - needs[-1] if needs else None,
            distance_first=length - needs[0] if needs else None,
            position=_position(needs[-1], length) if needs else None,
            needs=needs,
            question_text=text,
            gold=question.gold,
            candidates=question.candidates,
            rank_candidates=(*question.candidates, *extra),
            aliases=question.aliases,
            answer_kind=family.task.answer,
            gold_abstains=question.gold_abstains,
            chance=(
                family.task.chance
                if family.task.answer == "abstain"
                else 1 / len(question.candidates)
            ),
            factors={"slot": str(MIXED_SLOTS.index(item.slot)), **item.factors},
        )


class _Place(NamedTuple):
    """Where a question is asked: condition, history length, and needed turns in that history."""

    condition: Condition
    length: int
    needs: tuple[int, ...]


def _places(item: Placed, question: Question, asking: Asking) -> Iterator[_Place]:
    if "main" in asking.conditions:
        needs = tuple(item.turns[i] for i in question.needs)
        for length in asking.lengths:
            if item.asked_at(length):
                yield _Place("main", length, needs)
    if "adjacent" in asking.conditions:
        yield _Place("adjacent", len(item.turns), tuple(i + 1 for i in question.needs))
    if "blind" in asking.conditions:
        yield _Place("blind", 0, ())


def _position(turn: int, length: int) -> float:
    return 1.0 if length == 1 else (turn - 1) / (length - 1)
