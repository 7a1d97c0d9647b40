"""CONTRIBUTING.md is true: what it says is enough for a family and for an engine is enough."""

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import yaml

from qwen_bench.audit.trees import exchanged
from qwen_bench.probes.definitions import load_families
from qwen_bench.probes.programmes import PROGRAMMES
from qwen_bench.probes.suites import build_suite
from qwen_bench.resources import data_folder

ROOT = Path(__file__).resolve().parent.parent
CHECKOUT = ("qwen_bench", "tasks", "tools", "pyproject.toml")
ENGINE = '''
"""An engine that gives the same answer to everything."""

from qwen_bench.protocol import Abilities, Counters, Identity, Reply, Score
from qwen_bench.record.manifest import DecodingInfo, EngineInfo, ModelInfo, TemplateInfo


class Parrot:
    def __init__(self, saying):
        self._saying = saying
        self._counters = Counters()

    def identity(self):
        spec = f"parrot:{self._saying}"
        model = ModelInfo(label=spec, spec=spec, kind="parrot", fingerprint=spec)
        return Identity(model, TemplateInfo(), DecodingInfo(), EngineInfo(name="parrot"))

    def abilities(self):
        return Abilities()

    def answer(self, unit):
        for request in unit.requests:
            self._counters.requests += 1
            if request.mode == "generate":
                yield Reply(request.id, "generate", "ok", text=self._saying, finish_reason="stop")
            else:
                scores = tuple(Score(text, -1.0, -1.0, 1) for text in request.candidates)
                yield Reply(request.id, "rank", "ok", scores=scores)

    def counters(self):
        return self._counters

    def close(self):
        pass


def open_engine(saying, options):
    return Parrot(saying)
'''
DIALOGUES = """
import hashlib, sys
from qwen_bench.probes.suites import build_suite
for dialogue in build_suite(sys.argv[1]).dialogues():
    print(dialogue.id, hashlib.sha256(repr(dialogue).encode()).hexdigest())
"""


@pytest.fixture
def checkout(tmp_path):
    """A copy of the checkout that a contributor would change."""
    for name in CHECKOUT:
        if (ROOT / name).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, tmp_path / name, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(checkout, *words):
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def qwen_bench(checkout, command):
    code = "import sys; from qwen_bench.cli.main import main; sys.exit(main(sys.argv[1:]))"
    return run(checkout, "-c", code, *command.split())


def other_words(lang):
    """Words that no family has: syllables, or pairs of Chinese characters."""
    if lang == "en":
        return [f"zo{a}a{b}u{c}o{d}" for a, b, c, d in product("bdgkz", repeat=4)]
    known = "".join(path.read_text("utf-8") for path in ROOT.glob("tasks/*/zh.yaml"))
    free = [chr(code) for code in range(0x9000, 0x9FA0) if chr(code) not in known]
    return ["".join(pair) for pair in zip(free[::2], free[1::2], strict=False)]


def add_family(tasks, name, like):
    """A family folder: that of another family with its values and keys exchanged for new words."""
    shutil.copytree(tasks / like, tasks / name)
    family = load_families(data_folder("tasks"))[like]
    for lang in ("en", "zh"):
        splits = [words for (of, _), words in family.words.items() if of == lang]
        splits += [words for of, words in family.lures.items() if of == lang]
        known = dict.fromkeys(word for words in splits for word in (*words.answers, *words.keys))
        renaming = dict(zip(known, other_words(lang), strict=False))
        assert len(renaming) == len(known)
        path = tasks / name / f"{lang}.yaml"
        tree = exchanged(yaml.safe_load(path.read_text("utf-8")), renaming)
        path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    path = tasks / name / "task.yaml"
    text = path.read_text("utf-8")
    assert f"name: {like}\n" in text
    path.write_text(text.replace(f"name: {like}\n", f"name: {name}\n"), encoding="utf-8")


def test_a_family_is_one_folder_in_tasks(checkout):
    add_family(checkout / "tasks", "lost_items", like="alias_chain")

    listed = qwen_bench(checkout, "probes list --suite quick")
    qwen_bench(checkout, "run --suite quick --model mock:oracle --limit 1 --run-id one")
    audited = qwen_bench(checkout, "probes audit --suite quick --family lost_items")

    rows = {line.split()[0]: line.split()[1:] for line in listed.splitlines() if line.strip()}
    assert rows["lost_items"][:-1] == rows["alias_chain"][:-1]
    assert rows["lost_items"][-1] == "quick-lost_items-0/A/en/lost_items.place/T1/main"
    answered = "".join(path.read_text("utf-8") for path in checkout.glob("runs/one/*.jsonl"))
    assert "quick-lost_items-0/A/en/lost_items.place/T1/main" in answered
    assert re.search(r"^ ok +solver table ", audited, re.MULTILINE)
    assert "LI lost_items" in audited


def test_a_new_family_changes_no_dialogue_of_the_others(checkout):
    before = run(ROOT, "-c", DIALOGUES, "quick").splitlines()
    add_family(checkout / "tasks", "lost_items", like="alias_chain")

    after = run(checkout, "-c", DIALOGUES, "quick").splitlines()

    assert [line for line in after if not line.startswith("quick-lost_items-")] == before
    assert len(after) > len(before)


@pytest.mark.parametrize("name", ["lost_items", "house_rule"])
def test_a_family_is_asked_in_the_suites_that_ask_its_programme(checkout, name):
    like = {"lost_items": "alias_chain", "house_rule": "system_rule"}[name]
    add_family(checkout / "tasks", name, like)
    code = (
        "from qwen_bench.probes.suites import build_suite, load_suite_names as names;"
        f"print(*(name for name in names() if {name!r} in build_suite(name).families))"
    )

    suites = run(checkout, "-c", code).split()

    family = load_families(data_folder("tasks"))[like]
    assert like in PROGRAMMES[family.task.programme].groups
    names = ("demo", "quick", "core", "full", "long")
    assert suites == [suite for suite in names if like in build_suite(suite).families]


def test_an_engine_is_its_module_and_a_line_of_the_registry(checkout):
    engines = checkout / "qwen_bench" / "engines"
    (engines / "parrot.py").write_text(ENGINE, encoding="utf-8")
    registry = (engines / "__init__.py").read_text("utf-8")
    line = "ENGINES: Mapping[str, str] = {}"
    assert line in registry.splitlines()
    told = line.replace("{}", '{"parrot": "qwen_bench.engines.parrot:open_engine"}')
    (engines / "__init__.py").write_text(registry.replace(line, told), encoding="utf-8")

    command = "run --suite quick --model polly=parrot:hello --limit 1 --run-id one"
    said = qwen_bench(checkout, f"{command} --mode generate --lengths 1")

    assert said.startswith("polly · suite quick")
    rows = (checkout / "runs/one/results.jsonl").read_text("utf-8").splitlines()
    answers = [json.loads(row).get("output") for row in rows]
    assert "hello" in answers
    assert set(answers) <= {"hello", None}


def test_every_file_that_contributing_names_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`((?:qwen_bench|tasks|tests|tools|stats|report)/[\w./]+\.\w+)`", text)
    rooms = {"stats", "report"}

    paths = [ROOT / ("qwen_bench" if name.split("/")[0] in rooms else "") / name for name in named]

    assert len(paths) > 8
    assert [str(path) for path in paths if "NAME" not in path.name and not path.is_file()] == []
