"""Training conversations made from the train split: its words and requests, never those of eval.

A conversation is a shortened dialogue: the evidence of some family groups in its order, each turn
with its request, other turns in between (requests, and evidence of the same kind that is never
asked about), and memory questions with their gold answers as assistant turns, some asked on the
way, most at the end. Both variants of a cluster are made with the same plan: only the stated
fact tells the answers of the two apart. Knows no tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.chat.messages import Message
from qwen_bench.errors import InputError, near
from qwen_bench.probes.definitions import load_families
from qwen_bench.probes.dialogue import WantedProbes, build_dialogue
from qwen_bench.probes.probe import (
    LEVELS,
    PLAN_TURNS,
    VARIANTS,
    AskedProbe,
    Dialogue,
    Lang,
    Turn,
    Variant,
)
from qwen_bench.probes.programmes import MIXED, Sources
from qwen_bench.probes.seeded_draws import Stream
from qwen_bench.probes.suites import make_sources
from qwen_bench.resources import data_folder
from qwen_bench.training.recipe import GenerateBlock

# Named in every draw: changing how conversations are made must change their ids.
CONSTRUCTION = "3"

# Keys of a stated list that are asked for, all of them at levels 1 to 3: one history, many targets.
KEYS = 4
ALL_LEVELS = tuple(range(1, LEVELS + 1))


@dataclass(frozen=True, slots=True)
class _Step:
    """What happens at one user turn of a conversation; all None is any other turn."""

    evidence: Turn | None = None
    question: AskedProbe | None = None


def training_families() -> tuple[str, ...]:
    """Names of all families that training conversations can ask about.

    Those of the programme `mixed`: the others change how the scripted assistant talks.
    """
    families = load_families(data_folder("tasks"))
    return tuple(name for name, family in families.items() if family.group in MIXED.groups)


def generate(wanted: GenerateBlock) -> Iterator[ChatRecord]:
    """Conversations of the train split; the same for the same argument on every machine.

    Fewer of them are the first of more.

    Raises:
        InputError: an unknown family, lengths outside 1 to 64, or levels that are not increasing
            numbers of 1 to 5.
        DataError: a file of tasks/ is unusable.
    """
    tasks = data_folder("tasks")
    families = load_families(tasks)
    known = training_families()
    chosen = known if wanted.families is None else wanted.families
    for name in chosen:
        if name not in known:
            raise InputError(f"no family matches '{name}'; {near(name, known)}")
    shortest, longest = wanted.lengths
    if not 1 <= shortest <= longest <= PLAN_TURNS:
        raise InputError(f"lengths {shortest} to {longest} are not within 1 to {PLAN_TURNS} turns")
    if not wanted.levels or [*wanted.levels] != sorted({*wanted.levels} & {*ALL_LEVELS}):
        given = ", ".join(map(str, wanted.levels)) or "none"
        raise InputError(
            f"levels {given}: not increasing numbers of 1 to {LEVELS}",
            fix=f"write them like levels: {[*ALL_LEVELS[:3]]}",
        )
    sources = make_sources(
        tasks, families, (CONSTRUCTION, wanted.seed), "brief", wanted.levels, split="train"
    )
    asking = WantedProbes((PLAN_TURNS,), frozenset(chosen), {"main": (PLAN_TURNS,)})
    for cluster in range((wanted.n + 1) // len(VARIANTS)):
        lang = wanted.langs[cluster % len(wanted.langs)]
        twins = [_with_every_key(sources, cluster, v, lang, asking) for v in VARIANTS]
        common = set.intersection(*({p.probe.question_text for p in t.probes} for t in twins))
        for twin in twins[: wanted.n - len(VARIANTS) * cluster]:
            asked = tuple(p for p in twin.probes if p.probe.question_text in common)
            yield _conversation(sources, replace(twin, probes=asked), cluster, wanted)


def _with_every_key(
    sources: Sources, cluster: int, variant: Variant, lang: Lang, asking: WantedProbes
) -> Dialogue:
    """The dialogue with its own probes and, of the same evidence, those that ask for other keys."""
    dialogue = build_dialogue(sources, MIXED, cluster, (variant, lang), asking)
    probes = {(p.probe.family, p.probe.question, p.probe.gold): p for p in dialogue.probes}
    for key in range(KEYS):
        forced = replace(sources, forced={"asked": key, "wording": cluster + key})
        other = build_dialogue(forced, MIXED, cluster, (variant, lang), asking)
        for p in other.probes:
            group = sources.families[p.probe.family].group
            if _evidence_of(other, group) == _evidence_of(dialogue, group):
                probes.setdefault((p.probe.family, p.probe.question, p.probe.gold), p)
    return replace(dialogue, probes=tuple(probes.values()))


def _evidence_of(dialogue: Dialogue, group: str) -> list[Turn]:
    return [turn for turn in dialogue.turns if turn.group == group]


def _conversation(
    sources: Sources, dialogue: Dialogue, cluster: int, wanted: GenerateBlock
) -> ChatRecord:
    """One conversation; draws depend on cluster and language, not on the variant."""
    stream = Stream(*sources.scope, "conversation", CONSTRUCTION, cluster, dialogue.lang)
    shortest, longest = wanted.lengths
    length = shortest + stream.index(longest - shortest + 1)
    evidence = _chosen_evidence(sources, dialogue, length, stream)
    steps = _history(evidence, length, stream)
    asked = {turn.group for turn in evidence}
    due = [p for p in dialogue.probes if sources.families[p.probe.family].group in asked]
    last: list[_Step] = []
    for probe in stream.shuffled(due):
        group = sources.families[probe.probe.family].group
        if stream.index(1000) < 1000 * wanted.early:
            _ask_early(steps, probe, group, stream)
        else:
            last.append(_Step(question=probe))
    steps += last
    others = iter(turn for turn in dialogue.turns if turn.group not in asked)
    messages: list[Message] = []
    trained: list[bool] = []
    for step in steps:
        if step.question is not None:
            probe_turn = step.question.probe
            messages.append(Message("user", probe_turn.question_text))
            messages.append(Message("assistant", probe_turn.gold))
            trained += [False, True]
            continue
        scripted = step.evidence or next(others)
        messages += scripted.messages
        trained += [False, wanted.train_replies]
    return ChatRecord(
        id=f"train-{wanted.seed}-{cluster}-{dialogue.variant}-{dialogue.lang}",
        messages=tuple(messages),
        trained=tuple(trained),
        source="qwen-bench",
    )


def _chosen_evidence(
    sources: Sources, dialogue: Dialogue, length: int, stream: Stream
) -> list[Turn]:
    """Evidence turns of random groups in the dialogue's order, as many groups as fit.

    From three turns on about a third of the history is left to other turns; a history too short for
    the group drawn first takes the smallest group instead.
    """
    asked = sorted({sources.families[p.probe.family].group for p in dialogue.probes})
    turns = {g: [t for t in dialogue.turns if t.group == g] for g in asked}
    room = length if length < 3 else max(2, (2 * length + 1) // 3)
    chosen: set[str] = set()
    for group in stream.shuffled(asked):
        if len(turns[group]) <= room:
            chosen.add(group)
            room -= len(turns[group])
    return [turn for turn in dialogue.turns if turn.group in chosen]


def _history(evidence: Sequence[Turn], length: int, stream: Stream) -> list[_Step]:
    """`length` steps with the evidence at random places in its order."""
    places = sorted(stream.sample(length, len(evidence)))
    steps = [_Step() for _ in range(length)]
    for place, turn in zip(places, evidence, strict=True):
        steps[place] = _Step(evidence=turn)
    return steps


def _ask_early(steps: list[_Step], probe: AskedProbe, group: str, stream: Stream) -> None:
    """Insert the question at a random place behind the evidence it needs."""
    known = max(i for i, s in enumerate(steps) if s.evidence and s.evidence.group == group) + 1
    place = known + stream.index(len(steps) - known + 1)
    steps.insert(place, _Step(question=probe))
