"""Values that are overwritten again and again: the latest and the one before (4.3, 4.4)."""

import re
from collections import Counter, defaultdict

import pytest

from qwen_bench.probes.definitions import read_yaml
from qwen_bench.probes.probe import LANGS, LEVELS, WORDINGS

from .instances import EVERY, TASKS, family, mentions, named, pair, told
from .shortcut_scores import PICKERS, TOLERANCE, right
from .word_checks import content_words, list_lengths

NAME = "update_latest"
ASKERS = {"latest": "update_latest", "previous": "update_previous"}
LOADS = [1, 2, 4, 8, 16]
ROTATIONS = 12
SPLITS = ("eval", "train", "lures")
LONGEST = {"en": 1100, "zh": 420}
# Words by which a text says in which direction of time it tells.
NEWEST_FIRST = re.compile(
    r"and before that|\(previously|, prior to which|newest line at the top|latest first|"
    r"read upwards|going back in time|\(before that|, prior to it|, preceded by|, before that to|"
    r"from recent to old|start with the newest|recent rows above old|last trip on top|"
    r"再之前|此前用|先前|中间|更早|再往前|新的在上|最近一轮写在头|越靠上越晚|从后往前|那之前在|早先|前一回|先头|"
    r"由近及远|末版放最前|后抓的行在前|倒着排"
)
OLDEST_FIRST = re.compile(
    r"and then|and after that|\(afterwards|, after which|oldest line at the top|earliest first|"
    r"read downwards|going forward in time|\(thereafter|, subsequently |, followed by|"
    r", eventually to|from old to recent|start with the original|old rows above recent|"
    r"first trip on top|"
    r"接着[在搬]|后来用|随后换成|再往后|旧的在上|最早一轮写在头|越靠下越晚|从前往后|后来挪到|（之后|后一回|而后|"
    r"由远及近|首版放最前|先抓的行在后|顺着排"
)

each_level = pytest.mark.parametrize("level", range(1, LEVELS + 1))
each_text = pytest.mark.parametrize(("lang", "split"), EVERY)
each_lang = pytest.mark.parametrize("lang", LANGS)


def words_of(lang, split):
    return family(NAME).lures[lang] if split == "lures" else family(NAME).words[lang, split]


def by_group(user, words) -> dict[str, list[str]]:
    """Values by group in the order of the text; they stand before or after the group's name."""
    suffix = words.value_suffix
    aliases = {value: (value.removesuffix(suffix),) for value in words.values if suffix}
    found = [m.candidate for m in mentions(user, [*words.keys, *words.values], aliases)]
    group_first = found[0] in words.keys
    read, group = defaultdict(list), ""
    for word in found if group_first else reversed(found):
        if word in words.keys:
            group = word
        else:
            read[group].append(word)
    return {g: values if group_first else values[::-1] for g, values in read.items()}


def histories(item) -> dict[str, list[str]]:
    """All values by group, the current one last."""
    whole = defaultdict(list)
    for user in item.users:
        for group, values in by_group(user, item.words).items():
            backwards = bool(NEWEST_FIRST.search(user))
            assert len(values) == 1 or backwards is not bool(OLDEST_FIRST.search(user)), user
            whole[group] += values[::-1] if backwards else values
    return whole


def asked_group(item, name) -> str:
    """The group a question names, or describes."""
    text = item.asked[name]
    (group,) = {e.say for e in item.words.entities if mentions(text, [e.say]) or e.ask in text}
    return group


@each_text
@each_level
@pytest.mark.parametrize("wording", WORDINGS)
def test_the_golds_are_the_last_value_of_the_asked_group_and_the_one_before(
    lang, split, level, wording
):
    for rotation in range(ROTATIONS):
        for item in pair(NAME, lang, split, rotation, level=level, wording=wording):
            read = histories(item)

            assert len(read) == 3
            assert item.questions["latest"].gold == read[asked_group(item, "latest")][-1]
            assert item.questions["previous"].gold == read[asked_group(item, "previous")][-2]


