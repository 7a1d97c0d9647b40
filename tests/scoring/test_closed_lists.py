"""Every entry of the closed lists of the scorer, in a sentence that goes wrong without it."""

from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import pytest

from qwen_bench.probes.date_forms import ORDINALS, day_forms
from qwen_bench.probes.definitions import load_family
from qwen_bench.probes.number_forms import ONES, TENS
from qwen_bench.probes.probe import Rule
from qwen_bench.scoring import normalise as normalise_module
from qwen_bench.scoring import phrases
from qwen_bench.scoring.mentions import SPELLINGS, find_mentions
from qwen_bench.scoring.normalise import normalise
from qwen_bench.scoring.phrases import Phrases, compiled
from qwen_bench.scoring.rule_form import follows
from qwen_bench.scoring.score import judge_text
from qwen_bench.scoring.yes_no import said_yes_or_no

from .test_judge import HALL, LIST, LIST_ZH, NEVER, NEVER_ZH, NO, WILLOW, YES_ZH, a_probe
from .test_phrasings import FILES, phrasings

NEGATED = [
    "It is not Willow.",
    "No Willow for them.",
    "They never use Willow.",
    "Neither Willow nor the gym.",
    "They have no hall nor Willow.",
    "They sing without Willow.",
    "Every room except Willow.",
    "The gym rather than Willow.",
    "The gym instead of Willow.",
    "Anything other than Willow.",
    "Anything but Willow.",
    "It cannot be Willow.",
    "It isn't Willow.",
    "It isn’t Willow.",
    "It isn‘t Willow.",
    "It isnʼt Willow.",
    "A gym nor Willow.",
]
NEGATED_ZH = [
    "那里不是望江厅。",
    "他们不在望江厅。",
    "那里不叫望江厅。",
    "他们不用望江厅。",
    "他们不选望江厅。",
    "并非望江厅。",
    "食堂而非望江厅。",
    "没有望江厅。",
    "他们没在望江厅。",
    "除了望江厅都行。",
    "排除望江厅。",
]
# Where a clause ends, the negator before it says nothing of what follows.
CLAUSES = [
    "That is not hard, Willow.",
    "That is not hard. Willow.",
    "That is not hard; Willow.",
    "I would not say so: Willow.",
    "Why not! Willow.",
    "Why not? Willow.",
    "I cannot say more\nWillow",
    "I am not sure but Willow.",
]
CLAUSES_ZH = [
    "这不是难题。望江厅",
    "这不是难题、望江厅",
    "他们不用担心但望江厅",
]
ABSTAINING = [
    *(f"It was not {word}." for word in ("mentioned", "stated", "specified")),
    *(f"It was not {word}." for word in ("provided", "given", "said")),
    "It has not been mentioned.",
    *(f"That was never {word}." for word in ("mentioned", "said", "told", "stated", "specified")),
    *(f"You {never} tell me." for never in ("did not", "didn't")),
    *(f"You {never} told me." for never in ("have not", "haven't", "had not", "hadn't")),
    *(f"She {never} told me." for never in ("has not", "hasn't")),
    *(f"You didn't {word} it." for word in ("mention", "say", "tell", "state", "specify")),
    "You didn't provide it.",
    *(f"You haven't {word} it." for word in ("mentioned", "said", "stated")),
    *(f"You haven't {word} it." for word in ("specified", "provided")),
    *(f"I {never} know." for never in ("do not", "don't")),
    *(f"The chat {never} say." for never in ("does not", "doesn't")),
    *(f"I don't have {which} information." for which in ("that", "this", "any")),
    *(f"You don't {word} it." for word in ("mention", "say", "specify")),
    "There is no mention of it.",
    *("I have no record of it.", "It did not come up.", "I have no idea.", "It is unspecified."),
    *("Never about a room.", "None.", "N/A"),
    "There is no information on it.",
    "The room is unknown.",
    "I am not sure which it is.",
    *("I don't think you gave a room.", "The room has not been disclosed."),
]
ABSTAINING_ZH = [
    *("我们没聊到这事", "您不曾提这事", "不晓得", "无法确定", "没有", "无"),
    *(
        "您没提过。",
        "您没有提过。",
        "您没提到。",
        "您没有提到。",
        "对话中未提及。",
        "对话中未提到。",
    ),
    *("您没说。", "您没有说。", "您没告诉我。", "您没有告诉我。", "我不知道。", "我不清楚。"),
    *(
        "没有相关信息。",
        "对话中未说明。",
        "您没讲过。",
        "您没有讲过。",
        "您没说过。",
        "您没有说过。",
    ),
]


