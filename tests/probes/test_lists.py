"""Lists that are edited, with one edit undone (specification 4.9)."""

import itertools
import re
from collections import Counter

import pytest

from qwen_bench.probes.definitions import load_family
from qwen_bench.probes.instance import Brief
from qwen_bench.probes.seeded_draws import Draw
from qwen_bench.probes.word_templates import render
from qwen_bench.resources import data_folder
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise

FAMILY = load_family(data_folder("tasks") / "state_tracking")
SPLITS = tuple(itertools.product(("en", "zh"), ("eval", "train")))
BLOCK = 12


class Rendered:
    """One instance as the reader of a dialogue sees it."""

    def __init__(self, lang, split, variant, rotation, slot=2):
        words = FAMILY.words[lang, split]
        self.draw = Draw(("t",), "state_tracking", slot, rotation)
        brief = Brief(self.draw, variant, ("state_tracking",), 2, {}, 4)
        instance = FAMILY.builder.build(brief, words)
        (self.question,) = instance.questions
        join = FAMILY.joins[lang]
        self.stages = [stage.context for stage in instance.evidence]
        self.start, self.edit = (render(e.user, e.context, join) for e in instance.evidence)
        self.replies = [render(e.assistant, e.context, join) for e in instance.evidence]
        level = self.draw.level("question template state_tracking", len(words.questions))
        context = {**self.question.context, "only": words.only}
        self.asked = render(words.questions[level], context, join)

    def named(self, text):
        """Items in the order they are named."""
        found = find_mentions(normalise(text).text, self.question.candidates, {})
        return [mention.candidate for mention in found]


EVERY = [
    tuple(Rendered(lang, split, variant, rotation, slot) for variant in "AB")
    for lang, split in SPLITS
    for rotation in range(BLOCK)
    for slot in (0, 6)
]
ALL = [shown for pair in EVERY for shown in pair]


def distinct(items, count):
    return set(list(dict.fromkeys(items))[:count])


def test_the_answer_is_the_list_after_the_swap_that_stands():
    for shown in ALL:
        state = shown.stages[0]
        stands, undone = state["swaps"]
        expected = [stands["new"] if i == stands["old"] else i for i in state["mine"]]
        assert list(shown.question.gold_items) == expected
        assert undone["old"] in expected
        assert undone["new"] not in expected


def test_the_first_turn_names_both_lists_and_the_second_the_swaps_and_the_item_dropped():
    for shown in ALL:
        state = shown.stages[0]
        swaps = [item for swap in state["swaps"] for item in (swap["old"], swap["new"])]
        assert Counter(shown.named(shown.start)) == Counter(state["mine"] + state["theirs"])
        assert Counter(shown.named(shown.edit)) == Counter([*swaps, state["dropped"]])


def test_the_swap_that_is_undone_is_told_last():
    for shown in ALL:
        first, second = shown.stages[0]["swaps"]
        order = shown.named(shown.edit)
        assert {order.index(first["old"]), order.index(first["new"])} < set(
            range(max(order.index(second["old"]), order.index(second["new"])))
        )


def test_the_other_list_is_never_edited_between_the_swaps_and_the_undo():
    sides = set()
    for shown in ALL:
        dropped = shown.stages[0]["dropped"]
        place = shown.named(shown.edit).index(dropped)
        assert place in (0, 4)
        sides.add((shown.draw.factors["evidence template"], place))
        if place == 4:
            since = shown.edit.index(shown.stages[0]["swaps"][1]["new"])
            assert len(re.findall(r"[.。]", shown.edit[since : shown.edit.index(dropped)])) >= 2
    assert Counter(place for _, place in sides) == {0: 2, 4: 2}


def test_both_turns_are_needed_because_one_item_stands_in_the_first_turn_only():
    for shown in ALL:
        assert shown.question.needs == (0, 1)
        assert len(set(shown.question.gold_items) - set(shown.named(shown.edit))) == 1
        assert set(shown.question.gold_items) - set(shown.named(shown.start))