@pytest.mark.parametrize("split", SPLITS)
@each_lang
@each_level
def test_all_three_groups_are_overwritten_as_often_as_the_level_says_and_no_value_recurs(
    lang, split, level
):
    for rotation in range(ROTATIONS):
        item = told(NAME, lang, split, "A", rotation, level=level)
        first, second = (by_group(user, words_of(lang, split)) for user in item.users)
        taken = [first[group] + second[group] for group in first]
        values = [value for one in taken for value in one]

        assert [len(one) for one in taken] == 3 * [LOADS[level - 1] + 1]
        assert len(set(values)) == len(values)
        assert not named(" ".join(item.replies), values)


@each_text
@each_level
def test_the_twin_keeps_every_value_at_its_place_and_exchanges_the_groups(lang, split, level):
    for rotation in range(ROTATIONS):
        a, b = pair(NAME, lang, split, rotation, level=level)
        values, keys = a.words.values, a.words.keys

        assert a.asked == b.asked
        assert a.replies == b.replies
        for mine, other in zip(a.users, b.users, strict=True):
            assert named(mine, values) == named(other, values)
            assert sorted(named(mine, keys)) == sorted(named(other, keys))
            assert len(mine) == len(other)
            places = zip(named(mine, keys), named(other, keys), strict=True)
            assert all(one != two for one, two in places)


@each_text
@each_level
def test_both_questions_rank_the_golds_of_both_variants_and_nothing_else(lang, split, level):
    for rotation in range(ROTATIONS):
        a, b = pair(NAME, lang, split, rotation, level=level)
        golds = [question.gold for item in (a, b) for question in item.instance.questions]
        ranked = {q.rank_candidates for item in (a, b) for q in item.instance.questions}

        assert len(set(golds)) == 4
        assert len(ranked) == 1
        assert sorted(*ranked) == sorted(golds)


@each_text
@each_level
def test_written_answers_may_name_any_value_of_the_history(lang, split, level):
    for rotation in range(ROTATIONS):
        for item in pair(NAME, lang, split, rotation, level=level):
            stated = {value for taken in histories(item).values() for value in taken}
            for question in item.instance.questions:
                assert set(question.candidates) == stated


@each_text
@each_level
def test_an_answer_needs_the_turns_that_state_its_value_and_end_it(lang, split, level):
    for rotation in range(ROTATIONS):
        for item in pair(NAME, lang, split, rotation, level=level):
            latest, previous = item.questions["latest"], item.questions["previous"]
            stated = {
                gold: [gold in named(user, [gold]) for user in item.users]
                for gold in (latest.gold, previous.gold)
            }

            assert latest.needs == (1,)
            assert stated[latest.gold] == [False, True]
            assert previous.needs == ((0, 1) if level <= 2 else (1,))
            assert stated[previous.gold] == [level <= 2, level > 2]


@pytest.mark.parametrize("split", SPLITS)
@each_lang
@each_level
def test_levels_up_to_three_are_told_in_one_line_and_the_others_pasted(lang, split, level):
    for rotation in range(16):
        for item in pair(NAME, lang, split, rotation, level=level):
            for user in item.users:
                assert (user.count("\n") >= 4) is ("\n" in user) is (level >= 4)
                assert len(user) <= LONGEST[lang]


@each_level
def test_time_runs_either_way_and_the_asked_group_stands_anywhere_equally_often(level):
    seen, places = Counter(), Counter()
    for slot in range(6):
        for rotation in range(6):
            item = told(NAME, "en", "eval", "A", rotation, level=level, slot=slot)
            seen[item.factors["newest first"]] += 1
            places[item.factors["asked place in set"], "set"] += 1
            places[item.factors["asked place in change"], "change"] += 1

    assert seen == {"0": 18, "1": 18}
    assert set(places.values()) == {12}