# What stands behind the answer and is set aside, and what only looks so.
SET_ASIDE = [
    "Willow, originally Cedar.",
    "Willow, it used to be Cedar.",
    "Willow. Cedar was the old one.",
    "Willow (Cedar before).",
    "Willow rather than Cedar.",
    "Willow, not Cedar or Hazel.",
    *(f"It was {word} from Cedar to Willow." for word in ("moved", "pushed", "bumped")),
    "It was Cedar, but they were moved to Willow.",
    "They had Cedar, which was changed to the Willow Room.",
    "Willow (was: Cedar)",
    "Room: Willow\nPreviously: Cedar",
    "Willow, Cedar is no longer free.",
]
SET_ASIDE_ZH = [
    "望江厅，原来是听泉厅",
    "望江厅（听泉厅取消了）",
    *(f"从听泉厅{word}到望江厅" for word in ("调整", "推迟", "加")),
    "您把听泉厅换成了望江厅",
    "之前是听泉厅，后来改到望江厅",
    "望江厅（原：听泉厅）",
    "望江厅，听泉厅不再用",
    "望江厅而不是听泉厅",
]
SECOND = [
    *(f"Willow formerly {turn} Cedar." for turn in ("and", "or", "now", "then")),
    *("Willow, Cedar.", "Willow (Cedar).", "Willow; now Cedar.", "Somewhere from Cedar to Willow."),
    *("Willow. No wait Cedar.", "Willow. No sorry Cedar."),
    *("Not Cedar, Willow.", "Formerly Cedar, Willow.", "It was moved from Willow to Cedar."),
    *("It was Cedar, now Willow.", "It was Willow, but they were moved to Cedar."),
    *("It was Cedar. They moved to Willow.", "It was Cedar, moved to the back, now Willow."),
    "It was Cedar, or they were moved to Willow.",
    *("Previously: Cedar\nNow: Willow", "Cedar, moved to Hazel, moved to Willow."),
]
SECOND_ZH = [
    *(f"望江厅原来{turn}听泉厅" for turn in ("现在", "后来", "和", "或")),
    *("望江厅，哦不是听泉厅", "望江厅，听泉厅", "从望江厅调整到听泉厅", "从听泉厅到望江厅"),
    *("原来是听泉厅，现在是望江厅", "之前是望江厅，后来改到听泉厅", "把望江厅换成了听泉厅"),
]
# They hold a denial and deny nothing.
IDIOMS = ["No doubt Willow.", "If I am not mistaken Willow.", "No problem Willow."]
IDIOMS_ZH = [
    *(f"{word}的话您说的是望江厅" for word in ("没记错", "没看漏", "没理解错", "没弄错")),
    *(f"{word}的话您说的是望江厅" for word in ("没弄混", "没记混", "没再变动")),
    *("特别推荐望江厅", "分别是望江厅", "别人都说望江厅", "别忘了去望江厅"),
]
CHOICES = ["rope or compass or tarp", "绳子或指南针或天幕"]
YES_SENTENCES = [
    *("Of course.", "Affirmative.", "Confirmed.", "Exactly.", "It does.", "That does match."),
    *("It matches.", "It seems to match.", "It's a match.", "It should match.", "I think so."),
    *("I believe so.", "It is consistent with it.", "You got it.", "It corresponds."),
    *("That is in line with it.", "That is in accordance with it.", "That's correct.", "I did."),
    "Y",
    *("是的", "您说的就是象牙白", "您说的是这样", "记录即为象牙白", "您确实这么讲", "此事确有"),
    *("对得上", "说法正确", "您说得对的", "您提过", "您讲过", "您提到过", "我建议过", "您已告知"),
    *("不出意外是的", "对不起是的", "不好意思是的", "不错，是象牙白。", "一致", "说过"),
    *(f"{hedge}对" for hedge in ("应该", "好像", "似乎", "大概", "我想", "我觉得", "我记得")),
    *(f"{hedge}对" for hedge in ("我印象中", "我印象里", "嗯", "看起来", "当然", "结论")),
]
NO_SENTENCES = [
    *("Nah.", "Never.", "That is wrong.", "That is false.", "That is inaccurate."),
    *(
        "You are mistaken.",
        "Unlikely.",
        "I doubt it.",
        "A different colour.",
        "I said something else.",
    ),
    *("不是", "不对", "没有", "您未提", "并无此事", "与记录有出入", "不一致", "没说过"),
    "You want a yes or no. No.",
]
NEITHER_SENTENCES = [
    *("I am not sure.", "I don't know.", "I can't remember.", "I don't recall.", "Not certain."),
    *("I cannot confirm that it is correct.", "I am unable to find out if that is correct."),
    *("I decline to tell if that is right.", "It could be right."),
    *("不确定", "不太确定", "说不好", "拿不准", "不清楚", "不太清楚", "记不清", "没印象"),
    *("无法说一致", "难说一致", "不敢说", "信息不足", "不知道", "不记得"),
    *("对于大门，我没印象。", "对话里，我没印象。"),
    *("是否说过", "有没有说过", "是不是说过", "对不对，我没印象"),
]
BOTH_SENTENCES = ["Yes. Well no.", "Yes, actually no.", "Yes. Oh no.", "Yes/no", "也许是也许不是"]
BOTH_SENTENCES += ["Maybe yes, maybe no.", "Perhaps no - or perhaps yes, who can tell."]
EIGHT = a_probe("8", ("8", "9"), "zh")
# Sentences of this page that every list is tried on, beside the phrasings.
SENTENCES = [
    *((WILLOW, raw) for raw in (*NEGATED, *CLAUSES, *ABSTAINING)),
    *((HALL, raw) for raw in (*NEGATED_ZH, *CLAUSES_ZH, *ABSTAINING_ZH)),
    *((NEVER, raw) for raw in ABSTAINING),
    *((NEVER_ZH, raw) for raw in ABSTAINING_ZH),
    *((WILLOW, raw) for raw in (*SET_ASIDE, *SECOND, *IDIOMS)),
    *((probe, raw) for probe in (LIST, LIST_ZH) for raw in CHOICES),
    *((HALL, raw) for raw in (*SET_ASIDE_ZH, *SECOND_ZH, *IDIOMS_ZH)),
    *(
        (probe, raw)
        for probe in (YES_ZH, NO)
        for raw in (*YES_SENTENCES, *NO_SENTENCES, *NEITHER_SENTENCES, *BOTH_SENTENCES)
    ),
]
TASKS = Path(__file__).parents[2] / "tasks"
LISTS = Phrases()
ENTRIES = [(entry.name, word) for entry in fields(Phrases) for word in getattr(LISTS, entry.name)]


