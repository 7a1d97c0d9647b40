"""Suites broken on purpose: word files doctored in a folder, or builders wrapped."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import groupby

import pytest

from qwen_bench.probes.bank import Bank, Exchange, Thread
from qwen_bench.probes.definitions import load_family
from qwen_bench.probes.instance import Builder
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.resources import data_folder

TASKS = data_folder("tasks")


def renderings(suite):
    """Dialogues of one skeleton in one language at a time."""
    return [
        list(found) for _, found in groupby(suite.dialogues(), key=lambda d: (d.cluster, d.lang))
    ]


def watch(check, suite):
    """The line of a check after it saw a suite."""
    for rendering in renderings(suite):
        check.see(rendering)
    return check.line()


def small(*families, suite="quick", limit=1, **chosen):
    """A suite of some families."""
    return build_suite(suite, Selection(families=families, limit=limit, **chosen))


def with_family(suite, family):
    """The suite with one family replaced."""
    families = {**suite.sources.families, family.name: family}
    return replace(suite, sources=replace(suite.sources, families=families))


@pytest.fixture
def doctored(tmp_path):
    """`doctored(suite, "fact_recall", "en", old, new)`: the suite with a changed word file."""

    def doctor(suite, name, lang, *changes):
        folder = tmp_path / name
        if not folder.exists():
            shutil.copytree(TASKS / name, folder)
        path = folder / f"{lang}.yaml"
        text = path.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
        return with_family(suite, load_family(folder))

    return doctor


def with_bank(suite, request="That was a calm day.", answer="Good to hear."):
    """The suite with an English bank whose exchanges all say that."""
    exchange = Exchange(request, (answer,))
    bank = Bank((Thread("calm", (exchange, exchange)),) * 90, "", "calm bank")
    return replace(suite, sources=replace(suite.sources, banks={**suite.sources.banks, "en": bank}))


def rebuilt(suite, name, change):
    """The suite with the instances of a family changed: `change(instance, brief)`."""
    family = suite.sources.families[name]
    build = family.builder.build
    builder = Builder(family.builder.words, lambda brief, words: change(build(brief, words), brief))
    return with_family(suite, replace(family, builder=builder))


def requestioned(suite, name, change):
    """The suite with the questions of a family changed: `change(question, brief)`."""

    def changed(instance, brief):
        questions = tuple(change(question, brief) for question in instance.questions)
        return replace(instance, questions=questions)

    return rebuilt(suite, name, changed)
