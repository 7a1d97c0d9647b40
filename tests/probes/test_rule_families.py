"""Rules on scripted replies, and the two families that ask for them."""

import itertools
from collections import Counter

import pytest

from qwen_bench.probes.builders.instruction_retention import KINDS
from qwen_bench.probes.filler import load_filler, without
from qwen_bench.probes.probe import Rule, apply_rule
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.rule_form import follows

from .instances import EVERY, SPLITS, TASKS, family, named, pair, told

SCOPED_RULE, SYSTEM_RULE = "instruction_retention", "system_rule"
SCOPED, SYSTEM = family(SCOPED_RULE), family(SYSTEM_RULE)
ROTATIONS = range(48)


def pairs(name, lang, split):
    return [pair(name, lang, split, rotation, slot=0) for rotation in ROTATIONS]


def instances(name, lang, split):
    return list(itertools.chain(*pairs(name, lang, split)))


def rules_of(lang, split):
    forms = SCOPED.words[lang, split].rules
    scoped = [Rule(kind, tuple(marks)) for kind, form in forms.items() for marks in form.marks]
    tags = [Rule("suffix", (p.tag,)) for p in SYSTEM.words[lang, split].personas]
    return scoped + tags


def replies_of(lang):
    banks = [load_filler(TASKS, lang, split) for split in SPLITS]
    return [turn.assistant for bank in banks for thread in bank.threads for turn in thread]


class TestScriptedReplies:
    @pytest.mark.parametrize(
        ("kind", "marks", "lang", "plain", "marked"),
        [
            ("suffix", ("roger",), "en", "Understood.", "Understood, roger."),
            ("suffix", ("roger",), "en", "First this. Then that.", "First this. Then that. Roger."),
            ("suffix", ("roger",), "en", "Is that all?", "Is that all? Roger."),
            ("suffix", ("收到",), "zh", "明白。", "明白，收到。"),
            ("suffix", ("收到",), "zh", "先去尘，再刮水。", "先去尘，再刮水。收到。"),
            ("prefix", ("noted",), "en", "Understood.", "Noted. Understood."),
            ("prefix", ("报告",), "zh", "明白。", "报告，明白。"),
            ("wrap", ("[", "]"), "en", "Understood.", "[Understood.]"),
            ("wrap", ("【", "】"), "zh", "明白。", "【明白。】"),
            ("json", ("msg",), "en", 'Say "no".', '{"msg": "Say \\"no\\"."}'),
            ("suffix", ("#desk",), "en", "Understood.", "Understood. #desk"),
            ("suffix", ("【前台】",), "zh", "明白。", "明白。【前台】"),
        ],
    )
    def test_a_reply_takes_the_form_in_its_own_language(self, kind, marks, lang, plain, marked):
        assert apply_rule(Rule(kind, marks), plain, lang) == marked

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_every_filler_reply_obeys_every_rule_once_and_none_before(self, lang, split):
        for rule in rules_of(lang, split):
            for plain in replies_of(lang)[:: 7 if lang == "en" else 8]:
                marked = apply_rule(rule, plain, lang)
                assert follows(rule, marked), (rule, marked)
                assert not follows(rule, plain), (rule, plain)
                assert apply_rule(rule, marked, lang) == marked

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_no_filler_holds_a_mark(self, lang, split):
        words = [*SCOPED.words[lang, split].answers, *SYSTEM.words[lang, split].answers]
        brackets = [m for marks in SCOPED.words[lang, split].rules["wrap"].marks for m in marks]
        # Chinese filler quotes works and screen labels, never a whole reply.
        brackets = [mark for mark in brackets if mark not in "《》「」"]

        for thread in load_filler(TASKS, lang, split).threads:
            for turn in thread:
                text = f"{turn.user}\n{turn.assistant}"
                assert not named(text, words), turn
                assert not any(mark in text for mark in brackets), turn


