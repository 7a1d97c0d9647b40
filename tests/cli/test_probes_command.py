import json
import re

import pytest

ID = "mixed-0/A/en/fact_recall.value/T4/main"


def test_list_counts_what_the_suite_asks(call):
    called = call("probes", "list", "--suite", "demo")

    total = int(re.search(r"(\d+) probes", called.out)[1])
    counts = [
        int(number) for number in re.search(r"^ all (.*)$", called.out, re.MULTILINE)[1].split()
    ]
    assert called.code == 0
    assert sum(counts) == total


def test_a_selection_narrows_the_list(call):
    out = call("probes", "list", "--suite", "demo", "--family", "assist*", "--lengths", "1,2").out

    assert "assistant_recall" in out
    assert "fact_recall" not in out


def test_list_as_json_has_every_probe(call):
    called = call("probes", "list", "--suite", "demo", "--json", "-")

    document = json.loads(called.out)
    ids = [probe["id"] for probe in document["probes"]]
    assert len(ids) == len(set(ids))
    assert f" {len(ids)} probes" in called.err


def test_show_marks_evidence_and_question(call):
    out = call("probes", "show", ID).out

    evidence = next(line for line in out.splitlines() if line.startswith("*"))
    question = next(line for line in out.splitlines() if line.startswith("?"))
    answer = re.search(r"^answer +(\S+)", out, re.MULTILINE)[1]
    assert re.match(r"\* +1 user", evidence)
    assert re.match(r"\? +5 user", question)
    assert answer in out[out.index(evidence) : out.index(question)]


def test_show_as_jsonl_is_one_chatml_record(call):
    out = call("probes", "show", ID, "--jsonl").out

    record = json.loads(out)
    assert out.count("\n") == 1
    assert list(record) == ["type", "id", "messages", "canary"]
    assert record["id"] == ID
    assert [message["role"] for message in record["messages"][:2]] == ["user", "assistant"]
    assert record["messages"][-1]["role"] == "user"


@pytest.mark.parametrize("words", [(), ("--suite", "core")])
def test_a_probe_is_found_in_any_suite_or_in_one(call, words):
    assert call("probes", "show", ID, *words).code == 0


def test_an_id_whose_family_is_not_asked_there_names_those_that_are(call):
    err = call("probes", "show", "mixed-3/A/en/pronoun.referent/T4/main").err

    assert "no probe" in err
    assert "qwen-bench probes show mixed-3/A/en/pronoun.referent/T32/main" in err


def test_a_rule_is_shown_as_what_the_reply_must_look_like(call):
    out = call("probes", "show", "rule-1/B/en/instruction_retention.form/T4/main").out

    assert re.search(r"^answer +a (reply that|reply between|JSON object)", out, re.MULTILINE)
