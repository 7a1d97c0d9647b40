"""Turn plans: which family stands in which turns of a dialogue, with which facts.

A programme is a recipe for dialogues: family groups that share a history, and slots, disjoint
intervals of turns. Consecutive clusters form a rotation, in which every group visits every slot
once, so position is never confounded with family. The plan covers the longest history of a suite
whatever is asked for, so histories nest (specification of probes, 2.3 and 2.4): 64 turns, or 256
where a suite goes further.

The five programmes of the suites are full: a family in another seat would change released
dialogues. So a family that names one of them in its task.yaml and has no seat there gets dialogues
of its own, in the same slots.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qwen_bench.probes.bank import Bank, Pace
from qwen_bench.probes.definitions import Family, Join
from qwen_bench.probes.instance import Brief, Instance, Question
from qwen_bench.probes.probe import LEVELS, PLAN_TURNS, WORDINGS, Lang, Split, Variant, Wording
from qwen_bench.probes.seeded_draws import Draw


@dataclass(frozen=True, slots=True)
class Slot:
    """An interval of turns, both ends included, counted from 1; turn 0 is the system message.

    Attributes:
        late: first turn at which the last evidence may stand; None is `first`.
        opens: evidence stands at the first turns and is asked before the slot is over, so that a
            history of one turn has something to ask.
    """

    first: int
    last: int
    late: int | None = None
    opens: bool = False

    @property
    def size(self) -> int:
        """Number of turns."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Programme:
    """A recipe for dialogues.

    Attributes:
        groups: evidence families whose instances share a dialogue, in a fixed order.
        slots: a rotation has as many clusters as there are slots.
        recipe: name that its families give in task.yaml, and suites for their rotations; empty for
            families of users.
    """

    name: str
    groups: tuple[str, ...]
    slots: tuple[Slot, ...]
    recipe: str

    @property
    def rotation(self) -> int:
        """Clusters in which every group visits every slot once."""
        return len(self.slots)

    def slot_of(self, group: int, number: int) -> int:
        """Slot that the cluster of this number gives the group of index `group`."""
        return (group + number) % len(self.slots)


MIXED = Programme(
    "mixed",
    (
        *("fact_recall", "assistant_recall", "update_latest", "pronoun", "ellipsis"),
        *("ordinal_ref", "alias_chain", "state_tracking", "temporal_order", "abstention"),
    ),
    (
        Slot(1, 2, opens=True),
        Slot(3, 4),
        Slot(5, 8),
        Slot(9, 12),
        Slot(13, 16),
        Slot(17, 24),
        Slot(25, 32),
        Slot(33, 42),
        Slot(43, 54),
        Slot(55, 64),
    ),
    "mixed",
)
# What takes the place of a programme in suites whose histories are longer than its plan.
_LONG_SLOTS = {
    "mixed": (
        Slot(1, 8),
        Slot(9, 16),
        Slot(17, 24),
        Slot(25, 32),
        Slot(33, 48),
        Slot(49, 64),
        Slot(65, 96),
        Slot(97, 128),
        Slot(129, 192),
        Slot(193, 256),
    ),
}
RULE = Programme(
    "rule", ("instruction_retention",), tuple(Slot(turn, turn) for turn in (1, 2, 4, 8)), "rule"
)
EXTENDED = Programme(
    "extended",
    ("speaker_attribution", "topic_return", "false_history_resistance"),
    (Slot(1, 4, late=3), Slot(5, 8, late=7), Slot(17, 24, late=21)),
    "extended",
)
EVERYDAY = Programme(
    "everyday",
    ("preference_use", "document_recall", "own_output"),
    (Slot(1, 2, opens=True), Slot(3, 4), Slot(5, 8), Slot(9, 16), Slot(25, 32)),
    "everyday",
)
SYSTEM = Programme("system", ("system_rule",), (Slot(0, 0),), "system")

PROGRAMMES = {programme.name: programme for programme in (MIXED, RULE, EXTENDED, EVERYDAY, SYSTEM)}


