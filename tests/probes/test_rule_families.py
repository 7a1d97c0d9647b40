"""Rules for the form of some replies, and the two families that ask for them."""

import itertools
import re
from collections import Counter, defaultdict
from functools import cache

import pytest
import yaml

from qwen_bench.probes.builders.instruction_retention import KINDS
from qwen_bench.probes.probe import (
    LANGS,
    LEVELS,
    WORDINGS,
    Cluster,
    Probe,
    ProbeId,
    Rule,
    apply_rule,
)
from qwen_bench.scoring.rule_form import follows
from qwen_bench.scoring.score import judge_text
from qwen_bench.solvers.solver_engine import find_solver

from .instances import EVERY, TASKS, family, mentions, pair, told

TOLD, SYSTEM = "instruction_retention", "system_rule"
FAMILIES = (TOLD, SYSTEM)
EVERYWHERE = [(name, lang, split) for name in FAMILIES for lang, split in EVERY]
ROTATIONS = range(48)
PASTED = 4
SHORTCUTS = ("follow", "never-follow", "copycat", "blind", "constant", "longest")


def pairs(name, lang, split, level, rotations=ROTATIONS):
    for rotation in rotations:
        wording = WORDINGS[rotation % 2]
        yield pair(name, lang, split, rotation, level=level, wording=wording, slot=rotation % 4)


def instances(name, lang, split, level, rotations=ROTATIONS):
    return itertools.chain(*pairs(name, lang, split, level, rotations))


def text_of(item):
    return item.system or item.users[0]


def rules_of(name, lang, split):
    words = family(name).words[lang, split] if split != "lures" else family(name).lures[lang]
    if name == SYSTEM:
        return [Rule(kind, (tag,)) for kind in ("suffix", "prefix") for tag in words.tags]
    return [Rule(kind, tuple(m)) for kind, form in words.rules.items() for m in form.marks]


def a_probe(rule, content, candidates, lang, **more):
    """A probe that wants a form and a content."""
    fixed = {
        "id": ProbeId("rule-0/A/en/f.q/T1/main"),
        "programme": "rule",
        "cluster": Cluster("rule-0"),
        "variant": "A",
        "family": "f",
        "question": "q",
        "twin_group": "g",
        "condition": "main",
        "length": 1,
        "distance": 0,
        "distance_first": 0,
        "position": 1.0,
        "needs": (1,),
        "rank_candidates": (),
        "answer_kind": "rule",
        "gold_abstains": False,
        "chance": 0.0,
        "factors": {},
        "aliases": {},
        "question_text": "?",
        "gold": rule.gold,
    }
    asked = {"lang": lang, "rule": rule, "content": content, "candidates": candidates}
    return Probe(**(fixed | asked | more))


def probe_of(item):
    """The question of an instance as a probe."""
    question = item.question
    return a_probe(
        question.rule,
        question.content,
        question.candidates,
        item.lang,
        gold=question.gold,
        forms=question.forms,
        aliases=question.aliases,
        question_text=item.asked["form"],
    )


@cache
def bank(lang):
    """Requests and replies of the bank, each reply in each of its lengths."""
    requests, replies = [], []
    for path in sorted((TASKS / "bank" / lang).glob("*.yaml")):
        for thread in yaml.safe_load(path.read_text("utf-8"))["threads"]:
            for turn in thread["turns"]:
                requests.append(turn["request"].strip())
                parts = [turn[pace].strip() for pace in ("brief", "chat", "long") if pace in turn]
                replies += ["\n\n".join(parts[: i + 1]) for i in range(len(parts))]
    return requests, replies


