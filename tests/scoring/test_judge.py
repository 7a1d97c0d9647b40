"""The parser table of the probe specification, section 6.5, and properties beside it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.probes.date_forms import date_forms, day_forms
from qwen_bench.probes.probe import Cluster, Probe, ProbeId
from qwen_bench.protocol import Reply
from qwen_bench.scoring.normalise import answer_segment, normalise, visible_part
from qwen_bench.scoring.score import Judgement, judge_ranking, judge_text, score_reply
from qwen_bench.scoring.yes_no import said_yes_or_no

ROOMS = ("Willow", "Cedar", "Hazel")
HALLS = ("望江厅", "听泉厅", "映月厅")
PACKING = ("rope", "kettle", "tarp", "compass", "net", "lamp", "axe")
PACKING_ZH = ("绳子", "水壶", "天幕", "指南针", "渔网", "头灯", "斧头")


def a_probe(
    gold: str,
    candidates: tuple[str, ...],
    lang: str = "en",
    aliases: dict[str, tuple[str, ...]] | None = None,
    *,
    kind: str = "single",
    abstain: bool = False,
    items: tuple[str, ...] = (),
    rank: tuple[str, ...] | None = None,
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
        rank_candidates=candidates if rank is None else rank,
        aliases=aliases or {},
        answer_kind="abstain" if abstain else kind,
        gold_abstains=abstain,
        chance=0.25,
        factors={},
        gold_items=items,
    )


def by_form(*forms: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Aliases by canonical form."""
    return {canonical: others for canonical, *others in forms}


def asked_for_a_set(items: tuple[str, ...], universe: tuple[str, ...], lang: str) -> Probe:
    """A probe with the whole sets of the specification to rank: two golds, none, and both."""
    sep = ", " if lang == "en" else "、"
    start = universe[:3]
    gold_b, both = (universe[0], universe[1], universe[4]), (universe[0], universe[3], universe[4])
    sets = tuple(sep.join(found) for found in (items, gold_b, start, both))
    return a_probe(sets[0], universe, lang, kind="set", items=items, rank=sets)


WILLOW = a_probe("Willow", ROOMS)
HALL = a_probe("望江厅", HALLS, "zh", {h: (h.removesuffix("厅"),) for h in HALLS})
TWELFTH = a_probe("12th", ("12th", "2nd"), aliases=by_form(day_forms(12, "en"), day_forms(2, "en")))
MARCH = a_probe(
    "3月5日",
    ("3月5日", "3月15日"),
    "zh",
    by_form(date_forms(3, 5, "zh"), date_forms(3, 15, "zh")),
)
NEVER = a_probe("not mentioned", ROOMS, abstain=True)
NEVER_ZH = a_probe("没提过", HALLS, "zh", abstain=True)
NO = a_probe("no", ("yes", "no"), kind="yesno")
NO_ZH = a_probe("否", ("是", "否"), "zh", kind="yesno")
YES_ZH = a_probe("是", ("是", "否"), "zh", kind="yesno")
LIST = asked_for_a_set(("rope", "compass", "tarp"), PACKING, "en")
LIST_ZH = asked_for_a_set(("绳子", "指南针", "天幕"), PACKING_ZH, "zh")

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
    (16, WILLOW, "Willow, not Cedar", "correct"),
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
    (30, NO, "No, you said the gate would be ivory.", "correct"),
    (31, NO, "Yes", "wrong_candidate"),
    (32, LIST, "1. rope\n2. tarp\n3. compass", "correct"),
    (33, LIST, "rope, compass, tarp, kettle", "set_mismatch"),
    (34, LIST, "rope and compass", "set_mismatch"),
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
    (49, NO_ZH, "不是，您说的是象牙白。", "correct"),
    (50, YES_ZH, "对的，没错。", "correct"),
    (51, LIST_ZH, "天幕、绳子、指南针", "correct"),
    (52, NEVER_ZH, "没提过", "correct"),
]


@pytest.mark.parametrize(("row", "probe", "raw", "word"), TABLE, ids=lambda value: str(value)[:20])
def test_each_row_of_the_parser_table_gets_its_word(row, probe, raw, word):
    verdict = judge_text(probe, raw)

    assert verdict.reason == word, row
    assert verdict.score == (1 if word == "correct" else 0)


def test_the_table_has_every_row_of_the_specification():
    assert [row for row, *_ in TABLE] == list(range(1, 53))


def test_an_answer_cut_off_by_the_length_limit_is_judged_by_its_text():
    raw = "Willow Room is the one that the choir has been"
    reply = Reply(id=WILLOW.id, mode="generate", status="truncated", text=raw)

    outcome = score_reply(WILLOW, reply, ())

    assert (outcome.status, outcome.score, outcome.reason) == ("truncated", 1, "correct")