@cache
def marked_texts():
    """Every phrasing and sentence: its probe, text, comparable text and verdict."""
    phrased = [(probe, said) for name in FILES for probe, _, _, said in phrasings(name)]
    return [
        (probe, raw, normalise(raw).text, judge_text(probe, raw))
        for probe, raw in (*SENTENCES, *phrased)
    ]


@pytest.mark.parametrize(("name", "word"), ENTRIES, ids=ascii)
def test_without_any_word_of_a_closed_list_something_is_scored_otherwise(name, word, monkeypatch):
    texts = [found for found in marked_texts() if word in found[2]]
    left = tuple(other for other in getattr(LISTS, name) if other != word)

    monkeypatch.setattr(phrases, "PATTERNS", compiled(replace(LISTS, **{name: left})))

    # Of the sentences above the words are tested too, of the phrasings the score alone.
    assert any(
        judge_text(probe, raw)[: 3 if (probe, raw) in SENTENCES else 1]
        != before[: 3 if (probe, raw) in SENTENCES else 1]
        for probe, raw, _, before in texts
    )


@pytest.mark.parametrize("raw", [*SET_ASIDE, *IDIOMS])
def test_a_value_set_aside_behind_the_answer_is_no_second_answer(raw):
    assert judge_text(WILLOW, raw).reason == "correct"


@pytest.mark.parametrize("raw", [*SET_ASIDE_ZH, *IDIOMS_ZH])
def test_a_chinese_value_set_aside_behind_the_answer_is_no_second_answer(raw):
    assert judge_text(HALL, raw).reason == "correct"


@pytest.mark.parametrize("raw", SECOND)
def test_a_value_that_only_stands_near_such_a_word_is_a_second_answer(raw):
    assert judge_text(WILLOW, raw).reason == "multiple"


