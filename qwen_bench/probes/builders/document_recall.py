"""A document pasted whole, one value of which is asked for later (document_recall).

The level is the number of values of one type in the document, each bound to a thing. Every section
has clauses about other matters and one that binds two things to two values, so length rises with
the level and the values lie scattered. Twin: the values keep their places and the two things of
each such clause change theirs. With a single value, variant B states another one.
"""

from __future__ import annotations

from collections.abc import Sequence

from qwen_bench.probes.instance import (
    Brief,
    Builder,
    Instance,
    Question,
    Templates,
    Wordings,
    Words,
    four_to_rank,
)
from qwen_bench.probes.seeded_draws import Stream

PAIR = 2


class Thing(Words):
    """What a value is bound to, and how a paraphrase asks for it; lures are never asked for."""

    say: str
    ask: str = ""


class Section(Words):
    """Part of a document: the two things it binds values to, and clauses about other matters."""

    heading: str
    things: list[Thing]
    clauses: list[str]


class Document(Words):
    """A kind of document.

    Attributes:
        doc: what a question calls it.
        which: what a question asks about a thing in it.
        whys: what the user says before pasting it.
        openings: what it begins with.
        single: clauses that bind a value, texts for `str.format` with `key1` or `Key1`, which has a
            capital, and `value1`.
        pairs: clauses that bind two, with `key2` and `value2` too.
        values: of one type.
        sections: in the order of the document.
    """

    doc: str
    which: str
    whys: list[str]
    titles: list[str]
    openings: list[str]
    single: list[str]
    pairs: list[str]
    values: list[str]
    sections: list[Section]


class DocumentWords(Words):
    """Words of one split; `evidence` are layouts, in which every kind of document is written."""

    documents: list[Document]
    evidence: list[Templates]
    questions: Wordings
    only: str

    @property
    def answers(self) -> list[str]:
        """The values of all documents."""
        return [value for document in self.documents for value in document.values]

    @property
    def keys(self) -> list[str]:
        """What values are bound to."""
        return [
            thing.say
            for document in self.documents
            for section in document.sections
            for thing in section.things
        ]


def build(brief: Brief, words: DocumentWords) -> Instance:
    """One document and one question."""
    draw, k, is_a = brief.draw, brief.load, brief.variant == "A"
    document = draw.balanced("document", words.documents)
    chosen = draw.stream("sections").sample(len(document.sections), max(k // PAIR, 1))
    sections = [document.sections[number] for number in sorted(chosen)]
    stream = draw.stream("things")
    things = [thing for section in sections for thing in stream.shuffled(section.things)][:k]
    drawn = draw.some("values", document.values, max(k, PAIR))
    asked = draw.counted("asked", k)
    in_a, in_b = drawn[asked], drawn[asked ^ 1]
    if k == 1:
        values, bound = [in_a if is_a else in_b], things
    else:
        values, bound = drawn, things if is_a else [things[i ^ 1] for i in range(k)]
    sizes = draw.stream("sizes")
    frames = draw.stream("frames").shuffled(document.pairs if k > 1 else document.single)
    context = {
        "why": draw.balanced("why", document.whys),
        "title": draw.one("title", document.titles),
        "opening": draw.one("opening", document.openings),
        "sections": [
            {
                "heading": section.heading,
                "clauses": draw.stream(f"order {i}").shuffled(
                    [
                        *draw.some(f"clauses {i}", section.clauses, _shown(section, k, sizes)),
                        _binding(frames[i % len(frames)], bound[i * PAIR :], values[i * PAIR :]),
                    ]
                ),
            }
            for i, section in enumerate(sections)
        ],
    }
    ranked = four_to_rank(draw, (in_a, in_b), drawn[:k], document.values)
    question = Question(
        family=brief.family,
        name="value",
        context={
            "doc": document.doc,
            "which": document.which,
            "asked": things[asked].model_dump(),
        },
        gold=in_a if is_a else in_b,
        candidates=tuple(dict.fromkeys((*drawn[:k], *ranked))),
        needs=(0,),
        templates=brief.wording,
        rank_candidates=ranked,
        key_words=(things[asked].say,),
    )
    layout = draw.balanced("evidence template", words.evidence)
    return Instance((layout.turn(draw, "paste", context),), (question,))


def _shown(section: Section, values: int, sizes: Stream) -> int:
    """How many clauses about other matters stand there: all, or one fewer, so that lengths vary.

    A document with a single value has one fewer still.
    """
    return max(len(section.clauses) - sizes.index(2) - (values == 1), 0)


def _binding(frame: str, things: Sequence[Thing], values: Sequence[str]) -> str:
    """A clause that binds the first things to the first values, as many as it has places for."""
    names = {f"value{i}": value for i, value in enumerate(values[:PAIR], 1)}
    for i, thing in enumerate(things[:PAIR], 1):
        names |= {f"key{i}": thing.say, f"Key{i}": thing.say[:1].upper() + thing.say[1:]}
    return frame.format(**names)


BUILDER = Builder(DocumentWords, build)
