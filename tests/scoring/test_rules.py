"""Whether a reply obeys a rule of form, and the word and score it gets."""

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
RULES = (ROGER, RECEIVED, NOTED, REPORT, SQUARE, LENS, MSG, DESK, FRONT)


def a_probe(rule: Rule, gold: str) -> Probe:
    return Probe(
        id=ProbeId("rule-0/A/en/f.q/T1/main"),
        programme="rule",
        cluster=Cluster("rule-0"),
        variant="A",
        lang="en",
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
        candidates=(),
        rank_candidates=(),
        aliases={},
        answer_kind="rule",
        gold_abstains=False,
        chance=0.5,
        factors={},
        rule=rule,
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
]


@pytest.mark.parametrize(("rule", "raw"), OBEYING)
def test_a_reply_of_the_asked_form_follows_the_rule(rule, raw):
    assert follows(rule, raw)
    assert judge_text(a_probe(rule, "marked"), raw) == (1, "correct", None)
    assert judge_text(a_probe(rule, "plain"), raw) == (0, "followed", None)


@pytest.mark.parametrize(("rule", "raw"), STRAYING, ids=lambda value: str(value)[:30])
def test_a_reply_of_another_form_does_not(rule, raw):
    assert not follows(rule, raw)
    assert judge_text(a_probe(rule, "marked"), raw).score == 0


@pytest.mark.parametrize("rule", RULES)
def test_a_plain_reply_is_right_where_a_plain_one_is_due(rule):
    for raw in ("A hen.", "母鸡。", "**Hen**"):
        assert judge_text(a_probe(rule, "plain"), raw) == (1, "correct", None)
        assert judge_text(a_probe(rule, "marked"), raw) == (0, "not_followed", None)


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
    assert judge_text(a_probe(rule, "marked"), raw) == (0, "empty", None)
    assert judge_text(a_probe(rule, "plain"), raw).reason == "followed"


@pytest.mark.parametrize("gold", ["marked", "plain"])
@pytest.mark.parametrize("rule", RULES)
def test_nothing_and_endless_reasoning_are_wrong_either_way(rule, gold):
    probe = a_probe(rule, gold)

    for raw in ("", " \n", "...", "<|im_end|>", "<think>done</think>"):
        assert judge_text(probe, raw) == (0, "empty", None)
    assert judge_text(probe, "<think>a hen, roger") == (0, "no_answer", None)


@pytest.mark.parametrize("gold", ["marked", "plain"])
@pytest.mark.parametrize(("rule", "raw"), [(ROGER, "A hen, roger"), (NOTED, "A hen that")])
def test_a_truncated_reply_is_wrong_whatever_it_shows(rule, raw, gold):
    probe = a_probe(rule, gold)
    reply = Reply(id=probe.id, mode="generate", status="truncated", text=raw)

    outcome = score_reply(probe, reply, ())

    assert (outcome.score, outcome.reason, outcome.output) == (0, "truncated", raw)


@given(st.text(max_size=200), st.sampled_from(RULES), st.sampled_from(("marked", "plain")))
def test_no_text_breaks_the_verifier(raw, rule, gold):
    verdict = judge_text(a_probe(rule, gold), raw)

    assert verdict.reason in {"correct", "followed", "not_followed", "empty", "no_answer"}
    assert verdict.score == (verdict.reason == "correct")


@given(st.text(max_size=100), st.sampled_from(RULES))
def test_no_reply_is_right_both_as_marked_and_as_plain(raw, rule):
    assert sum(judge_text(a_probe(rule, gold), raw).score for gold in ("marked", "plain")) <= 1
