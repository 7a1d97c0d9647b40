"""Whether a reply obeys a rule of form, and the word and score it gets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.probes.probe import Cluster, Probe, ProbeId, Rule
from qwen_bench.protocol import Reply
from qwen_bench.scoring.rule_form import follows
from qwen_bench.scoring.score import judge_text, score_reply

ROGER = Rule("suffix", ("roger",))
RECEIVED = Rule("suffix", ("收到",))
NOTED = Rule("prefix", ("noted",))
REPORT = Rule("prefix", ("报告",))
SQUARE = Rule("wrap", ("[", "]"))
LENS = Rule("wrap", ("【", "】"))
MSG = Rule("json", ("msg",))
DESK = Rule("suffix", ("#desk",))
FRONT = Rule("suffix", ("【前台】",))
FERRY = Rule("prefix", ("#ferry",))
POT = Rule("suffix", ("#potstudio",))
COLOURS = {"en": ("yellow", "blue", "red", "purple"), "zh": ("黄色", "蓝色", "红色", "紫色")}
RULES = (ROGER, RECEIVED, NOTED, REPORT, SQUARE, LENS, MSG, DESK, FRONT, FERRY)


def a_probe(
    rule: Rule, gold: str, *, forms: tuple[Rule, ...] = (), content: str = "", lang: str = "en"
) -> Probe:
    return Probe(
        id=ProbeId("rule-0/A/en/f.q/T1/main"),
        programme="rule",
        cluster=Cluster("rule-0"),
        variant="A",
        lang=lang,
        family="f",
        question="q",
        twin_group="g",
        condition="main",
        length=1,
        distance=0,
        distance_first=0,
        position=1.0,
        needs=(1,),
        question_text="?",
        gold=gold,
        candidates=COLOURS[lang] if content else (),
        rank_candidates=(),
        aliases={},
        answer_kind="rule",
        gold_abstains=False,
        chance=0.5,
        factors={},
        rule=rule,
        forms=forms,
        content=content,
    )


OBEYING = [
    (ROGER, "A hen, roger."),
    (ROGER, "A hen. Roger!"),
    (ROGER, "A hen. **ROGER**"),
    (ROGER, 'A hen. "roger".'),
    (ROGER, "A hen.\n\nＲｏｇｅｒ\n"),
    (ROGER, "<think>Which bird?</think>A hen, roger"),
    (ROGER, "A hen, roger<|im_end|>\n<|im_start|>user\nMore"),
    (ROGER, "A hen, roger.\nUser: and now?"),
    (RECEIVED, "母鸡，收到。"),
    (RECEIVED, "母鸡“收到”"),
    (NOTED, "Noted: a hen."),
    (NOTED, "**Noted.** A hen."),
    (NOTED, '"noted" a hen'),
    (REPORT, "报告，母鸡。"),
    (REPORT, "“报告”母鸡"),
    (SQUARE, "[A hen.]"),
    (SQUARE, "  [A [brown] hen.]\n"),
    (SQUARE, "［A hen.］"),
    (LENS, "【母鸡】"),
    (MSG, '{"msg": "A hen."}'),
    (MSG, '```json\n{\n  "msg": "A hen."\n}\n```'),
    (MSG, '```\n{"msg": "母鸡"}\n```'),
    (DESK, "A banana. #desk"),
    (DESK, "A banana. #Desk."),
    (FRONT, "香蕉。【前台】"),
    (FRONT, "香蕉【前台】。"),
    (FERRY, "#ferry A banana."),
    (FERRY, "**#Ferry**: a banana"),
]
STRAYING = [
    (ROGER, "A hen."),
    (ROGER, "Roger, a hen."),
    (ROGER, "A hen, Roger, of course."),
    (ROGER, "Ask Mr Kroger"),
    (RECEIVED, "收到，母鸡。"),
    (NOTED, "A hen, noted."),
    (NOTED, "Notedly a hen."),
    (NOTED, "Of course. Noted: a hen."),
    (REPORT, "母鸡，报告完了"),
    (SQUARE, "A hen."),
    (SQUARE, "[A hen.] Yes."),
    (SQUARE, "[A] or [B]"),
    (SQUARE, "[A hen."),
    (SQUARE, "[A hen.]]"),
    (LENS, "[母鸡]"),
    (MSG, '{"msg": ""}'),
    (MSG, '{"msg": 7}'),
    (MSG, '{"text": "A hen."}'),
    (MSG, '{"msg": "A hen.", "more": "x"}'),
    (MSG, '{"msg": "A hen.", "msg": "B"}'),
    (MSG, '[{"msg": "A hen."}]'),
    (MSG, 'Here: {"msg": "A hen."}'),
    (MSG, '{"msg": "A hen."'),
    (MSG, "[" * 100_000),
    (DESK, "#desk A banana."),
    (DESK, "A banana from the desk"),
    (FRONT, "香蕉，前台"),
    (FERRY, "A banana #ferry"),
    (FERRY, "#ferryman, a banana"),
]


@pytest.mark.parametrize(("rule", "raw"), OBEYING)
def test_a_reply_of_the_asked_form_follows_the_rule(rule, raw):
    assert follows(rule, raw)
    assert judge_text(a_probe(rule, "marked"), raw) == (1, "correct", None, 1, 1)
    assert judge_text(a_probe(rule, "plain"), raw) == (0, "followed", None, 0, 1)


@pytest.mark.parametrize(("rule", "raw"), STRAYING, ids=lambda value: str(value)[:30])
def test_a_reply_of_another_form_does_not(rule, raw):
    assert not follows(rule, raw)
    assert judge_text(a_probe(rule, "marked"), raw).score == 0


@pytest.mark.parametrize("rule", RULES)
def test_a_plain_reply_is_right_where_a_plain_one_is_due(rule):
    for raw in ("A hen.", "母鸡。", "**Hen**"):
        assert judge_text(a_probe(rule, "plain"), raw) == (1, "correct", None, 1, 1)
        assert judge_text(a_probe(rule, "marked"), raw) == (0, "not_followed", None, 0, 1)


@pytest.mark.parametrize(
    ("rule", "raw"),
    [(DESK, "Without #desk: a banana."), (FRONT, "【前台】香蕉"), (DESK, "#DESK x")],
)
def test_a_tag_that_is_due_nowhere_may_occur_nowhere(rule, raw):
    assert judge_text(a_probe(rule, "plain"), raw).reason == "followed"
    assert judge_text(a_probe(rule, "marked"), raw).reason == "not_followed"


def test_a_word_that_is_no_last_word_is_plain():
    assert judge_text(a_probe(ROGER, "plain"), "Roger is a name, a hen is a bird.").score == 1


@pytest.mark.parametrize(
    ("rule", "raw"),
    [
        (ROGER, "Roger."),
        (NOTED, "noted"),
        (SQUARE, "[ ]"),
        (MSG, '{"msg": "..."}'),
        (FRONT, "【前台】"),
    ],
)
def test_a_mark_without_a_word_is_no_answer_to_a_marked_question(rule, raw):
    assert judge_text(a_probe(rule, "marked"), raw) == (0, "empty", None, 0, 0)
    assert judge_text(a_probe(rule, "plain"), raw).reason == "followed"


@pytest.mark.parametrize("gold", ["marked", "plain"])
@pytest.mark.parametrize("rule", RULES)
def test_nothing_and_endless_reasoning_are_wrong_either_way(rule, gold):
    probe = a_probe(rule, gold)

    for raw in ("", " \n", "...", "<|im_end|>", "<think>done</think>"):
        assert judge_text(probe, raw) == (0, "empty", None, 0, 0)
    assert judge_text(probe, "<think>a hen, roger") == (0, "no_answer", None, 0, 0)


@pytest.mark.parametrize("gold", ["marked", "plain"])
@pytest.mark.parametrize(("rule", "raw"), [(ROGER, "A hen, roger"), (NOTED, "A hen that")])
def test_a_truncated_reply_is_wrong_whatever_it_shows(rule, raw, gold):
    probe = a_probe(rule, gold)
    reply = Reply(id=probe.id, mode="generate", status="truncated", text=raw)

    outcome = score_reply(probe, reply, ())

    assert (outcome.score, outcome.reason, outcome.output) == (0, "truncated", raw)


@given(st.text(max_size=200), st.sampled_from(RULES), st.sampled_from(("marked", "plain")))
def test_no_text_breaks_the_verifier(raw, rule, gold):
    verdict = judge_text(a_probe(rule, gold, forms=RULES, content="yellow"), raw)

    assert verdict.reason in {
        *("correct", "followed", "not_followed", "wrong_mark", "wrong_content", "empty"),
        "no_answer",
    }
    assert verdict.score == (verdict.reason == "correct") == (verdict.form and verdict.content)


@given(st.text(max_size=100), st.sampled_from(RULES))
def test_no_reply_is_right_both_as_marked_and_as_plain(raw, rule):
    assert sum(judge_text(a_probe(rule, gold), raw).score for gold in ("marked", "plain")) <= 1


YELLOW = {
    ("#potstudio", "en"): [
        ("Yellow #potstudio", "correct", 1, 1),
        ("A ripe lemon is yellow. #potstudio", "correct", 1, 1),
        ("Yellow", "not_followed", 0, 1),
        ("It is **yellow**, as you know.", "not_followed", 0, 1),
        ("I am sorry, I cannot help. #potstudio", "wrong_content", 1, 0),
        ("Blue #potstudio", "wrong_content", 1, 0),
        ("Yellow, blue, red or purple. #potstudio", "wrong_content", 1, 0),
        ("I don't know. #potstudio", "wrong_content", 1, 0),
        ("Blue.", "not_followed", 0, 0),
        ("Yellow, ahoy #ferry", "wrong_mark", 0, 1),
        ("#ferry Yellow #potstudio", "wrong_mark", 0, 1),
        ("Ahoy. Yellow. #potstudio", "wrong_mark", 0, 1),
        ("#potstudio", "empty", 0, 0),
        ("<think>yellow #potstudio", "no_answer", 0, 0),
    ],
    ("msg", "en"): [
        ('{"msg": "Yellow"}', "correct", 1, 1),
        ('```json\n{"msg": "\\u0059ellow."}\n```', "correct", 1, 1),
        ('{"msg": "Yellow, blue, red, purple"}', "wrong_content", 1, 0),
        ('{"answer": "Yellow"}', "not_followed", 0, 1),
        ('{"msg": "Yellow"} and blue', "not_followed", 0, 0),
    ],
    ("[ ]", "en"): [
        ("[Yellow]", "correct", 1, 1),
        ("[I cannot say]", "wrong_content", 1, 0),
        ("[Yellow] #ferry", "wrong_mark", 0, 1),
    ],
    ("【前台】", "zh"): [
        ("黄色。【前台】", "correct", 1, 1),
        ("【前台】黄色", "not_followed", 0, 1),
        ("抱歉，我无法回答。【前台】", "wrong_content", 1, 0),
        ("黄色。【车铺】", "wrong_mark", 0, 1),
    ],
    ("msg", "zh"): [
        ('{"msg": "\\u9ec4\\u8272"}', "correct", 1, 1),
        ("黄色", "not_followed", 0, 1),
    ],
}
ALL_FORMS = (
    POT,
    MSG,
    SQUARE,
    FRONT,
    FERRY,
    Rule("prefix", ("ahoy",)),
    Rule("suffix", ("【车铺】",)),
)


@pytest.mark.parametrize(
    ("place", "raw", "wanted"),
    [(place, raw, wanted) for place, rows in YELLOW.items() for raw, *wanted in rows],
    ids=lambda value: str(value)[:40],
)
def test_a_reply_is_right_if_it_keeps_the_rule_and_names_the_right_thing(place, raw, wanted):
    marks, lang = place
    rule = next(rule for rule in ALL_FORMS if rule.gold == marks)
    probe = a_probe(rule, marks, forms=ALL_FORMS, content=COLOURS[lang][0], lang=lang)

    verdict = judge_text(probe, raw)

    assert [verdict.reason, verdict.form, verdict.content] == wanted
    assert verdict.score == (verdict.form and verdict.content)


def test_a_plain_reply_is_due_where_no_rule_holds_and_must_say_the_right_thing_too():
    probe = a_probe(POT, "plain", forms=(POT, FERRY), content="yellow")

    assert judge_text(probe, "Yellow.")[:2] == (1, "correct")
    assert judge_text(probe, "Blue.")[:2] == (0, "wrong_content")
    assert judge_text(probe, "Yellow #potstudio")[:2] == (0, "followed")
    assert judge_text(probe, "#ferry Yellow")[:2] == (0, "wrong_mark")


def test_the_match_of_a_right_content_points_into_the_reply():
    probe = a_probe(POT, "#potstudio", content="yellow")

    start, end = judge_text(probe, "It is Yellow. #potstudio").matched

    assert "It is Yellow. #potstudio"[start:end] == "Yellow"
    assert judge_text(a_probe(MSG, "msg", content="yellow"), '{"msg": "yellow"}').matched is None


def test_rows_tell_form_and_content_of_rules_and_neither_of_other_questions():
    probe = a_probe(POT, "#potstudio", content="yellow")
    other = replace(probe, rule=None, gold="yellow", answer_kind="single")

    def row(asked, **reply):
        return score_reply(asked, Reply(id=asked.id, mode="generate", **reply), ())

    kept = [
        (row(asked, **reply).form, row(asked, **reply).content)
        for asked in (probe, other)
        for reply in (
            {"status": "ok", "text": "Yellow"},
            {"status": "truncated", "text": "Yellow #potstudio"},
            {"status": "empty", "text": ""},
            {"status": "refused"},
            {"status": "error", "error_type": "E"},
        )
    ]

    assert kept[:5] == [(0, 1), (0, 1), (0, 0), (0, 0), (None, None)]
    assert kept[5:] == [(None, None)] * 5
