"""Instances of the built-in families as a reader sees them: rendered turns and questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

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
        numbers: of the phrasing that was drawn, by name of a question.
        system: text of the system message, empty without one.
    """

    family: Family
    lang: str
    split: str
    factors: Mapping[str, str]
    instance: Instance
    turns: tuple[tuple[str, str], ...]
    numbers: Mapping[str, int]
    system: str

    @cached_property
    def asked(self) -> Mapping[str, str]:
        """Text of each question by its name, in the phrasing that was drawn."""
        return {
            question.name: self._phrased(question, self._templates(question)[number])
            for question, number in zip(self.instance.questions, self.numbers.values(), strict=True)
        }

    @cached_property
    def phrasings(self) -> Mapping[str, tuple[str, ...]]:
        """The questions by their names, each in every phrasing there is."""
        return {
            question.name: tuple(self._phrased(question, t) for t in self._templates(question))
            for question in self.instance.questions
        }

    def _phrased(self, question: Question, template: str) -> str:
        words = asking_words(question, self.lang, self.split)
        context = {"only": getattr(words, "only", ""), **question.context}
        return render(template, context, family(question.family).joins[self.lang])

    def _templates(self, question: Question) -> list[str]:
        return templates_of(question, self.lang, self.split)

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


def asking_words(question: Question, lang: str, split: str):
    """Words of the family that asks; lures are asked about in tests alone, as in eval."""
    return family(question.family).words[lang, "eval" if split == "lures" else split]


def templates_of(question: Question, lang: str, split: str) -> list[str]:
    """Templates that phrase a question."""
    questions = asking_words(question, lang, split).questions
    return getattr(questions, question.templates) if question.templates else questions


# More are made than memory should hold.
@lru_cache(maxsize=4096)
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
    numbers = {
        question.name: draw.counted(
            f"question template {question.family}", len(templates_of(question, lang, split))
        )
        for question in instance.questions
    }
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
    return Told(host, lang, split, factors, instance, turns, numbers, system)


def pair(name, lang, split, rotation, **form) -> tuple[Told, Told]:
    """Both variants."""
    a, b = (told(name, lang, split, variant, rotation, **form) for variant in "AB")
    return a, b


def forms() -> list[dict[str, object]]:
    """All forms of a family as arguments of `told`: every level in both wordings."""
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