@pytest.mark.parametrize("raw", SECOND_ZH)
def test_a_chinese_value_that_only_stands_near_such_a_word_is_a_second_answer(raw):
    assert judge_text(HALL, raw).reason == "multiple"


def test_a_list_of_choices_is_no_list():
    assert judge_text(LIST, CHOICES[0]).reason == "set_mismatch"
    assert judge_text(LIST_ZH, CHOICES[1]).reason == "set_mismatch"


def test_where_the_former_value_is_asked_formerly_sets_nothing_aside():
    previous = replace(WILLOW, family="update_previous")

    assert judge_text(previous, "Willow (formerly Cedar)").reason == "multiple"
    assert judge_text(previous, "Moved from Cedar to Willow").reason == "multiple"
    assert judge_text(previous, "Willow, not Cedar").reason == "correct"


@pytest.mark.parametrize("raw", YES_SENTENCES)
def test_a_sentence_that_agrees_says_yes(raw):
    assert judge_text(YES_ZH, raw).reason == "correct"
    assert judge_text(NO, raw).reason == "wrong_candidate"


@pytest.mark.parametrize("raw", NO_SENTENCES)
def test_a_sentence_that_disagrees_says_no(raw):
    assert judge_text(NO, raw).reason == "correct"
    assert judge_text(YES_ZH, raw).reason == "wrong_candidate"


@pytest.mark.parametrize("raw", NEITHER_SENTENCES)
def test_a_sentence_that_leaves_it_open_says_neither(raw):
    assert judge_text(NO, raw).reason == judge_text(YES_ZH, raw).reason == "no_candidate"


@pytest.mark.parametrize("raw", BOTH_SENTENCES)
def test_a_sentence_that_says_both_is_right_for_neither(raw):
    assert judge_text(NO, raw).reason == judge_text(YES_ZH, raw).reason == "multiple"


@pytest.mark.parametrize("raw", NEGATED)
def test_each_negator_denies_what_follows_it(raw):
    assert judge_text(WILLOW, raw).reason == "negated"


@pytest.mark.parametrize("raw", NEGATED_ZH)
def test_each_chinese_negator_denies_what_follows_it(raw):
    assert judge_text(HALL, raw).reason == "negated"


@pytest.mark.parametrize("raw", CLAUSES)
def test_each_end_of_a_clause_ends_a_denial(raw):
    assert judge_text(WILLOW, raw).reason == "correct"


@pytest.mark.parametrize("raw", CLAUSES_ZH)
def test_each_chinese_end_of_a_clause_ends_a_denial(raw):
    assert judge_text(HALL, raw).reason == "correct"


@pytest.mark.parametrize("raw", ABSTAINING)
def test_each_phrase_says_that_it_was_never_stated(raw):
    assert judge_text(WILLOW, raw).reason == "abstained"
    assert judge_text(NEVER, raw).reason == "correct"


@pytest.mark.parametrize("raw", ABSTAINING_ZH)
def test_each_chinese_phrase_says_that_it_was_never_stated(raw):
    assert judge_text(HALL, raw).reason == "abstained"
    assert judge_text(NEVER_ZH, raw).reason == "correct"


@pytest.mark.parametrize("raw", ["The room escapes me.", "Ask the choir.", "我想不起来。"])
def test_other_words_do_not_say_so(raw):
    assert judge_text(WILLOW, raw).reason == "no_candidate"
    assert judge_text(NEVER, raw).reason == "no_candidate"


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        *((word, word) for word in ("Nope", "No", "Incorrect", "Wrong")),
        *((word, word) for word in ("不是", "不对", "没有", "否", "不")),
        ("No, ivory.", "No"),
        ("不是，是象牙白。", "不是"),
        ("不，是象牙白。", "不"),
    ],
)
def test_each_word_for_no_is_the_answer(raw, word):
    start, end = judge_text(NO, raw).matched

    assert judge_text(NO, raw).reason == "correct"
    assert judge_text(YES_ZH, raw).reason == "wrong_candidate"
    assert raw[start:end] == word


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        *((word, word) for word in ("Yes", "Yeah", "Yep", "Correct", "Right")),
        *((word, word) for word in ("没错", "是的", "是", "对")),
        ("对，是象牙白。", "对"),
    ],
)
def test_each_word_for_yes_is_the_answer(raw, word):
    start, end = judge_text(YES_ZH, raw).matched

    assert judge_text(YES_ZH, raw).reason == "correct"
    assert judge_text(NO, raw).reason == "wrong_candidate"
    assert raw[start:end] == word


