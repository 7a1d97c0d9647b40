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

from qwen_bench.probes.instance import (
    Brief,
    Builder,
    Evidence,
    Instance,
    Question,
    Templates,
    Words,
    acknowledgement,
    pick,
)
from qwen_bench.probes.seeded_draws import Draw, rotated, with_first_at

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
    items, inner, outer, places = (
        pick(pool, draw.stream(name).sample(len(pool), CHAINS))
        for name, pool in (
            ("items", words.items),
            ("inner", words.inner),
            ("outer", words.outer),
            ("places", words.places),
        )
    )
    # Chain 0 is asked. In A its last link is the place link of number `gold`, in B the next one.
    # One factor for both, because a solver that takes the place nearest to the asked item is right
    # by how the two meet.
    gold, gap = divmod(draw.level("gold link and asked item", CHAINS * GAPS), GAPS)
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
    templates = words.evidence[draw.level("evidence template", len(words.evidence))]
    # Text order of the places, the right one of A first, then that of B.
    listed = rotated(places, gold)
    return Instance(
        evidence=(
            Evidence(
                templates.user,
                acknowledgement(draw, templates, "state"),
                {"links": [link._asdict() for link in _order(draw, placed, stored, gap)]},
            ),
        ),
        questions=(
            Question(
                family=brief.families[0],
                name="place",
                context={"asked": items[0]},
                gold=places[at],
                candidates=tuple(with_first_at(listed, draw.level("gold place", CHAINS))),
                needs=(0,),
                key_words=(items[0],),
            ),
        ),
    )


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
