"""What can be seen of a text without reading it: how long it is, and which signs it holds."""

from __future__ import annotations

import re
from functools import lru_cache

from qwen_bench.probes.probe import Lang, Turn

_TOKEN = re.compile(r"[0-9]|[A-Za-z']+|[^\sA-Za-z0-9']")
_SENTENCE = re.compile(r"[.!?。！？]+(?=\s|$|[\"'”’」])|[。！？]+")
# A capital letter where no sentence begins.
_CAPITALISED = re.compile(r"(?<=[a-z0-9,;:)|\"'’–-] )[A-Z][a-z]+|(?<=[(\"“])[A-Z][a-z]+")
_SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁"
    "魏薛叶阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎"
    "易常武乔贺赖龚文"
)
# A surname and two more characters that begin and end where a name would.
_CHINESE_NAME = re.compile(rf"[{_SURNAMES}][\u4e00-\u9fff]{{1,2}}(?=[，。、：；！？（）\s]|$)")
_SIGNS = {
    "question marks": re.compile(r"[?？]"),
    "digits": re.compile(r"[0-9]"),
    "commas": re.compile(r"[,，、]"),
    "colons": re.compile(r"[:：]"),
    "line breaks": re.compile(r"\n"),
    "quotes": re.compile(r"[\"“”「」『』《》]|(?<!\w)'|'(?!\w)"),
}
_OF_A_TEXT = ("characters", "tokens", *_SIGNS, "names", "sentences")
NAMES = (
    *(f"{name} of the {who}" for who in ("user", "assistant") for name in _OF_A_TEXT),
    "tokens of the user less those of the assistant",
    "place in the thread",
)


@lru_cache(maxsize=16384)
def about_tokens(text: str) -> int:
    """About how many tokens a text has: words, digits, signs and Chinese characters."""
    return len(_TOKEN.findall(text))


def surface_of(turn: Turn, lang: Lang) -> tuple[float, ...]:
    """Surface features of a turn, in the order of `NAMES`."""
    user, assistant = _of_text(turn.user, lang), _of_text(turn.assistant, lang)
    return (*user, *assistant, user[1] - assistant[1], float(turn.place))


@lru_cache(maxsize=16384)
def _of_text(text: str, lang: Lang) -> tuple[float, ...]:
    """Features of one text, in the order of `_OF_A_TEXT`."""
    signs = [len(sign.findall(text)) for sign in _SIGNS.values()]
    names = len((_CHINESE_NAME if lang == "zh" else _CAPITALISED).findall(text))
    sentences = len(_SENTENCE.findall(text))
    counts = (len(text), about_tokens(text), *signs, names, sentences)
    return tuple(float(count) for count in counts)
