"""Chains from an item to a place: no shortcut may tell the right chain (specification 4.8)."""

import itertools
from collections import Counter

import pytest

from qwen_bench.probes.definitions import load_family
from qwen_bench.probes.instance import Brief
from qwen_bench.probes.seeded_draws import Draw
from qwen_bench.probes.word_templates import render
from qwen_bench.resources import data_folder
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise

FAMILY = load_family(data_folder("tasks") / "alias_chain")
SPLITS = tuple(itertools.product(("en", "zh"), ("eval", "train")))
SHORT, LONG = 4, 8
BLOCK = 12


class Rendered:
    """One instance as the reader of a dialogue sees it."""

    def __init__(self, lang, split, variant, rotation, *, slot_turns, slot=2):
        words = FAMILY.words[lang, split]
        self.draw = Draw(("t",), "alias_chain", slot, rotation)
        brief = Brief(self.draw, variant, ("alias_chain",), 1, {}, slot_turns)
        instance = FAMILY.builder.build(brief, words)
        (self.question,) = instance.questions
        (evidence,) = instance.evidence
        self.links = evidence.context["links"]
        self.text = render(evidence.user, evidence.context, FAMILY.joins[lang])
        self.reply = evidence.assistant
        level = self.draw.level("question template alias_chain", len(words.questions))
        context = {**self.question.context, "only": words.only}
        self.asked = render(words.questions[level], context, FAMILY.joins[lang])

    def chain(self):
        """The links from the asked item on, as places in the statement order."""
        found, what = [], self.question.context["asked"]
        by_what = {link["what"]: (n, link["where"]) for n, link in enumerate(self.links)}
        while what in by_what:
            number, what = by_what[what]
            found.append(number)
        return found, what

    def places(self):
        """The places in the order of the text."""
        return [m.candidate for m in find_mentions(normalise(self.text).text, self.candidates, {})]

    @property
    def candidates(self):
        return self.question.candidates


def block(lang, split, slot_turns, rotations=BLOCK, slot=2):
    """Both variants of every rotation."""
    return [
        tuple(
            Rendered(lang, split, variant, rotation, slot_turns=slot_turns, slot=slot)
            for variant in "AB"
        )
        for rotation in range(rotations)
    ]


EVERY = [
    (lang, split, turns, pair)
    for lang, split in SPLITS
    for turns in (SHORT, LONG)
    for pair in block(lang, split, turns)
]


@pytest.mark.parametrize(("slot_turns", "hops"), [(2, 2), (4, 2), (8, 3), (12, 3)])
def test_the_chain_has_three_hops_in_roomy_slots_and_two_elsewhere(slot_turns, hops):
    links, _ = Rendered("en", "eval", "A", 0, slot_turns=slot_turns).chain()

    assert len(links) == hops


def test_following_the_links_of_the_asked_item_ends_at_the_right_place():
    for _, _, _, pair in EVERY:
        for shown in pair:
            assert shown.chain()[1] == shown.question.gold


def test_there_are_three_whole_chains_of_equal_length_with_every_name_used_once():
    for _, _, turns, pair in EVERY:
        for shown in pair:
            hops = 3 if turns == LONG else 2
            ends = [link["where"] for link in shown.links]
            starts = [link["what"] for link in shown.links]
            assert len(shown.links) == 3 * hops
            assert len(set(ends)) == len(set(starts)) == 3 * hops
            assert set(ends) - set(starts) == set(shown.candidates)


def test_the_text_names_every_place_once_and_the_reply_and_the_question_none():
    for _, _, _, pair in EVERY:
        for shown in pair:
            assert Counter(shown.places()) == dict.fromkeys(shown.candidates, 1)
            for text in (shown.reply, shown.asked):
                assert not find_mentions(normalise(text).text, shown.candidates, {})


def test_the_twin_changes_the_answer_and_moves_the_right_link_by_one_and_nothing_else():
    for _, _, _, (a, b) in EVERY:
        order = a.places()
        assert a.asked == b.asked
        assert a.candidates == b.candidates
        assert b.places() == order
        assert order.index(b.question.gold) == (order.index(a.question.gold) + 1) % 3
        assert [x["kind"] for x in a.links] == [x["kind"] for x in b.links]
        for ours, theirs in zip(a.links, b.links, strict=True):
            assert (ours == theirs) != (ours["kind"] == "place")
        assert sorted(a.text) == sorted(b.text)


