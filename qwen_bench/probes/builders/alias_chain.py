"""An item, the container it is in, and so on to a place; asked for the place (alias_chain).

The level is the number of hops: with one, the item itself stands in a place; with more, it lies in
a container, that in a larger one, and the largest in a place. Three equally long chains, so that
following none, or following the wrong one, names a wrong place.

Statements stand in random order. Twin: the places keep their order in the text and what is said to
be in them rotates by one, so all three chains end elsewhere and the link to the right place moves
by one. From two hops on, what reads only items and places sees the same text twice, and can be
right in one variant at most.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from pydantic import Field

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
from qwen_bench.probes.seeded_draws import Draw, rotated

CHAINS = 3
GAPS = CHAINS + 1


class StoredItem(Words):
    """What is stored: as the evidence says it, and as a paraphrase asks for it."""

    say: str
    ask: str = ""


class ChainWords(Words):
    """Words of one split.

    Attributes:
        containers: names of each kind, from the smallest kind to the largest; those of the
            largest are equally long, so that variants put every other word at one place.
        pasted: the forms of the two highest levels, as lists of lines.
    """

    items: list[StoredItem]
    containers: list[list[str]]
    places: list[str]
    evidence: list[Templates]
    pasted: list[Templates] = Field(default=[])
    questions: Wordings
    only: str

    @property
    def answers(self) -> list[str]:
        """All places."""
        return self.places

    @property
    def keys(self) -> list[str]:
        """What is stored, and the containers."""
        return [*(item.say for item in self.items), *(name for k in self.containers for name in k)]


class Link(NamedTuple):
    """`what` is in `where`; `kind` is `place` where that is a place, else `container`."""

    kind: str
    what: str
    where: str


def build(brief: Brief, words: ChainWords) -> Instance:
    """Three chains in one turn; asked where one item ends up."""
    draw, hops = brief.draw, brief.load
    items = draw.some("items", words.items, CHAINS)
    kinds = words.containers[len(words.containers) + 1 - hops :]
    steps = [[item.say for item in items]]
    steps += [draw.some(f"containers {n}", names, CHAINS) for n, names in enumerate(kinds)]
    places = draw.some("places", words.places, CHAINS)
    # Chain 0 is asked. In A its last link is the place link of number `gold`, in B the next one.
    # One factor for both, because a solver that takes the place nearest to the asked item is right
    # by how the two meet.
    gold, gap = divmod(draw.counted("gold link and asked item", CHAINS * GAPS), GAPS)
    following = (gold + 1) % CHAINS
    at = gold if brief.variant == "A" else following
    placed = [
        Link("place", name, place)
        for name, place in zip(rotated(steps[-1], -at), places, strict=True)
    ]
    stored = [
        Link("container", *pair)
        for inner, outer in pairwise(steps)
        for pair in zip(inner, outer, strict=True)
    ]
    templates = draw.balanced("evidence template", brief.forms(words))
    links = [link._asdict() for link in _order(draw, placed, stored, gap)]
    ranked = four_to_rank(draw, (places[gold], places[following]), places, words.places)
    question = Question(
        family=brief.family,
        name="place",
        context={"asked": items[0].model_dump()},
        gold=places[at],
        candidates=ranked,
        needs=(0,),
        templates=brief.wording,
        rank_candidates=ranked,
        key_words=(items[0].say,),
    )
    return Instance((templates.turn(draw, "state", {"links": links}),), (question,))


def _order(draw: Draw, placed: list[Link], stored: list[Link], gap: int) -> list[Link]:
    """The links in random order: place links as given, the asked item after `gap` of them.

    Over all gaps every order is equally likely, so a chain is told from item to place as often as
    by chance. The order does not depend on the variant. With one hop the items stand in the place
    links themselves.
    """
    if not stored:
        return placed
    asked, *others = stored
    links = [*placed[:gap], asked, *placed[gap:]]
    stream = draw.stream("order of statements")
    for link in others:
        links.insert(stream.index(len(links) + 1), link)
    return links


BUILDER = Builder(ChainWords, build)
