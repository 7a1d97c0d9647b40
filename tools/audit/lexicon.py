"""Word files: sizes, words inside other words, disjoint splits, name rules (section 3.5)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from qwen_bench.audit.findings import AuditLine, Findings
from qwen_bench.audit.trees import strings_of, tree_of
from qwen_bench.probes.bank import without
from qwen_bench.probes.definitions import Family
from qwen_bench.probes.instance import Words
from qwen_bench.probes.probe import Lang, Split
from qwen_bench.probes.programmes import Sources
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.solvers.history_reading import plain

FEWEST_ANSWERS, FEWEST_KEYS, FEWEST_TEMPLATES = 24, 8, 4
# Frequent words that no value may stand in.
_FUNCTION_WORDS = {
    "en": "the of and to in is was that it for on with as at by this have from or had not are but",
    "zh": "的 一 是 在 不 了 有 和 人 这 中 大 为 上 个 国 我 以 要 他 时 来 用 们",
}
_TEMPLATE = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
# Threads of the bank that one value may cost a dialogue that asks for it.
MOST_THREADS = 3
_NUMERALS = set("一二三四两几")


class _Place(NamedTuple):
    family: str
    lang: Lang
    split: Split

    def __str__(self) -> str:
        return f"{self.family} {self.lang} {self.split}"


def lexicon(sources: Sources, families: Sequence[str]) -> AuditLine:
    """Look at the words of all families whose evidence can stand in a dialogue.

    Args:
        sources: of the suite.
        families: those to judge; the words of all others must not meet theirs.
    """
    findings = Findings()
    words: dict[_Place, Words] = {
        _Place(name, lang, split): found
        for name, family in sources.families.items()
        for (lang, split), found in family.words.items()
    }
    hosts = {sources.families[name].group for name in families} | set(families)
    for place, found in words.items():
        if place.family in hosts:
            task = sources.families[place.family].task
            if task.programme and task.answer != "rule":
                _sizes(findings, place, found)
            if task.programme:
                _phrasings(findings, place, found)
            _names(findings, place, found)
    # A family of the user's has a programme to itself, and may be as small as it likes.
    programme_of = {
        name: family.task.programme or family.group for name, family in sources.families.items()
    }
    for programme in sorted({programme_of[name] for name in hosts}):
        together = {p: w for p, w in words.items() if programme_of[p.family] == programme}
        _characters(findings, together, programme)
    for name in sorted(hosts):
        _splits(findings, sources.families[name])
        _shapes(findings, sources.families[name])
    for lang, split in sorted({(place.lang, place.split) for place in words}):
        here = {p.family: w for p, w in words.items() if (p.lang, p.split) == (lang, split)}
        _clashes(findings, _Place("", lang, split), here, (hosts, programme_of))
        if split == sources.split:
            _bank(findings, sources, lang, here)
    answers = sum(len(set(w.answers)) for p, w in words.items() if p.family in hosts)
    return findings.line(
        "lexicon",
        f"{answers} values, families: {len(hosts)}; sizes, clashes, splits, names, bank",
    )


def _sizes(findings: Findings, place: _Place, words: Words) -> None:
    answers, keys = set(words.answers), set(words.keys)
    # A family that asks who said what has the many words among its keys.
    if answers and max(len(answers), len(keys)) < FEWEST_ANSWERS:
        findings.add(str(place), f"{len(answers)} values, {FEWEST_ANSWERS} are needed")
    if keys and len(keys) < FEWEST_KEYS:
        findings.add(str(place), f"{len(keys)} keys, {FEWEST_KEYS} are needed")


def _phrasings(findings: Findings, place: _Place, words: Words) -> None:
    for name in ("evidence", "questions"):
        value = tree_of(getattr(words, name, None))
        for wording, found in (value if isinstance(value, Mapping) else {"": value}).items():
            if not isinstance(found, list):
                continue
            count = len({str(item) for item in found})
            if count < FEWEST_TEMPLATES:
                what = f"{count} phrasings of {name} {wording}".strip()
                findings.add(str(place), f"{what}, {FEWEST_TEMPLATES} are needed")


def _names(findings: Findings, place: _Place, words: Words) -> None:
    """Names of people are half female, half male; Chinese ones have three characters."""
    values = getattr(words, "values", None)
    female: list[str] = getattr(values, "f", [])
    male: list[str] = getattr(values, "m", [])
    if len(female) != len(male):
        findings.add(str(place), f"{len(female)} female and {len(male)} male names")
    if place.lang == "zh":
        for name in (*female, *male):
            if len(name) != 3 or _NUMERALS & set(name):
                findings.add(str(place), f"{name} is no name of three characters without numeral")


def _characters(findings: Findings, words: Mapping[_Place, Words], programme: str) -> None:
    """Chinese names of one dialogue share no character."""
    for split in ("eval", "train"):
        names = [
            (name, place)
            for place, found in words.items()
            if (place.lang, place.split) == ("zh", split)
            for half in ("f", "m")
            for name in getattr(getattr(found, "values", None), half, [])
        ]
        counts = Counter(char for name, _ in names for char in name)
        for name, place in names:
            if shared := [char for char in name if counts[char] > 1]:
                what = f"{name} shares {'、'.join(shared)} with another name of {programme}"
                findings.add(str(place), what)


def _splits(findings: Findings, family: Family) -> None:
    """The splits share no value, key or template."""
    for lang in ("en", "zh"):
        pools = [
            (set(words.answers) | set(words.keys), _templates(words))
            for (of, _), words in sorted(family.words.items())
            if of == lang
        ]
        if len(pools) < 2:
            continue
        for what, shared in (
            ("words", pools[0][0] & pools[1][0]),
            ("templates", pools[0][1] & pools[1][1]),
        ):
            for text in sorted(shared):
                findings.add(f"{family.name} {lang}", f"both splits share the {what[:-1]} '{text}'")


def _templates(words: Words) -> set[str]:
    texts = {*strings_of(tree_of(getattr(words, "evidence", None)))}
    texts |= {*strings_of(tree_of(getattr(words, "questions", None)))}
    return {text for text in texts if len(_TEMPLATE.sub("", text).strip()) > 3}


def _shapes(findings: Findings, family: Family) -> None:
    """Lists are equally long in both languages, so that draws mean the same."""
    for split in sorted({split for _, split in family.words}):
        found = {
            lang: _sizes_of(tree_of(words))
            for (lang, of), words in family.words.items()
            if of == split
        }
        if len(found) == 2 and found["en"] != found["zh"]:
            different = sorted(set(found["en"].items()) ^ set(found["zh"].items()))
            name = different[0][0]
            findings.add(f"{family.name} {split}", f"en and zh differ in the length of {name}")


def _sizes_of(value: object, path: str = "") -> dict[str, int]:
    """Length of every list of single words or of records."""
    if isinstance(value, Mapping):
        return {
            name: size
            for key, item in value.items()
            for name, size in _sizes_of(item, f"{path}.{key}".strip(".")).items()
        }
    return {path: len(value)} if isinstance(value, list | tuple) else {}


def _clashes(
    findings: Findings,
    place: _Place,
    words: Mapping[str, Words],
    scope: tuple[set[str], Mapping[str, str]],
) -> None:
    """No value stands in a value, key or sentence of its programme, nor in a frequent word.

    Args:
        findings: to add to.
        place: language and split.
        words: by family.
        scope: families to judge, and the programme of every family.
    """
    hosts, programmes = scope
    owners: dict[str, list[str]] = {}
    for family, found in words.items():
        for answer in dict.fromkeys(found.answers):
            owners.setdefault(answer, []).append(family)
    for answer, found_in in owners.items():
        together = len({programmes[family] for family in found_in}) < len(found_in)
        if together and hosts & set(found_in):
            where = str(place._replace(family=found_in[0]))
            findings.add(where, f"'{answer}' is a value of {' and '.join(found_in)}")
    texts = [(answer, "value", owner[0]) for answer, owner in owners.items()]
    texts += [(word, "word", "") for word in _FUNCTION_WORDS[place.lang].split()]
    for family, found in words.items():
        texts += [(key, "key", family) for key in found.keys]
        texts += [(_TEMPLATE.sub(" ", t), "sentence", family) for t in sorted(_templates(found))]
    for text, kind, family in texts:
        for answer in _inside(text, tuple(owners), place.lang):
            owner = owners[answer][0]
            apart = bool(family) and programmes[owner] != programmes[family]
            itself = answer == text and kind in {"key", "value"} and family in owners[answer]
            if not apart and not itself and hosts & {owner, family}:
                where = str(place._replace(family=owner))
                of = f" of {family}" if family else ""
                findings.add(where, f"'{answer}' stands in the {kind} '{text.strip()}'{of}")


def _inside(text: str, answers: tuple[str, ...], lang: Lang) -> set[str]:
    """Answers found in a text; of each place every one, not the longest alone."""
    whole = plain(text)
    if lang == "zh":
        return {answer for answer in answers if plain(answer) in whole}
    found = {mention.candidate for mention in find_mentions(whole, answers, {})}
    return found | {a for a in answers if f" {plain(a)} " in f" {whole} "}


def _bank(findings: Findings, sources: Sources, lang: Lang, words: Mapping[str, Words]) -> None:
    """No value costs a dialogue more than a few threads: those that hold it are left out."""
    bank = sources.banks[lang]
    for answer in dict.fromkeys(answer for found in words.values() for answer in found.answers):
        lost = len(bank.threads) - len(without(bank, (answer,)))
        if lost > MOST_THREADS:
            findings.add(bank.path, f"{lost} threads of {len(bank.threads)} hold '{answer}'")
