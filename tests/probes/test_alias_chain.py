"""Chains from an item to a place: no shortcut may tell the right chain (specification 4.8)."""

import itertools
import re
from collections import Counter

import pytest

from .instances import EVERY, LANGS, family, mentions, named, pair, told

NAME = "alias_chain"
HOPS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6}
WORDINGS = ("lexical", "paraphrase")
BLOCK = 12
GRAMMAR = {"the", "of", "a", "to", "in", "is", "i", "at", "my", "for", "on", "with", "by", "and"}


def read_links(item):
    """The (content, container or place) pairs as told, read off the text line by line."""
    names = [*item.words.keys, *item.words.answers]
    clauses = re.split(r"[\n;；。]|\. ", item.users[0])
    found = [tuple(named(clause, names)) for clause in clauses]
    return [link for link in found if len(link) == 2]


def links_of(item):
    (evidence,) = item.instance.evidence
    return evidence.context["links"]


def chain(item):
    """The links from the asked item on, as places in the statement order, and where it ends."""
    found, what = [], item.question.context["asked"]["say"]
    by_what = {link["what"]: (n, link["where"]) for n, link in enumerate(links_of(item))}
    while what in by_what:
        number, what = by_what[what]
        found.append(number)
    return found, what


def told_places(item):
    """The places in the order of the text."""
    return named(item.users[0], item.question.candidates)


def pairs(lang, split, level, slot=2):
    return [pair(NAME, lang, split, rotation, level=level, slot=slot) for rotation in range(BLOCK)]


def instances(lang, split, level):
    return itertools.chain(*pairs(lang, split, level))


def every_instance():
    for (lang, split), level in itertools.product(EVERY, HOPS):
        yield from instances(lang, split, level)


@pytest.mark.parametrize("level", HOPS)
def test_the_text_itself_leads_from_the_asked_item_to_the_right_place_in_so_many_hops(level):
    for lang, split in EVERY:
        for item in instances(lang, split, level):
            at, hops = item.question.context["asked"]["say"], 0
            links = read_links(item)
            while at not in item.words.places:
                (link,) = [link for link in links if at in link]
                links.remove(link)
                at = link[1 - link.index(at)]
                hops += 1
            assert at == item.question.gold
            assert hops == HOPS[level]


@pytest.mark.parametrize("level", HOPS)
def test_there_are_three_whole_chains_of_equal_length_with_every_name_used_once(level):
    for lang, split in EVERY:
        for item in instances(lang, split, level):
            ends = [link["where"] for link in links_of(item)]
            starts = [link["what"] for link in links_of(item)]
            assert len(starts) == len(set(ends)) == len(set(starts)) == 3 * HOPS[level]
            assert set(ends) - set(starts) == set(told_places(item))
            assert len(chain(item)[0]) == HOPS[level]


def test_chains_of_two_and_more_hops_go_through_ever_larger_containers():
    for lang, split in EVERY:
        kinds = family(NAME).words[lang, split].containers
        assert len(kinds) == max(HOPS.values()) - 1
        for level, hops in HOPS.items():
            item = told(NAME, lang, split, "A", 0, level=level)
            sizes = [
                next(n for n, names in enumerate(kinds) if links_of(item)[number]["where"] in names)
                for number in chain(item)[0][:-1]
            ]
            assert sizes == list(range(len(kinds) + 1 - hops, len(kinds)))


def test_four_places_are_ranked_the_three_that_were_told_and_one_that_was_not():
    for (lang, split), level in itertools.product(EVERY, HOPS):
        for item, twin in pairs(lang, split, level):
            ranked = item.question.rank_candidates
            assert ranked == twin.question.rank_candidates == item.question.candidates
            assert len(set(ranked)) == 4
            assert len(told_places(item)) == 3
            assert {item.question.gold, twin.question.gold} < set(told_places(item)) < set(ranked)


def test_the_twin_moves_the_right_link_by_one_place_and_changes_nothing_else():
    for (lang, split), level in itertools.product(EVERY, HOPS):
        for a, b in pairs(lang, split, level):
            order = told_places(a)
            assert told_places(b) == order
            assert order.index(b.question.gold) == (order.index(a.question.gold) + 1) % 3
            assert [x["kind"] for x in links_of(a)] == [x["kind"] for x in links_of(b)]
            for ours, theirs in zip(links_of(a), links_of(b), strict=True):
                assert (ours == theirs) != (ours["kind"] == "place")


