"""Accuracy of one run in its slices, and the JSON of summaries and comparisons."""

import json

import pytest

from qwen_bench.stats.compare_document import compare_document
from qwen_bench.stats.intervals import wilson
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.summary import summarise, summary_as_dict


def odd(number, *_):
    return number % 2


def test_the_headline_is_the_macro_average_of_the_main_condition(outcome):
    rows = [outcome(1, cluster=f"mixed-{k}", family="pronoun") for k in range(9)]
    rows += [outcome(0, cluster="mixed-0"), outcome(0, cluster="mixed-1", condition="blind")]

    summary = summarise(rows)["generate"]

    assert (summary.overall.n, summary.overall.correct, summary.overall.accuracy) == (10, 9, 0.5)
    assert list(summary.by_condition) == ["blind", "main"]
    assert list(summary.blind_by_family) == ["fact_recall"]


def test_slices_are_sorted_and_cover_the_main_condition(grid):
    summary = summarise(grid(odd, lengths=(16, 1, 4)))["generate"]

    assert list(summary.by_length) == [1, 4, 16]
    assert list(summary.by_lang) == ["en", "zh"]
    assert list(summary.by_family_length["pronoun"]) == [1, 4, 16]
    assert {cell.n for cell in summary.by_length.values()} == {160}
    assert all(0 < cell.low < 0.5 < cell.high < 1 for cell in summary.by_length.values())


def test_statuses_stay_in_the_denominator_and_are_counted(outcome):
    statuses = {"ok": 1, "truncated": 0, "refused": 0, "too_long": None, "error": None}
    rows = [
        outcome(value, cluster=f"mixed-{k}", status=status)
        for k, (status, value) in enumerate(statuses.items())
    ]

    cell = summarise(rows)["generate"].overall

    assert (cell.n, cell.correct, cell.accuracy) == (5, 1, 0.2)
    assert (cell.truncated, cell.refused, cell.too_long, cell.error) == (1, 1, 1, 1)


def test_independent_rows_of_one_family_get_the_wilson_interval(outcome):
    rows = [outcome(int(k < 8), cluster=f"mixed-{k}") for k in range(10)]

    cell = summarise(rows)["generate"].overall

    assert (cell.low, cell.high) == wilson(8, 10)


def test_a_group_is_right_only_if_all_its_members_are(outcome):
    rows = [
        outcome(value, cluster=f"mixed-{k}", variant=variant)
        for k, values in enumerate([(1, 1), (1, 0), (0, 0)])
        for variant, value in zip("AB", values, strict=True)
    ]

    cell = summarise(rows)["generate"].group_score

    assert (cell.n, cell.correct) == (3, 1)


def test_superseded_rows_do_not_count(outcome):
    rows = [outcome(None, status="error"), outcome(1)]

    assert summarise(rows)["generate"].overall.n == 1


def test_scorers_are_summarised_apart(grid):
    summaries = summarise(grid(odd) + grid(lambda *_: 1, mode="rank"))

    assert {mode: item.overall.accuracy for mode, item in summaries.items()} == {
        "generate": 0.5,
        "rank": 1.0,
    }


def test_a_run_without_main_probes_has_an_empty_headline(grid):
    cell = summarise(grid(odd, condition="adjacent"))["generate"].overall

    assert (cell.n, cell.low, cell.high) == (0, None, None)


def test_reasons_and_prompt_tokens_are_reported(outcome):
    rows = [
        outcome(k, cluster=f"mixed-{k}", prompt_tokens=tokens) for k, tokens in ((0, 10), (1, 21))
    ]

    summary = summarise(rows)["generate"]

    assert summary.reasons == {"correct": 1, "wrong_candidate": 1}
    assert summary.overall.prompt_tokens_median == 15.5


def test_row_order_does_not_matter(grid):
    rows = grid(odd)

    assert summarise(sorted(rows, key=lambda row: row.probe_id[::-1])) == summarise(rows)


def test_a_summary_is_plain_json_with_text_keys(grid):
    data = summary_as_dict(summarise(grid(odd, clusters=5)))

    again = json.loads(json.dumps(data, allow_nan=False))
    assert again == data
    assert list(data["generate"]["by_length"]) == ["1", "4"]
    assert data["generate"]["overall"]["low"] is None


@pytest.fixture
def document(grid, run):
    base = grid(lambda *_: 1)
    candidate = grid(lambda number, *key: int(key[1] < 4 or number % 4 == 0))
    pairing = pair(run(base), run(candidate, "candidate", model__dtype="bfloat16"))
    return compare_document([compare(pairing, primary="generate")], 3)


def test_compare_json_has_the_documented_keys(document):
    (candidate,) = document["candidates"]

    assert document["schema_version"] == 2
    assert document["exit_code"] == 3
    assert document["base"] == {"run_id": "base", "label": "base", "fingerprint": "base"}
    assert (candidate["verdict"], candidate["note"], candidate["more_probes"]) == (
        "regressed",
        "by more than the margin",
        None,
    )
    assert {
        "field": "model.dtype",
        "base": "float32",
        "candidate": "bfloat16",
        "class": "warn",
    } in (candidate["settings"])
    assert sum(candidate["accounting"][key] for key in ("paired", "only_base")) == 320


def test_compare_json_holds_cells_under_the_documented_names(document):
    mode = document["candidates"][0]["modes"]["generate"]

    assert set(mode["overall"]) == {
        *("n", "clusters", "base", "candidate", "difference", "low", "high", "p", "p_adjusted"),
        *("both_right", "lost", "gained", "both_wrong", "word", "note"),
        *("too_long", "error", "empty", "refused", "failed", "cut", "effects", "parts"),
    }
    assert list(mode["by_length"]) == ["1", "4"]
    assert mode["answered_only"] is None
    assert mode["retention"]["base"]["falls_under_half"] == {"state": "beyond", "at": 4}
    assert mode["retention"]["candidate"]["falls_under_half"] == {"state": "at", "at": 3.0}


def test_compare_json_has_no_nan_and_survives_a_round_trip(document):
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_a_document_needs_a_comparison():
    with pytest.raises(ValueError, match="needs a comparison"):
        compare_document([], 0)