class TestScopedRule:
    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_the_twins_expect_the_opposite_and_only_a_marks_the_replies(self, lang, split):
        for a, b in pairs(SCOPED_RULE, lang, split):
            assert list(a.questions) == ["in_scope", "out_of_scope"]
            assert [question.gold for question in a.instance.questions] == ["plain", "marked"]
            assert [question.gold for question in b.instance.questions] == ["marked", "plain"]
            rules = {question.rule for item in (a, b) for question in item.instance.questions}
            assert rules == {a.instance.marked}
            assert b.instance.marked is None

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_always_never_and_copied_marking_win_half_of_each_twin_group(self, lang, split):
        for both in pairs(SCOPED_RULE, lang, split):
            right = Counter()
            for item in both:
                for question in item.instance.questions:
                    marked = question.gold == "marked"
                    right["always"] += marked
                    right["never"] += not marked
                    right["copied"] += marked == (item.instance.marked is not None)
            assert right == dict.fromkeys(("always", "never", "copied"), 2)

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_the_statement_names_its_marks_and_scope_once(self, lang, split):
        for item in instances(SCOPED_RULE, lang, split):
            ((user, reply),) = item.turns
            assert item.instance.questions[0].rule.marks
            for mark in item.instance.questions[0].rule.marks:
                assert user.count(mark) == 1, user
                assert mark not in reply
            assert user.count(item.instance.evidence[0].context["scope"]) == 1, user

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_only_the_question_in_scope_is_about_the_scope(self, lang, split):
        words = SCOPED.words[lang, split]
        for scope in words.scopes:
            noun = scope.say.split(" ")[-1]
            assert all(noun in thing for thing in scope.things)
            assert not [thing for thing in words.outside if noun in thing]
            assert len(set(scope.things)) >= 4
            for other in words.scopes:
                if other is not scope:
                    assert not find_mentions(" ".join(other.things), [noun], {})

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_questions_mention_neither_rule_nor_mark(self, lang, split):
        for item in instances(SCOPED_RULE, lang, split):
            for text in itertools.chain(*item.phrasings.values()):
                assert not named(text, item.words.answers), text
                assert not [w for w in ("word", "rule", "JSON", "规矩", "标记") if w in text], text

    def test_every_block_of_four_rotations_holds_each_rule_and_each_scope_once(self):
        for slot, block in itertools.product(range(4), range(6)):
            for factor in ("rule", "scope", "evidence template"):
                levels = {
                    told(SCOPED_RULE, "en", "eval", "A", 4 * block + i, slot=slot).factors[factor]
                    for i in range(4)
                }
                assert levels == {"0", "1", "2", "3"}

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_words_of_a_scope_leave_enough_filler_for_the_longest_history(self, lang, split):
        bank = load_filler(TASKS, lang, split)
        enough = 150 if split == "eval" else 100
        assert len(SCOPED.words[lang, split].scopes) == 4
        for scope in SCOPED.words[lang, split].scopes:
            assert len(set(scope.barred)) >= 38
            assert without(bank, tuple(scope.barred)).exchanges >= enough, scope.say

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_each_kind_of_rule_has_several_marks(self, lang, split):
        forms = SCOPED.words[lang, split].rules
        assert tuple(forms) == KINDS
        assert [len(forms[kind].marks) for kind in KINDS] == [6, 6, 2, 4]
        words = SCOPED.words[lang, split].answers
        assert len(set(words)) == len(words)


class TestSystemRule:
    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_the_twins_differ_in_the_system_message_alone(self, lang, split):
        for a, b in pairs(SYSTEM_RULE, lang, split):
            assert (a.question.name, a.question.gold, b.question.gold) == ("tag", "marked", "plain")
            assert a.question.rule == a.instance.marked == b.instance.marked
            assert a.turns == b.turns == a.question.needs == ()
            assert a.system != b.system

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_the_system_message_spells_the_tag_once_and_the_question_never(self, lang, split):
        for item in instances(SYSTEM_RULE, lang, split):
            (tag,) = item.instance.marked.marks
            (phrasings,) = item.phrasings.values()
            assert item.system.count(tag) == 1
            assert len(phrasings) >= 4
            for question in phrasings:
                assert tag not in question
                assert ("tag" in question.lower()) or ("标记" in question) or ("落款" in question)

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_the_twins_are_about_equally_long(self, lang, split):
        assert SYSTEM.words[lang, split].systems
        for texts in SYSTEM.words[lang, split].systems:
            assert abs(len(texts.keep) - len(texts.drop)) <= 0.2 * len(texts.keep)