class TestReplies:
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
            ("prefix", ("#desk",), "en", "Understood.", "#desk Understood."),
            ("prefix", ("【前台】",), "zh", "明白。", "【前台】明白。"),
        ],
    )
    def test_a_reply_takes_the_form_in_its_own_language(self, kind, marks, lang, plain, marked):
        assert apply_rule(Rule(kind, marks), plain, lang) == marked
        assert apply_rule(Rule(kind, marks), marked, lang) == marked

    @pytest.mark.parametrize(("name", "lang", "split"), EVERYWHERE)
    def test_no_reply_of_the_bank_has_a_form_that_a_rule_asks_for_whatever_is_in_it(
        self, name, lang, split
    ):
        _, replies = bank(lang)
        for rule in rules_of(name, lang, split):
            for plain in replies:
                assert not follows(rule, plain), (rule, plain)

    @pytest.mark.parametrize(("name", "lang", "split"), EVERYWHERE)
    def test_a_reply_with_tables_code_and_lists_can_take_every_form(self, name, lang, split):
        _, replies = bank(lang)
        long = [text for text in replies if "```" in text][:3]
        long += [text for text in replies if "|---" in text][:3]
        assert len(long) == 6
        for rule, plain in itertools.product(rules_of(name, lang, split), long):
            marked = apply_rule(rule, plain, lang)
            assert follows(rule, marked), (rule, marked)
            assert apply_rule(rule, marked, lang) == marked

    @pytest.mark.parametrize(("name", "lang", "split"), EVERYWHERE)
    def test_the_bank_holds_no_mark(self, name, lang, split):
        texts = "\n".join(itertools.chain(*bank(lang))).casefold()

        for rule in rules_of(name, lang, split):
            assert not [mark for mark in rule.marks if mark.casefold() in texts], rule


def quoted(rule, lang):
    """A form's marks as texts show them: words and keys in quotes, signs as they are."""
    if rule.kind == "wrap":
        between = "" if lang == "zh" else " and "
        return f"{rule.marks[0]}{between}{rule.marks[1]}"
    mark = rule.marks[0]
    if mark[0] in "#【":
        return mark
    return f"“{mark}”" if lang == "zh" else f'"{mark}"'


# What stands before a sign that a reply has to end with.
AT_END = {
    ("en", "eval"): "end the reply with the tag ",
    ("en", "train"): "close whatever you write by adding ",
    ("zh", "eval"): "回复末尾加上标记",
    ("zh", "train"): "说完话缀上",
}


def forms_in(item, text):
    """The forms that a text asks for, in its order, found by their words alone."""
    found = []
    for rule in rules_of(item.family.name, item.lang, item.split):
        for place in re.finditer(re.escape(quoted(rule, item.lang)), text):
            before = text[: place.start()]
            if item.family.name == SYSTEM:
                at_end = before.endswith(AT_END[item.lang, item.split])
                if at_end is not (rule.kind == "suffix"):
                    continue
            found.append((place.start(), rule))
    return [rule for _, rule in sorted(found, key=lambda pair: pair[0])]


def keys_in(item, text):
    """The keys that a text names, in its order."""
    names = item.words.keys
    return [mention.candidate for mention in mentions(text, names)]


def read(item, level, asked):
    """The form due for the asked key, read from the text alone."""
    text = text_of(item)
    forms, keys = forms_in(item, text), keys_in(item, text)
    if level == 1:
        assert keys == [asked]
        (only,) = forms
        return only
    if level == 2:
        (named_twice,) = [key for key, count in Counter(keys).items() if count == 2]
        assert len(set(keys)) == 3
        return forms[1] if named_twice == asked else forms[0]
    if level == 3:
        (changed,) = [key for key, count in Counter(keys).items() if count == 2]
        # Half of the templates name the change before both rules, half behind them.
        template = int(item.factors.get("evidence template", item.factors.get("system template")))
        new_first = template % 2 == 1
        new, old = (forms[0], forms[1:]) if new_first else (forms[-1], forms[:-1])
        rest = keys[1:] if new_first else keys[:-1]
        return new if changed == asked else old[rest.index(asked)]
    return read_pasted(item, text, asked)