def own_programme(family: str, recipe: str = "") -> Programme:
    """The programme of a family that shares its dialogues with no other.

    Args:
        family: its name.
        recipe: programme whose slots it gets; empty for a family of a user's, which gets those of
            `mixed`.
    """
    return Programme(family, (family,), PROGRAMMES[recipe or MIXED.name].slots, recipe)


def narrowed(programme: Programme, groups: Collection[str], longest: int) -> Programme:
    """A programme for some of its groups and short histories: only their seats, only those slots.

    Raises:
        ValueError: there are more groups than slots that end within `longest` turns.
    """
    kept = tuple(group for group in programme.groups if group in groups)
    slots = tuple(slot for slot in programme.slots if slot.last <= longest)
    if len(kept) > len(slots):
        raise ValueError(f"{len(kept)} groups in {len(slots)} slots of {longest} turns")
    return replace(programme, groups=kept, slots=slots)


def stretched(programme: Programme, turns: int) -> Programme:
    """A programme for a plan of so many turns; one without slots of its own there stays.

    >>> [slot.last for slot in stretched(MIXED, 256).slots]
    [8, 16, 24, 32, 48, 64, 96, 128, 192, 256]
    """
    slots = _LONG_SLOTS.get(programme.recipe or MIXED.name)
    if turns <= PLAN_TURNS or slots is None:
        return programme
    return replace(programme, slots=slots)


def host_of(family: Family) -> Programme:
    """The programme whose dialogues hold the evidence of a family, as its task.yaml says."""
    host = PROGRAMMES.get(family.task.programme)
    if host is not None and family.group in host.groups:
        return host
    return own_programme(family.group, family.task.programme)


def in_order(families: Iterable[Family]) -> list[Family]:
    """Built-in families by programme and seat, those without a seat after them."""

    def place(family: Family) -> tuple[object, ...]:
        recipe, group = family.task.programme, family.group
        seats = PROGRAMMES[recipe].groups
        seat = seats.index(group) if group in seats else len(seats)
        return [*PROGRAMMES].index(recipe), seat, group, family.name != group, family.name

    return sorted(families, key=place)


def evidence_turns(draw: Draw, slot: Slot, count: int) -> tuple[int, ...] | None:
    """Turns of an instance's evidence, increasing; None if they do not fit the slot.

    The last one is uniform over the feasible turns of the slot, the earlier ones are drawn from the
    turns before it. Evidence in the system message stands at turn 0.
    """
    if slot.first == 0:
        return (0,)
    if count > slot.size:
        return None
    if slot.opens:
        return tuple(range(slot.first, slot.first + count))
    stream = draw.stream("turns")
    earliest = max(slot.first + count - 1, slot.late or slot.first)
    last = earliest + stream.index(slot.last - earliest + 1)
    before = [slot.first + i for i in stream.sample(last - slot.first, count - 1)]
    return (*sorted(before), last)


@dataclass(frozen=True, slots=True)
class Sources:
    """What dialogues are made from, and the names that seed them.

    Attributes:
        dialogues: begins the names of the clusters, and seeds them.
        pace: length of the replies.
        longest_exchange: characters of the longest request with its answer; None takes all.
        long_tokens: of the requests and answers of a plan at pace long, about; threads with long
            answers are preferred, and answers beyond end at pace chat. None takes threads as they
            come, and answers as they are.
        turns: that the plan covers.
        levels: of memory load that the suite asks, increasing.
        forced: values of factors to use instead of the counterbalanced ones; none in suites.
    """

    families: Mapping[str, Family]
    banks: Mapping[Lang, Bank]
    split: Split
    scope: tuple[object, ...]
    dialogues: str = ""
    pace: Pace = "chat"
    longest_exchange: int | None = None
    long_tokens: int | None = None
    turns: int = PLAN_TURNS
    levels: tuple[int, ...] = tuple(range(1, LEVELS + 1))
    forced: Mapping[str, int] = field(default_factory=dict)

    def brief(self, draw: Draw, variant: Variant, level: int, wording: Wording) -> Brief:
        """What the builder of the draw's group is told."""
        group, task = draw.group, self.families[draw.group].task
        others = sorted(f.name for f in self.families.values() if f.group == group != f.name)
        load = task.levels[level - 1]
        return Brief(draw, variant, (group, *others), level, load, wording, task.params)

    def templates(self, question: Question, lang: Lang) -> Sequence[str]:
        """The phrasings of a question in one language."""
        words = self.families[question.family].words[lang, self.split]
        templates: Sequence[str] = (
            getattr(words.questions, question.templates) if question.templates else words.questions
        )
        return templates

    def phrasing(
        self, item: PlacedInstance, question: Question, lang: Lang
    ) -> tuple[str, Mapping[str, Any], Join]:
        """Template of a question about an instance, names for it, and how lists are joined."""
        family = self.families[question.family]
        number = int(item.factors[f"question template {question.family}"])
        names = {"only": getattr(family.words[lang, self.split], "only", ""), **question.context}
        return self.templates(question, lang)[number], names, family.joins[lang]


