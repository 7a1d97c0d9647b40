"""false_history_resistance: true and false quotes of the user or the assistant."""

import itertools
import re
from collections import Counter

import pytest

from qwen_bench.probes.programmes import EXTENDED
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise

from .instances import EVERY, family, named, pair

NAME = "false_history_resistance"
LEVELS = range(1, 6)
PARTS = (2, 3, 4, 6, 8)
ROTATIONS = range(16)
SECTIONS = [*EVERY, ("en", "lures"), ("zh", "lures")]
KINDS = ("user_lexical", "user_paraphrase", "assistant_lexical", "assistant_paraphrase")
TAGS = {
    "en": ("correct?", "right?", "didn't", "isn't that so"),
    "zh": ("对吧", "没错吧", "对不对", "没记错吧"),
}
SMALL_WORDS = {"a", "the", "of", "on", "in", "for", "to", "that", "off", "where", "we"}


def pairs(lang, split, level, **form):
    return [pair(NAME, lang, split, r, level=level, slot=1, **form) for r in ROTATIONS]


def instances(lang, split, level, **form):
    return [item for both in pairs(lang, split, level, **form) for item in both]


def words_of(lang, split):
    return family(NAME).lures[lang] if split == "lures" else family(NAME).words[lang, split]


def speaker_of(item):
    return item.question.templates.split("_")[0]


def stated_and_silent(item):
    """The message that holds the colours, and the other one."""
    ((user, reply),) = item.turns
    return (user, reply) if speaker_of(item) == "user" else (reply, user)


def colours_as_read(item, words):
    """Colour of every part, from the text alone: parts and colours pair up in their order."""
    stated, _ = stated_and_silent(item)
    parts, values = named(stated, words.keys), named(stated, words.values)
    assert len(parts) == len(values) == len(set(parts)) == len(set(values))
    return dict(zip(parts, values, strict=True))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestGold:
    def test_the_same_quote_is_false_in_a_and_true_in_b(self, lang, split, level):
        yes_no = ("yes", "no") if lang == "en" else ("是", "否")
        for a, b in pairs(lang, split, level):
            assert a.question.candidates == a.question.rank_candidates == yes_no
            assert (a.question.gold, b.question.gold) == (yes_no[1], yes_no[0])
            assert a.asked == b.asked

    def test_the_gold_says_whether_the_text_gives_the_part_that_colour(self, lang, split, level):
        for item in instances(lang, split, level, wording="lexical"):
            (text,) = item.asked.values()
            (part,), (quoted,) = named(text, item.words.keys), named(text, item.words.values)
            said = colours_as_read(item, item.words)
            assert quoted in said.values()
            assert (item.question.gold == item.question.candidates[0]) == (said[part] == quoted)

    def test_the_asked_colour_swaps_with_another_and_nothing_else_changes(self, lang, split, level):
        for a, b in pairs(lang, split, level):
            in_a, in_b = colours_as_read(a, a.words), colours_as_read(b, b.words)
            assert [*in_a] == [*in_b]
            changed = [part for part, colour in in_a.items() if in_b[part] != colour]
            assert len(changed) == 2
            assert a.question.key_words[0] in changed
            assert sum(map(len, a.turns[0])) == sum(map(len, b.turns[0]))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("lang", "split"), SECTIONS)
