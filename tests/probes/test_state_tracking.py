"""Lists that are edited, with one edit taken back (specification 4.9)."""

import re
from collections import Counter

import pytest

from qwen_bench.probes.definitions import read_yaml
from qwen_bench.probes.probe import LANGS, LEVELS, WORDINGS

from .instances import EVERY, TASKS, family, mentions, named, pair, told
from .shortcut_scores import right
from .word_checks import content_words, list_lengths

NAME = "state_tracking"
EDITS = [1, 2, 4, 8, 16]
ROTATIONS = 12
SPLITS = ("eval", "train", "lures")
LONGEST = {"en": 1100, "zh": 420}
READERS = ("recency", "primacy", "frequency", "last-entity", "overlap")
# How a text says that the last edit of the user's list is taken back.
TAKEN_BACK = re.compile(
    r"last swap back|last replacement is cancelled|last exchange is off|undone that last change|"
    r"last swap undone|row above cancelled|undo my last change|previous step reverted|"
    r"fell through and was given back|disallowed that closing|last correction was wrong|"
    r"last of these was annulled|latest trade given back|preceding row disallowed|"
    r"drop the correction one line up|swap before this annulled|"
    r"last alteration is off again|last exchange didn't happen|forget that last step|"
    r"called off that last step|last step taken back|line above void|scrap the note before this|"
    r"the move before that reversed|"
    r"最后那处改动不算|最后一处不改|最后这一步不算数|最后这处不算|撤销上一步|上一行作废|上一条不改了|"
    r"刚才那条收回|过后这回动错了|末了那次不行|末了这一笔写错了|压轴那次事后作废|前面这笔退回|上面一行不准|"
    r"上面那笔错了|前面那轮作废|最后那处又收回|最后一处后来没改成|最后一步当我没说|最后那个又换回来|退回上一步|"
    r"上行不算|刚写的那条划掉|上一条撤回"
)

each_level = pytest.mark.parametrize("level", range(1, LEVELS + 1))
each_text = pytest.mark.parametrize(("lang", "split"), EVERY)
each_split = pytest.mark.parametrize("split", SPLITS)
each_lang = pytest.mark.parametrize("lang", LANGS)


def words_of(lang, split):
    return family(NAME).lures[lang] if split == "lures" else family(NAME).words[lang, split]


def items_in(text, words):
    return [found.candidate for found in mentions(text, words.items)]


def started(item, words):
    """The user's list and the other one, read from the first turn: items follow whose they are."""
    (title,) = item.question.key_words
    owners = [owner.say for owner in words.owners]
    mine, theirs, now = [], [], None
    for word in named(item.users[0], [*words.items, *owners, title]):
        if word == title:
            now = mine
        elif word in owners:
            now = theirs
        else:
            now.append(word)
    return mine, theirs


def edited(item, words):
    """Edits read from the second turn: (on the user's list, old item, new item), in its order."""
    mine, theirs = (list(items) for items in started(item, words))
    found = items_in(item.users[1], words)
    edits = []
    for two in zip(found[::2], found[1::2], strict=True):
        (old,) = (one for one in two if one in mine or one in theirs)
        (new,) = set(two) - {old}
        whose = mine if old in mine else theirs
        whose[whose.index(old)] = new
        edits.append((whose is mine, old, new))
    return edits


def list_in_the_end(item, words):
    """The user's list after all edits, the one that is taken back left out."""
    mine = list(started(item, words)[0])
    own = [(old, new) for on_mine, old, new in edited(item, words) if on_mine]
    for old, new in own[:-1] if TAKEN_BACK.search(item.users[1]) else own:
        mine[mine.index(old)] = new
    return mine


@each_text
@each_level
@pytest.mark.parametrize("wording", WORDINGS)
def test_the_answer_is_the_list_after_all_edits_but_the_one_taken_back(lang, split, level, wording):
    for rotation in range(ROTATIONS):
        for item in pair(NAME, lang, split, rotation, level=level, wording=wording):
            found = list_in_the_end(item, item.words)

            assert list(item.question.gold_items) == found
            assert item.question.gold == item.words.comma.join(found)
            assert len(set(found)) == 3


