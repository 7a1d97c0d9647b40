import json
import re
import sys
from pathlib import Path

import pytest

TASK = """\
name: fruit
version: 1
builder: fruit_logic:BUILDER
twin: swap
answer: single
chance: 0.5
"""
WORDS = """\
eval:
  values: [quince, medlar]
  questions: ["Which fruit do I like?"]
"""
# The answer is listed first, so B lists other options than A.
LOGIC = """\
from qwen_bench.probes.instance import Builder, Evidence, Instance, Question, Words


class Fruit(Words):
    values: list[str]
    questions: list[str]

    @property
    def answers(self):
        return self.values


def build(brief, words):
    gold, other = words.values if brief.variant == "A" else words.values[::-1]
    told = Evidence(f"I like the {gold} more than the {other}.", "Good to know.", {})
    asked = Question(brief.families[0], "fruit", {}, gold, (gold, other), (0,))
    return Instance((told,), (asked,))


BUILDER = Builder(Fruit, build)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    folder = tmp_path / "mine" / "fruit"
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(TASK, encoding="utf-8")
    (folder / "en.yaml").write_text(WORDS, encoding="utf-8")
    (tmp_path / "fruit_logic.py").write_text(LOGIC, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield folder.parent
    sys.modules.pop("fruit_logic", None)


def test_a_suite_without_faults_exits_0_and_prints_table_and_audits(call):
    called = call("probes", "audit", "--suite", "quick", "--lengths", "2,8", "--json", "audit.json")

    found = json.loads(Path("audit.json").read_text(encoding="utf-8"))
    assert (called.code, found["passed"]) == (0, True)
    assert re.search(r"^ oracle +1 +1 +1", called.out, re.MULTILINE)
    assert re.search(r"^ ok +leak +\d+ questions", called.out, re.MULTILINE)
    assert re.search(r"^ skipped +template +needs two models", called.out, re.MULTILINE)
    assert {audit["status"] for audit in found["audits"]} == {"ok", "skipped"}


def test_a_fault_exits_1_and_the_last_line_names_the_audits(call, own):
    called = call(
        *("probes", "audit", "--suite", "quick", "--tasks-dir", own, "--family", "fruit"),
        *("--lang", "en", "--lengths", "4"),
    )

    assert called.code == 1
    assert re.search(r"^ FAIL +twins +\d+ found", called.out, re.MULTILINE)
    assert "fruit.fruit/T4/main: A and B list different candidates" in called.out
    last = called.err.strip().splitlines()[-1]
    assert re.fullmatch(r"exit 1: \d+ of \d+ audits failed: .*twins.*", last)


def test_chosen_solvers_run_alone(call):
    called = call(
        *("probes", "audit", "--suite", "quick", "--solver", "recency", "--solver", "window-2"),
        *("--lengths", "4", "--json", "-"),
    )

    found = json.loads(called.out)
    assert {cell["solver"] for cell in found["solvers"]} == {"recency", "window-2"}
    assert {audit["name"] for audit in found["audits"]} == {
        "solver table",
        "twin groups",
        "windows",
    }
    assert "recency" in called.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--solver", "recent"), "unknown solver 'recent'; near: recency"),
        (("--suite", "cor"), "no suite 'cor'"),
        (("--write", "--lang", "en"), "--write publishes the whole suite; leave --lang out"),
        (("--write", "--suite", "quick"), "--write publishes the whole audit of suite core"),
    ],
)
def test_a_bad_flag_is_a_usage_error(call, words, text):
    called = call("probes", "audit", *words)

    assert called.code == 2
    assert text in called.err


def test_filler_of_the_users_own_is_audited_in_its_place(call):
    topics = ("maps of the coast", "sourdough starters", "kite building", "wool socks")
    with Path("mine.jsonl").open("w", encoding="utf-8") as file:
        for number in range(10):
            topic = f"{topics[number % 4]} of the kind {'abcdefghij'[number] * 3}"
            messages = [
                {"role": "user", "content": f"I keep reading about {topic} in the evenings."},
                {"role": "assistant", "content": f"Reading about {topic} is a fine way to rest."},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")

    called = call(
        *("probes", "audit", "--suite", "quick", "--filler", "mine.jsonl"),
        *("--lengths", "2,4", "--lang", "en", "--family", "fact_recall"),
    )

    assert called.code == 0
    assert "10 en exchanges kept, 0 refused" in called.err