@pytest.mark.parametrize("level", [2, 3, 4, 5])
@pytest.mark.parametrize("slot", [0, 5])
def test_place_of_the_right_link_and_of_the_asked_item_are_balanced_together(level, slot):
    seen = Counter()
    for variant, rotation in itertools.product("AB", range(2 * BLOCK)):
        item = told(NAME, "en", "eval", variant, rotation, level=level, slot=slot)
        first = chain(item)[0][0]
        before = sum(link["kind"] == "place" for link in links_of(item)[:first])
        seen[variant, told_places(item).index(item.question.gold), before] += 1

    assert seen == dict.fromkeys(itertools.product("AB", range(3), range(4)), 2)


@pytest.mark.parametrize("side", ["before", "after", "either"])
@pytest.mark.parametrize("level", [2, 3, 4, 5])
def test_the_place_nearest_to_the_asked_item_is_right_in_one_third_and_never_in_a_pair(level, side):
    def nearest(item):
        (asked,) = mentions(item.users[0], [item.question.context["asked"]["say"]])
        near = {}
        for place in mentions(item.users[0], item.question.candidates):
            if place.start < asked.start and side != "after":
                near[asked.start - place.end] = place.candidate
            if place.start > asked.start and side != "before":
                near[place.start - asked.end] = place.candidate
        return near[min(near)] if near else None

    right = [
        [nearest(item) == item.question.gold for item in both]
        for slot in range(6)
        for both in pairs("en", "eval", level, slot)
    ]

    assert 0 < sum(map(sum, right)) / (2 * len(right)) <= 1 / 3 + 0.05
    assert not any(all(both) for both in right)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_largest_containers_are_equally_long_so_that_variants_put_every_word_at_one_place(
    lang, split
):
    assert len({len(name) for name in family(NAME).words[lang, split].containers[-1]}) == 1
    for level in (2, 3, 4, 5):
        for a, b in pairs(lang, split, level):
            words = [*a.question.candidates, a.question.context["asked"]["say"]]
            assert mentions(a.users[0], words) == mentions(b.users[0], words)
            assert len(mentions(a.users[0], words)) == 4


def test_a_chain_is_told_from_item_to_place_no_more_often_than_by_chance():
    orders = {2: Counter(), 3: Counter()}
    for level, slot, rotation in itertools.product(orders, range(10), range(BLOCK)):
        found, _ = chain(told(NAME, "en", "eval", "A", rotation, level=level, slot=slot))
        orders[level][found == sorted(found)] += 1

    assert orders[2][True] == orders[2][False]
    assert orders[3][True] / orders[3].total() <= 1 / 6 + 0.05


def test_from_two_hops_on_no_statement_about_the_item_names_a_place():
    for item in every_instance():
        link = links_of(item)[chain(item)[0][0]]
        assert (link["where"] in item.words.places) == (len(chain(item)[0]) == 1)


@pytest.mark.parametrize(("lang", "split"), [*EVERY, ("en", "lures"), ("zh", "lures")])
def test_one_to_three_hops_are_told_in_sentences_and_more_are_pasted_one_link_a_line(lang, split):
    for level, hops in HOPS.items():
        for item in instances(lang, split, level):
            (user,) = item.users
            lines = user.split("\n")
            if level < 4:
                assert len(lines) == 1
            else:
                assert 3 * hops <= len(lines) - 2 <= 3 * hops + 2
            assert len(user) <= (1100 if lang == "en" else 420)
            assert "\n" not in item.replies[0]


def test_the_lexical_question_names_the_item_as_the_evidence_does():
    for lang, split in EVERY:
        for item in instances(lang, split, 3):
            say = item.question.context["asked"]["say"]
            assert say.casefold() in item.users[0].casefold()
            assert all(say in text for text in item.phrasings["place"])


@pytest.mark.parametrize("split", ["eval", "train"])
def test_a_paraphrase_shares_no_content_word_with_the_item(split):
    for thing in family(NAME).words["en", split].items:
        say, ask = (set(re.findall("[a-z]+", t.casefold())) for t in (thing.say, thing.ask))
        assert ask
        assert say & ask <= GRAMMAR, thing
    for thing in family(NAME).words["zh", split].items:
        assert thing.ask
        assert not set(thing.say) & set(thing.ask), thing


@pytest.mark.parametrize("lang", LANGS)
def test_there_are_words_for_every_level(lang):
    for split in ("eval", "train"):
        words = family(NAME).words[lang, split]
        assert len(set(words.places)) == 50
        assert len(set(words.keys)) == 22 + 5 * 8
    assert len(set(family(NAME).lures[lang].places)) == 28