@each_lang
@pytest.mark.parametrize("split", ["eval", "train"])
def test_the_lexical_question_names_the_group_and_the_paraphrase_shares_no_content_word(
    lang, split
):
    words = words_of(lang, split)
    for entity in words.entities:
        assert entity.ask
        assert not content_words(entity.say, lang) & content_words(entity.ask, lang), entity
    assert len({entity.ask for entity in words.entities}) == len(words.entities)
    for rotation in range(ROTATIONS):
        for wording, names in (("lexical", True), ("paraphrase", False)):
            item = told(NAME, lang, split, "A", rotation, wording=wording)
            for texts in item.phrasings.values():
                for text in texts:
                    assert bool(named(text, item.words.keys)) is names


@each_text
def test_the_question_for_the_previous_value_speaks_of_the_last_change_or_the_present_value(
    lang, split
):
    times = {
        "en": "latest change|most recent|(it has|they have) now|final time|last move|current one",
        "zh": "最近|最后",
    }
    for wording in WORDINGS:
        for text in told(NAME, lang, split, "A", 0, wording=wording).phrasings["previous"]:
            assert re.search(times[lang], text), text


@pytest.mark.parametrize("split", SPLITS)
@each_lang
def test_lists_are_long_enough_and_hold_nothing_twice(lang, split):
    words = words_of(lang, split)

    assert len(set(words.answers)) == len(words.answers) >= 3 * 17
    assert len(set(words.keys)) == len(words.keys) >= 20
    for forms in (words.evidence, words.pasted):
        assert len(forms) >= 4
        for form in forms:
            assert len(set(form.set.assistant)) >= 3
            assert len(set(form.change.assistant)) >= 3


@pytest.mark.parametrize("name", ASKERS.values())
def test_both_languages_have_lists_of_equal_length(name):
    en, zh = (read_yaml(TASKS / name / f"{lang}.yaml") for lang in LANGS)
    for split in set(SPLITS) & en.keys():
        assert dict(list_lengths(en[split])) == dict(list_lengths(zh[split]))


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


@pytest.mark.parametrize("split", SPLITS)
def test_a_chinese_answer_may_leave_out_the_common_suffix(split):
    words = words_of("zh", split)

    assert {value[-1] for value in words.values} == {words.value_suffix}
    bare = [value.removesuffix(words.value_suffix) for value in words.values]
    assert not [one for one in bare for two in bare if one != two and one in two]
    for question in told(NAME, "zh", split, "A", 0).instance.questions:
        assert question.aliases == {v: (v[:-1],) for v in question.candidates}


def both(solver, lang, level):
    """For many instances: by question and variant whether a solver is right."""
    latest, previous = (right(name, solver, lang, level) for name in ASKERS.values())
    return [one | two for one, two in zip(latest, previous, strict=True)]


@each_lang
@each_level
@pytest.mark.parametrize("solver", [*PICKERS, "recency", "primacy", "frequency"])
def test_no_solver_that_ignores_the_asked_time_wins_a_twin_group(solver, lang, level):
    assert not any(all(one.values()) for one in both(solver, lang, level))


@each_lang
@each_level
@pytest.mark.parametrize("solver", [*PICKERS, "recency", "primacy"])
@pytest.mark.parametrize("name", ASKERS)
def test_no_solver_that_reads_by_position_wins_both_variants_of_a_question(
    name, solver, lang, level
):
    assert not any(one[name, "A"] and one[name, "B"] for one in both(solver, lang, level))


@each_lang
@each_level
@pytest.mark.parametrize("solver", ["last-entity", "overlap"])
def test_what_ignores_the_asked_time_scores_at_most_one_on_both_questions_together(
    solver, lang, level
):
    found = both(solver, lang, level)

    assert sum(sum(one.values()) for one in found) / (2 * len(found)) <= 1 + TOLERANCE