CLAUSE = re.compile(r"\n|; |；|, and |，(?=第)|: (?=no\.|item)|：(?=第|[0-9]号)")


def read_pasted(item, text, asked):
    """The same of a list of numbered rules and of changes that name the numbers."""
    rules, changed, revoked = {}, {}, set()
    for clause in re.split(
        r"\n|; |；|，and |, and |，(?=第)|: (?=no\.|item)|：(?=第|[0-9]号)", text
    ):
        number = re.search(r"[1-9]", clause)
        if number is None:
            continue
        forms, keys = forms_in(item, clause), keys_in(item, clause)
        if keys:
            (rules[number[0]],) = [(keys[0], *forms)]
        elif forms:
            (changed[number[0]],) = forms
        else:
            revoked.add(number[0])
    assert len(rules) == 3
    assert len(revoked) == 1
    (due,) = [
        changed.get(number, form)
        for number, (key, form) in rules.items()
        if key == asked and number not in revoked
    ]
    return due


@pytest.mark.parametrize("level", range(1, LEVELS + 1))
@pytest.mark.parametrize(("name", "lang", "split"), EVERYWHERE)
class TestEveryLevel:
    def test_the_gold_is_what_an_independent_reading_of_the_text_gives(
        self, name, lang, split, level
    ):
        for item in instances(name, lang, split, level):
            question = item.question
            assert read(item, level, question.key_words[0]) == question.rule, text_of(item)
            assert question.gold == " ".join(question.rule.marks)

    def test_the_twins_ask_the_same_and_want_another_form(self, name, lang, split, level):
        for a, b in pairs(name, lang, split, level):
            assert a.asked == b.asked
            assert a.question.candidates == b.question.candidates
            assert a.question.content == b.question.content
            assert a.question.forms == b.question.forms
            assert a.question.gold != b.question.gold
            assert {a.question.rule, b.question.rule} <= set(a.question.forms)
            assert len(set(a.question.forms)) == len(a.question.forms)
            assert abs(len(text_of(a)) - len(text_of(b))) <= 0.2 * len(text_of(a))
            assert a.replies == b.replies

    def test_each_form_is_told_once_and_the_question_tells_none(self, name, lang, split, level):
        for item in instances(name, lang, split, level, range(12)):
            forms = forms_in(item, text_of(item))
            assert len(forms) == len(set(forms)) == (1, 2, 3, 3, 4)[level - 1]
            assert set(forms) <= set(item.question.forms)
            for text in (*item.replies, *item.phrasings["form"]):
                folded = text.casefold()
                marks = [m for rule in item.question.forms for m in rule.marks]
                assert not [mark for mark in marks if mark.casefold() in folded], text

    def test_shortcuts_score_what_is_declared_and_win_no_twin_group(self, name, lang, split, level):
        declared = family(name).task.shortcuts
        assert set(declared) == set(SHORTCUTS)
        history = ()
        for solver in SHORTCUTS:
            won, groups = [], []
            for both in pairs(name, lang, split, level):
                scores = [
                    judge_text(probe_of(item), find_solver(solver)(probe_of(item), history)).score
                    for item in both
                ]
                won += scores
                groups.append(all(scores))
            assert sum(won) / len(won) == declared[solver], solver
            assert not any(groups), solver

    def test_the_first_and_the_last_form_told_are_right_in_half_at_most(
        self, name, lang, split, level
    ):
        won = defaultdict(list)
        for item in instances(name, lang, split, level, range(120)):
            forms = forms_in(item, text_of(item))
            won["primacy"].append(forms[0] == item.question.rule)
            won["recency"].append(forms[-1] == item.question.rule)
        for solver, right in won.items():
            # At level 1 there is one form to know.
            assert sum(right) / len(right) <= (1 if level == 1 else 0.55), solver

    def test_the_oracle_is_right_and_a_reply_of_the_other_form_or_another_thing_is_not(
        self, name, lang, split, level
    ):
        oracle = find_solver("oracle")
        for item in instances(name, lang, split, level, range(12)):
            probe = probe_of(item)
            assert judge_text(probe, oracle(probe, ())).score == 1
            for form in probe.forms:
                if form != probe.rule:
                    said = apply_rule(form, probe.content, lang)
                    assert judge_text(probe, said)[::3] == (0, 0), said
            for other in set(probe.candidates) - {probe.content}:
                verdict = judge_text(probe, apply_rule(probe.rule, other, lang))
                assert (verdict.form, verdict.content) == (1, 0), other

    def test_levels_up_to_three_are_told_in_sentences_and_the_others_pasted(
        self, name, lang, split, level
    ):
        for item in instances(name, lang, split, level, range(12)):
            text = text_of(item)
            assert ("\n" in text) is (level >= PASTED)
            assert len(text) < (1100 if lang == "en" else 420)
            if level == 1 and name == TOLD:
                assert (8 <= len(text.split()) <= 28) if lang == "en" else (12 <= len(text) <= 55)
            assert not item.system or not item.turns


