"""A list is edited, and one edit is taken back; asked for what is on it (state_tracking).

The user's list has three items, somebody else's has two. In the second turn two items of the user's
list are replaced, the last replacement is undone, and one item leaves the other list. Twin: the two
replacements change places, so the undo hits the other one.
"""

from __future__ import annotations

from itertools import permutations

from pydantic import Field

from qwen_bench.probes.instance import Brief, Builder, Instance, Owner, Question, Templates, Words

OWN, NEW, THEIRS = 3, 2, 2
PLACES = tuple(permutations(range(OWN)))


class ListTurns(Words):
    """Templates of the turn that starts the lists and of the one that edits them."""

    start: Templates
    edit: Templates


class ListWords(Words):
    """Words of one split.

    `title` is what the user's list is called, `owners` whose the other list is. `comma` joins items
    as an answer writes them; it is no word, so it stays out of dumps, by which splits are compared.
    """

    title: str
    owners: list[Owner]
    items: list[str]
    comma: str = Field(exclude=True)
    evidence: list[ListTurns]
    questions: list[str]
    only: str

    @property
    def answers(self) -> list[str]:
        """All items."""
        return self.items

    @property
    def keys(self) -> list[str]:
        """The owners of other lists."""
        return [owner.say for owner in self.owners]


def build(brief: Brief, words: ListWords) -> Instance:
    """Two turns; asked for the whole list of the user."""
    draw = brief.draw
    items = draw.some("items", words.items, OWN + NEW + THEIRS)
    mine, new, theirs = items[:OWN], items[OWN : OWN + NEW], items[OWN + NEW :]
    owner = draw.one("owner", words.owners)
    # Which items of the list are replaced: in A the first swap stands and the second is undone.
    first, second, _ = draw.balanced("swapped", PLACES)
    swaps = [{"old": mine[first], "new": new[0]}, {"old": mine[second], "new": new[1]}]

    def after(*applied: dict[str, str]) -> tuple[str, ...]:
        by_old = {swap["old"]: swap["new"] for swap in applied}
        return tuple(by_old.get(item, item) for item in mine)

    gold_a, gold_b = after(swaps[0]), after(swaps[1])
    ranked = [words.comma.join(found) for found in (gold_a, gold_b, after(*swaps), after())]
    gold = gold_a if brief.variant == "A" else gold_b
    context = {
        "title": words.title,
        "owner": owner.model_dump(),
        "mine": mine,
        "theirs": theirs,
        "swaps": swaps if brief.variant == "A" else swaps[::-1],
        "dropped": draw.balanced("dropped", theirs),
    }
    turns = draw.balanced("evidence template", words.evidence)
    evidence = (turns.start.turn(draw, "start", context), turns.edit.turn(draw, "edit", context))
    question = Question(
        family=brief.family,
        name="items",
        context={"title": words.title},
        gold=words.comma.join(gold),
        candidates=tuple(draw.stream("options").shuffled(items)),
        needs=(0, 1),
        rank_candidates=draw.listed(ranked),
        gold_items=gold,
        key_words=(words.title,),
    )
    return Instance(evidence, (question,))


BUILDER = Builder(ListWords, build)