def test_the_twin_exchanges_the_swaps_and_changes_nothing_else():
    for a, b in EVERY:
        assert a.start == b.start
        assert a.asked == b.asked
        assert a.replies == b.replies
        assert a.question.candidates == b.question.candidates
        assert a.question.rank_candidates == b.question.rank_candidates
        assert a.stages[0]["swaps"] == b.stages[0]["swaps"][::-1]
        assert a.question.gold != b.question.gold
        assert sorted(a.edit) == sorted(b.edit)


def test_candidates_are_the_seven_items_and_the_answer_has_three():
    for shown in ALL:
        state = shown.stages[0]
        new = [swap["new"] for swap in state["swaps"]]
        assert sorted(shown.question.candidates) == sorted(state["mine"] + new + state["theirs"])
        assert len(set(shown.question.candidates)) == 7
        assert len(set(shown.question.gold_items)) == 3


def test_four_lists_are_ranked_both_answers_both_swaps_and_none():
    for a, b in EVERY:
        state = a.stages[0]
        by_old = {swap["old"]: swap["new"] for swap in state["swaps"]}
        comma = re.search(r"(, |、)", a.question.gold)[0]
        everything = comma.join(by_old.get(item, item) for item in state["mine"])
        assert set(a.question.rank_candidates) == {
            a.question.gold,
            b.question.gold,
            everything,
            comma.join(state["mine"]),
        }


@pytest.mark.parametrize("variant", [0, 1])
def test_the_place_of_the_answer_among_the_ranked_lists_is_balanced(variant):
    pairs = [Rendered("en", "eval", "AB"[variant], rotation) for rotation in range(BLOCK)]
    places = Counter(p.question.rank_candidates.index(p.question.gold) for p in pairs)

    assert places == dict.fromkeys(range(4), BLOCK // 4)


def test_every_item_of_the_first_list_is_equally_often_swapped_undone_and_left_alone():
    roles = Counter()
    for rotation in range(BLOCK):
        state = Rendered("en", "eval", "A", rotation).stages[0]
        roles[tuple(state["mine"].index(swap["old"]) for swap in state["swaps"])] += 1

    assert roles == dict.fromkeys(itertools.permutations(range(3), 2), BLOCK // 6)


def test_no_list_read_off_by_position_or_count_is_the_answer():
    for shown in ALL:
        told = [*shown.named(shown.start), *shown.named(shown.edit)]
        gold = set(shown.question.gold_items)
        often = {item for item, count in Counter(told).items() if count > 1}
        for picked in (
            distinct(told, 3),
            distinct(told[::-1], 3),
            distinct(shown.named(shown.edit), 3),
            distinct(shown.named(shown.edit)[::-1], 3),
            set(shown.stages[0]["mine"]),
            often,
            set(told),
        ):
            assert picked != gold


def test_questions_and_replies_name_no_item():
    for shown in ALL:
        assert not shown.named(shown.asked)
        assert not any(shown.named(reply) for reply in shown.replies)


def test_the_question_says_whose_list_and_how_to_separate_items():
    for shown in ALL:
        title = shown.question.context["title"]
        assert re.search(rf"\bmy (?:own |current )?{title}|我(?:自己)?的{title}", shown.asked)
        assert re.search(r"comma|顿号", shown.asked)


def test_languages_share_all_draws():
    for rotation in range(BLOCK):
        en, zh = (Rendered(lang, "eval", "B", rotation) for lang in ("en", "zh"))
        pools = [FAMILY.words[lang, "eval"].items for lang in ("en", "zh")]
        assert en.draw.factors == zh.draw.factors
        assert [pools[0].index(i) for i in en.question.gold_items] == [
            pools[1].index(i) for i in zh.question.gold_items
        ]


@pytest.mark.parametrize("split", ["eval", "train"])
def test_english_items_take_the_article_that_templates_write(split):
    for item in FAMILY.words["en", split].items:
        assert item[0] not in "aeiou"
        assert not item.endswith("s") or item in {"compass", "thermos"}


def test_rendered_texts_are_whole_sentences():
    for shown in ALL:
        for text in (shown.start, shown.edit, shown.asked):
            assert text[-1] in ".。"
            assert text[0] == text[0].upper()
            assert not any(slip in text for slip in (" .", "..", ",,", "。。", "、。"))
            if not text.isascii() and "，" in text:
                assert not any(mark in text for mark in ",.;:? ")
