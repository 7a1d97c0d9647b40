"""A pronoun goes with a stated cue, for people and for things (specification 4.5)."""

import itertools
import re
from collections import Counter

import pytest

from qwen_bench.probes.probe import LANGS, LEVELS
from qwen_bench.scoring.normalise import normalise

from .instances import EVERY, SPLITS, family, forms, named, pair
from .shortcut_scores import right

NAME = "pronoun"
ANTECEDENTS = ("f", "m", "thing")
BLOCK = 24
PRONOUNS = {
    ("en", "f"): r"\b(?:she|her)\b",
    ("en", "m"): r"\b(?:he|him|his)\b",
    ("en", "thing"): r"\bit\b",
    ("zh", "f"): "她",
    ("zh", "m"): "他",
    ("zh", "thing"): "它",
}
FORMS = forms()
SECTIONS = [*EVERY, *((lang, "lures") for lang in LANGS)]
PAIRS = [
    pair(NAME, lang, split, rotation, **form)
    for lang, split in EVERY
    for form in FORMS
    for rotation in range(BLOCK)
]
ALL = list(itertools.chain(*PAIRS))


def words_of(lang, section):
    host = family(NAME)
    return host.lures[lang] if section == "lures" else host.words[lang, section]


def load_of(item):
    return len(facts_in_order(item))


def antecedents(item):
    return ANTECEDENTS[int(item.factors["antecedents"])]


def facts(item):
    """Stated facts with the cues that pick an antecedent by them."""
    if antecedents(item) == "thing":
        return {feature.part: feature.cue for feature in item.words.things.features}
    return {activity.does: activity.cue for activity in item.words.activities}


def facts_in_order(item):
    text = item.users[0]
    return sorted((fact for fact in facts(item) if fact in text), key=text.index)


def antecedents_named(item):
    """The candidates in the order the evidence names them."""
    return named(item.users[0], item.question.candidates)


def deciding(item):
    """What stands after the introductions: it speaks of the referent and names nobody."""
    text = item.users[0]
    last = (facts_in_order(item)[-1], antecedents_named(item)[-1])
    return text[max(text.index(words) + len(words) for words in last) :]


def read(item):
    """The answer of a reader: the antecedent whose fact the cue repeats."""
    rest = deciding(item).casefold()
    values = dict(zip(facts_in_order(item), antecedents_named(item), strict=True))
    (fact,) = [fact for fact in values if facts(item)[fact].casefold() in rest]
    return values[fact]


THINGS = [a for a, _ in PAIRS if antecedents(a) == "thing"]
PEOPLE = [a for a, _ in PAIRS if antecedents(a) != "thing"]


def test_a_reader_of_the_evidence_finds_every_gold():
    for item in ALL:
        assert read(item) == item.question.gold, item.users


@pytest.mark.parametrize("level", range(1, LEVELS + 1))
def test_as_many_antecedents_are_introduced_as_the_level_says(level):
    n = family(NAME).task.levels[level - 1]
    for lang, split in EVERY:
        for rotation in range(BLOCK):
            for item in pair(NAME, lang, split, rotation, level=level):
                assert load_of(item) == len(antecedents_named(item)) == n


def test_evidence_is_told_up_to_level_3_and_pasted_from_level_4():
    for lang, section in SECTIONS:
        for level in range(1, LEVELS + 1):
            for rotation in range(BLOCK):
                for item in pair(NAME, lang, section, rotation, level=level):
                    assert len(item.turns) == 1
                    assert (item.users[0].count("\n") > 5) is (level >= 4), item.users


def test_the_evidence_of_level_5_fits_its_size():
    sizes = Counter()
    for lang, section in SECTIONS:
        for rotation in range(BLOCK):
            for item in pair(NAME, lang, section, rotation, level=5):
                sizes[lang] = max(sizes[lang], len(item.users[0]))
    assert sizes["en"] < 1100
    assert sizes["zh"] < 420