@pytest.mark.parametrize("slot_turns", [SHORT, LONG])
@pytest.mark.parametrize("slot", [0, 5])
def test_place_of_the_right_link_and_of_the_asked_item_are_balanced_together(slot_turns, slot):
    seen = Counter()
    for pair in block("en", "eval", slot_turns, 2 * BLOCK, slot):
        for variant, shown in zip("AB", pair, strict=True):
            first = shown.chain()[0][0]
            before = sum(link["kind"] == "place" for link in shown.links[:first])
            seen[variant, shown.places().index(shown.question.gold), before] += 1

    assert seen == dict.fromkeys(itertools.product("AB", range(3), range(4)), 2)


@pytest.mark.parametrize("slot_turns", [SHORT, LONG])
def test_first_last_and_listed_first_place_are_right_in_one_third(slot_turns):
    shown = [one for pair in block("en", "eval", slot_turns) for one in pair]

    for picks in (
        [one.places()[0] for one in shown],
        [one.places()[-1] for one in shown],
        [one.candidates[0] for one in shown],
    ):
        right = [pick == one.question.gold for pick, one in zip(picks, shown, strict=True)]
        assert sum(right) == len(right) / 3
        assert not any(right[i] and right[i + 1] for i in range(0, len(right), 2))


@pytest.mark.parametrize("side", ["before", "after", "either"])
def test_the_place_nearest_to_the_asked_item_is_right_in_one_third_and_never_in_a_pair(side):
    def nearest(shown):
        text = normalise(shown.text).text
        item = find_mentions(text, [shown.question.context["asked"]], {})[0]
        near = {}
        for m in find_mentions(text, shown.candidates, {}):
            if m.start < item.start and side != "after":
                near[item.start - m.end] = m.candidate
            if m.start > item.start and side != "before":
                near[m.start - item.end] = m.candidate
        return near[min(near)] if near else None

    pairs = [
        [nearest(shown) == shown.question.gold for shown in pair]
        for turns in (SHORT, LONG)
        for slot in range(6)
        for pair in block("en", "eval", turns, BLOCK, slot)
    ]

    assert sum(map(sum, pairs)) / (2 * len(pairs)) <= 1 / 3 + 0.05
    assert not any(all(pair) for pair in pairs)


@pytest.mark.parametrize(("lang", "split"), SPLITS)
def test_large_containers_are_equally_long_so_that_variants_put_every_word_at_one_place(
    lang, split
):
    assert len({len(name) for name in FAMILY.words[lang, split].outer}) == 1
    for ours, theirs, _, (a, b) in EVERY:
        if (ours, theirs) == (lang, split):
            words = [*a.candidates, a.question.context["asked"]]
            assert find_mentions(normalise(a.text).text, words, {}) == find_mentions(
                normalise(b.text).text, words, {}
            )


def test_a_chain_is_told_from_item_to_place_no_more_often_than_by_chance():
    orders = {SHORT: Counter(), LONG: Counter()}
    for turns, slot in itertools.product(orders, range(10)):
        for rotation in range(BLOCK):
            found, _ = Rendered("en", "eval", "A", rotation, slot_turns=turns, slot=slot).chain()
            orders[turns][found == sorted(found)] += 1

    assert orders[SHORT][True] == orders[SHORT][False]
    assert orders[LONG][True] / orders[LONG].total() <= 1 / 6 + 0.05


def test_the_last_statement_about_the_item_never_names_a_place():
    for _, _, _, pair in EVERY:
        for shown in pair:
            link = shown.links[shown.chain()[0][0]]
            assert link["kind"] == "item"
            assert link["where"] not in shown.candidates


def test_languages_share_all_draws():
    for turns, rotation in itertools.product((SHORT, LONG), range(BLOCK)):
        en, zh = (Rendered(lang, "eval", "A", rotation, slot_turns=turns) for lang in ("en", "zh"))
        assert en.draw.factors == zh.draw.factors
        assert [x["kind"] for x in en.links] == [x["kind"] for x in zh.links]
        pools = [FAMILY.words[lang, "eval"].places for lang in ("en", "zh")]
        assert pools[0].index(en.question.gold) == pools[1].index(zh.question.gold)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_rendered_texts_are_whole_sentences(lang):
    for language, _, _, pair in EVERY:
        if language == lang:
            for shown in pair:
                assert shown.text[-1] == ("." if lang == "en" else "。")
                assert shown.text[0] == shown.text[0].upper()
                assert not any(slip in shown.text for slip in (" .", "..", ",,", "。。", "；。"))
                assert "the the" not in shown.text.casefold()
                assert lang == "en" or not any(mark in shown.text for mark in ",.;:? ")
