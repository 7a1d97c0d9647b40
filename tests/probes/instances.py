"""Instances of the built-in families as a reader sees them: rendered turns and questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from qwen_bench.probes.definitions import Family, load_family
from qwen_bench.probes.instance import Brief, Instance, Question
from qwen_bench.probes.probe import LANGS, LEVELS, WORDINGS
from qwen_bench.probes.seeded_draws import Draw
from qwen_bench.probes.word_templates import render
from qwen_bench.resources import data_folder
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise

TASKS = data_folder("tasks")
SPLITS = ("eval", "train")
EVERY = [(lang, split) for lang in LANGS for split in SPLITS]


@dataclass(frozen=True)
class Told:
    """One instance and its texts.

    Attributes:
        turns: (user, assistant) of each evidence turn.
        asked: text of each question by its name, in the phrasing that was drawn.
        phrasings: by name of a question, the same in every phrasing there is.
        system: text of the system message, empty without one.
    """

    family: Family
    lang: str
    split: str
    factors: Mapping[str, str]
    instance: Instance
    turns: tuple[tuple[str, str], ...]
    asked: Mapping[str, str]
    phrasings: Mapping[str, tuple[str, ...]]
    system: str

    @property
    def words(self):
        """Words of the split."""
        return self.family.words[self.lang, self.split]

    @property
    def questions(self) -> dict[str, Question]:
        return {question.name: question for question in self.instance.questions}

    @property
    def question(self) -> Question:
        """The question of a family that asks one."""
        (question,) = self.instance.questions
        return question

    @property
    def users(self) -> list[str]:
        return [user for user, _ in self.turns]

    @property
    def replies(self) -> list[str]:
        return [reply for _, reply in self.turns]


@cache
def family(name: str) -> Family:
    return load_family(TASKS / name)


def hosted_by(name: str) -> tuple[str, ...]:
    """A family and those that ask about its evidence."""
    return ("update_latest", "update_previous") if name == "update_latest" else (name,)


@cache
def told(name, lang, split, variant, rotation, *, level=1, wording="lexical", slot=2) -> Told:
    """An instance of a family at a level, in one of the wordings of its question.

    Args:
        split: "lures" stands for the words of remarks that are never asked about.
    """
    host = family(name)
    draw = Draw(("t", split), name, slot, rotation)
    load = host.task.levels[level - 1]
    brief = Brief(draw, variant, hosted_by(name), level, load, wording, host.task.params)
    words = host.lures[lang] if split == "lures" else host.words[lang, split]
    instance = host.builder.build(brief, words)
    phrasings, asked = {}, {}
    for question in instance.questions:
        asker = family(question.family)
        words = asker.words[lang, "eval" if split == "lures" else split]
        templates = words.questions
        if question.templates:
            templates = getattr(templates, question.templates)
        context = {"only": getattr(words, "only", ""), **question.context}
        phrasings[question.name] = tuple(render(t, context, asker.joins[lang]) for t in templates)
        number = draw.counted(f"question template {question.family}", len(templates))
        asked[question.name] = phrasings[question.name][number]
    join = host.joins[lang]
    turns = tuple(
        (
            render(e.user, e.context, join, lines=True),
            render(e.assistant, e.context, join, lines=True),
        )
        for e in instance.evidence
    )
    system = ""
    if instance.system:
        system = render(instance.system, instance.system_context, join, lines=True)
    factors = dict(draw.factors)
    return Told(host, lang, split, factors, instance, turns, asked, phrasings, system)


def pair(name, lang, split, rotation, **form) -> tuple[Told, Told]:
    """Both variants."""
    a, b = (told(name, lang, split, variant, rotation, **form) for variant in "AB")
    return a, b


def forms(name: str) -> list[dict[str, object]]:
    """The forms of a family as arguments of `told`: every level in both wordings."""
    return [
        {"level": level, "wording": wording}
        for level in range(1, LEVELS + 1)
        for wording in WORDINGS
    ]


def mentions(text: str, words, aliases: Mapping[str, tuple[str, ...]] | None = None):
    """The mentions of words in a text as the scorer finds them, in its order."""
    return find_mentions(normalise(text).text, tuple(words), aliases or {})


def named(text: str, words, aliases: Mapping[str, tuple[str, ...]] | None = None) -> list[str]:
    """The words that a text names, in its order."""
    return [mention.candidate for mention in mentions(text, words, aliases)]
