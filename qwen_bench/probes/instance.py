"""What a family's builder gives: evidence to plant and questions to ask, as latent facts.

A builder decides who, what and which answer; the words come from the language files. It is called
once for each variant and language with equal draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from qwen_bench.probes.probe import Rule, Variant, Wording
from qwen_bench.probes.seeded_draws import Draw

# Lowest level whose evidence is pasted rather than told in a sentence.
PASTED_FROM = 4
TO_RANK = 4
# Places of the golds of variants A and B among the candidates to rank.
_GOLD_PLACES = tuple(permutations(range(TO_RANK), 2))


class Words(BaseModel):
    """Base of a builder's word schema: one split of one language file. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @property
    def answers(self) -> list[str]:
        """Every value that can be an answer: nothing else in a dialogue may mention one."""
        return []

    @property
    def keys(self) -> list[str]:
        """Every entity that values are bound to."""
        return []


class Valued(Words):
    """Words of a family whose answers are its values."""

    values: list[str]

    @property
    def answers(self) -> list[str]:
        """All values."""
        return self.values


class Names(Words):
    """Given names by grammatical gender."""

    f: list[str]
    m: list[str]

    @property
    def all(self) -> list[str]:
        """Both halves."""
        return [*self.f, *self.m]


class Owner(Words):
    """What has something, and its possessive."""

    say: str
    own: str


class Wordings(Words):
    """Question templates by wording: naming the key, or describing it without a shared word."""

    lexical: list[str]
    paraphrase: list[str]


class Templates(Words):
    """One evidence turn: the user's template and the acknowledgements to choose from."""

    user: str
    assistant: list[str]

    def turn(self, draw: Draw, stage: str, context: Mapping[str, Any]) -> Evidence:
        """The turn with one of its replies, counterbalanced under the name of the stage."""
        return self.replied(draw.counted(f"reply to {stage}", len(self.assistant)), context)

    def replied(self, reply: int, context: Mapping[str, Any]) -> Evidence:
        """The turn with the reply of this number, counted round and round."""
        return Evidence(self.user, self.assistant[reply % len(self.assistant)], context)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One evidence turn: template texts and the objects they speak of."""

    user: str
    assistant: str
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """One question about an instance.

    Attributes:
        family: family whose words phrase it.
        name: short name, part of the probe id.
        context: objects of the question template; never holds the answer.
        needs: indices of the evidence turns a reader must have seen.
        abstain_phrase: when it is a legal answer, the fixed phrase; else None.
        gold_abstains: the gold is that phrase.
        templates: attribute of the words' `questions` with the templates to choose from; None where
            `questions` is the list itself.
        rank_candidates: strings to rank; None stands for the candidates and the abstain phrase, an
            empty tuple says that ranking is not defined.
        gold_items: sets only: the items of the right answer.
        rule: rules only: the form the reply must have, or must not where the gold is `plain`.
        forms: rules only: every form that the evidence of either variant asks for.
        content: rules only: what the reply must say, one of the candidates.
        key_words: surface forms by which the evidence names what is asked about.
    """

    family: str
    name: str
    context: Mapping[str, Any]
    gold: str
    candidates: tuple[str, ...]
    needs: tuple[int, ...]
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    abstain_phrase: str | None = None
    gold_abstains: bool = False
    templates: str | None = None
    rank_candidates: tuple[str, ...] | None = None
    gold_items: tuple[str, ...] = ()
    rule: Rule | None = None
    forms: tuple[Rule, ...] = ()
    content: str = ""
    key_words: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """The strings to rank; none where ranking is not defined."""
        if self.rank_candidates is not None:
            return self.rank_candidates
        extra = (self.abstain_phrase,) if self.abstain_phrase else ()
        return (*self.candidates, *extra)


@dataclass(frozen=True, slots=True)
class Instance:
    """The evidence of one family group in one dialogue, and its questions.

    Attributes:
        system: template of the system message, rendered with `system_context`.
        barred: words that no filler of the dialogue may hold; the same in both variants.
    """

    evidence: tuple[Evidence, ...]
    questions: tuple[Question, ...]
    system: str | None = None
    system_context: Mapping[str, Any] = field(default_factory=dict)
    barred: tuple[str, ...] = ()


class Brief(NamedTuple):
    """What a builder is told; all variants and languages of a cluster are told the same.

    Attributes:
        families: the evidence family first, then those that ask about the same evidence.
        level: of memory load, 1 the lowest to 5.
        load: what the level stands for in this family: its number of items, from task.yaml.
        wording: in which the key is asked for, for families that have both wordings.
        params: from task.yaml.
    """

    draw: Draw
    variant: Variant
    families: tuple[str, ...]
    level: int
    load: int
    wording: Wording
    params: Mapping[str, Any]

    @property
    def family(self) -> str:
        """The evidence family."""
        return self.families[0]

    @property
    def pastes(self) -> bool:
        """Whether the evidence has the form of what people paste: a list, a log, a table, a note.

        The form follows from the level alone, never from the place in the history.
        """
        return self.level >= PASTED_FROM

    def forms(self, words: Any) -> Sequence[Any]:  # noqa: ANN401 - each builder has its own
        """The evidence templates of the level; words without pasted ones tell at every level."""
        found: Sequence[Any] = (self.pastes and words.pasted) or words.evidence
        return found


Build = Callable[[Brief, Any], Instance]


class Builder(NamedTuple):
    """A family's logic and the schema of its words."""

    words: type[Words]
    build: Build


def four_to_rank(
    draw: Draw, golds: tuple[str, str], in_history: Sequence[str], lexicon: Sequence[str]
) -> tuple[str, ...]:
    """Four candidates to rank, the same in both variants, so that chance is 1/4 at every level.

    Args:
        draw: of the instance; the places of both golds are one counterbalanced factor.
        golds: of variants A and B.
        in_history: values of the same type that the history holds, in both variants.
        lexicon: foils, taken only where the history has too few.

    Raises:
        ValueError: there are fewer than four different values in all.
    """
    stream = draw.stream("to rank")
    others = [*stream.shuffled(in_history), *stream.shuffled(lexicon)]
    found = list(dict.fromkeys((*golds, *others)))[:TO_RANK]
    if len(found) < TO_RANK:
        raise ValueError(f"{TO_RANK} values to rank wanted, there are {len(found)}")
    places = draw.balanced("gold places", _GOLD_PLACES)
    foils = iter(stream.shuffled(found[2:]))
    return tuple(
        golds[places.index(place)] if place in places else next(foils) for place in range(TO_RANK)
    )
