"""The parser table of the probe specification, section 6.5, and properties beside it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.probes.model import Cluster, Probe, ProbeId
from qwen_bench.scoring.judge import judge_ranking, judge_text
from qwen_bench.scoring.normalise import normalise

ROOMS = ("Willow", "Cedar", "Hazel")
HALLS = ("望江厅", "听泉厅", "映月厅")


def a_probe(
    gold: str,
    candidates: tuple[str, ...],
    lang: str = "en",
    aliases: dict[str, tuple[str, ...]] | None = None,
    *,
    abstain: bool = False,
) -> Probe:
    return Probe(
        id=ProbeId("mixed-0/A/en/f.q/T1/main"),
        programme="mixed",
        cluster=Cluster("mixed-0"),
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
        candidates=candidates,
        rank_candidates=candidates,
        aliases=aliases or {},
        answer_kind="abstain" if abstain else "single",
        gold_abstains=abstain,
        chance=0.25,
        factors={},
    )


WILLOW = a_probe("Willow", ROOMS)
HALL = a_probe("望江厅", HALLS, "zh", {h: (h.removesuffix("厅"),) for h in HALLS})
TWELFTH = a_probe("12", ("12", "2"), aliases={"12": ("12th", "twelfth"), "2": ("2nd", "second")})
MARCH = a_probe(
    "3月5日",
    ("3月5日", "3月15日"),
    "zh",
    {
        "3月5日": ("3月5号", "三月五日", "三月五号"),
        "3月15日": ("3月15号", "三月十五日", "三月十五号"),
    },
)
NEVER = a_probe("not mentioned", ROOMS, abstain=True)
NEVER_ZH = a_probe("没提过", HALLS, "zh", abstain=True)

TABLE = [
    (1, WILLOW, "Willow", "correct"),
    (2, WILLOW, "The choir uses the Willow Room.", "correct"),
    (3, WILLOW, "Sure! Based on what you told me, it is now **Willow**.", "correct"),
    (4, WILLOW, "“Willow”", "correct"),
    (5, WILLOW, "ＷＩＬＬＯＷ ＲＯＯＭ", "correct"),
    (6, WILLOW, "willow's room", "correct"),
    (7, WILLOW, "<think>Cedar was the old one.</think>\n\nWillow", "correct"),
    (8, WILLOW, "Cedar was before.</think>Willow", "correct"),
    (9, WILLOW, "<think>It moved from Cedar to Willow", "no_answer"),
    (10, WILLOW, "They had Cedar first. Final answer: Willow", "correct"),
    (11, WILLOW, "Answer: Cedar, then Willow", "multiple"),
    (12, WILLOW, "Cedar", "wrong_candidate"),
    (13, WILLOW, "Cedar, Willow, Hazel", "multiple"),
    (14, WILLOW, "It was Cedar, now Willow", "multiple"),
    (15, WILLOW, "Hazel... no, wait, Willow", "multiple"),
    (16, WILLOW, "Willow, not Cedar", "multiple"),
    (17, WILLOW, "It is not Willow.", "negated"),
    (18, WILLOW, "I'm not sure, but Willow", "correct"),
    (19, WILLOW, "You never told me which room it was.", "abstained"),
    (20, WILLOW, "The usual one", "no_candidate"),
    (21, WILLOW, "The Willowbrook Room", "no_candidate"),
    (22, WILLOW, "Willow<|im_end|>\n<|im_start|>user\nCedar?", "correct"),
    (23, WILLOW, "Willow\nuser\nAnd Cedar?\nassistant\nHazel", "correct"),
    (24, WILLOW, "Willow Room is the one that the choir has been", "correct"),
    (25, WILLOW, "", "empty"),
    (26, TWELFTH, "The 12th.", "correct"),
    (27, TWELFTH, "On the 2nd", "wrong_candidate"),
    (28, NEVER, "Not mentioned.", "correct"),
    (29, NEVER, "You did not mention it, perhaps Willow?", "multiple"),
    (35, HALL, "望江厅。", "correct"),
    (36, HALL, "好的，合唱团目前用的是「望江厅」。", "correct"),
    (37, HALL, "望江廳", "correct"),
    (38, HALL, "**答案：** 望江", "correct"),
    (39, HALL, "原来是听泉厅，现在是望江厅", "multiple"),
    (40, HALL, "不是听泉厅而是望江厅", "multiple"),
    (41, HALL, "反正不是望江厅", "negated"),
    (42, HALL, "没错，望江厅", "correct"),
    (43, HALL, "听泉厅，哦不，是望江厅", "multiple"),
    (44, HALL, "您没有提到过这件事。", "abstained"),
    (45, HALL, "<think>\n\n</think>\n\n望江厅", "correct"),
    (46, MARCH, "三月五号", "correct"),
    (47, MARCH, "３月５日", "correct"),
    (48, MARCH, "三月十五号", "wrong_candidate"),
    (52, NEVER_ZH, "没提过", "correct"),
]


@pytest.mark.parametrize(("row", "probe", "raw", "word"), TABLE, ids=lambda value: str(value)[:20])
def test_each_row_of_the_parser_table_gets_its_word(row, probe, raw, word):
    verdict = judge_text(probe, raw)

    assert verdict.reason == word, row
    assert verdict.score == (1 if word == "correct" else 0)


def test_the_match_points_at_the_words_of_the_raw_answer():
    raw = "Sure!\n\nIt is  **ＷＩＬＬＯＷ**, I think"

    start, end = judge_text(WILLOW, raw).matched

    assert raw[start:end] == "ＷＩＬＬＯＷ"


def test_an_invented_value_is_wrong_where_nothing_was_stated():
    assert judge_text(NEVER, "The Willow Room").reason == "wrong_candidate"
    assert judge_text(NEVER_ZH, "我不记得细节").reason == "no_candidate"


PREAMBLES = [
    "",
    "Sure! ",
    "It is ",
    "Of course: ",
    "I think ",
    "Based on our chat, ",
    "- ",
    "Answer: ",
]
SUFFIXES = ["", ".", "!", " Room.", ", I believe.", "\n", " :)", "\nuser\nCedar"]


@pytest.mark.parametrize("before", PREAMBLES)
@pytest.mark.parametrize("after", SUFFIXES)
def test_wrapping_a_right_answer_keeps_it_right(before, after):
    assert judge_text(WILLOW, f"{before}Willow{after}").reason == "correct"
    assert judge_text(WILLOW, f"{before}Willow and Hazel{after}").reason == "multiple"


@given(st.text(max_size=200))
def test_normalising_is_idempotent_and_every_character_has_an_origin(raw):
    once = normalise(raw)

    assert len(once.text) == len(once.origin)
    assert normalise(once.text).text == once.text


@given(st.text(max_size=300))
def test_no_text_breaks_the_judge(raw):
    assert judge_text(WILLOW, raw).reason


def test_a_tie_in_the_ranking_is_wrong():
    assert judge_ranking(WILLOW, [-1.0, -1.0, -2.0]) == ("Willow", (0, "tie", None))
    assert judge_ranking(WILLOW, [-1.0, -1.5, -2.0]) == ("Willow", (1, "correct", None))
    assert judge_ranking(WILLOW, [-1.6, -1.5, -2.0]) == ("Cedar", (0, "wrong_candidate", None))