def test_a_third_of_the_instances_is_about_women_men_and_things_each():
    counts = Counter(antecedents(a) for a, _ in PAIRS)

    assert counts == dict.fromkeys(ANTECEDENTS, len(PAIRS) // 3)


def test_only_the_cue_differs_between_twins():
    for a, b in PAIRS:
        assert a.users[0].removesuffix(deciding(a)) == b.users[0].removesuffix(deciding(b))
        assert a.replies == b.replies
        assert a.asked == b.asked
        assert a.question.candidates == b.question.candidates
        assert a.question.rank_candidates == b.question.rank_candidates
        assert a.question.gold != b.question.gold
        one, two = (len(item.users[0]) for item in (a, b))
        assert abs(one - two) <= 25


def test_four_candidates_of_one_kind_are_ranked_at_every_level():
    for a, b in PAIRS:
        ranked = a.question.rank_candidates
        kind, words = antecedents(a), a.words
        pool = words.things.towns if kind == "thing" else getattr(words.values, kind)
        assert len(set(ranked)) == 4
        assert {a.question.gold, b.question.gold} <= set(ranked) <= set(pool)
        told_of = set(antecedents_named(a))
        assert len(set(ranked) & told_of) == min(4, len(told_of))
        assert set(a.question.candidates) == set(ranked) | told_of


def test_no_reply_or_question_names_any_antecedent_there_is():
    for item in ALL:
        for text in (*item.replies, *item.asked.values()):
            assert not named(text, item.words.answers)


def test_the_sentence_that_decides_has_a_pronoun_and_names_nobody():
    for item in ALL:
        assert re.search(PRONOUNS[item.lang, antecedents(item)], deciding(item)), item.users
        assert not named(deciding(item), item.question.candidates)


@pytest.mark.parametrize("kind", ANTECEDENTS)
@pytest.mark.parametrize("level", range(1, LEVELS + 1))
def test_the_right_antecedent_stands_at_every_place_equally_often(level, kind):
    n = family(NAME).task.levels[level - 1]
    golds = Counter(
        antecedents_named(item).index(item.question.gold)
        for rotation in range(3 * BLOCK)
        for item in pair(NAME, "en", "eval", rotation, level=level)
        if antecedents(item) == kind
    )

    assert set(golds) == set(range(n))
    assert max(golds.values()) <= 2.5 * min(golds.values())


def test_lexical_questions_repeat_what_happened():
    for item in PEOPLE:
        if item.question.templates.endswith("_lexical"):
            favour = item.question.context["favour"]
            for asked in item.phrasings["referent"]:
                assert favour["thing"] in asked
                assert favour["do"] in asked
    for item in THINGS:
        if item.question.templates.endswith("_lexical"):
            for asked in item.phrasings["referent"]:
                assert item.question.context["kind"]["one"] in asked
                assert item.question.context["errand"]["ask"] in asked


def content_words(text, lang):
    """English words without grammar and endings; pairs of Chinese characters."""
    if lang == "zh":
        pairs = {text[i : i + 2] for i in range(len(text) - 1)}
        return {pair for pair in pairs if "的" not in pair}
    grammar = "a an and as at by for from had he her his i in into it me my of off on or out put"
    grammar += " she some somebody something that the to up with from got by who"
    found = set(re.findall(r"[a-z]+", text.lower())) - set(grammar.split())
    return {re.sub(r"(?:ing|ed|es|s)$", "", word) for word in found}


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_a_paraphrase_shares_no_content_word_with_what_happened(lang, split):
    words = family(NAME).words[lang, split]

    for favour in words.favours:
        said = content_words(f"{favour.do} {favour.thing} {favour.after}", lang)
        assert not said & content_words(favour.ask, lang), favour
    for errand in words.things.errands:
        said = content_words(errand.say, lang) | content_words(errand.ask, lang)
        assert not said & content_words(errand.described, lang), errand


def test_paraphrases_name_neither_the_kind_nor_the_thing():
    for item in ALL:
        if item.question.templates.endswith("_paraphrase"):
            context = item.question.context
            key = context["kind"]["one"] if "kind" in context else context["favour"]["thing"]
            for asked in item.phrasings["referent"]:
                assert key not in asked


def test_the_evidence_names_the_key_once():
    for item in ALL:
        (key,) = item.question.key_words
        assert normalise(item.users[0]).text.count(normalise(key).text) == 1, (key, item.users)


def test_the_question_about_things_holds_no_feature_and_asks_for_a_place():
    for item in THINGS:
        (asked,) = item.asked.values()
        assert asked.endswith(item.words.things.only)
        assert item.words.only not in asked
        for feature in item.words.things.features:
            assert feature.part not in asked
            assert feature.cue not in asked


@pytest.mark.parametrize("solver", ["blind", "constant", "longest", "recency", "primacy", "gender"])
def test_a_solver_without_memory_never_has_both_twins_right(solver):
    for lang in LANGS:
        for level in (1, 3, 5):
            assert not any(all(pair.values()) for pair in right(NAME, solver, lang, level))


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_lists_are_long_enough(lang, split):
    # Names of one gender and towns share the instances evenly, so the lists must be equally long.
    words = family(NAME).words[lang, split]

    assert len(words.values.f) == len(words.values.m) == len(words.things.towns) >= 24
    assert len(set(words.answers)) == 3 * len(words.things.towns)
    assert len(set(words.keys)) >= 20
    assert len({favour.thing for favour in words.favours}) >= 20
    assert len({errand.key for errand in words.things.errands}) >= 20


@pytest.mark.parametrize("lang", LANGS)
def test_lures_have_words_for_the_highest_level(lang):
    lures = family(NAME).lures[lang]

    most = family(NAME).task.levels[-1]
    assert len(set(lures.answers)) >= 24
    assert len(set(lures.keys)) >= 20
    for found in (lures.values.f, lures.values.m, lures.things.towns, lures.things.features):
        assert len(set(found)) >= most


@pytest.mark.parametrize(("lang", "section"), SECTIONS)
def test_every_form_has_four_templates_and_three_replies(lang, section):
    words = words_of(lang, section)

    for found in (words.evidence, words.pasted, words.things.evidence, words.things.pasted):
        assert len(found) >= 4
        assert all(len(set(template.assistant)) >= 3 for template in found)


@pytest.mark.parametrize("section", [*SPLITS, "lures"])
def test_both_languages_have_lists_of_equal_lengths(section):
    def shape(value):
        if isinstance(value, dict):
            return {key: shape(item) for key, item in value.items()}
        return [len(value), *map(shape, value)] if isinstance(value, list) else None

    en, zh = (shape(words_of(lang, section).model_dump()) for lang in LANGS)
    assert en == zh


@pytest.mark.parametrize("lang", LANGS)
def test_eval_train_and_lures_share_no_value_and_no_key(lang):
    found = [words_of(lang, section) for section in (*SPLITS, "lures")]

    for one, two in itertools.combinations(found, 2):
        assert not {*one.answers, *one.keys} & {*two.answers, *two.keys}
        assert not {f.thing for f in one.favours} & {f.thing for f in two.favours}


@pytest.mark.parametrize("section", [*SPLITS, "lures"])
def test_chinese_names_of_a_list_share_no_character_and_surnames_differ(section):
    values = words_of("zh", section).values
    given = Counter("".join(name[1:] for name in values.all))

    assert max(given.values()) == 1, given.most_common(3)
    assert all(len(name) == 3 for name in values.all)
    for names in (values.f, values.m):
        assert len({name[0] for name in names}) == len(names)
    assert not set("一二三四两几厅室号个天日月年") & set("".join(values.all))


@pytest.mark.parametrize("section", [*SPLITS, "lures"])
def test_english_names_begin_with_the_letters_of_their_list(section):
    letters = {"eval": "LM", "train": "NO", "lures": "PQ"}[section]

    assert {name[0] for name in words_of("en", section).values.all} == set(letters)


@pytest.mark.parametrize("section", [*SPLITS, "lures"])
def test_english_words_fit_their_articles_and_numbers(section):
    things = words_of("en", section).things

    for feature in things.features:
        article, noun, *_ = feature.part.split()
        assert article == ("an" if noun[0] in "aeiou" else "a")
        assert feature.part.split()[1:] == feature.cue.split()[1:]
    for kind in things.kinds:
        assert kind.many in {f"{kind.one}s", f"{kind.one}es"}
    for errand in things.errands:
        assert "it" in errand.say.split()
        assert errand.key in errand.say


@pytest.mark.parametrize("section", SECTIONS)
def test_features_are_equally_long_so_that_variants_are(section):
    features = words_of(*section).things.features
    sizes = {len(f.cue) if section[0] == "zh" else len(f.cue.split()) for f in features}

    assert len(sizes) == 1


@pytest.mark.parametrize("split", SPLITS)
def test_a_chinese_thing_is_counted_with_its_own_measure_word(split):
    things = [item for item in THINGS if (item.lang, item.split) == ("zh", split)]

    assert things
    for item in things:
        kind = item.question.context["kind"]
        assert kind["unit"]
        assert kind["unit"] not in "一二两"
        assert re.search(f"(?:这|那){kind['unit']}", item.users[0])
        assert item.users[0].count(kind["one"]) == 1