class TestWords:
    @pytest.mark.parametrize(("name", "lang", "split"), EVERYWHERE)
    def test_there_are_48_marks_20_keys_and_enough_texts(self, name, lang, split):
        words = family(name).words[lang, split]
        assert len(set(words.answers)) == len(words.answers) >= 48
        assert len(set(words.keys)) == len(words.keys) >= 20
        assert min(len(words.questions.lexical), len(words.questions.paraphrase)) >= 4
        for level in range(1, LEVELS + 1):
            if name == SYSTEM:
                assert len(words.systems.of(level)) >= 4
            else:
                told_by = words.evidence.of(level)
                assert len(told_by.users) >= 4
                assert len(told_by.assistant) >= 3

    @pytest.mark.parametrize("lang", LANGS)
    def test_remarks_that_are_never_asked_about_have_marks_and_keys_of_their_own(self, lang):
        host = family(TOLD)
        lures = host.lures[lang]
        assert len(set(lures.answers)) >= 24
        assert len(set(lures.keys)) >= 20
        for split in ("eval", "train"):
            words = host.words[lang, split]
            assert not set(lures.answers) & set(words.answers)
            assert not set(lures.keys) & set(words.keys)
        assert not {m for r in rules_of(TOLD, lang, "lures") for m in r.marks} & {
            m for s in ("eval", "train") for r in rules_of(TOLD, lang, s) for m in r.marks
        }

    @pytest.mark.parametrize("level", range(1, LEVELS + 1))
    @pytest.mark.parametrize("lang", LANGS)
    def test_such_remarks_have_the_form_of_evidence_and_are_about_no_reply(self, lang, level):
        reply = re.compile(r"\b(?:reply|replies|answers?|you|your)\b|回复|回答|你|提问")
        lures, rules = (
            [
                told(TOLD, lang, split, "A", rotation, level=level, slot=rotation % 4).users[0]
                for rotation in ROTATIONS
            ]
            for split in ("lures", "eval")
        )
        for user in lures:
            assert not reply.search(user), user
        assert {user.count("\n") for user in lures} == {user.count("\n") for user in rules}
        assert 0.8 <= sum(map(len, lures)) / sum(map(len, rules)) <= 1.25

    @pytest.mark.parametrize("name", FAMILIES)
    @pytest.mark.parametrize("split", ["eval", "train"])
    def test_lists_of_both_languages_have_equal_lengths(self, name, split):
        def shape(node):
            if isinstance(node, dict):
                return {key: shape(value) for key, value in node.items() if key != "also"}
            if isinstance(node, (list, tuple)):
                return [len(node), *(shape(v) for v in node if isinstance(v, (dict, list)))]
            return None

        en, zh = (family(name).words[lang, split].model_dump() for lang in LANGS)
        assert shape(en) == shape(zh)

    def test_lists_of_remarks_never_asked_about_have_equal_lengths_too(self):
        en, zh = (family(TOLD).lures[lang] for lang in LANGS)
        assert len(en.keys) == len(zh.keys)
        for kind in KINDS:
            assert len(en.rules[kind].marks) == len(zh.rules[kind].marks)
        for level in range(1, LEVELS + 1):
            for part in ("users", "assistant"):
                lists = [getattr(words.evidence.of(level), part) for words in (en, zh)]
                assert len(lists[0]) == len(lists[1])

    @pytest.mark.parametrize(("name", "lang", "split"), EVERYWHERE)
    def test_a_paraphrase_shares_no_content_word_with_its_key(self, name, lang, split):
        words = family(name).words[lang, split]
        small = {"the", "a", "of", "my", "and", "that", "who", "in", "at", "on", "with", "to"}
        for key in words.occasions if name == TOLD else words.guests:
            if lang == "en":
                said, asked = (set(re.findall(r"[a-z]+", t.lower())) for t in (key.say, key.ask))
                assert not (said & asked) - small, key
            else:
                pieces = {key.say[i : i + 2] for i in range(len(key.say) - 1)}
                assert not [piece for piece in pieces if piece in key.ask], key

    @pytest.mark.parametrize(("name", "lang", "split"), EVERYWHERE)
    def test_the_lexical_wording_names_the_key_and_the_other_one_does_not(self, name, lang, split):
        for rotation in range(12):
            lexical, paraphrase = (
                told(name, lang, split, "A", rotation, wording=wording) for wording in WORDINGS
            )
            key = lexical.question.key_words[0]
            assert all(key in text for text in lexical.phrasings["form"])
            assert not [text for text in paraphrase.phrasings["form"] if key in text]

    @pytest.mark.parametrize(("name", "lang", "split"), EVERYWHERE)
    def test_questions_name_no_answer_and_every_answer_is_told_from_the_others(
        self, name, lang, split
    ):
        rule = rules_of(name, lang, split)[0]
        for thing in family(name).words[lang, split].things:
            options = (thing.answer, *thing.others)
            aliases = {thing.answer: tuple(thing.also)}
            assert len(set(options)) == 4
            assert not mentions(thing.ask, options, aliases), thing
            probe = a_probe(rule, thing.answer, options, lang, aliases=aliases)
            for said in (thing.answer, *thing.also):
                assert judge_text(probe, apply_rule(rule, said, lang)).score == 1, said

    @pytest.mark.parametrize(("name", "lang", "split"), EVERYWHERE)
    def test_no_question_and_no_remark_never_asked_about_holds_a_mark(self, name, lang, split):
        words = family(name).words[lang, split]
        keys = words.occasions if name == TOLD else words.guests
        texts = [words.questions, *keys, *words.things, family(TOLD).lures[lang]]
        texts = "\n".join(str(text.model_dump()) for text in texts).casefold()
        options = [option for thing in words.things for option in (thing.answer, *thing.others)]
        options += [form for thing in words.things for form in thing.also]
        asked = [*words.questions.lexical, *words.questions.paraphrase]
        asked += [text for key in keys for text in (key.say, key.ask)]

        assert not mentions(re.sub(r"\{\{.*?\}\}", "", "\n".join(asked)), options)

        for rule in rules_of(name, lang, split):
            assert not [mark for mark in rule.marks if mark.casefold() in texts], rule

    @pytest.mark.parametrize(("name", "lang", "split"), EVERYWHERE)
    def test_no_mark_changes_what_a_reply_says(self, name, lang, split):
        things = family(name).words[lang, split].things
        options = [option for thing in things for option in (thing.answer, *thing.others)]
        for rule in rules_of(name, lang, split):
            assert not mentions(" ".join(rule.marks), options), rule
            first = things[0]
            probe = a_probe(rule, first.answer, (first.answer, *first.others), lang)
            assert judge_text(probe, apply_rule(rule, first.answer, lang)).score == 1, rule