def test_the_match_points_at_the_words_of_the_raw_answer():
    raw = "Sure!\n\nIt is  **ＷＩＬＬＯＷ**, I think"

    start, end = judge_text(WILLOW, raw).matched

    assert raw[start:end] == "ＷＩＬＬＯＷ"


def test_an_invented_value_is_wrong_where_nothing_was_stated():
    assert judge_text(NEVER, "The Willow Room").reason == "wrong_candidate"
    assert judge_text(NEVER_ZH, "我不记得细节").reason == "no_candidate"


# Twenty ways to dress an answer, before and after it; `{}` is the answer.
WRAPPINGS = {
    "en": [
        "Sure! {}",
        "It is {}.",
        "Of course: {}",
        "I think {}.",
        "Based on our chat, {}.",
        "- {}",
        "Answer: {}",
        "Final answer: **{}**",
        "The answer is {}.",
        "Here you go: `{}`",
        "According to what you told me, that would be {}",
        "<think>Let me see.</think>\n\n{}",
        "{}.",
        "{}!",
        "{}, I believe.",
        "{} :)",
        "{}\n",
        "{}<|im_end|>",
        "{}\nuser\nThanks!",
        "“{}” (from your earlier message)",
    ],
    "zh": [
        "好的，{}。",
        "是{}。",
        "答案：{}",
        "答案是{}。",
        "答：{}",
        "根据您之前说的，{}。",
        "没错，{}",
        "当然，{}！",
        "我记得是{}。",
        "您说的是{}。",
        "**{}**",
        "「{}」",
        "<think>想一想。</think>\n\n{}",
        "{}。",
        "{}！",
        "{}，应该没记错。",
        "{}\n",
        "{}<|im_end|>",
        "{}\n用户：谢谢",
        "《{}》（前面聊过）",
    ],
}
# A yes or a no must be the first word, so nothing but marks, markers and thoughts may precede it.
BEFORE_FIRST_WORD = {
    "en": [w for w in WRAPPINGS["en"] if w.startswith(("-", "Answer", "Final", "<", "{", "“"))],
    "zh": [w for w in WRAPPINGS["zh"] if w.startswith(("答", "*", "「", "<", "{", "《"))],
}
CANONICAL = {
    "en": [WILLOW, TWELFTH, LIST, NEVER],
    "zh": [HALL, MARCH, LIST_ZH, NEVER_ZH],
}
WRAPPED = [
    (probe, wrapping)
    for lang, probes in CANONICAL.items()
    for probe in probes
    for wrapping in WRAPPINGS[lang]
] + [
    (probe, wrapping)
    for probe, lang in ((NO, "en"), (NO_ZH, "zh"), (YES_ZH, "zh"))
    for wrapping in BEFORE_FIRST_WORD[lang]
]


def test_there_are_twenty_wrappings_a_language():
    assert {lang: len(set(found)) for lang, found in WRAPPINGS.items()} == {"en": 20, "zh": 20}


@pytest.mark.parametrize(("probe", "wrapping"), WRAPPED, ids=lambda value: str(value)[-30:])
def test_wrapping_a_canonical_answer_keeps_it_right(probe, wrapping):
    assert judge_text(probe, wrapping.format(probe.gold)).reason == "correct"


@pytest.mark.parametrize(
    ("probe", "wrapping"),
    [(p, w) for p, w in WRAPPED if p.answer_kind != "yesno"],
    ids=lambda value: str(value)[-30:],
)
def test_appending_any_other_candidate_makes_it_wrong(probe, wrapping):
    word = "set_mismatch" if probe.answer_kind == "set" else "multiple"
    right = probe.gold_items or (probe.gold,)
    sep = ", " if probe.lang == "en" else "，"

    for other in probe.candidates:
        if other not in right:
            assert judge_text(probe, wrapping.format(probe.gold + sep + other)).reason == word


@pytest.mark.parametrize(
    ("probe", "raw", "word"),
    [rest for row, *rest in TABLE if row not in (9, 25)],  # nothing is left of these
    ids=lambda value: str(value)[:20],
)
def test_the_verdict_on_normalised_text_is_the_verdict_on_the_raw_text(probe, raw, word):
    seen = raw.rpartition("</think>")[2].partition("<|im_end|>")[0]

    assert judge_text(probe, normalise(seen).text).reason == word