class TestEvidence:
    def test_only_the_speaker_states_the_colours_one_a_part(self, lang, split, level):
        words = words_of(lang, split)
        for item in instances(lang, split, level):
            assert len(colours_as_read(item, words)) == PARTS[level - 1]
            assert not named(stated_and_silent(item)[1], words.values)

    def test_acknowledgements_of_the_user_name_no_part(self, lang, split, level):
        by_user = [i for i in instances(lang, split, level) if speaker_of(i) == "user"]
        assert by_user
        for item in by_user:
            assert not named(item.replies[0], words_of(lang, split).keys)

    def test_the_two_highest_levels_are_pasted_and_the_others_told(self, lang, split, level):
        for item in instances(lang, split, level):
            stated, _ = stated_and_silent(item)
            assert ("\n" in stated) == ("\n" in item.users[0]) == (level >= 4)

    def test_evidence_is_as_short_as_its_level_allows(self, lang, split, level):
        for item in instances(lang, split, level):
            ((user, reply),) = item.turns
            if level == 1:
                assert len(user) <= (160 if lang == "en" else 45)
            assert len(user) + len(reply) <= (1100 if lang == "en" else 420)

    def test_a_proposal_ends_in_a_sentence_so_that_the_reply_can_go_on(self, lang, split, level):
        for item in instances(lang, split, level):
            assert re.search(r"[.?!。？！]$", item.replies[0])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestBalance:
    def test_half_of_the_quotes_are_the_assistants(self, lang, split, level):
        counts = Counter(speaker_of(a) for a, _ in pairs(lang, split, level))
        assert counts == dict.fromkeys(("user", "assistant"), len(ROTATIONS) // 2)

    def test_every_place_is_asked_about_equally_often(self, lang, split, level):
        n = PARTS[level - 1]
        counts = Counter(a.factors["asked"] for a, _ in pairs(lang, split, level))
        assert set(counts) == {str(i) for i in range(n)}
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestQuestions:
    def test_a_lexical_quote_names_the_part_in_every_phrasing(self, lang, split, level):
        for item in instances(lang, split, level, wording="lexical"):
            for text in item.phrasings["quote"]:
                assert named(text, item.words.keys) == list(item.question.key_words)
                assert named(text, item.words.values) == [item.question.context["value"]]

    def test_a_paraphrase_names_no_part_in_any_phrasing(self, lang, split, level):
        for item in instances(lang, split, level, wording="paraphrase"):
            for text in item.phrasings["quote"]:
                assert not named(text, item.words.keys)
                assert named(text, item.words.values) == [item.question.context["value"]]

    def test_the_wording_is_crossed_with_who_is_quoted(self, lang, split, level):
        for wording in ("lexical", "paraphrase"):
            kinds = {i.question.templates for i in instances(lang, split, level, wording=wording)}
            assert kinds == {f"user_{wording}", f"assistant_{wording}"}


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_two_of_four_templates_use_no_tag(lang, split):
    questions = family(NAME).words[lang, split].questions
    for kind in KINDS:
        templates = getattr(questions, kind)
        tagged = [t for t in templates if any(tag in t for tag in TAGS[lang])]
        assert len(templates) == 4
        assert len(tagged) == 2


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_a_description_shares_no_content_word_with_its_part(lang, split):
    for part in words_of(lang, split).parts:
        if lang == "en":
            said, described = (
                {word.rstrip("s") for word in re.findall(r"[a-z]+", text.lower())} - SMALL_WORDS
                for text in (part.say, part.ask)
            )
        else:
            said, described = set(part.say), set(part.ask)
        assert part.ask
        assert not said & described, part.say


@pytest.mark.parametrize(("lang", "split"), SECTIONS)
def test_word_lists_are_long_enough_and_nothing_in_them_holds_another(lang, split):
    words = words_of(lang, split)
    assert len(set(words.values)) >= (24 if split == "lures" else 48)
    assert len(set(words.keys)) >= 20
    for one, other in itertools.permutations([*words.values, *words.keys], 2):
        assert not find_mentions(normalise(other).text, (one,), {}), (one, other)


@pytest.mark.parametrize("split", ["eval", "train", "lures"])
def test_both_languages_have_lists_of_equal_lengths(split):
    en, zh = (words_of(lang, split) for lang in ("en", "zh"))
    for field in ("parts", "values"):
        assert len(getattr(en, field)) == len(getattr(zh, field))
    for words in (en, zh):
        assert len(words.evidence) == len(words.pasted) == 4
        for forms in (*words.evidence, *words.pasted):
            assert len(forms.user.assistant) == len(forms.assistant.assistant) == 3


@pytest.mark.parametrize("split", ["eval", "lures"])
def test_no_chinese_sentence_lets_a_thing_do_the_choosing(split):
    """院门挑中卡其色 says that the gate chose the paint; one chooses for it, 给院门挑."""
    words = words_of("zh", split)
    texts = [
        text
        for forms in (*words.evidence, *words.pasted)
        for _, templates in forms
        for text in (templates.user, *templates.assistant)
    ]
    assert len(texts) == 64
    for text in texts:
        assert not re.search(r"(?<!给){{ b\.part }}(挑|选)", text), text


@pytest.mark.parametrize("other", sorted(set(EXTENDED.groups) - {NAME}))
@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_no_family_of_the_same_programme_names_a_colour_or_a_part(other, lang, split):
    words = family(NAME).words[lang, split]
    theirs = (family(other).words[lang, split], family(other).lures[lang])
    for section in theirs:
        text = normalise(str(section.model_dump())).text
        assert not find_mentions(text, [*words.values, *words.keys], {})


def test_two_families_share_the_programme():
    assert set(EXTENDED.groups) == {NAME, "speaker_attribution", "topic_return"}