@pytest.mark.parametrize(
    "raw",
    [
        *("No1 said it.", "Nobody said it.", "Yes2 it is.", "Yesterday you said so."),
        *("是否说过？", "对不起，忘了。", "对于大门，我没印象。", "不清楚。"),
    ],
)
def test_a_word_that_only_begins_like_one_is_no_answer(raw):
    assert judge_text(NO, raw).reason == judge_text(YES_ZH, raw).reason == "no_candidate"


def test_no_numeral_is_found_inside_a_longer_one():
    for numeral in "〇零一二三四五六七八九十":
        day, longer = f"{numeral}号", f"二{numeral}号"
        assert find_mentions(normalise(f"是{day}。").text, [day], {})
        assert not find_mentions(normalise(f"是{longer}。").text, [day], {})


@pytest.mark.parametrize("measure", "个位人名号日元块分")
def test_a_numeral_of_one_character_counts_alone_or_before_a_measure(measure):
    assert judge_text(EIGHT, f"买八{measure}。").reason == "correct"
    assert judge_text(EIGHT, "八。").reason == "correct"
    assert judge_text(EIGHT, "八哥").reason == "no_candidate"


@pytest.mark.parametrize("raw", ["第八", "周八", "星期八", "八月", "八点", "十八", "八十", "廿八"])
def test_a_numeral_in_a_longer_word_is_no_number(raw):
    assert judge_text(EIGHT, raw).reason == "no_candidate"


@pytest.mark.parametrize("one", ONES[1:10])
def test_no_english_number_is_found_inside_a_longer_one(one):
    value = str(ONES.index(one))
    for tens in TENS:
        for longer in (f"{tens}-{one}", f"{tens} {one}"):
            assert judge_text(a_probe(value, (value, "0")), longer).reason == "no_candidate"
            ten = str(20 + 10 * TENS.index(tens))
            assert judge_text(a_probe(ten, (ten, "0")), longer).reason == "no_candidate"
    for longer in (f"{one} hundred", f"{one} thousand", f"two hundred and {one}"):
        assert judge_text(a_probe(value, (value, "0")), longer).reason == "no_candidate"


@pytest.mark.parametrize("ordinal", ORDINALS[:9])
def test_no_english_ordinal_is_found_inside_a_longer_one(ordinal):
    day = ORDINALS.index(ordinal) + 1
    gold, *others = day_forms(day, "en")
    probe = a_probe(gold, (gold,), aliases={gold: tuple(others)})

    assert judge_text(probe, f"the {ordinal}").reason == "correct"
    assert judge_text(probe, f"the twenty-{ordinal}").reason == "no_candidate"


@pytest.mark.parametrize(("british", "american"), SPELLINGS)
def test_either_spelling_of_an_answer_is_the_answer(british, american):
    for gold, said in ((british, american), (american, british)):
        probe = a_probe(f"old {gold}", (f"old {gold}", "attic"))

        assert judge_text(probe, f"The old {said.upper()}.").reason == "correct"


def test_what_is_struck_through_is_not_said():
    assert judge_text(WILLOW, "~~Cedar~~ **Willow**").reason == "correct"
    assert judge_text(WILLOW, "~~Willow~~").reason == "empty"
    assert judge_text(WILLOW, "~~~\nWillow\n~~~").reason == "correct"


def test_of_boxes_only_the_ticked_one_is_said():
    assert judge_text(WILLOW, "- [x] Willow\n- [ ] Cedar").reason == "correct"
    assert judge_text(WILLOW, "* [ ] Willow\n* [X] Cedar").reason == "wrong_candidate"
    assert judge_text(WILLOW, "- [ ] Willow").reason == "correct"


def test_the_number_of_a_list_item_is_no_answer():
    first = a_probe("1st", ("1st", "21st"), aliases={"1st": ("1",), "21st": ("21",)})

    assert judge_text(first, "1. 21st").reason == "wrong_candidate"
    assert judge_text(first, "1. Anything else?").reason == "correct"
    assert judge_text(first, "21. Not the 1st.").reason == "multiple"


@pytest.mark.parametrize("token", ["<|im_end|>", "<|endoftext|>", "<|im_start|>"])
def test_nothing_counts_after_a_token_that_ends_the_turn(token):
    assert judge_text(WILLOW, f"Willow{token} Cedar").reason == "correct"