@each_split
@each_lang
@each_level
def test_the_level_is_the_number_of_edits_and_the_other_list_gets_half_as_many(lang, split, level):
    for rotation in range(ROTATIONS):
        for item in pair(NAME, lang, split, rotation, level=level):
            words = words_of(lang, split)
            mine, theirs = started(item, words)
            own = [on_mine for on_mine, *_ in edited(item, words)]

            assert (len(mine), len(theirs)) == (3, 2)
            assert own.count(True) == EDITS[level - 1]
            assert own.count(False) == EDITS[level - 1] // 2
            assert bool(TAKEN_BACK.search(item.users[1])) is (level > 1)
            assert not items_in(" ".join(item.replies), words)


@each_split
@each_lang
@pytest.mark.parametrize("level", range(2, LEVELS + 1))
def test_what_takes_an_edit_back_follows_the_last_edit_of_the_users_list_directly(
    lang, split, level
):
    sides = set()
    for rotation in range(16):
        item = told(NAME, lang, split, "A", rotation, level=level)
        words, edit = words_of(lang, split), item.users[1]
        last = max(place for place, one in enumerate(edited(item, words)) if one[0])
        before = items_in(edit[: TAKEN_BACK.search(edit).start()], words)
        assert len(before) == 2 * (last + 1)
        sides.add(len(before) < len(items_in(edit, words)))
    assert sides == {True, False}


@each_text
@each_level
def test_both_turns_are_needed_because_one_item_stands_in_the_first_turn_only(lang, split, level):
    for rotation in range(ROTATIONS):
        for item in pair(NAME, lang, split, rotation, level=level):
            start, edit = (set(items_in(user, item.words)) for user in item.users)
            gold = set(item.question.gold_items)

            assert item.question.needs == (0, 1)
            assert gold - start
            assert len(gold - edit) == (2 if level == 1 else 1)


@each_text
@each_level
def test_the_twin_exchanges_the_last_two_edits_or_edits_another_item(lang, split, level):
    for rotation in range(ROTATIONS):
        a, b = pair(NAME, lang, split, rotation, level=level)
        in_a, in_b = ([one for one in edited(item, item.words) if one[0]] for item in (a, b))

        assert a.asked == b.asked
        assert a.users[0] == b.users[0]
        assert a.replies == b.replies
        assert set(a.question.gold_items) != set(b.question.gold_items)
        if level == 1:
            assert in_a[0][1] != in_b[0][1]
            assert in_a[0][2] == in_b[0][2]
        else:
            assert in_a[:-2] == in_b[:-2]
            assert in_a[-2:] == in_b[:-3:-1]
            assert len(a.users[1]) == len(b.users[1])


@each_text
@each_level
def test_four_lists_are_ranked_both_answers_and_two_that_miss_or_invent_an_edit(lang, split, level):
    for rotation in range(ROTATIONS):
        a, b = pair(NAME, lang, split, rotation, level=level)
        ranked = [set(one.split(a.words.comma)) for one in a.question.rank_candidates]
        stated = set(items_in(a.users[0], a.words)) | set(items_in(a.users[1], a.words))

        assert a.question.rank_candidates == b.question.rank_candidates
        assert len({frozenset(one) for one in ranked}) == len(ranked) == 4
        assert {a.question.gold, b.question.gold} <= set(a.question.rank_candidates)
        assert all(len(one) == 3 and one <= stated for one in ranked)
        assert set(a.question.candidates) == stated


@each_level
def test_every_item_of_the_list_is_equally_often_edited_taken_back_and_left_alone(level):
    roles = Counter()
    for slot in range(6):
        for rotation in range(6):
            item = told(NAME, "en", "eval", "A", rotation, level=level, slot=slot)
            roles[item.factors["swapped"]] += 1

    assert roles == dict.fromkeys(map(str, range(6)), 6)


