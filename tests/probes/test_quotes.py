"""false_history_resistance: true and false quotes, on the real word files."""

import itertools
from collections import Counter
from functools import cache

import pytest

from qwen_bench.probes.definitions import load_family
from qwen_bench.probes.instance import Brief
from qwen_bench.probes.seeded_draws import Draw
from qwen_bench.probes.word_templates import render
from qwen_bench.resources import data_folder
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise

NAME = "false_history_resistance"
EVERY = list(itertools.product(("en", "zh"), ("eval", "train")))
BLOCK = range(24)
TAGS = {
    "en": ("correct?", "right?", "didn't", "isn't that so"),
    "zh": ("对吧", "没错吧", "对不对", "没记错吧"),
}


@cache
def family():
    return load_family(data_folder("tasks") / NAME)


@cache
def built(variant, lang, split, rotation, slot=0):
    """The instance, its speaker, and its one turn as (user, assistant)."""
    draw = Draw(("t",), NAME, slot, rotation)
    instance = family().builder.build(
        Brief(draw, variant, (NAME,), 1, {}, 8), family().words[lang, split]
    )
    (turn,) = instance.evidence
    join = family().joins[lang]
    texts = render(turn.user, turn.context, join), render(turn.assistant, turn.context, join)
    return instance, ("user", "assistant")[int(draw.factors["speaker"])], texts


def colours(text, lang, split):
    found = find_mentions(normalise(text).text, family().words[lang, split].values, {})
    return [mention.candidate for mention in found]


def each(lang, split, variants="AB"):
    for rotation, variant in itertools.product(BLOCK, variants):
        yield *built(variant, lang, split, rotation), rotation


@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestTwins:
    def test_the_same_quote_is_false_in_a_and_true_in_b(self, lang, split):
        for rotation in BLOCK:
            (a, *_), (b, *_) = (built(v, lang, split, rotation) for v in "AB")
            (one,), (two,) = a.questions, b.questions
            assert (one.gold, two.gold) == (one.candidates[1], one.candidates[0])
            assert (one.context, one.candidates) == (two.context, two.candidates)
            assert (one.wording, one.key_words) == (two.wording, two.key_words)

    def test_the_colours_swap_and_nothing_else_does(self, lang, split):
        for rotation in BLOCK:
            a, b = (built(v, lang, split, rotation)[2] for v in "AB")
            one, two = colours(" ".join(a), lang, split)
            swapped = [t.replace(one, "#").replace(two, one).replace("#", two) for t in a]
            assert [t.lower() for t in swapped] == [t.lower() for t in b]

    def test_the_quote_is_what_was_said_exactly_in_b(self, lang, split):
        for instance, _, _, _ in each(lang, split):
            (question,) = instance.questions
            said = {b["part"]: b["value"] for b in instance.evidence[0].context.values()}
            true = said[question.context["part"]] == question.context["value"]
            assert question.gold == question.candidates[0 if true else 1]
            assert question.context["value"] in said.values()


@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestSpeakers:
    def test_only_the_speaker_states_the_colours_and_states_each_once(self, lang, split):
        for instance, speaker, texts, _ in each(lang, split):
            by = dict(zip(("user", "assistant"), texts, strict=True))
            silent = "assistant" if speaker == "user" else "user"
            assert len(colours(by[speaker], lang, split)) == 2
            assert not colours(by[silent], lang, split)
            assert instance.questions[0].wording == speaker

    def test_acknowledgements_of_the_user_name_no_part(self, lang, split):
        for _, speaker, (_, reply), _ in each(lang, split):
            if speaker == "user":
                bare = [p.removeprefix("the ") for p in family().words[lang, split].parts]
                assert not any(part in reply.lower() for part in bare)

    def test_half_of_the_quotes_are_the_assistants(self, lang, split):
        counts = Counter(speaker for _, speaker, _, _ in each(lang, split, "A"))
        assert set(counts.values()) == {len(BLOCK) // 2}

    def test_the_part_asked_about_is_named_first_in_half(self, lang, split):
        first = Counter(
            instance.questions[0].context["part"] == instance.evidence[0].context["one"]["part"]
            for instance, _, _, _ in each(lang, split, "A")
        )
        assert set(first.values()) == {len(BLOCK) // 2}


@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestQuestions:
    def test_two_of_four_templates_use_no_tag(self, lang, split):
        questions = family().words[lang, split].questions
        for templates in (questions.user, questions.assistant):
            tagged = [t for t in templates if any(tag in t for tag in TAGS[lang])]
            assert len(templates) == 4
            assert len(tagged) == 2

    def test_a_question_holds_the_quoted_part_and_colour(self, lang, split):
        words = family().words[lang, split]
        for instance, speaker, _, rotation in each(lang, split, "A"):
            (question,) = instance.questions
            template = getattr(words.questions, speaker)[rotation % 4]
            text = render(template, {**question.context, "only": words.only}, family().joins[lang])
            assert colours(text, lang, split) == [question.context["value"]]
            assert question.context["part"] in text
            assert text.endswith(words.only)

    def test_the_answers_are_yes_and_no(self, lang, split):
        for instance, _, _, _ in each(lang, split):
            assert instance.questions[0].candidates == (
                ("yes", "no") if lang == "en" else ("是", "否")
            )


def test_both_languages_make_the_same_draws():
    for split, variant, rotation in itertools.product(("eval", "train"), "AB", BLOCK):
        drawn = []
        for lang in ("en", "zh"):
            instance, speaker, _ = built(variant, lang, split, rotation)
            words = family().words[lang, split]
            (question,) = instance.questions
            drawn.append(
                (
                    speaker,
                    words.parts.index(question.context["part"]),
                    words.values.index(question.context["value"]),
                    question.candidates.index(question.gold),
                )
            )
        assert drawn[0] == drawn[1]


def test_no_family_of_the_same_programme_names_a_colour_or_a_part():
    quotes = family()
    tasks = data_folder("tasks")
    for name in ("topic_return", "speaker_attribution"):
        if not (tasks / name).is_dir():
            continue
        other = load_family(tasks / name)
        for lang, split in EVERY:
            text = normalise(str(other.words[lang, split].model_dump())).text
            words = quotes.words[lang, split]
            assert not find_mentions(text, [*words.values, *words.parts], {}), (name, lang, split)
