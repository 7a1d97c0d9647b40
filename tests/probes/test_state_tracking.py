"""Lists that are edited, with one edit undone (specification 4.9)."""

import itertools
import re
from collections import Counter

import pytest

from .instances import EVERY, SPLITS, family, named, pair, told

NAME = "state_tracking"
BLOCK = 12
PAIRS = [
    pair(NAME, lang, split, rotation, slot=slot)
    for lang, split in EVERY
    for rotation in range(BLOCK)
    for slot in (0, 6)
]
ALL = [item for both in PAIRS for item in both]


def state(item):
    return item.instance.evidence[0].context


def items_in(item, *texts):
    """Items in the order they are named."""
    return [found for text in texts for found in named(text, item.question.candidates)]


def distinct(items, count):
    return set(list(dict.fromkeys(items))[:count])


def test_the_answer_is_the_list_after_the_swap_that_stands():
    for item in ALL:
        stands, undone = state(item)["swaps"]
        expected = [stands["new"] if i == stands["old"] else i for i in state(item)["mine"]]
        assert list(item.question.gold_items) == expected
        assert undone["old"] in expected
        assert undone["new"] not in expected


def test_the_first_turn_names_both_lists_and_the_second_the_swaps_and_the_item_dropped():
    for item in ALL:
        now = state(item)
        swaps = [word for swap in now["swaps"] for word in (swap["old"], swap["new"])]
        assert Counter(items_in(item, item.users[0])) == Counter(now["mine"] + now["theirs"])
        assert Counter(items_in(item, item.users[1])) == Counter([*swaps, now["dropped"]])


def test_the_swap_that_is_undone_is_told_last():
    for item in ALL:
        first, second = state(item)["swaps"]
        order = items_in(item, item.users[1])
        assert {order.index(first["old"]), order.index(first["new"])} < set(
            range(max(order.index(second["old"]), order.index(second["new"])))
        )


def test_the_other_list_is_never_edited_between_the_swaps_and_the_undo():
    sides = set()
    for item in ALL:
        dropped = state(item)["dropped"]
        edit = item.users[1]
        place = items_in(item, edit).index(dropped)
        assert place in (0, 4)
        sides.add((item.factors["evidence template"], place))
        if place == 4:
            since = edit.index(state(item)["swaps"][1]["new"])
            assert len(re.findall(r"[.。]", edit[since : edit.index(dropped)])) >= 2
    assert Counter(place for _, place in sides) == {0: 2, 4: 2}


def test_both_turns_are_needed_because_one_item_stands_in_the_first_turn_only():
    for item in ALL:
        start, edit = item.users
        assert item.question.needs == (0, 1)
        assert len(set(item.question.gold_items) - set(items_in(item, edit))) == 1
        assert set(item.question.gold_items) - set(items_in(item, start))


def test_the_twin_exchanges_the_swaps_in_the_second_turn():
    for a, b in PAIRS:
        assert a.users[0] == b.users[0]
        assert state(a)["swaps"] == state(b)["swaps"][::-1]


def test_candidates_are_the_seven_items_and_the_answer_has_three():
    for item in ALL:
        now = state(item)
        new = [swap["new"] for swap in now["swaps"]]
        assert sorted(item.question.candidates) == sorted(now["mine"] + new + now["theirs"])
        assert len(set(item.question.candidates)) == 7
        assert len(set(item.question.gold_items)) == 3


def test_four_lists_are_ranked_both_answers_both_swaps_and_none():
    for a, b in PAIRS:
        mine = state(a)["mine"]
        by_old = {swap["old"]: swap["new"] for swap in state(a)["swaps"]}
        comma = re.search(r"(, |、)", a.question.gold)[0]
        assert set(a.question.rank_candidates) == {
            a.question.gold,
            b.question.gold,
            comma.join(by_old.get(item, item) for item in mine),
            comma.join(mine),
        }


def test_every_item_of_the_first_list_is_equally_often_swapped_undone_and_left_alone():
    roles = Counter()
    for rotation in range(BLOCK):
        now = state(told(NAME, "en", "eval", "A", rotation))
        roles[tuple(now["mine"].index(swap["old"]) for swap in now["swaps"])] += 1

    assert roles == dict.fromkeys(itertools.permutations(range(3), 2), BLOCK // 6)


def test_no_list_read_off_by_position_or_count_is_the_answer():
    for item in ALL:
        told_items, edited = items_in(item, *item.users), items_in(item, item.users[1])
        often = {word for word, count in Counter(told_items).items() if count > 1}
        for picked in (
            distinct(told_items, 3),
            distinct(told_items[::-1], 3),
            distinct(edited, 3),
            distinct(edited[::-1], 3),
            set(state(item)["mine"]),
            often,
            set(told_items),
        ):
            assert picked != set(item.question.gold_items)


def test_the_question_says_whose_list_and_how_to_separate_items():
    for item in ALL:
        title = item.question.context["title"]
        (asked,) = item.asked.values()
        assert re.search(rf"\bmy (?:own |current )?{title}|我(?:自己)?的{title}", asked)
        assert re.search(r"comma|顿号", asked)


@pytest.mark.parametrize("split", SPLITS)
def test_english_items_take_the_article_that_templates_write(split):
    items = family(NAME).words["en", split].items

    assert items
    for item in items:
        assert item[0] not in "aeiou"
        assert not item.endswith("s") or item in {"compass", "thermos"}