@each_text
@each_level
def test_no_list_read_off_by_position_or_count_is_the_answer(lang, split, level):
    def first_three(items):
        return set(list(dict.fromkeys(items))[:3])

    for rotation in range(ROTATIONS):
        for item in pair(NAME, lang, split, rotation, level=level):
            edits = items_in(item.users[1], item.words)
            whole = items_in(item.users[0], item.words) + edits
            often = {word for word, count in Counter(whole).items() if count > 1}
            for picked in (
                first_three(whole),
                first_three(whole[::-1]),
                first_three(edits),
                first_three(edits[::-1]),
                set(started(item, item.words)[0]),
                often,
                set(whole),
            ):
                assert picked != set(item.question.gold_items)


@each_split
@each_lang
@each_level
def test_levels_up_to_three_are_told_in_one_line_and_the_others_pasted(lang, split, level):
    for rotation in range(16):
        for item in pair(NAME, lang, split, rotation, level=level):
            for user in item.users:
                assert ("\n" in user) is (level >= 4)
                assert len(user) <= LONGEST[lang]


@each_lang
@pytest.mark.parametrize("split", ["eval", "train"])
def test_the_lexical_question_names_the_list_and_the_paraphrase_shares_no_content_word(lang, split):
    titles = words_of(lang, split).titles
    for title in titles:
        assert title.ask
        assert not content_words(title.say, lang) & content_words(title.ask, lang), title
    assert len({title.ask for title in titles}) == len(titles)
    for rotation in range(ROTATIONS):
        for wording, names in (("lexical", True), ("paraphrase", False)):
            item = told(NAME, lang, split, "A", rotation, wording=wording)
            (title,) = item.question.key_words
            for text in item.phrasings["items"]:
                assert bool(named(text, [title])) is names
                assert re.search(r"\b(?:my|I)\b|我", text)
                assert re.search("comma|顿号", text)


@each_split
@each_lang
@each_level
def test_both_turns_name_the_users_list(lang, split, level):
    for rotation in range(ROTATIONS):
        item = told(NAME, lang, split, "A", rotation, level=level)
        for user in item.users:
            assert len(named(user, item.question.key_words)) == 1


@each_split
@each_lang
def test_lists_are_long_enough_and_hold_nothing_twice(lang, split):
    words = words_of(lang, split)

    assert len(set(words.answers)) == len(words.answers) >= (29 if split == "lures" else 48)
    assert len(set(words.keys)) == len(words.keys) >= 20
    for forms in (words.evidence, words.pasted):
        assert len(forms) >= 4
        for form in forms:
            assert len(set(form.start.assistant)) >= 3
            assert len(set(form.edit.assistant)) >= 3


def test_both_languages_have_lists_of_equal_length():
    en, zh = (read_yaml(TASKS / NAME / f"{lang}.yaml") for lang in LANGS)
    for split in SPLITS:
        assert dict(list_lengths(en[split])) == dict(list_lengths(zh[split]))


@pytest.mark.parametrize("split", ["eval", "lures"])
def test_english_items_take_the_article_that_templates_write(split):
    for item in words_of("en", split).items:
        assert item[0] not in "aeiou"
        assert not item.endswith("s") or item in {"compass", "cutlass", "thermos"}


@each_lang
@each_level
def test_a_lure_is_about_as_long_as_evidence_of_its_level(lang, level):
    sizes = {
        split: sum(
            len(text)
            for rotation in range(16)
            for turn in told(NAME, lang, split, "A", rotation, level=level).turns
            for text in turn
        )
        for split in ("eval", "lures")
    }

    assert 0.85 <= sizes["lures"] / sizes["eval"] <= 1.15


@each_lang
@each_level
@pytest.mark.parametrize("solver", family(NAME).task.shortcuts)
def test_no_solver_without_memory_wins_a_twin_group(solver, lang, level):
    assert not any(all(pair.values()) for pair in right(NAME, solver, lang, level))
