"""What people and models write, marked by meaning, is scored as marked.

The tables are `tests/data/phrasings/<lang>_<kind>.yaml`: contexts with a gold, its candidates and
phrasings in five styles, right and wrong.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import yaml

from qwen_bench.probes.date_forms import date_forms, day_forms
from qwen_bench.scoring.score import judge_text

from .test_judge import a_probe

FOLDER = Path(__file__).parents[1] / "data/phrasings"
UNSEEN = FOLDER.with_name("phrasings_unseen")
KINDS = ("name", "day", "date", "number", "list", "yesno", "abstain")
FILES = tuple(f"{lang}_{kind}" for lang in ("en", "zh") for kind in KINDS)
STYLES = ("terse", "chatty", "hedged", "formal", "markdown")
MARKS = ("right", "wrong")
# Where the scorer and a careful reader disagree. Any other disagreement is a change of the scorer.
KNOWN = {
    "3, not 8, though 8 would be something!",
    "The following items are not on your list: blanket, stool, tin opener.",
    "You have it on the 22nd, and the second plan comes on the 27th.",
    "First came saddle, and the second was labyrinth 😊",
    "4月22日前后都不行",
    "You left your stepson's instrument out 🤷",
    "阿波和你一起想的",
    "我拿不准，可能不到40分钟",
}


@cache
def contexts(name, folder=FOLDER):
    return yaml.safe_load((folder / f"{name}.yaml").read_text("utf-8"))


def asked(name, context):
    """The probe of a context; a context whose question asks for a former value names the family."""
    return replace(probe_of(name, context), family=context.get("family", "f"))


def probe_of(name, context):
    """The same without a family."""
    lang, kind = name.split("_")
    gold, candidates = context["gold"], tuple(context["candidates"])
    if kind == "abstain":
        word = {"en": "not mentioned", "zh": "没提过"}[lang]
        return a_probe(word, candidates, lang, aliases_of(kind, candidates, lang), abstain=True)
    if kind == "yesno":
        return a_probe(gold.casefold(), ("yes", "no"), lang, kind="yesno")
    if kind == "list":
        items = tuple(gold.split(", " if lang == "en" else "、"))
        return a_probe(gold, candidates, lang, kind="set", items=items)
    return a_probe(gold, candidates, lang, aliases_of(kind, candidates, lang))


def aliases_of(kind, candidates, lang):
    """Other forms of each candidate, as families give them for days and dates."""
    forms = []
    if kind == "date":
        forms = [date_forms(month, day, lang) for month in range(1, 13) for day in range(1, 32)]
    elif kind in ("day", "abstain"):
        forms = [day_forms(day, lang) for day in range(1, 32)]
    return {first: tuple(others) for first, *others in forms if first in candidates}


def phrasings(name, folder=FOLDER):
    """Every phrasing of a table with its probe, style and mark."""
    for context in contexts(name, folder):
        probe = asked(name, context)
        for style in STYLES:
            for mark in MARKS:
                for said in context[style][mark]:
                    yield probe, style, mark, said


def disagreements(name):
    """What is said of each phrasing that is not scored as marked."""
    return {
        said: f"{name} {probe.gold}, {style}, {mark}: {said!r} is {verdict.reason}"
        for probe, style, mark, said in phrasings(name)
        if (verdict := judge_text(probe, said)).score != (mark == "right")
    }


@pytest.mark.parametrize("name", FILES)
def test_at_least_995_of_1000_phrasings_are_scored_as_marked(name):
    missed = disagreements(name)

    assert len(missed) <= 0.005 * len(list(phrasings(name))), "\n".join(missed.values())


def test_no_phrasing_but_the_known_ones_is_scored_otherwise():
    missed = {said: told for name in FILES for said, told in disagreements(name).items()}

    assert set(missed) == KNOWN, "\n".join(missed.values())


@pytest.mark.parametrize("name", FILES)
def test_a_table_holds_at_least_250_phrasings_in_five_styles_and_none_twice(name):
    found = list(phrasings(name))
    marks = [mark for _, _, mark, _ in found]

    assert len(found) >= 250
    assert min(marks.count(mark) for mark in MARKS) >= 0.4 * len(found)
    for style in STYLES:
        assert sum(written == style for _, written, _, _ in found) >= 40, style
    for context in contexts(name):
        said = [text for style in STYLES for mark in MARKS for text in context[style][mark]]
        assert len(said) == len(set(said)), context["question"]


def test_phrasings_written_apart_from_the_tables_are_scored_as_marked_in_49_of_50():
    # Looked at after the lists were closed: 95.5 % of 560 then, 84.6 % with scorer 1.0. Kinds of
    # phrasing that they showed were mended since, so they are no proof of the unknown any more.
    found = [
        (mark, said, judge_text(probe, said).score == (mark == "right"))
        for name in FILES
        for probe, _, mark, said in phrasings(name, UNSEEN)
    ]
    missed = [(mark, said) for mark, said, agreed in found if not agreed]

    assert len(found) == 560
    assert len(missed) <= 0.02 * len(found), missed
    assert not [said for mark, said in missed if mark == "wrong"]
