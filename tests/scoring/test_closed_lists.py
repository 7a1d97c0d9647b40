"""Every entry of the closed lists of the scorer, in a sentence that goes wrong without it."""

import pytest

from qwen_bench.probes.probe import Rule
from qwen_bench.scoring.mentions import find_mentions, first_yes_or_no
from qwen_bench.scoring.normalise import normalise
from qwen_bench.scoring.rule_form import follows
from qwen_bench.scoring.score import judge_text

from .test_judge import HALL, NEVER, NEVER_ZH, NO, WILLOW, YES_ZH, a_probe

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
    "There is no information on it.",
    "The room is unknown.",
    "I am not sure which it is.",
]
ABSTAINING_ZH = [
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
        *("No1 said it.", "Nobody said it.", "Yes2 is no word.", "Yesterday you said so."),
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
    麥冬 黃芪 不對
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
    麦冬 黄芪 不对
"""


@pytest.mark.parametrize(
    ("traditional", "simplified"), list(zip(TRADITIONAL.split(), SIMPLIFIED.split(), strict=True))
)
def test_an_answer_in_traditional_characters_is_the_same_answer(traditional, simplified):
    probe = a_probe(simplified, (simplified, "映月楼"), "zh")

    assert judge_text(probe, f"应该是{traditional}。").reason == "correct"
    assert normalise(traditional).text == simplified


@pytest.mark.parametrize("raw", ["您沒告訴我。", "您沒講過。", "您沒説過。", "您沒說過。"])
def test_a_phrase_in_traditional_characters_says_that_it_was_never_stated(raw):
    assert judge_text(NEVER_ZH, raw).reason == "correct"


def test_the_first_word_of_an_answer_may_be_traditional():
    assert first_yes_or_no(normalise("不對，是象牙白。").text).candidate == "no"