@dataclass(frozen=True, slots=True)
class PlacedInstance:
    """An instance at its turns.

    Attributes:
        turns: of its evidence; 0 stands for the system message.
        level: of memory load.
        wording: in which its key is asked for, where the family has both.
    """

    group: str
    slot_number: int
    slot: Slot
    turns: tuple[int, ...]
    instance: Instance
    factors: Mapping[str, str]
    level: int
    wording: Wording

    def asked_at(self, length: int) -> bool:
        """Whether a history of this length holds the instance whole and its slot is over."""
        return self.turns[-1] <= length and (self.slot.last <= length or self.slot.opens)

    def needs(self, question: Question) -> tuple[int, ...]:
        """Turns that a reader must have seen to answer."""
        return tuple(self.turns[i] for i in question.needs) or self.turns


def place(
    sources: Sources, programme: Programme, number: int, variant: Variant, lang: Lang
) -> Iterator[PlacedInstance]:
    """The instances of a cluster in the order of the programme's groups.

    A group without a family, or with more evidence than its slot has turns, leaves its slot to
    lures.
    """
    rotation = number // programme.rotation
    for index, group in enumerate(programme.groups):
        host = sources.families.get(group)
        if host is None or host.task.programme != programme.recipe:
            continue
        if (lang, sources.split) not in host.words:
            continue
        slot_number = programme.slot_of(index, number)
        slot = programme.slots[slot_number]
        scope = (*sources.scope, sources.dialogues + programme.name)
        draw = Draw(scope, group, slot_number, rotation, sources.forced)
        turns = evidence_turns(draw, slot, host.task.evidence_turns)
        if turns is None:
            continue
        level, wording = memory_load(sources.levels, index, rotation)
        if "wording" in sources.forced:
            wording = WORDINGS[sources.forced["wording"] % len(WORDINGS)]
        brief = sources.brief(draw, variant, level, wording)
        instance = host.builder.build(brief, host.words[lang, sources.split])
        for question in instance.questions:
            draw.counted(f"question template {question.family}", _template_count(sources, question))
        factors = dict(draw.factors)
        yield PlacedInstance(group, slot_number, slot, turns, instance, factors, level, wording)


def memory_load(levels: Sequence[int], group: int, rotation: int) -> tuple[int, Wording]:
    """Level and wording of a group's instances in one rotation, the same in every slot of it.

    So every history length asks the same share of each, whatever the number of rotations, the
    groups of a dialogue differ in level, and 2 n rotations cross the n levels with both wordings.

    Args:
        levels: of the suite.
        group: number of the group in its programme.
        rotation: from 0.
    """
    block, place = rotation // len(levels), (rotation + group) % len(levels)
    return levels[place], WORDINGS[(block + place + group // len(levels)) % len(WORDINGS)]


def _template_count(sources: Sources, question: Question) -> int:
    """Phrasings that every language has, so that languages draw the same one."""
    words = sources.families[question.family].words
    langs = [lang for lang, split in words if split == sources.split]
    return min(len(sources.templates(question, lang)) for lang in langs)
