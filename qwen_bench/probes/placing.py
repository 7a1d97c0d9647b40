"""Places the instances of a skeleton: which family stands in which turns, with which facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from qwen_bench.probes.definitions import Family
from qwen_bench.probes.filler import FillerBank
from qwen_bench.probes.instance import Brief, Instance, Question
from qwen_bench.probes.probe import Lang, Split, Variant
from qwen_bench.probes.programmes import Programme, Slot, evidence_turns, stage_count
from qwen_bench.probes.seeded_draws import Draw


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

    def templates(self, question: Question, lang: Lang) -> Sequence[str]:
        """The phrasings of a question in one language."""
        words = self.families[question.family].words[lang, self.split]
        templates: Sequence[str] = (
            getattr(words.questions, question.wording) if question.wording else words.questions
        )
        return templates


@dataclass(frozen=True, slots=True)
class Placed:
    """An instance at its turns.

    Attributes:
        turns: of its evidence; 0 stands for the system message.
    """

    group: str
    slot_number: int
    slot: Slot
    turns: tuple[int, ...]
    instance: Instance
    factors: Mapping[str, str]

    def asked_at(self, length: int) -> bool:
        """Whether a history of this length holds the instance whole and its slot is over."""
        return self.turns[-1] <= length and (self.slot.last <= length or self.slot.opens)

    def needs(self, question: Question) -> tuple[int, ...]:
        """Turns that a reader must have seen to answer."""
        return tuple(self.turns[i] for i in question.needs) or self.turns


def place(
    sources: Sources, programme: Programme, skeleton: int, variant: Variant, lang: Lang
) -> Iterator[Placed]:
    """The instances of a skeleton in the order of the programme's groups.

    A group without a family, or with more evidence than its slot has turns, leaves its slot to
    filler.
    """
    rotation = skeleton // programme.rotation
    for index, group in enumerate(programme.groups):
        host = sources.families.get(group)
        if host is None or (lang, sources.split) not in host.words:
            continue
        slot_number = programme.slot_of(index, skeleton)
        slot = programme.slots[slot_number]
        draw = Draw((*sources.scope, programme.name), group, slot_number, rotation, sources.forced)
        fewest, most = host.task.evidence_turns
        stages = (fewest, most, tuple(host.task.small_slots))
        count = stage_count(draw, programme, slot_number, stages)
        turns = evidence_turns(draw, slot, count)
        if turns is None:
            continue
        others = sorted(f.name for f in sources.families.values() if f.group == group != f.name)
        brief = Brief(draw, variant, (group, *others), count, host.task.params, slot.size)
        instance = host.builder.build(brief, host.words[lang, sources.split])
        for question in instance.questions:
            draw.level(f"question template {question.family}", _template_count(sources, question))
        yield Placed(group, slot_number, slot, turns, instance, dict(draw.factors))


def _template_count(sources: Sources, question: Question) -> int:
    """Phrasings that every language has, so that languages draw the same one."""
    words = sources.families[question.family].words
    langs = [lang for lang, split in words if split == sources.split]
    return min(len(sources.templates(question, lang)) for lang in langs)
