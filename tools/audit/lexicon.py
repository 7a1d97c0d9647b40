"""Word files: sizes, words inside other words, disjoint parts, name rules (section 3.5)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from qwen_bench.audit.findings import AuditLine, Findings
from qwen_bench.audit.leaks import bare_keys
from qwen_bench.audit.trees import strings_of, tree_of
from qwen_bench.probes.bank import without
from qwen_bench.probes.definitions import Family
from qwen_bench.probes.instance import Words
from qwen_bench.probes.probe import LANGS, Lang
from qwen_bench.probes.programmes import Sources
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.solvers.history_reading import plain

Part = Literal["eval", "train", "lures"]
# Values and keys of a part of a word file.
FEWEST: dict[Part, tuple[int, int]] = {"eval": (48, 20), "train": (48, 20), "lures": (24, 20)}
FEWEST_TEMPLATES = 4
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
    part: Part

    def __str__(self) -> str:
        return f"{self.family} {self.lang} {self.part}"


def lexicon(sources: Sources, families: Sequence[str]) -> AuditLine:
    """Look at the words of all families whose evidence can stand in a dialogue.

    Args:
        sources: of the suite.
        families: those to judge; the words of all others must not meet theirs.
    """
    findings = Findings()
    words = {
        place: found for family in sources.families.values() for place, found in _parts(family)
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
    for name in sorted(hosts):
        _apart(findings, sources.families[name])
        _shapes(findings, sources.families[name])
    for lang in LANGS:
        here = {
            place: found
            for place, found in words.items()
            if place.lang == lang and place.part in {sources.split, "lures"}
        }
        _clashes(findings, lang, here, (hosts, programme_of))
        for name in sorted(hosts):
            _keys_in_lures(findings, name, here)
        answers = [a for p, w in here.items() if p.part != "lures" for a in w.answers]
        _bank(findings, sources, lang, answers)
    count = sum(len(set(w.answers)) for p, w in words.items() if p.family in hosts)
    return findings.line(
        "lexicon",
        f"{count} values, families: {len(hosts)}; sizes, clashes, parts, names, bank",
    )


def _parts(family: Family) -> Iterator[tuple[_Place, Words]]:
    """All parts of the word files of a family."""
    for (lang, split), words in family.words.items():
        yield _Place(family.name, lang, split), words
    for lang, words in family.lures.items():
        yield _Place(family.name, lang, "lures"), words


def _sizes(findings: Findings, place: _Place, words: Words) -> None:
    answers, keys = set(words.answers), set(words.keys)
    fewest_answers, fewest_keys = FEWEST[place.part]
    if answers and len(answers) < fewest_answers:
        findings.add(str(place), f"{len(answers)} values, {fewest_answers} are needed")
    if keys and len(keys) < fewest_keys:
        findings.add(str(place), f"{len(keys)} keys, {fewest_keys} are needed")


def _phrasings(findings: Findings, place: _Place, words: Words) -> None:
    for name in ("evidence", "pasted", "questions"):
        value = tree_of(getattr(words, name, None))
        for wording, found in (value if isinstance(value, Mapping) else {"": value}).items():
            if not isinstance(found, list):
                continue
            count = len({str(item) for item in found})
            if count < FEWEST_TEMPLATES:
                what = f"{count} phrasings of {name} {wording}".strip()
                findings.add(str(place), f"{what}, {FEWEST_TEMPLATES} are needed")


def _names(findings: Findings, place: _Place, words: Words) -> None:
    """Names of people are half female, half male; given names in Chinese share no character."""
    values = getattr(words, "values", None)
    female: list[str] = getattr(values, "f", [])
    male: list[str] = getattr(values, "m", [])
    if len(female) != len(male):
        findings.add(str(place), f"{len(female)} female and {len(male)} male names")
    if place.lang == "zh":
        names = (*female, *male)
        counts = Counter(char for name in names for char in name[1:])
        for name in names:
            if len(name) != 3 or _NUMERALS & set(name):
                findings.add(str(place), f"{name} is no name of three characters without numeral")
            if shared := [char for char in name[1:] if counts[char] > 1]:
                what = f"{name} shares {'、'.join(shared)} with another name of its list"
                findings.add(str(place), what)


def _apart(findings: Findings, family: Family) -> None:
    """No two parts of a word file share a value or a key, and the splits no template."""
    for lang in LANGS:
        parts = [(place.part, words) for place, words in _parts(family) if place.lang == lang]
        pools = [
            (part, set(words.answers) | set(words.keys), _templates(words))
            for part, words in sorted(parts)
        ]
        for number, (one, of_one, said_by_one) in enumerate(pools):
            for other, of_other, said_by_other in pools[number + 1 :]:
                shared = [("word", text) for text in of_one & of_other]
                if "lures" not in {one, other}:
                    shared += [("template", text) for text in said_by_one & said_by_other]
                for kind, text in sorted(shared):
                    what = f"{one} and {other} share the {kind} '{text}'"
                    findings.add(f"{family.name} {lang}", what)


def _templates(words: Words) -> set[str]:
    """Templates of evidence and questions."""
    names = ("evidence", "pasted", "questions")
    texts = {text for name in names for text in strings_of(tree_of(getattr(words, name, None)))}
    return {text for text in texts if len(_TEMPLATE.sub("", text).strip()) > 3}


def _shapes(findings: Findings, family: Family) -> None:
    """Lists are equally long in both languages, so that draws mean the same."""
    sizes: dict[Part, dict[Lang, dict[str, int]]] = {}
    for place, words in _parts(family):
        sizes.setdefault(place.part, {})[place.lang] = _sizes_of(tree_of(words))
    for part, found in sizes.items():
        if len(found) == 2 and found["en"] != found["zh"]:
            different = sorted(set(found["en"].items()) ^ set(found["zh"].items()))
            name = different[0][0]
            findings.add(f"{family.name} {part}", f"en and zh differ in the length of {name}")


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
    lang: Lang,
    words: Mapping[_Place, Words],
    scope: tuple[set[str], Mapping[str, str]],
) -> None:
    """No value stands in a word or sentence of its programme or of lures, nor in a frequent word.

    Args:
        findings: to add to.
        lang: of the words.
        words: of the split that is asked, and lures.
        scope: families to judge, and the programme of every family.
    """
    hosts, programmes = scope
    owners = _owners(words)
    for answer, found_in in owners.items():
        together = len({programmes[family] for family in found_in}) < len(found_in)
        if together and hosts & set(found_in):
            where = f"{found_in[0]} {lang}"
            findings.add(where, f"'{answer}' is a value of {' and '.join(found_in)}")
    for word in _FUNCTION_WORDS[lang].split():
        for answer in _inside(word, tuple(owners), lang):
            if hosts & set(owners[answer]):
                findings.add(f"{owners[answer][0]} {lang}", f"'{answer}' stands in '{word}'")
    texts = [(p, t) for p, found in words.items() for t in {*strings_of(tree_of(found))}]
    for place, text in sorted(texts):
        said = _TEMPLATE.sub(" ", text).strip()
        for answer in sorted(_inside(said, tuple(owners), lang)):
            owner = owners[answer][0]
            apart = programmes[owner] != programmes[place.family]
            itself = answer == text and place.family in owners[answer]
            if not apart and not itself and hosts & {owner, place.family}:
                findings.add(f"{owner} {lang}", f"'{answer}' stands in '{said}' of {place}")


def _keys_in_lures(findings: Findings, family: str, words: Mapping[_Place, Words]) -> None:
    """No lure of a family speaks of what the family asks about."""
    asked = [w for p, w in words.items() if p.family == family and p.part != "lures"]
    keys = bare_keys(tuple(key for found in asked for key in found.keys))
    for place, found in words.items():
        if place.family != family or place.part != "lures":
            continue
        for template in sorted({*strings_of(tree_of(found))} - {*strings_of(tree_of(asked))}):
            said = _TEMPLATE.sub(" ", template).strip()
            for mention in find_mentions(plain(said), keys, {}):
                findings.add(str(place), f"the key '{mention.candidate}' stands in '{said}'")


def _owners(words: Mapping[_Place, Words]) -> dict[str, list[str]]:
    """Families that have a value, for every value that can be an answer."""
    owners: dict[str, list[str]] = {}
    for place, found in words.items():
        if place.part != "lures":
            for answer in dict.fromkeys(found.answers):
                owners.setdefault(answer, []).append(place.family)
    return owners


def _inside(text: str, answers: tuple[str, ...], lang: Lang) -> set[str]:
    """Answers found in a text; of each place every one, not the longest alone."""
    whole = plain(text)
    if lang == "zh":
        return {answer for answer in answers if plain(answer) in whole}
    found = {mention.candidate for mention in find_mentions(whole, answers, {})}
    return found | {a for a in answers if f" {plain(a)} " in f" {whole} "}


def _bank(findings: Findings, sources: Sources, lang: Lang, answers: Sequence[str]) -> None:
    """No value costs a dialogue more than a few threads: those that hold it are left out."""
    bank = sources.banks[lang]
    for answer in dict.fromkeys(answers):
        lost = len(bank.threads) - len(without(bank, (answer,), long=False))
        if lost > MOST_THREADS:
            findings.add(bank.path, f"{lost} threads of {len(bank.threads)} hold '{answer}'")
