from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from qwen_bench.report.junit import junit_xml
from qwen_bench.stats.gates import evaluate, parse_gate
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.results import Unjudged
from qwen_bench.testing import change_run

HOSTILE = (
    "]]></system-out><failure/> &amp; & \" ' <x>",
    "\x00\x01\x08\x0b\x0c\x1b[31m\x7f\x85\x9f",
    "\ud800 \udfff \ufffe \uffff \U0001ffff",
    "\u202ereversed\u2028line\u200b\ufeff",
    "]]>\r\n\t\n<!-- -- --> <?pi ?> <!DOCTYPE x [<!ENTITY y 'z'>]> &y;",
    "望江厅 😀",
)


def compared(runs, *gates):
    found = []
    for candidate in runs[1:]:
        pairing = pair(runs[0], candidate)
        comparison = compare(pairing, primary="generate")
        pairs = [(item.base, item.candidate) for item in pairing.pairs]
        results = evaluate([parse_gate(text) for text in gates], comparison, pairs)
        found.append(replace(comparison, gates=results))
    return found


def read(xml):
    """The parsed file, its totals checked against what it holds."""
    root = ET.fromstring(xml.encode())  # noqa: S314 - our own file
    assert root.tag == "testsuites"
    for element, inside in ((root, root), *((suite, suite) for suite in root)):
        assert element.get("tests") == str(len(list(inside.iter("testcase"))))
        assert element.get("failures") == str(len(list(inside.iter("failure"))))
        assert element.get("errors") == str(len(list(inside.iter("error"))))
    return root


def cases(root):
    return {case.get("name"): case for case in root.iter("testcase")}


@pytest.fixture(scope="module")
def two(sample):
    return sample.two_runs()[1]


@pytest.fixture(scope="module")
def forgetful(two):
    return compared(two)[0]


def test_verdict_gates_and_families_are_tests_and_only_the_first_two_can_fail(two):
    comparisons = compared(two, "overall>=99", "overall>=1", "pronoun@16>=0")

    root = read(junit_xml(comparisons, two, fail_on="regression"))

    found = cases(root)
    assert list(found) == [
        "verdict",
        "gate overall>=99",
        "gate overall>=1",
        "gate pronoun@16>=0",
        "family fact_recall",
        "family pronoun",
    ]
    failed = [name for name, case in found.items() if case.find("failure") is not None]
    assert failed == ["verdict", "gate overall>=99", "gate pronoun@16>=0"]
    assert "regressed" in found["verdict"].find("failure").get("message")
    assert "no data" in found["gate pronoun@16>=0"].find("failure").get("message")
    assert comparisons[0].modes["generate"].by_family["pronoun"].word == "regressed"
    assert "95 % interval" in found["family pronoun"].findtext("system-out")
    out = found["verdict"].findtext("system-out")
    assert "   4 turns: 100.0 % -> " in out
    assert out.count("\nlost ") == 20
    assert "more" in out.splitlines()[-1]


def test_what_was_not_answered_is_counted_and_an_empty_answer_is_called_so(sample):
    suite = sample.SampleSuite(langs=("en",))
    base, candidate = sample.run("a", suite), sample.run("b", suite)
    rows = list(candidate.outcomes)
    at = next(n for n, row in enumerate(rows) if row.score and row.condition == "main")
    rows[at] = replace(rows[at], status="empty", output="", score=0, reason="empty", matched=None)
    runs = [base, replace(candidate, outcomes=rows)]

    out = cases(read(junit_xml(compared(runs), runs, fail_on="never")))["verdict"]

    said = out.findtext("system-out")
    assert "0 errors, 0 truncated, 0 too long, 0 refused, 1 empty" in said
    assert f"lost {rows[at].probe_id}: (empty)" in said


@pytest.mark.parametrize(
    ("fail_on", "failures"), [("regression", 1), ("inconclusive", 1), ("never", 0)]
)
def test_a_regression_fails_as_the_exit_code_does(two, forgetful, fail_on, failures):
    root = read(junit_xml([forgetful], two, fail_on=fail_on))

    assert root.get("failures") == str(failures)


@pytest.mark.parametrize(("fail_on", "failures"), [("regression", 0), ("inconclusive", 1)])
def test_inconclusive_fails_only_when_asked_and_says_its_note_otherwise(
    two, forgetful, fail_on, failures
):
    mode = forgetful.modes["generate"]
    cell = replace(mode.overall, word="inconclusive", note="about 900 more probes would settle it")
    open_ended = replace(forgetful, modes={"generate": replace(mode, overall=cell)})

    root = read(junit_xml([open_ended], two, fail_on=fail_on))

    assert root.get("failures") == str(failures)
    assert "about 900 more probes" in cases(root)["verdict"].findtext("system-out")


def test_a_suite_per_candidate_and_a_broken_one_is_an_error(two):
    runs = [*two, replace(change_run(two[0], run_id="again"), label="again")]
    broken = Unjudged("late", "the server is not reachable", 1)

    root = read(junit_xml(compared(runs), runs, fail_on="never", unjudged=[broken]))

    assert [suite.get("name") for suite in root] == [
        "lora-v3 against base-model",
        "again against base-model",
        "late",
    ]
    assert root.get("errors") == "1"
    assert root[2].find("testcase/error").get("message") == "broke: the server is not reachable"


def test_time_is_that_of_the_manifest(two, forgetful):
    root = read(junit_xml([forgetful], two, fail_on="never"))

    assert cases(root)["verdict"].get("time") == "131.000"
    assert root.get("time") == "131.000"


def test_a_manifest_without_times_has_none(sample):
    suite = sample.SampleSuite(langs=("en",))
    timeless = change_run(sample.run("b", suite), invocations=[{"started": "soon"}])
    runs = [sample.run("a", suite), timeless]

    assert read(junit_xml(compared(runs), runs, fail_on="never")).get("time") == "0.000"


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_leaves_the_file_well_formed(two, forgetful, hostile):
    named = replace(
        forgetful,
        base=replace(forgetful.base, label=hostile),
        candidate=replace(forgetful.candidate, label=f"x{hostile}"),
    )
    runs = [
        replace(run, outcomes=[replace(row, output=hostile) for row in run.outcomes]) for run in two
    ]
    broken = Unjudged(hostile, hostile, 5)

    xml = junit_xml([named], runs, fail_on="regression", unjudged=[broken])

    root = read(xml)
    assert len(root) == 2
    assert not [c for c in xml if c < " " and c not in "\n\t"]
    assert not set("\x7f\x85\u202e\u2028\ufffe\uffff") & set(xml)


def test_nothing_private_is_written(sample):
    suite = sample.SampleSuite(langs=("en",))
    runs = [sample.run("/home/alice/out", suite), sample.run("b", suite)]

    xml = junit_xml(compared(runs), runs, fail_on="never")

    assert "alice" not in xml
    assert "hostname" not in xml
