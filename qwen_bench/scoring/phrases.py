"""Closed lists of words that deny, set aside, leave open, say yes or no, or abstain.

All are looked for in normalised text: lower case, simplified characters, no quotes or brackets.
The lists hold plain words, so that each can be read, and tested, word by word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrases:
    """The lists, by what their words do; those in Chinese end in `_zh`."""

    # Before a mention in its clause they deny it.
    negators: tuple[str, ...] = (
        *("not", "n't", "no", "never", "neither", "nor", "without", "except", "cannot"),
        *(
            "rather than",
            "instead of",
            "in place of",
            "other than",
            "moved out of",
            "rule out",
            "dropped",
        ),
        *("anyone but", "anywhere but", "anything but"),
        *("不是", "不在", "不叫", "不用", "不选", "不再", "不含", "不包括", "并非", "而非", "没有"),
        *("没在", "除了", "排除", "别", "并未"),
    )
    # Before a mention that follows the answer, they say that it holds no longer.
    former: tuple[str, ...] = (
        *("formerly", "originally", "previously", "used to", "replacing", "from", "after"),
        *("the other one",),
        *("原", "以前", "之前", "此前", "本来", "从"),
    )
    # Behind such a mention.
    former_behind: tuple[str, ...] = (
        *("originally", "before", "was the old", "out", "removed", "no longer", "不再"),
        *(
            "取消",
            "已经不",
            "去掉",
            "换掉",
            "拿出",
            "取出",
            "移除",
            "不买",
            "没装",
            "拿掉",
            "拿走",
            "请假",
        ),
    )
    # A change of one value into another is told with one word of each of these three.
    changing: tuple[str, ...] = (
        *("moved", "changed", "raised", "rescheduled", "pushed", "bumped"),
        *("变更", "提前", "推迟", "延", "调整", "更新", "改", "换", "加"),
    )
    leaving: tuple[str, ...] = ("from", "由", "从", "把")
    reaching: tuple[str, ...] = ("to", "为", "至", "到", "成")
    # A list joined with one of them is a choice.
    choosing: tuple[str, ...] = ("or", "或")
    # What stands before them says nothing of what stands behind.
    turning: tuple[str, ...] = ("and", "or", "now", "then", "现在", "后来", "和", "或")
    # They look like a denial, or the start of an answer, and are none.
    idioms: tuple[str, ...] = (
        *("no problem", "no doubt", "not mistaken", "yes or no"),
        *("would not say so", "may be wrong"),
        *("no wait", "no sorry", "哦不"),
        *("没记错", "没看漏", "没理解错", "没弄错", "没弄混", "没记混", "没再变动", "不出意外"),
        *("对不起", "不好意思", "特别", "分别", "别人", "别忘", "对于", "对话"),
    )
    # A clause with one of these answers neither yes nor no.
    unsure: tuple[str, ...] = (
        *(
            "not sure",
            "not certain",
            "n't know",
            "n't say",
            "n't remember",
            "not have",
            "n't recall",
        ),
        *("cannot", "unable", "could be", "decline", "没法"),
        *("不确定", "不太确定", "说不好", "拿不准", "不清楚", "不太清楚", "记不清", "没印象"),
        *("无法", "难说", "不敢", "不足", "不知道", "不记得"),
    )
    # A clause with one of these says no, whatever else it holds.
    no: tuple[str, ...] = (
        *("no", "nope", "nah", "not", "n't", "never", "incorrect", "wrong", "false", "inaccurate"),
        *("mistaken", "mismatch", "unlikely", "doubt", "different", "something else", "n"),
        *("不", "不是", "不对", "没", "没有", "未", "否", "错", "误", "非", "并无", "哪有", "出入"),
    )
    # These hold a word of the last list and say yes.
    yes_after_all: tuple[str, ...] = ("没错", "无误", "没问题", "不错")
    yes: tuple[str, ...] = (
        *("y", "yes", "yeah", "yep", "yup", "correct", "right", "true", "accurate", "indeed"),
        *("absolutely", "certainly", "of course", "affirmative", "confirmed", "exactly"),
        *("you did", "i did", "it does", "sure did", "does match", "matches", "to match"),
        *("a match", "should match", "think so", "believe so", "consistent with", "you got it"),
        *("corresponds", "in line with", "in accordance with"),
        *("属实", "是的", "就是", "是这样", "即为", "确实", "确有", "一致", "一样", "相符", "吻合"),
        *("对得上", "正确", "对的", "说过", "提过", "讲过", "提到过", "建议过"),
        *("推荐过", "告知"),
    )
    # In Chinese these say yes at the start of a clause only.
    yes_first: tuple[str, ...] = ("是", "对", "有")
    # What a clause may begin with before its answer.
    hedges: tuple[str, ...] = (
        *("well", "actually", "oh"),
        *("应该", "好像", "似乎", "大概", "我想", "我觉得", "我记得", "我印象中", "我印象里"),
        *("嗯", "看起来", "当然", "结论"),
    )
    # Words that make a question; what follows a blank behind them may answer it.
    asking: tuple[str, ...] = ("是否", "有没有", "是不是", "对不对")
    # A denial before a word of saying in one clause: it was never stated.
    unsaid: tuple[str, ...] = (
        *("not", "n't", "never", "no", "nothing"),
        *("没", "未", "不曾", "无", "不存在", "不记得"),
    )
    saying: tuple[str, ...] = (
        *("mention", "mentioned", "mentioning", "say", "said", "tell", "told", "telling"),
        *("state", "stated", "specify", "specified", "provide", "provided", "given", "informed"),
        *("shared", "saying", "gave", "disclosed"),
        *("information", "record", "come up", "came up", "idea"),
        *("提", "说", "讲", "聊", "告诉", "告知", "起过", "起名", "信息", "记录"),
    )
    # Phrases that say so by themselves.
    abstaining: tuple[str, ...] = (
        *("unknown", "unmentioned", "unspecified", "not sure which", "left it out"),
        *("left that out", "left out", "nothing about", "never about", "not know", "n't know"),
        *("不知道", "不清楚", "不晓得", "无法得知", "无法回答", "无法确定", "无法作答"),
        *("未见",),
    )
    # These do if they are the whole answer.
    abstaining_alone: tuple[str, ...] = ("none", "n/a", "无", "没有")
    # The question's own words on what to say if it was never stated; an echo of them is no answer.
    instructing: tuple[str, ...] = ("if i never said", "reply exactly", "如果我没说", "只回答")


@dataclass(frozen=True, slots=True)
class Patterns:
    """One pattern a list, or a pattern of several; fields are named after the lists."""

    negators: re.Pattern[str]
    former: re.Pattern[str]
    former_label: re.Pattern[str]
    former_behind: re.Pattern[str]
    changing: re.Pattern[str]
    leaving: re.Pattern[str]
    reaching: re.Pattern[str]
    into: re.Pattern[str]
    choosing: re.Pattern[str]
    turning: re.Pattern[str]
    idioms: re.Pattern[str]
    unsure: re.Pattern[str]
    yes_or_no: re.Pattern[str]
    only_yes_or_no: re.Pattern[str]
    hedge: re.Pattern[str]
    asking: re.Pattern[str]
    abstaining: re.Pattern[str]
    instructing: re.Pattern[str]


def compiled(lists: Phrases) -> Patterns:
    """Patterns of the lists; of two words that begin alike the longer is tried first."""
    no, yes = _any(lists.no), _any(lists.yes)
    after_all = _any(lists.yes_after_all)
    first = _any(lists.yes_first)
    hedge = f"(?:{_any(lists.hedges)})"
    unsaid, saying = _any(lists.unsaid), _any(lists.saying)
    return Patterns(
        negators=re.compile(_any(lists.negators)),
        former=re.compile(_any(lists.former)),
        former_label=re.compile(rf"(?:{_any(lists.former)}|\bwas) *: *\Z"),
        former_behind=re.compile(_any(lists.former_behind)),
        changing=re.compile(_any(lists.changing)),
        leaving=re.compile(_any(lists.leaving)),
        reaching=re.compile(_any(lists.reaching)),
        into=re.compile(
            rf"(?:{_any(lists.changing)}).*?(?:{_any(lists.reaching)})了?(?: the)? *\Z"
        ),
        choosing=re.compile(_any(lists.choosing)),
        turning=re.compile(_any(lists.turning)),
        idioms=re.compile(_any(lists.idioms)),
        unsure=re.compile(_any(lists.unsure)),
        yes_or_no=re.compile(f"(?P<after_all>{after_all})|(?P<no>{no})|(?P<yes>{yes})"),
        only_yes_or_no=re.compile(rf"\W*(?:{hedge}\W*)*(?P<word>{no}|{yes}|{first})\W*"),
        hedge=re.compile(rf"\W*(?:{hedge}\W*)*"),
        asking=re.compile(f"(?<!没)(?:{_any(lists.asking)})"),
        abstaining=re.compile(
            rf"(?:{unsaid})[^,.;:!?\n。、]{{0,60}}?(?:{saying})|{_any(lists.abstaining)}"
            rf"|(?:{saying})[^.;:!?\n。]{{0,60}}\bbut (?:not|never)\b"
            rf"|\A\W*(?:{_any(lists.abstaining_alone)})\W*\Z"
        ),
        instructing=re.compile(rf"(?:{_any(lists.instructing)})[^.;!?\n。；！？]*"),
    )


def _any(words: tuple[str, ...]) -> str:
    """A pattern for any of the words; English ones are found as whole words only."""
    return "|".join(_word(word) for word in sorted(words, key=lambda word: (-len(word), word)))


def _word(word: str) -> str:
    if not word.isascii():
        return re.escape(word)
    before = "" if word.startswith("n't") else r"(?<![0-9a-z])"
    return before + re.escape(word) + r"(?![0-9a-z])"


PATTERNS = compiled(Phrases())
