"""Rules on scripted replies, and the two families that ask for them."""

import itertools
from collections import Counter

import pytest

from qwen_bench.probes.builders.instruction_retention import KINDS
from qwen_bench.probes.definitions import load_family
from qwen_bench.probes.filler import load_filler, without
from qwen_bench.probes.instance import Brief
from qwen_bench.probes.probe import LANGS, Rule, apply_rule
from qwen_bench.probes.seeded_draws import Draw
from qwen_bench.probes.word_templates import render
from qwen_bench.resources import data_folder
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise
from qwen_bench.scoring.rule_form import follows

TASKS = data_folder("tasks")
SCOPED = load_family(TASKS / "instruction_retention")
SYSTEM = load_family(TASKS / "system_rule")
SPLITS = ("eval", "train")
EVERY = list(itertools.product(LANGS, SPLITS))
ROTATIONS = range(48)


def built(family, lang, split, rotation, variant, *, slot=0):
    draw = Draw(("t",), family.name, slot, rotation)
    stages = family.task.evidence_turns[0]
    brief = Brief(draw, variant, (family.name,), stages, family.task.params, 8)
    return family.builder.build(brief, family.words[lang, split]), draw


def rendered(family, lang, stage):
    texts = (stage.user, stage.assistant)
    return tuple(render(text, stage.context, family.joins[lang]) for text in texts)


def asked(family, lang, split, question, level=0):
    template = family.words[lang, split].questions[level]
    return render(template, question.context, family.joins[lang])


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
                assert not find_mentions(normalise(text).text, words, {}), turn
                assert not any(mark in text for mark in brackets), turn


class TestScopedRule:
    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_the_twins_ask_the_same_and_expect_the_opposite(self, lang, split):
        for rotation in ROTATIONS:
            (a, draw_a), (b, draw_b) = (
                built(SCOPED, lang, split, rotation, variant) for variant in "AB"
            )
            assert draw_a.factors == draw_b.factors
            assert [q.name for q in a.questions] == ["in_scope", "out_of_scope"]
            assert [q.gold for q in a.questions] == ["plain", "marked"]
            assert [q.gold for q in b.questions] == ["marked", "plain"]
            assert [q.context for q in a.questions] == [q.context for q in b.questions]
            assert a.barred == b.barred
            assert a.marked == a.questions[0].rule == b.questions[0].rule
            assert b.marked is None
            assert rendered(SCOPED, lang, a.evidence[0]) != rendered(SCOPED, lang, b.evidence[0])

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_always_never_and_copied_marking_win_half_of_each_twin_group(self, lang, split):
        for rotation in ROTATIONS:
            right = Counter()
            for variant in "AB":
                instance, _ = built(SCOPED, lang, split, rotation, variant)
                for question in instance.questions:
                    right["always"] += question.gold == "marked"
                    right["never"] += question.gold == "plain"
                    right["copied"] += (question.gold == "marked") == (instance.marked is not None)
            assert set(right.values()) == {2}

    def test_both_languages_make_the_same_draws(self):
        for split, rotation, variant in itertools.product(SPLITS, ROTATIONS, "AB"):
            (en, draw_en), (zh, draw_zh) = (
                built(SCOPED, lang, split, rotation, variant) for lang in LANGS
            )
            assert draw_en.factors == draw_zh.factors
            assert [q.rule.kind for q in en.questions] == [q.rule.kind for q in zh.questions]

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_the_statement_names_its_marks_and_scope_once(self, lang, split):
        for rotation, variant in itertools.product(ROTATIONS, "AB"):
            instance, _ = built(SCOPED, lang, split, rotation, variant)
            (stage,) = instance.evidence
            user, assistant = rendered(SCOPED, lang, stage)
            for mark in instance.questions[0].rule.marks:
                assert user.count(mark) == 1, user
                assert mark not in assistant
            assert user.count(stage.context["scope"]) == 1, user

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
        marks = SCOPED.words[lang, split].answers
        for rotation, level in itertools.product(ROTATIONS, range(4)):
            instance, _ = built(SCOPED, lang, split, rotation, "A")
            for question in instance.questions:
                text = asked(SCOPED, lang, split, question, level)
                assert not find_mentions(normalise(text).text, marks, {}), text
                assert not [w for w in ("word", "rule", "JSON", "规矩", "标记") if w in text], text

    def test_every_block_of_four_rotations_holds_each_rule_and_each_scope_once(self):
        for slot, block in itertools.product(range(4), range(6)):
            for factor in ("rule", "scope", "evidence template"):
                levels = {
                    built(SCOPED, "en", "eval", 4 * block + i, "A", slot=slot)[1].factors[factor]
                    for i in range(4)
                }
                assert levels == {"0", "1", "2", "3"}

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_words_of_a_scope_leave_enough_filler_for_the_longest_history(self, lang, split):
        bank = load_filler(TASKS, lang, split)
        enough = 150 if split == "eval" else 100
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
        for rotation in ROTATIONS:
            (a, draw_a), (b, draw_b) = (
                built(SYSTEM, lang, split, rotation, variant) for variant in "AB"
            )
            (ask_a,), (ask_b,) = a.questions, b.questions
            assert draw_a.factors == draw_b.factors
            assert (ask_a.name, ask_a.gold, ask_b.gold) == ("tag", "marked", "plain")
            assert ask_a.context == ask_b.context
            assert ask_a.rule == ask_b.rule == a.marked == b.marked
            assert a.evidence == b.evidence == ask_a.needs == ()
            assert a.system != b.system

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_the_system_message_spells_the_tag_once_and_the_question_never(self, lang, split):
        for rotation, variant in itertools.product(range(64), "AB"):
            instance, _ = built(SYSTEM, lang, split, rotation, variant)
            (tag,) = instance.marked.marks
            system = render(instance.system, instance.system_context, SYSTEM.joins[lang])
            assert system.count(tag) == 1
            for level in range(4):
                question = asked(SYSTEM, lang, split, instance.questions[0], level)
                assert tag not in question
                assert ("tag" in question.lower()) or ("标记" in question) or ("落款" in question)

    def test_both_languages_make_the_same_draws(self):
        for split, rotation in itertools.product(SPLITS, ROTATIONS):
            en, zh = (built(SYSTEM, lang, split, rotation, "A")[1].factors for lang in LANGS)
            assert en == zh

    @pytest.mark.parametrize(("lang", "split"), EVERY)
    def test_the_twins_are_about_equally_long(self, lang, split):
        for texts in SYSTEM.words[lang, split].systems:
            assert abs(len(texts.keep) - len(texts.drop)) <= 0.2 * len(texts.keep)
