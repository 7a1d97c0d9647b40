"""From raw model text to comparable text, remembering where each character came from.

The order of the steps matters and is that of the probe specification, section 6.1.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_TURN_END = re.compile(r"<\|(?:im_end|endoftext|im_start)\|>")
_ROLE_LINE = re.compile(
    r"^[ \t]*(?:(?:user|assistant|system)[ \t]*$|(?:User|Human|Assistant):|(?:用户|助手)[：:])",
    re.MULTILINE,
)
_MARKER = re.compile(
    r"answer\s*:|answer is\b|答案\s*[:是为]|^\s*(?:答|回答)\s*:",
    re.MULTILINE,
)
_ZERO_WIDTH = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad")
# Full-width forms need no entry here: NFKC makes plain ones of them.
_BLANK = frozenset('*_`#~|>"“”„«»「」『』《》〈〉()[]{}【】〔〕-‐‒–—―•·')
# Traditional characters of Chinese answers, one to one and only those of the word lists and the
# abstain phrases: a general converter would also change names it should leave alone.
_TRADITIONAL = (
    "倉偉傑傘儀凱剛劉勳參吳吶呂啓啟嗩國園堅塢夢嫺嫻嬌孫學寧對峯嵐廄廣廳張愛慶憶採揚攬"
    "曉書東棟棲楊業樸樹欄歸沒漁潔澤濤瀉瀾燈燭瑤瑩盧硯穎窯箏範簫紅紹絲維綺織羅羣義聽興"
    "華葉蒼蓮蔣蔭薩蘆蘇蘭螢術衛衞觀許訴詩語說説講謝譚豎豔貝貞賈趙輝轎過遠鄒鄧鄭醬鈞銀"
    "鋒錠錦鍾鐵長門關陳陸陽雲靜韓韜顧風飛餘馬馮馳駿驛鳳鳴鵬鶴鹽麗麥黃黨"
)
_SIMPLIFIED = (
    "仓伟杰伞仪凯刚刘勋参吴呐吕启启唢国园坚坞梦娴娴娇孙学宁对峰岚厩广厅张爱庆忆采扬揽"
    "晓书东栋栖杨业朴树栏归没渔洁泽涛泻澜灯烛瑶莹卢砚颖窑筝范箫红绍丝维绮织罗群义听兴"
    "华叶苍莲蒋荫萨芦苏兰萤术卫卫观许诉诗语说说讲谢谭竖艳贝贞贾赵辉轿过远邹邓郑酱钧银"
    "锋锭锦钟铁长门关陈陆阳云静韩韬顾风飞余马冯驰骏驿凤鸣鹏鹤盐丽麦黄党"
)
_TO_SIMPLIFIED = dict(zip(_TRADITIONAL, _SIMPLIFIED, strict=True))
_APOSTROPHES = {"’": "'", "‘": "'", "ʼ": "'"}


@dataclass(frozen=True, slots=True)
class Normalised:
    """Comparable text and, for each of its characters, the index in the original."""

    text: str
    origin: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Span in the original of the characters [start, end) of `text`."""
        return self.origin[start], self.origin[end - 1] + 1


@dataclass(frozen=True, slots=True)
class Visible:
    """The part of an answer that counts, as a slice of the original.

    `unfinished_thought` is set when a reasoning block was opened and never closed.
    """

    start: int
    end: int
    unfinished_thought: bool = False


def visible_part(raw: str) -> Visible:
    """Cuts the turn end, reasoning and invented further turns off an answer."""
    end = len(raw)
    if found := _TURN_END.search(raw):
        end = found.start()
    start = 0
    closed = raw.rfind("</think>", 0, end)
    if closed >= 0:
        start = closed + len("</think>")
    if raw.find("<think>", start, end) >= 0:
        return Visible(start, start, unfinished_thought=True)
    body = raw[start:end]
    first_line = len(body) - len(body.lstrip())
    after_first = body.find("\n", first_line)
    if after_first >= 0:
        for role in _ROLE_LINE.finditer(body, after_first + 1):
            # "Answer:" and a role on the next line is an answer, not a further turn.
            if not body[: role.start()].rstrip(" \t\n*_").endswith((":", "：")):
                end = start + role.start()
                break
    return Visible(start, end)


def normalise(raw: str, start: int = 0, end: int | None = None) -> Normalised:
    """NFKC, case folding, simplified characters, straight apostrophes; marks become blanks.

    Newlines are kept (they end clauses and lines); runs of blanks collapse.
    """
    text: list[str] = []
    origin: list[int] = []
    for index in range(start, len(raw) if end is None else end):
        char = raw[index]
        if char in _ZERO_WIDTH:
            continue
        char = _APOSTROPHES.get(char, char)
        if char in _BLANK:
            char = " "
        for folded in unicodedata.normalize("NFKC", char).casefold():
            plain = _TO_SIMPLIFIED.get(folded, folded)
            plain = " " if plain in _BLANK or (plain.isspace() and plain != "\n") else plain
            if plain == " " and (not text or text[-1] in " \n"):
                continue
            text.append(plain)
            origin.append(index)
    while text and text[-1] in " \n":
        text.pop()
        origin.pop()
    return Normalised("".join(text), tuple(origin))


def answer_segment(text: str) -> tuple[int, int]:
    """Start and end of the answer in normalised text: after the last explicit marker, else all."""
    markers = list(_MARKER.finditer(text))
    if not markers:
        return 0, len(text)
    start = markers[-1].end()
    line_end = text.find("\n", start)
    while line_end >= 0 and not text[start:line_end].strip(" ,.:;。，"):
        start = line_end + 1
        line_end = text.find("\n", start)
    return start, len(text) if line_end < 0 else line_end