@pytest.mark.parametrize(
    "line",
    [
        *("user", "assistant", "system", " user", "\tuser", "user ", "user\t"),
        *("User: And Cedar?", "Human: And Cedar?", "Assistant: Cedar", "  User: Cedar?"),
        *("用户：那Cedar呢", "助手：Cedar", "用户:那Cedar呢"),
    ],
)
def test_nothing_counts_from_a_line_on_that_names_a_role(line):
    assert judge_text(WILLOW, f"Willow\n{line}\nCedar").reason == "correct"


@pytest.mark.parametrize(
    "raw",
    [
        *("Not Cedar. Final answer: Willow", "Not Cedar. Answer : Willow"),
        *("Not Cedar. The answer is Willow", "Cedar?\nAnswer:\n.\nWillow"),
        *("Cedar不对。答案：Willow", "Cedar不对。答案是Willow", "Cedar不对。答案为Willow"),
        *("Cedar?\n答：Willow", "Cedar?\n回答：Willow", "Cedar?\n  答 ：Willow"),
    ],
)
def test_only_what_stands_behind_a_marker_is_the_answer(raw):
    assert judge_text(WILLOW, raw).reason == "correct"


# A mark in the middle of a name, where it would keep the name from being found.
INVISIBLE = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad"]
BLANKS = (
    *("*", "_", "`", "#", "~", "|", ">", '"', "“", "”", "„", "«", "»"),
    *("「", "」", "『", "』", "《", "》", "〈", "〉", "(", ")", "[", "]", "{", "}"),
    *("（", "）", "［", "］", "｛", "｝", "【", "】", "〔", "〕"),
    *("-", "‐", "‑", "‒", "–", "—", "―", "•", "·", "\t", "\r"),
)


@pytest.mark.parametrize("mark", INVISIBLE, ids=ascii)
def test_invisible_characters_split_no_word(mark):
    assert judge_text(WILLOW, f"Wil{mark}low").reason == "correct"


@pytest.mark.parametrize("mark", BLANKS, ids=ascii)
def test_quotes_brackets_and_dashes_are_blanks(mark):
    probe = a_probe("Willow Room", ("Willow Room", "Cedar Room"))

    assert judge_text(probe, f"Willow{mark}Room").reason == "correct"


def test_a_fence_needs_no_language():
    rule = Rule("json", ("msg",))

    assert follows(rule, '```json\n{"msg": "A hen."}\n```')
    assert follows(rule, '```\n{"msg": "A hen."}\n```')


