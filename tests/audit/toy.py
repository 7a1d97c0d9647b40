"""A suite of one family made by hand: dialogues and probes small enough to check by eye.

Every turn is a remark beside a request. At level k the remark binds k names to k places; where it
is no evidence it tells of pets instead.
"""

from dataclasses import replace
from types import SimpleNamespace

from qwen_bench.chat.messages import Message
from qwen_bench.probes.definitions import TaskFile
from qwen_bench.probes.probe import (
    WORDINGS,
    AskedProbe,
    Cluster,
    Dialogue,
    Probe,
    ProbeId,
    Turn,
)
from qwen_bench.probes.programmes import Programme, Slot
from qwen_bench.probes.seeded_draws import Draw, rotated

PROGRAMME = Programme("mixed", ("toy",), (Slot(1, 2, opens=True), Slot(3, 4)), "mixed")
LEVELS, LENGTHS = (1, 2), (2, 4)
NAMES = ("Isadora", "Margot", "Halina", "Kemal", "Calum", "Arjun", "Tibor", "Moritz")
PLACES = ("gym", "bakery", "library", "pharmacy", "museum", "cinema")
# As long as names and places are, one by one.
PETS = ("Whisker", "Ginger", "Pepper", "Socks", "Tiger", "Bello", "Minka", "Shadow")
KINDS = ("dog", "canary", "hamster", "tortoise", "parrot", "rabbit")
REQUESTS = (
    "How long do eggs keep?",
    "What is a good tea for the evening?",
    "Can I freeze soup?",
    "Which paint dries fast?",
)
ANSWERS = ("About three weeks when cold.", "Mint.", "Yes, for months.", "A thin acrylic one.")


def remark(keys, values, does="I ask for"):
    """What binds values to keys; pets are told in words as long."""
    pairs = " and ".join(f"at the {k} {does} {v}" for k, v in zip(keys, values, strict=True))
    return f"Before I forget, {pairs}."


def instance(slot, rotation, variant):
    """Bindings and question of one cluster: keys, values, asked key, golds, candidates, draw."""
    level = LEVELS[rotation % 2]
    draw = Draw(("toy",), "toy", slot, rotation)
    keys = draw.some("keys", PLACES, level)
    drawn = draw.some("values", NAMES, 4)
    asked = draw.counted("asked", level)
    golds = (drawn[asked], drawn[(asked - 1) % level] if level > 1 else drawn[1])
    others = [name for name in drawn if name not in golds]
    ranked = draw.listed([golds[0], golds[1], *others])
    told = rotated(keys, 1) if variant == "B" else keys
    values = drawn[:level] if level > 1 else [golds[variant == "B"]]
    return level, keys[asked], told, values, golds[variant == "B"], ranked, draw


def dialogue(number, variant, lang="en"):
    """One rendering of a cluster with its probes."""
    rotation, slot = divmod(number, 2)
    level, asked, keys, values, gold, ranked, draw = instance(slot, rotation, variant)
    draw.counted("question template toy", 2)
    place = (1, 3 + rotation % 2)[slot]
    turns = []
    for turn in range(1, 5):
        pets = Draw(("toy",), "pets", turn, number)
        told = remark(pets.some("k", KINDS, level), pets.some("v", PETS, level), "I run for")
        group = None
        if turn == place:
            told, group = remark(keys, values), "toy"
        i = pets.stream("request").index(len(REQUESTS))
        turns.append(Turn(f"{told}\n\n{REQUESTS[i]}", f"Noted. {ANSWERS[i]}", group))
    wording = WORDINGS[(rotation // 2) % 2]
    probe = Probe(
        id=ProbeId(f"mixed-{number}/{variant}/{lang}/toy.q/T4/main"),
        programme="mixed",
        cluster=Cluster(f"mixed-{number}"),
        variant=variant,
        lang=lang,
        family="toy",
        question="q",
        twin_group=f"mixed-{number}/{lang}/toy/T4/main",
        condition="main",
        length=4,
        distance=4 - place,
        distance_first=4 - place,
        position=1.0,
        needs=(place,),
        question_text=f"Whom do I ask for at the {asked}?",
        gold=gold,
        candidates=ranked,
        rank_candidates=ranked,
        aliases={},
        answer_kind="single",
        gold_abstains=False,
        chance=0.25,
        factors={"slot": str(slot), **draw.factors},
        key_words=(f"the {asked}",),
        level=level,
        wording=wording,
    )
    probes = tuple(ask(probe, turns, length) for length in LENGTHS[slot:])
    return Dialogue(
        f"mixed-{number}/{variant}/{lang}", probe.cluster, variant, lang, tuple(turns), probes
    )


def ask(probe, turns, length):
    """The probe after the first turns."""
    shown = [message for turn in turns[:length] for message in turn.messages]
    late = probe.needs[0]
    asked = replace(
        probe,
        id=ProbeId(probe.id.replace("/T4/", f"/T{length}/")),
        twin_group=probe.twin_group.replace("/T4/", f"/T{length}/"),
        length=length,
        distance=length - late,
        distance_first=length - late,
    )
    return AskedProbe(asked, (*shown, Message("user", probe.question_text)))


def renderings(rotations=4, langs=("en",), change=lambda dialogue: dialogue):
    """Both variants of every cluster and language, perhaps changed."""
    return [
        [change(dialogue(number, variant, lang)) for variant in "AB"]
        for number in range(2 * rotations)
        for lang in langs
    ]


def watched(check, seen=None):
    """The line of a check after it saw dialogues; those of four rotations if none are given."""
    for rendering in renderings() if seen is None else seen:
        check.see(rendering)
    return check.line()


def asked_with(change):
    """A change of dialogues that replaces parts of every probe: `change(probe)` gives them."""

    def changed(dialogue):
        probes = tuple(
            replace(asked, probe=replace(asked.probe, **change(asked.probe)))
            for asked in dialogue.probes
        )
        return replace(dialogue, probes=probes)

    return changed


def turned(change):
    """A change of dialogues: `change(number, turn)` gives a turn for every turn; probes follow."""

    def changed(dialogue):
        turns = [change(number, turn) for number, turn in enumerate(dialogue.turns, start=1)]
        probes = tuple(ask(asked.probe, turns, asked.probe.length) for asked in dialogue.probes)
        return replace(dialogue, turns=tuple(turns), probes=probes)

    return changed


def families(**task):
    """The family by name, as far as audits look at it; keywords change its task.yaml."""
    given = {
        "name": "toy",
        "version": 2,
        "programme": "mixed",
        "builder": "bindings",
        "twin": "rotate",
        "answer": "single",
        "chance": 0.25,
        **task,
    }
    words = SimpleNamespace(answers=list(NAMES), keys=list(PLACES))
    lures = SimpleNamespace(answers=list(PETS), keys=list(KINDS))
    found = SimpleNamespace(
        task=TaskFile(**given), group="toy", words={("en", "eval"): words}, lures={"en": lures}
    )
    return {"toy": found}
