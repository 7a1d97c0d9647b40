"""Checks a family of the user's before anything is asked; a fault is named with file and line.

Word files are checked as they are, then the family is tried out in every slot, in both variants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from qwen_bench.errors import DataError, QwenBenchError
from qwen_bench.probes.definitions import Family, Join, line_of, load_own_families, read_yaml
from qwen_bench.probes.instance import Question
from qwen_bench.probes.probe import LANGS, LEVELS, VARIANTS, WORDINGS, Lang
from qwen_bench.probes.programmes import PlacedInstance, Sources, own_programme, place
from qwen_bench.probes.word_templates import pattern_of, render

# Every level of memory load in both wordings.
_TRIAL_ROTATIONS = LEVELS * len(WORDINGS)
_Location = tuple[str | int, ...]


def load_checked_families(folder: Path) -> Mapping[str, Family]:
    """The families of a user's folder, each checked; again only when a file has changed.

    Raises:
        InputError: the folder holds no family.
        DataError: a file cannot be used, with its line where one is to blame.
    """
    content = [(str(path), path.read_bytes()) for path in sorted(folder.glob("*/*.yaml"))]
    return _checked_families(folder, tuple(content))


@lru_cache(maxsize=8)
def _checked_families(folder: Path, content: tuple[tuple[str, bytes], ...]) -> Mapping[str, Family]:
    """The families of a folder whose files have a content."""
    del content
    families = load_own_families(folder)
    for family in families.values():
        for lang in LANGS:
            if (lang, "eval") in family.words:
                _check_words(family, folder / family.name / f"{lang}.yaml", lang)
                _check_trial(family, families, folder / family.name / f"{lang}.yaml", lang)
    return families


def _check_words(family: Family, path: Path, lang: Lang) -> None:
    """Answers do not hold one another, and no template states one."""
    answers: list[str] = family.words[lang, "eval"].answers
    content = read_yaml(path)["eval"]
    for answer in answers:
        others = pattern_of(word for word in answers if word != answer)
        if found := others.search(answer) if others else None:
            raise DataError(
                path,
                _line_of_text(path, content, answer),
                f"the answer '{answer}' holds another answer, '{found[0]}'",
                fix="a reply that names one would count as both; choose another word",
            )
    if len(set(answers)) < len(answers):
        twice = next(answer for answer in answers if answers.count(answer) > 1)
        line = _line_of_text(path, content, twice)
        raise DataError(path, line, f"the answer '{twice}' is listed twice", fix="remove one")
    pattern = pattern_of(answers)
    for location, text in _texts(content, ("eval",)):
        if text in answers or pattern is None or not _is_template(location):
            continue
        if found := pattern.search(text):
            raise DataError(
                path,
                line_of(path, location),
                f"the template states the answer '{found[0]}'",
                fix="use a placeholder such as {{ value }}, or take the word out of the list",
            )


def _check_trial(family: Family, families: Mapping[str, Family], path: Path, lang: Lang) -> None:
    """Every slot and several rotations can be written, and ask what the evidence tells."""
    programme = own_programme(family.group)
    sources = Sources(families, {}, "eval", ("trial",))
    for number in range(programme.rotation * _TRIAL_ROTATIONS):
        golds: list[list[str]] = []
        for variant in VARIANTS:
            try:
                placed = list(place(sources, programme, number, variant, lang))
            except (ValueError, LookupError, TypeError) as error:
                raise DataError(
                    path,
                    None,
                    f"the builder '{family.task.builder}' fails: {error}",
                    fix="it may need more words of a kind, or the same number in each language",
                ) from error
            for item in placed:
                _check_instance(sources, item, path, lang)
            golds.append([q.gold for item in placed for q in item.instance.questions])
        if any(a == b for a, b in zip(*golds, strict=True)):
            raise DataError(
                path.with_name("task.yaml"),
                None,
                f"the builder '{family.task.builder}' gives variants A and B the same answer",
                fix="the twin must change every answer, or a guess can win both",
            )


def _check_instance(sources: Sources, item: PlacedInstance, path: Path, lang: Lang) -> None:
    join = sources.families[item.group].joins[lang]
    evidence = ""
    for stage in item.instance.evidence:
        for text in (stage.user, stage.assistant):
            evidence += _rendered(path, text, stage.context, join, lines=True) + "\n"
    for question in item.instance.questions:
        template, context, joined = sources.phrasing(item, question, lang)
        asked = _rendered(path, template, context, joined)
        _check_question(question, evidence, (template, asked), path)


def _check_question(question: Question, evidence: str, asked: tuple[str, str], path: Path) -> None:
    if not question.candidates:
        return
    content = read_yaml(path)["eval"]
    template, text = asked
    named = [c for c in question.candidates if _holds(text, c, question)]
    if named and len(named) < len(question.candidates):
        raise DataError(
            path,
            _line_of_text(path, content, template),
            f"the question names the candidate '{named[0]}' and not the others",
            fix="name all candidates or none",
        )
    stated = question.gold_items or (() if question.gold_abstains else (question.gold,))
    for answer in stated:
        if answer in question.candidates and not named and not _holds(evidence, answer, question):
            raise DataError(
                path,
                line_of(path, ("eval", "evidence")),
                f"the evidence never states the answer '{answer}'",
                fix="a template lacks the placeholder of the value",
            )


def _holds(text: str, answer: str, question: Question) -> bool:
    pattern = pattern_of((answer, *question.aliases.get(answer, ())))
    return bool(pattern and pattern.search(text))


def _rendered(
    path: Path,
    template: str,
    context: Mapping[str, Any],
    join: Join,
    *,
    lines: bool = False,
) -> str:
    try:
        return render(template, context, join, lines=lines)
    except QwenBenchError as error:
        raise DataError(
            path,
            _line_of_text(path, read_yaml(path)["eval"], template),
            error.message,
            fix=f"names that a template may use here: {', '.join([*context, 'join(loop)'])}",
        ) from error


def _is_template(location: _Location) -> bool:
    return location[1] in {"evidence", "pasted", "questions", "only"}


def _texts(content: object, location: _Location) -> Iterator[tuple[_Location, str]]:
    """Every text of a YAML value with its key path."""
    if isinstance(content, str):
        yield location, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _texts(value, (*location, str(key)))
    elif isinstance(content, Sequence):
        for number, value in enumerate(content):
            yield from _texts(value, (*location, number))


def _line_of_text(path: Path, content: object, text: str) -> int | None:
    """Line of the first occurrence of a text as a whole value."""
    for location, found in _texts(content, ("eval",)):
        if found.strip() == text.strip():
            return line_of(path, location)
    return None
