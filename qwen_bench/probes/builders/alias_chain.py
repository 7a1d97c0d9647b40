"""An item, the container it is in, and so on to a place; asked for the place (alias_chain).

Three equally long chains, so that following none, or following the wrong one, names a wrong place.
Two hops, or three in slots of eight or more turns: then every item lies in a small container
inside the large one.

Statements stand in random order. Twin: the places keep their order in the text and the large
containers named beside them rotate by one, so all three chains end elsewhere and the link to the
right place moves by one. What reads only items and places sees the same text twice, and can be
right in one variant at most.
"""

from __future__ import annotations

from typing import NamedTuple

from qwen_bench.probes.instance import Brief, Builder, Instance, Question, Templates, Words
from qwen_bench.probes.seeded_draws import Draw, rotated

CHAINS = 3
ROOMY_SLOT = 8
GAPS = CHAINS + 1


class ChainWords(Words):
    """Words of one split: what is stored, in what, in what larger container, and where."""

    items: list[str]
    inner: list[str]
    outer: list[str]
    places: list[str]
    evidence: list[Templates]
    questions: list[str]
    only: str

    @property
    def answers(self) -> list[str]:
        """All places."""
        return self.places

    @property
    def keys(self) -> list[str]:
        """What is stored, and the containers."""
        return [*self.items, *self.inner, *self.outer]


class Link(NamedTuple):
    """`what` is in `where`; `kind` says what of the two that is.

    `item`: an item in a container; `inner`: a small container in a large one; `place`: a large
    container in a place.
    """

    kind: str
    what: str
    where: str


def build(brief: Brief, words: ChainWords) -> Instance:
    """Three chains in one turn; asked where one item ends up."""
    draw = brief.draw
    items = draw.some("items", words.items, CHAINS)
    inner = draw.some("inner", words.inner, CHAINS)
    outer = draw.some("outer", words.outer, CHAINS)
    places = draw.some("places", words.places, CHAINS)
    # Chain 0 is asked. In A its last link is the place link of number `gold`, in B the next one.
    # One factor for both, because a solver that takes the place nearest to the asked item is right
    # by how the two meet.
    gold, gap = divmod(draw.counted("gold link and asked item", CHAINS * GAPS), GAPS)
    at = gold if brief.variant == "A" else (gold + 1) % CHAINS
    placed = [
        Link("place", container, place)
        for container, place in zip(rotated(outer, -at), places, strict=True)
    ]
    if brief.slot_turns < ROOMY_SLOT:
        stored = [Link("item", *pair) for pair in zip(items, outer, strict=True)]
    else:
        stored = [Link("item", *pair) for pair in zip(items, inner, strict=True)]
        stored += [Link("inner", *pair) for pair in zip(inner, outer, strict=True)]
    templates = draw.balanced("evidence template", words.evidence)
    links = [link._asdict() for link in _order(draw, placed, stored, gap)]
    evidence = templates.turn(draw, "state", {"links": links})
    question = Question(
        family=brief.family,
        name="place",
        context={"asked": items[0]},
        gold=places[at],
        # Text order of the places, the right one of A first, then that of B.
        candidates=draw.listed(rotated(places, gold)),
        needs=(0,),
        key_words=(items[0],),
    )
    return Instance((evidence,), (question,))


def _order(draw: Draw, placed: list[Link], stored: list[Link], gap: int) -> list[Link]:
    """The links in random order: place links as given, the asked item after `gap` of them.

    Over all gaps every order is equally likely, so a chain is told from item to place as often as
    by chance. The order does not depend on the variant.
    """
    asked, *others = stored
    links = [*placed[:gap], asked, *placed[gap:]]
    stream = draw.stream("order of statements")
    for link in others:
        links.insert(stream.index(len(links) + 1), link)
    return links


BUILDER = Builder(ChainWords, build)
