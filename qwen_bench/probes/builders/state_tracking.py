"""A list is edited again and again, and one edit is taken back (state_tracking).

The level is the number of items replaced on the user's list of three; somebody else's list of two
is edited half as often. One item of the user's list is never touched, so both turns are needed.
From two edits on, the user takes the last one back. Twin: the last two edits change places, so the
other one is taken back; with a single edit it replaces another item.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from pydantic import Field

from qwen_bench.probes.instance import (
    Brief,
    Builder,
    Instance,
    Owner,
    Question,
    Templates,
    Wordings,
    Words,
)
from qwen_bench.probes.seeded_draws import Draw

OWN, THEIRS = 3, 2
PLACES = tuple(permutations(range(OWN)))
Swap = dict[str, str]


class Title(Words):
    """What the user's list is called, and how a paraphrase asks for it; lures are not asked for."""

    say: str
    ask: str = ""


class ListTurns(Words):
    """Templates of the turn that starts the lists and of the one that edits them."""

    start: Templates
    edit: Templates


class ListWords(Words):
    """Words of one split; `pasted` are the forms of the two highest levels.

    `owners` are whose the other list is. `comma` joins items as an answer writes them; it is no
    word, so it stays out of dumps, by which splits are compared.
    """

    titles: list[Title]
    owners: list[Owner]
    items: list[str]
    comma: str = Field(exclude=True)
    evidence: list[ListTurns]
    pasted: list[ListTurns] = Field(default=[])
    questions: Wordings
    only: str

    @property
    def answers(self) -> list[str]:
        """All items."""
        return self.items

    @property
    def keys(self) -> list[str]:
        """Titles of the user's list and owners of other lists."""
        return [title.say for title in self.titles] + [owner.say for owner in self.owners]


def build(brief: Brief, words: ListWords) -> Instance:
    """Two turns; asked for the whole list of the user."""
    draw, edits = brief.draw, brief.load
    items = draw.some("items", words.items, OWN + edits + THEIRS + edits // 2)
    mine, new, other = items[:OWN], items[OWN : OWN + edits], items[OWN + edits :]
    first, second, third = draw.balanced("swapped", PLACES)
    if edits > 1:
        places = draw.stream("earlier places").shuffled([first, second] * ((edits - 2) // 2))
        earlier, before = _replaced(mine, places, new)
        # In A the first of these stands and the second is taken back, in B the reverse.
        pair = [{"old": before[first], "new": new[-2]}, {"old": before[second], "new": new[-1]}]
        swaps = [*earlier, *(pair if brief.variant == "A" else pair[::-1])]
        states = [_after(before, *applied) for applied in (pair[:1], pair[1:], pair, ())]
    else:
        targets = [{"old": mine[place], "new": new[0]} for place in (first, second, third)]
        swaps = [targets[brief.variant == "B"]]
        states = [*(_after(mine, target) for target in targets), _after(mine)]
    theirs, their_places = other[:THEIRS], draw.stream("their places").shuffled([0, 1] * edits)
    their_swaps, _ = _replaced(theirs, their_places, other[THEIRS:])
    owner, title = draw.one("owner", words.owners), draw.one("title", words.titles)
    context = {
        "title": title.say,
        "owner": owner.model_dump(),
        "mine": mine,
        "theirs": theirs,
        "swaps": swaps,
        "undone": edits > 1,
        "their_swaps": their_swaps,
        "log": _log(draw, swaps, their_swaps),
    }
    turns = draw.balanced("evidence template", brief.forms(words))
    gold = states[brief.variant == "B"]
    return Instance(
        (turns.start.turn(draw, "start", context), turns.edit.turn(draw, "edit", context)),
        (
            Question(
                family=brief.family,
                name="items",
                context={"asked": {"say": title.say, "ask": title.ask or title.say}},
                gold=words.comma.join(gold),
                candidates=tuple(items),
                needs=(0, 1),
                templates=brief.wording,
                rank_candidates=draw.listed([words.comma.join(state) for state in states]),
                gold_items=gold,
                key_words=(title.say,),
            ),
        ),
    )


def _after(items: Sequence[str], *swaps: Swap) -> tuple[str, ...]:
    """A list after edits of different items."""
    by_old = {swap["old"]: swap["new"] for swap in swaps}
    return tuple(by_old.get(item, item) for item in items)


def _replaced(
    items: Sequence[str], places: Sequence[int], new: Sequence[str]
) -> tuple[list[Swap], tuple[str, ...]]:
    """The edits that put new items at places one after the other, and the list after them."""
    swaps, now = [], tuple(items)
    for place, item in zip(places, new, strict=False):
        swaps.append({"old": now[place], "new": item})
        now = _after(now, swaps[-1])
    return swaps, now


def _log(draw: Draw, swaps: Sequence[Swap], theirs: Sequence[Swap]) -> list[dict[str, object]]:
    """Edits of both lists in one order of time, theirs anywhere; the last of mine is taken back.

    What takes an edit back follows it directly.
    """
    stream = draw.stream("log")
    places = sorted(stream.index(len(swaps) + 1) for _ in theirs)
    log = [{"mine": True, **swap, "undone": swap is swaps[-1]} for swap in swaps]
    for place, swap in reversed([*zip(places, theirs, strict=True)]):
        log.insert(place, {"mine": False, **swap})
    return log


BUILDER = Builder(ListWords, build)
