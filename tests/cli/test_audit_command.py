import json
import re

import pytest

TASK = """\
name: fruit
version: 1
builder: bindings
params: {k: 4}
evidence_turns: [1, 1]
twin: rotate_keys
answer: single
chance: 0.25
floor: 0.25
"""
WORDS = """\
join: {sep: ", ", last: " and "}
eval:
  entities:
    - {say: my uncle in Wales, ask: Mum's brother in Wales}
    - {say: my niece, ask: my sister's girl}
    - {say: my landlord, ask: whoever lets my flat to me}
    - {say: my dentist, ask: whoever mends my teeth}
  values: {f: [Zorana, Brynhild], m: [Ignatius, Leopold]}
  evidence:
    - user: "Names: {% for b in bindings %}{{ join(loop) }}{{ b.say }} is {{ b.value }}{% endfor %}."
      assistant: [Thanks.]
  questions: {lexical: ["What is {{ asked.say }} called?"], paraphrase: ["Name {{ asked.ask }}."]}
  only: ""
"""


@pytest.fixture
def own(tmp_path):
    folder = tmp_path / "mine" / "fruit"
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(TASK, encoding="utf-8")
    (folder / "en.yaml").write_text(WORDS, encoding="utf-8")
    return folder.parent


def test_a_suite_without_faults_exits_0_and_prints_table_and_audits(call):
    called = call("probes", "audit", "--suite", "quick", "--lengths", "2,8", "--json", "audit.json")

    with open("audit.json", encoding="utf-8") as file:
        found = json.load(file)
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
    assert re.search(r"^ FAIL +lexicon +\d+ found", called.out, re.MULTILINE)
    assert "fruit en eval: 4 values, 24 are needed" in called.out
    last = called.err.strip().splitlines()[-1]
    assert re.fullmatch(r"exit 1: \d+ of \d+ audits failed: .*lexicon.*", last)


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
