"""false_history_resistance: true and false quotes of the user or the assistant."""

from collections import Counter

import pytest

from qwen_bench.probes.programmes import EXTENDED
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise

from .instances import EVERY, family, named, pair

NAME = "false_history_resistance"
BLOCK = range(24)
TAGS = {
    "en": ("correct?", "right?", "didn't", "isn't that so"),
    "zh": ("对吧", "没错吧", "对不对", "没记错吧"),
}


def pairs(lang, split):
    return [pair(NAME, lang, split, rotation, slot=0) for rotation in BLOCK]


def instances(lang, split):
    return [item for both in pairs(lang, split) for item in both]


def firsts(lang, split):
    return [a for a, _ in pairs(lang, split)]


def colours(text, item):
    return named(text, item.words.values)


@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestTwins:
    def test_the_same_quote_is_false_in_a_and_true_in_b(self, lang, split):
        yes_no = ("yes", "no") if lang == "en" else ("是", "否")
        for a, b in pairs(lang, split):
            assert a.question.candidates == yes_no
            assert (a.question.gold, b.question.gold) == (yes_no[1], yes_no[0])

    def test_the_colours_swap_and_nothing_else_does(self, lang, split):
        for a, b in pairs(lang, split):
            one, two = colours(" ".join(a.turns[0]), a)
            swapped = [
                text.replace(one, "#").replace(two, one).replace("#", two) for text in a.turns[0]
            ]
            assert [text.lower() for text in swapped] == [text.lower() for text in b.turns[0]]

    def test_the_quote_is_what_was_said_exactly_in_b(self, lang, split):
        for item in instances(lang, split):
            question = item.question
            said = {b["part"]: b["value"] for b in item.instance.evidence[0].context.values()}
            true = said[question.context["part"]] == question.context["value"]
            assert question.gold == question.candidates[0 if true else 1]
            assert question.context["value"] in said.values()


@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestSpeakers:
    def test_only_the_speaker_states_the_colours_and_states_each_once(self, lang, split):
        for item in instances(lang, split):
            user, reply = item.turns[0]
            stated, silent = (user, reply) if item.question.wording == "user" else (reply, user)
            assert len(colours(stated, item)) == len(set(colours(stated, item))) == 2
            assert not colours(silent, item)

    def test_acknowledgements_of_the_user_name_no_part(self, lang, split):
        by_user = [item for item in instances(lang, split) if item.question.wording == "user"]
        assert by_user
        for item in by_user:
            bare = [part.removeprefix("the ") for part in item.words.parts]
            assert not any(part in item.replies[0].lower() for part in bare)

    def test_half_of_the_quotes_are_the_assistants(self, lang, split):
        counts = Counter(item.question.wording for item in firsts(lang, split))
        assert counts == dict.fromkeys(("user", "assistant"), len(BLOCK) // 2)

    def test_the_part_asked_about_is_named_first_in_half(self, lang, split):
        first = Counter(
            item.question.context["part"] == item.instance.evidence[0].context["one"]["part"]
            for item in firsts(lang, split)
        )
        assert first == dict.fromkeys((True, False), len(BLOCK) // 2)


@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestQuestions:
    def test_two_of_four_templates_use_no_tag(self, lang, split):
        questions = family(NAME).words[lang, split].questions
        for templates in (questions.user, questions.assistant):
            tagged = [t for t in templates if any(tag in t for tag in TAGS[lang])]
            assert len(templates) == 4
            assert len(tagged) == 2

    def test_every_phrasing_holds_the_quoted_part_and_colour(self, lang, split):
        for item in firsts(lang, split):
            (phrasings,) = item.phrasings.values()
            assert len(phrasings) == 4
            for text in phrasings:
                assert colours(text, item) == [item.question.context["value"]]
                assert item.question.context["part"] in text
                assert text.endswith(item.words.only)


@pytest.mark.parametrize("other", sorted(set(EXTENDED.groups) - {NAME}))
@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_no_family_of_the_same_programme_names_a_colour_or_a_part(other, lang, split):
    words = family(NAME).words[lang, split]
    text = normalise(str(family(other).words[lang, split].model_dump())).text

    assert not find_mentions(text, [*words.values, *words.parts], {})


def test_two_families_share_the_programme():
    assert set(EXTENDED.groups) == {NAME, "speaker_attribution", "topic_return"}
