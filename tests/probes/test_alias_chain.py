"""Chains from an item to a place: no shortcut may tell the right chain (specification 4.8)."""

import itertools
from collections import Counter

import pytest

from .instances import EVERY, family, mentions, named, pair, told

NAME = "alias_chain"
SHORT, LONG = 4, 8
BLOCK = 12


def links_of(item):
    (evidence,) = item.instance.evidence
    return evidence.context["links"]


def chain(item):
    """The links from the asked item on, as places in the statement order, and where it ends."""
    found, what = [], item.question.context["asked"]
    by_what = {link["what"]: (n, link["where"]) for n, link in enumerate(links_of(item))}
    while what in by_what:
        number, what = by_what[what]
        found.append(number)
    return found, what


def places(item):
    """The places in the order of the text."""
    return named(item.users[0], item.question.candidates)


def pairs(lang, split, slot_turns, slot=2):
    form = {"slot_turns": slot_turns, "slot": slot}
    return [pair(NAME, lang, split, rotation, **form) for rotation in range(BLOCK)]


def every_instance():
    for (lang, split), slot_turns in itertools.product(EVERY, (SHORT, LONG)):
        yield from itertools.chain(*pairs(lang, split, slot_turns))


@pytest.mark.parametrize(("slot_turns", "hops"), [(2, 2), (4, 2), (8, 3), (12, 3)])
def test_the_chain_has_three_hops_in_roomy_slots_and_two_elsewhere(slot_turns, hops):
    links, _ = chain(told(NAME, "en", "eval", "A", 0, slot_turns=slot_turns))

    assert len(links) == hops


def test_following_the_links_of_the_asked_item_ends_at_the_right_place():
    for item in every_instance():
        assert chain(item)[1] == item.question.gold


@pytest.mark.parametrize(("slot_turns", "hops"), [(SHORT, 2), (LONG, 3)])
def test_there_are_three_whole_chains_of_equal_length_with_every_name_used_once(slot_turns, hops):
    for lang, split in EVERY:
        for item in itertools.chain(*pairs(lang, split, slot_turns)):
            ends = [link["where"] for link in links_of(item)]
            starts = [link["what"] for link in links_of(item)]
            assert len(starts) == len(set(ends)) == len(set(starts)) == 3 * hops
            assert set(ends) - set(starts) == set(item.question.candidates)


def test_the_twin_moves_the_right_link_by_one_place_and_changes_nothing_else():
    for (lang, split), slot_turns in itertools.product(EVERY, (SHORT, LONG)):
        for a, b in pairs(lang, split, slot_turns):
            order = places(a)
            assert places(b) == order
            assert order.index(b.question.gold) == (order.index(a.question.gold) + 1) % 3
            assert [x["kind"] for x in links_of(a)] == [x["kind"] for x in links_of(b)]
            for ours, theirs in zip(links_of(a), links_of(b), strict=True):
                assert (ours == theirs) != (ours["kind"] == "place")


@pytest.mark.parametrize("slot_turns", [SHORT, LONG])
@pytest.mark.parametrize("slot", [0, 5])
def test_place_of_the_right_link_and_of_the_asked_item_are_balanced_together(slot_turns, slot):
    seen = Counter()
    for variant, rotation in itertools.product("AB", range(2 * BLOCK)):
        item = told(NAME, "en", "eval", variant, rotation, slot_turns=slot_turns, slot=slot)
        first = chain(item)[0][0]
        before = sum(link["kind"] == "place" for link in links_of(item)[:first])
        seen[variant, places(item).index(item.question.gold), before] += 1

    assert seen == dict.fromkeys(itertools.product("AB", range(3), range(4)), 2)


@pytest.mark.parametrize("side", ["before", "after", "either"])
def test_the_place_nearest_to_the_asked_item_is_right_in_one_third_and_never_in_a_pair(side):
    def nearest(item):
        (asked,) = mentions(item.users[0], [item.question.context["asked"]])
        near = {}
        for place in mentions(item.users[0], item.question.candidates):
            if place.start < asked.start and side != "after":
                near[asked.start - place.end] = place.candidate
            if place.start > asked.start and side != "before":
                near[place.start - asked.end] = place.candidate
        return near[min(near)] if near else None

    right = [
        [nearest(item) == item.question.gold for item in both]
        for slot_turns, slot in itertools.product((SHORT, LONG), range(6))
        for both in pairs("en", "eval", slot_turns, slot)
    ]

    assert 0 < sum(map(sum, right)) / (2 * len(right)) <= 1 / 3 + 0.05
    assert not any(all(both) for both in right)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_large_containers_are_equally_long_so_that_variants_put_every_word_at_one_place(
    lang, split
):
    assert len({len(name) for name in family(NAME).words[lang, split].outer}) == 1
    for slot_turns in (SHORT, LONG):
        for a, b in pairs(lang, split, slot_turns):
            words = [*a.question.candidates, a.question.context["asked"]]
            assert mentions(a.users[0], words) == mentions(b.users[0], words)
            assert len(mentions(a.users[0], words)) == 4


def test_a_chain_is_told_from_item_to_place_no_more_often_than_by_chance():
    orders = {SHORT: Counter(), LONG: Counter()}
    for slot_turns, slot, rotation in itertools.product(orders, range(10), range(BLOCK)):
        form = {"slot_turns": slot_turns, "slot": slot}
        found, _ = chain(told(NAME, "en", "eval", "A", rotation, **form))
        orders[slot_turns][found == sorted(found)] += 1

    assert orders[SHORT][True] == orders[SHORT][False]
    assert orders[LONG][True] / orders[LONG].total() <= 1 / 6 + 0.05


def test_the_last_statement_about_the_item_never_names_a_place():
    for item in every_instance():
        link = links_of(item)[chain(item)[0][0]]
        assert link["kind"] == "item"
        assert link["where"] not in item.question.candidates
