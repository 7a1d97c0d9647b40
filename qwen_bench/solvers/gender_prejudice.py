"""A solver with prejudices: guesses the gender that goes with an activity, then takes such a name.

It shows that pronoun probes cannot be won by stereotype: both antecedents have one gender. The
table holds common stereotypes on purpose, because a solver without any would prove nothing; it is
used nowhere else. Genders of names are those of the family's word files.
"""

from __future__ import annotations

from functools import lru_cache

from qwen_bench.chat.messages import Conversation
from qwen_bench.probes.definitions import load_family
from qwen_bench.probes.probe import Probe
from qwen_bench.resources import data_folder
from qwen_bench.solvers.fixed_choice import blind, hashed, options_of
from qwen_bench.solvers.history_reading import history_of, places_of, plain

FAMILY = "pronoun"
# Stereotyped gender by a piece of a word in plain text, for what people in the word files do.
STEREOTYPES = {
    "f": (
        *("poem", "translat", "puppet", "basket", "fern", "tea", "plant", "teaches", "green ink"),
        *("knit", "hymn", "cushion", "skate"),
        *("印章", "漫画", "竹篮", "配音", "草席", "泥人", "译", "珍珠", "旗袍", "蘑菇", "凉茶"),
    ),
    "m": (
        *("clock", "bees", "map", "kite", "typewriter", "matchbox", "bridge", "meteorite"),
        *("latin", "glass", "kayak", "books", "pigeon", "croquet", "truffle", "organ", "sign"),
        *("llama", "cave", "knives", "tram", "telescope", "scooter", "jog", "radiator"),
        *("tollbooth", "clog", "ferry", "juggle", "welsh", "river", "camp"),
        *("养蜂", "钟表", "魔术", "化石", "帆板", "射箭", "航模", "击剑", "火山", "纪录片"),
        *(
            "皮影",
            "风筝",
            "古籍",
            "陶",
            "对联",
            "锦鲤",
            "滑翔伞",
            "火柴盒",
            "热气球",
            "潜水",
            "警犬",
        ),
        *("面馆", "桥梁", "方言", "果园", "滑雪", "水稻", "砖瓦", "米酒", "拖拉机", "灯塔", "镜片"),
        *("电影", "煤", "海船", "盐", "打铁"),
    ),
}


@lru_cache(maxsize=1)
def _genders() -> dict[str, str]:
    """Gender of every name in the words of the family."""
    family = load_family(data_folder("tasks") / FAMILY)
    return {
        name: gender
        for words in family.words.values()
        for gender in ("f", "m")
        for name in getattr(words.values, gender)
    }


def gender(probe: Probe, messages: Conversation) -> str:
    """A name of the gender that the last activity named suggests; ties by a seeded hash."""
    history = history_of(probe, messages)
    numbers = {place.message for place in places_of(probe, history)}
    text = " ".join(plain(history[number].content) for number in sorted(numbers))
    last = {
        gender: max((text.rfind(word) for word in words), default=-1)
        for gender, words in STEREOTYPES.items()
    }
    guessed = max(last, key=lambda gender: last[gender])
    fitting = [name for name in options_of(probe) if _genders().get(name) == guessed]
    return hashed(probe, fitting) if fitting else blind(probe, messages)