class TestSets:
    def test_another_item_denied_after_the_list_is_no_part_of_it(self):
        assert judge_text(LIST, "rope, compass, tarp, but not the kettle").reason == "correct"
        assert judge_text(LIST, "not the kettle: rope, compass, tarp").reason == "negated"

    def test_an_item_named_with_a_negator_is_reported_as_such(self):
        assert judge_text(LIST, "rope, compass, not the tarp").reason == "negated"
        assert judge_text(LIST_ZH, "绳子、指南针，不是天幕").reason == "negated"

    @given(st.sets(st.sampled_from(PACKING)))
    def test_only_the_list_of_exactly_these_items_is_right(self, listed):
        found = judge_text(LIST, ", ".join(sorted(listed)))

        assert (found.reason == "correct") == (listed == set(LIST.gold_items))

    def test_naming_an_item_twice_changes_nothing(self):
        assert judge_text(LIST, "Rope, tarp and compass. Yes: the rope too.").reason == "correct"

    def test_a_list_without_items_is_no_match(self):
        assert judge_text(LIST, "You never told me.") == Judgement(0, "set_mismatch")

    def test_ranking_chooses_among_whole_sets(self):
        right = [-1.0, -2.0, -3.0, -4.0]

        assert judge_ranking(LIST, right) == ("rope, compass, tarp", Judgement(1, "correct"))
        assert judge_ranking(LIST, right[::-1])[1].reason == "set_mismatch"


class TestYesAndNo:
    @pytest.mark.parametrize("raw", ["No", "nope.", "Incorrect: ivory.", "**Wrong**", "否。"])
    def test_a_no_is_a_no_in_every_form(self, raw):
        assert judge_text(NO, raw).reason == "correct"
        assert judge_text(YES_ZH, raw).reason == "wrong_candidate"

    @pytest.mark.parametrize("raw", ["是的。", "是", "对", "没错", "Yes", "yeah", "Yep!"])
    def test_a_yes_is_a_yes_in_every_form(self, raw):
        assert judge_text(YES_ZH, raw).reason == "correct"
        assert judge_text(NO, raw).reason == "wrong_candidate"

    @pytest.mark.parametrize(
        "raw",
        ["对不起，我不记得了。", "是否说过，我不确定", "I said so", "Not sure", "Note that", "?"],
    )
    def test_words_that_only_begin_like_an_answer_are_none(self, raw):
        for probe in (NO, NO_ZH, YES_ZH):
            assert judge_text(probe, raw) == Judgement(0, "no_candidate")

    @pytest.mark.parametrize("raw", ["yes, no", "Yes and no", "no or yes", "Yes.\nNo."])
    def test_saying_both_is_no_answer(self, raw):
        assert judge_text(NO, raw).reason == "multiple"
        assert judge_text(YES_ZH, "是，否").reason == "multiple"

    def test_the_match_is_the_word_itself(self):
        start, end = judge_text(NO, "**No**, ivory.").matched

        assert "**No**, ivory."[start:end] == "No"


@given(st.text(max_size=200))
def test_normalising_is_idempotent_and_every_character_has_an_origin(raw):
    once = normalise(raw)

    assert len(once.text) == len(once.origin)
    assert normalise(once.text).text == once.text


@given(st.text(max_size=300))
def test_no_text_breaks_the_judge(raw):
    for probe in (WILLOW, LIST_ZH, NO, NEVER):
        assert judge_text(probe, raw).reason


def test_a_tie_in_the_ranking_is_wrong():
    assert judge_ranking(WILLOW, [-1.0, -1.0, -2.0]) == ("Willow", Judgement(0, "tie"))
    assert judge_ranking(WILLOW, [-1.0, -1.5, -2.0]) == ("Willow", Judgement(1, "correct"))
    assert judge_ranking(WILLOW, [-1.6, -1.5, -2.0]) == ("Cedar", Judgement(0, "wrong_candidate"))


@pytest.mark.parametrize("raw", ["Answer:\nuser", "**Answer:**\n\nuser", "The answer is:\n\nuser"])
def test_a_role_on_the_line_after_an_answer_marker_is_the_answer(raw):
    part = visible_part(raw)
    text = normalise(raw, part.start, part.end).text
    start, end = answer_segment(text)

    assert text[start:end].strip() == "user"


def test_a_role_line_after_anything_else_ends_the_answer():
    raw = "Willow\nuser\nAnd Cedar?"

    assert raw[: visible_part(raw).end].strip() == "Willow"


def test_a_bare_denial_in_chinese_says_no():
    assert said_yes_or_no("不,您说的是象牙白").word == "no"
    assert said_yes_or_no("不").word == "no"
    assert said_yes_or_no("不清楚") is None