# Every character of the table of traditional forms stands in one of these words at least.
TRADITIONAL = """
    丁愛蓮 書桌 傘骨巷 餘翠英 侯淑貞 傅婉寧 傅靜嫻 傅靜嫺 黨參 馮鵬飛
    劉文博 盧德厚 衛星 厚樸 古箏 葉妙彤 呂麗娜 呂學慶 聽好 啟禀 啓禀
    吳晨陽 嗩吶 夏永剛 姚凱鋒 姜嬌蓉 孫雪蓮 孟立羣 宋志遠 宋玉潔 欄杆
    廖明輝 張碧瑩 歸帆廳 徐豔芬 戴夢瑤 揚琴 攬翠廳 曹東升 朱伯韜 杜思穎
    楊冠霖 松濤廳 林國棟 棲霞廳 梅塢廳 槐蔭巷 毛憶慈 澤瀉 洞簫 流螢廳
    漁火 燈塔 玄關 瓦窯巷 鹽倉巷 石鳳儀 石振華 硯池巷 豎琴 織錦巷 紹興
    羅志堅 胡少峯 蒼術 蘇廣坤 範馨予 薩克斯 葫蘆絲 蔣詩涵 薛綺雲 袁曉嵐
    觀瀾廳 許駿馳 謝紅霞 譚世勳 貝母 賈守義 趙逸凡 轎夫巷 追風 鄧翠紅
    鄧採薇 邱伯鈞 鄒俊傑 鄭語嫣 醬園巷 金承業 鍾情 鐵絲 銀錠巷 長笛
    門口 陸樹森 陳偉民 韓衞平 顧維舟 香燭巷 馬廄巷 驛馬巷 魏佩蘭 鶴鳴廳
    麥冬 黃芪 不對 並非 櫃子 確實 種子 穀子 窗簾 網樓 臺子 推薦 裡屋
    說過 説過 松木 輕鬆 鐘樓 鍾意 復原
"""
SIMPLIFIED = """
    丁爱莲 书桌 伞骨巷 余翠英 侯淑贞 傅婉宁 傅静娴 傅静娴 党参 冯鹏飞
    刘文博 卢德厚 卫星 厚朴 古筝 叶妙彤 吕丽娜 吕学庆 听好 启禀 启禀
    吴晨阳 唢呐 夏永刚 姚凯锋 姜娇蓉 孙雪莲 孟立群 宋志远 宋玉洁 栏杆
    廖明辉 张碧莹 归帆厅 徐艳芬 戴梦瑶 扬琴 揽翠厅 曹东升 朱伯韬 杜思颖
    杨冠霖 松涛厅 林国栋 栖霞厅 梅坞厅 槐荫巷 毛忆慈 泽泻 洞箫 流萤厅
    渔火 灯塔 玄关 瓦窑巷 盐仓巷 石凤仪 石振华 砚池巷 竖琴 织锦巷 绍兴
    罗志坚 胡少峰 苍术 苏广坤 范馨予 萨克斯 葫芦丝 蒋诗涵 薛绮云 袁晓岚
    观澜厅 许骏驰 谢红霞 谭世勋 贝母 贾守义 赵逸凡 轿夫巷 追风 邓翠红
    邓采薇 邱伯钧 邹俊杰 郑语嫣 酱园巷 金承业 钟情 铁丝 银锭巷 长笛
    门口 陆树森 陈伟民 韩卫平 顾维舟 香烛巷 马厩巷 驿马巷 魏佩兰 鹤鸣厅
    麦冬 黄芪 不对 并非 柜子 确实 种子 谷子 窗帘 网楼 台子 推荐 里屋
    说过 说过 松木 轻松 钟楼 钟意 复原
"""


@pytest.mark.parametrize(
    ("traditional", "simplified"), list(zip(TRADITIONAL.split(), SIMPLIFIED.split(), strict=True))
)
def test_an_answer_in_traditional_characters_is_the_same_answer(traditional, simplified):
    probe = a_probe(simplified, (simplified, "映月楼"), "zh")

    assert judge_text(probe, f"应该是{traditional}。").reason == "correct"
    assert normalise(traditional).text == simplified


# Simplified in form and used as they are, or with another meaning, in traditional texts.
WITHOUT_A_TRADITIONAL_FORM = set("着幺芪嘞勐桕")


def simplified_only(text):
    """Characters that traditional texts, here those in Big5, do not have."""
    return {char for char in text if "\u4e00" <= char <= "\u9fff" and not in_big5(char)}


def in_big5(char):
    try:
        return bool(char.encode("big5"))
    except UnicodeEncodeError:
        return False


KNOWN = set(normalise_module._SIMPLIFIED) | WITHOUT_A_TRADITIONAL_FORM


@pytest.mark.parametrize("folder", sorted(path.parent for path in TASKS.glob("*/task.yaml")))
def test_every_answer_of_a_family_is_found_in_traditional_characters(folder):
    family = load_family(folder)
    for split in ("eval", "train"):
        words = family.words["zh", split]
        said = [text for thing in getattr(words, "things", ()) for text in answers_of(thing)]
        assert not simplified_only("".join([*words.answers, *said])) - KNOWN, (folder, split)


def answers_of(thing):
    """What may be said to a question of common knowledge; nothing of things that are no such."""
    return [thing.answer, *thing.also, *thing.others] if hasattr(thing, "also") else []


def test_every_word_of_the_lists_is_found_in_traditional_characters():
    for name, word in ENTRIES:
        assert not simplified_only(word) - KNOWN, (name, word)


def test_the_table_of_traditional_characters_holds_none_without_a_word():
    needed = {char for char in normalise_module._SIMPLIFIED if in_big5(char)}

    assert needed <= set(SIMPLIFIED)


@pytest.mark.parametrize("raw", ["您沒告訴我。", "您沒講過。", "您沒説過。", "您沒說過。"])
def test_a_phrase_in_traditional_characters_says_that_it_was_never_stated(raw):
    assert judge_text(NEVER_ZH, raw).reason == "correct"


def test_the_first_word_of_an_answer_may_be_traditional():
    assert said_yes_or_no(normalise("不對，是象牙白。").text).word == "no"
