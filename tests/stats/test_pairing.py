"""Joining two runs: what is refused, what is counted, what is warned of."""

import itertools
from dataclasses import replace

import pytest

from qwen_bench.errors import InputError, NotComparableError, RunError
from qwen_bench.record.manifest import Invocation
from qwen_bench.record.outcome import STATUSES, final_outcomes
from qwen_bench.stats.comparability import compared_settings, needless
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair


@pytest.fixture
def rows(outcome):
    return [outcome(k % 2, cluster=f"mixed-{k}") for k in range(4)]


def test_pairs_are_joined_by_probe_and_mode_and_sorted(outcome, run):
    rows = [
        outcome(1, cluster=f"mixed-{k}", mode=mode)
        for k in (2, 0, 1)
        for mode in ("rank", "generate")
    ]

    pairing = pair(run(rows), run(rows[::-1], "candidate"))

    keys = [(item.base.probe_id, item.base.mode) for item in pairing.pairs]
    assert keys == sorted(keys)
    assert all(item.base == item.candidate for item in pairing.pairs)
    assert len(keys) == 6


def test_the_last_row_that_is_not_an_error_counts(outcome):
    first, last = outcome(0, output="first"), outcome(1, output="last")
    failed = outcome(None, status="error")

    assert final_outcomes([failed, first, last, failed]) == (last,)


def test_without_an_answer_the_last_error_counts(outcome):
    failures = [outcome(None, status="error", attempt=attempt) for attempt in (1, 2)]

    assert final_outcomes(failures) == (failures[1],)


def test_file_order_does_not_matter(rows, run):
    shuffled = [rows[k] for k in (2, 0, 3, 1)]

    first = pair(run(rows), run(rows, "candidate"))
    second = pair(run(rows), run(shuffled, "candidate"))

    assert (first.pairs, first.accounting) == (second.pairs, second.accounting)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("suite__name", "quick"),
        ("suite__version", "2.0"),
        ("suite__sha256", "6" * 64),
        ("suite__seed", 1),
        ("suite__filler_sha256", None),
        ("suite__policy", "last-8"),
        ("suite__families", ["fact_recall"]),
        ("generation__temperature", 0.7),
        ("generation__max_new_tokens", 16),
        ("generation__system_sha256", "s"),
        ("scorer__version", "0.2"),
    ],
)
def test_a_setting_that_must_match_refuses_the_comparison(rows, run, field, value):
    with pytest.raises(NotComparableError) as caught:
        pair(run(rows), run(rows, "candidate", **{field: value}))

    assert [name for name, _, _ in caught.value.differences] == [field.replace("__", ".")]


def test_a_refusal_names_values_and_the_way_out(rows, run):
    with pytest.raises(NotComparableError) as caught:
        pair(run(rows), run(rows, "candidate", generation__max_new_tokens=16))

    assert caught.value.differences == (("generation.max_new_tokens", "64", "16"),)
    assert caught.value.fix == (
        "run the candidate again with the baseline's settings:",
        "  qwen-bench run --model mock:oracle --max-new-tokens 64",
        "or accept a difference: --allow-mismatch generation.max_new_tokens",
    )


def test_an_allowed_mismatch_is_compared_and_said(rows, run):
    other = run(rows, "candidate", generation__temperature=0.7)

    pairing = pair(run(rows), other, allow_mismatch=["generation.temperature"])

    assert "allowed mismatch generation.temperature: 0.0 -> 0.7" in pairing.warnings
    assert pairing.settings[0].kind == "must match"


def test_a_mismatch_that_cannot_be_allowed_is_a_usage_error(rows, run):
    with pytest.raises(InputError, match="messages_sha256"):
        pair(run(rows), run(rows, "candidate"), allow_mismatch=["messages_sha256"])


@pytest.mark.parametrize(
    "field",
    ["template.tokenizer_sha256", "generation.stop", "model.label", "packages.torch",
     "fingerprint method", "model.base_fingerprint", "generation.max_thinking_tokens"],
)  # fmt: skip
def test_a_field_whose_difference_forbids_nothing_may_be_allowed(rows, run, field):
    base, other = run(rows), run(rows, "candidate", model__label="b")
    for view in (base, other):
        packages = Invocation(started="2026-11-22T10:15:03Z", packages={"torch": view.label})
        view.manifest.__dict__["invocations"] = (packages,)

    assert pair(base, other, allow_mismatch=[field]).pairs


def test_a_field_that_need_not_be_allowed_is_said_to_be_so(rows, run):
    known = compared_settings(run(rows).manifest, run(rows, "candidate").manifest)

    lines = needless(["template.tokenizer_sha256", "generation.stop", "suite.seed"], known)

    changes_nothing = "changes nothing: a difference in it is"
    assert lines == (
        f"--allow-mismatch template.tokenizer_sha256 {changes_nothing} only warned of",
        f"--allow-mismatch generation.stop {changes_nothing} expected",
    )


@pytest.mark.parametrize(
    ("field", "fix"),
    [
        ("suite.sed", "near: suite.seed"),
        ("messages_sha256", "settings that can: suite.name, suite.version, "),
        ("chat_template", "settings that can: suite.name, suite.version, "),
    ],
)
def test_only_a_name_that_is_close_is_suggested_for_one_that_is_unknown(rows, run, field, fix):
    with pytest.raises(InputError) as caught:
        pair(run(rows), run(rows, "candidate"), allow_mismatch=[field])

    assert caught.value.fix[0].startswith(fix)


def test_stops_differ_between_families_as_expected(rows, run):
    base = run(rows, generation__stop=("<|im_end|>",))
    other = run(rows, "candidate", generation__stop=("<end_of_turn>", "<eos>"))

    found = {item.field: item for item in pair(base, other).settings}["generation.stop"]

    assert (found.kind, found.base, found.candidate) == (
        "expected",
        "<|im_end|>",
        "<eos>,<end_of_turn>",
    )


def test_what_the_checkpoint_shipped_is_no_setting(rows, run):
    other = run(rows, "candidate", generation__checkpoint_defaults={"top_p": 0.5})

    assert {item.kind for item in pair(run(rows), other).settings} == {"expected"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"template__chat_template_sha256": "t2"}, "template.chat_template_sha256"),
        ({"template__default_system": "You are"}, "template.default_system"),
        ({"template__thinking": {"requested": "off"}}, "template.thinking.requested"),
        ({"model__dtype": "bfloat16"}, "model.dtype"),
        ({"model__quantisation": "GGUF Q4_K_M"}, "model.quantisation"),
        ({"engine__name": "vllm"}, "engine.name"),
        ({"engine__device": "cuda"}, "engine.device"),
        ({"model__base_fingerprint": "another"}, "model.base_fingerprint"),
        ({"model__fingerprint": "fast:1"}, "fingerprint method"),
        ({"invocations": [{"started": "", "packages": {"torch": "2.14"}}]}, "packages.torch"),
    ],
)
def test_a_setting_worth_a_warning_is_compared_and_said(rows, run, changes, field):
    pairing = pair(run(rows), run(rows, "candidate", **changes))

    assert field in [item.field for item in pairing.settings if item.kind == "warn"]
    assert any(field in text for text in pairing.warnings)


def test_an_adapter_on_the_baseline_itself_is_no_warning(rows, run):
    other = run(rows, "candidate", model__base_fingerprint="base")

    assert [item for item in pair(run(rows), other).settings if item.kind == "warn"] == []


def test_the_order_of_a_list_is_no_difference(rows, run):
    other = run(rows, "candidate", suite__families=["pronoun", "fact_recall"])

    assert len(pair(run(rows), other).pairs) == 4


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_an_unfinished_run_is_refused(rows, run, status):
    with pytest.raises(NotComparableError) as caught:
        pair(run(rows), run(rows[:2], "candidate", status=status, expected__rows=4))

    assert f"candidate: {status}, 2 of 4 answers" in caught.value.why
    assert "qwen-bench run --resume candidate" in caught.value.fix


def test_an_unfinished_run_can_be_allowed_and_is_said(rows, run):
    other = run(rows[:3], "candidate", status="interrupted")

    pairing = pair(run(rows), other, allow_partial=True)

    assert pairing.partial
    assert "a run is not finished: 3 rows are paired, 1 only in base" in pairing.warnings


def test_different_limits_use_the_common_part_and_state_the_numbers(rows, run):
    pairing = pair(run(rows), run(rows[1:], "candidate", suite__limit=2))

    assert (pairing.accounting.paired, pairing.accounting.only_base) == (3, 1)
    assert "3 rows are paired, 1 only in base" in pairing.warnings


def test_other_conversations_are_refused_whatever_is_allowed(outcome, rows, run):
    other = [*rows[:3], outcome(1, cluster="mixed-3", messages_sha256="other")]

    with pytest.raises(NotComparableError, match="not asked the same") as caught:
        pair(run(rows), run(other, "candidate"), allow_partial=True)

    assert "messages_sha256 differs in 1 of 4 pairs" in caught.value.why


def test_runs_without_a_common_probe_are_refused(rows, run):
    with pytest.raises(NotComparableError, match="no probe in common"):
        pair(run(rows[:2]), run(rows[2:], "candidate"))


def test_errors_above_the_limit_end_the_comparison(outcome, rows, run):
    failed = outcome(None, cluster="mixed-3", status="error", error_type="OutOfMemoryError")

    with pytest.raises(RunError, match="1 of 4 probes failed") as caught:
        pair(run(rows), run([*rows[:3], failed], "candidate"), max_error_rate=0.2)

    assert not isinstance(caught.value, NotComparableError)
    assert caught.value.why == ("1 x OutOfMemoryError",)
    assert caught.value.fix == ("qwen-bench run --resume candidate --retry-errors",)


def test_errors_up_to_the_limit_stay_in_the_denominator(outcome, rows, run):
    failed = outcome(None, cluster="mixed-3", status="error")

    pairing = pair(run(rows), run([*rows[:3], failed], "candidate"), max_error_rate=0.25)

    assert (pairing.accounting.paired, pairing.accounting.error) == (4, 1)


def test_the_accounting_covers_the_union_of_probes_for_every_pair_of_statuses(outcome, run):
    base, candidate = [], []
    for k, (left, right) in enumerate(itertools.product((*STATUSES, None), repeat=2)):
        for rows, status in ((base, left), (candidate, right)):
            if status is not None:
                value = None if status in {"too_long", "error"} else 0
                rows.append(outcome(value, cluster=f"mixed-{k}", status=status))

    found = pair(run(base), run(candidate, "candidate"), max_error_rate=1.0).accounting

    union = {row.probe_id for row in base} | {row.probe_id for row in candidate}
    assert found.paired + found.only_base + found.only_candidate == len(union) == 48
    assert (found.paired, found.error, found.too_long) == (36, 11, 11)
    assert (found.truncated_base, found.refused_candidate) == (6, 6)
    assert (found.empty_base, found.empty_candidate) == (6, 6)


def unread(outcome, **changes):
    """A row of an answer that a server sent as a thought alone."""
    said = {"output": "", "error_type": "ReasoningOnly", "error_message": "the server sent x alone"}
    return outcome(0, status="empty", reason="no_answer", **said, **changes)


def test_a_run_with_too_many_unread_answers_has_no_verdict(rows, outcome, run):
    lost = unread(outcome, cluster=rows[3].cluster)
    candidate = run([*rows[:3], lost], "candidate")

    with pytest.raises(
        RunError, match=r"1 of 4 answers could not be read \(25.0 %, limit 5 %\)"
    ) as caught:
        pair(run(rows), candidate)

    assert caught.value.why == ("1 x ReasoningOnly, the first: the server sent x alone",)
    assert "--reasoning-parser" in caught.value.fix[0]
    assert pair(run(rows), candidate, max_unread_rate=0.25).accounting.empty_candidate == 1


def test_a_model_that_says_nothing_is_compared_and_its_empty_answers_are_named(rows, outcome, run):
    silent = [outcome(0, status="empty", output="", cluster=row.cluster) for row in rows]

    pairing = pair(run(rows), run(silent, "candidate"))

    assert pairing.accounting.empty_candidate == len(rows)
    assert "candidate: 4 of 4 answers are empty and count as wrong" in pairing.warnings


def test_an_answer_replaces_an_unread_one_whichever_stands_first(outcome):
    lost, right = unread(outcome), outcome(1)

    assert final_outcomes([lost, right]) == final_outcomes([right, lost]) == (right,)
    assert final_outcomes([lost, outcome(None, status="error")])[0].status == "error"


def test_equal_weights_on_both_sides_are_said(rows, run):
    pairing = pair(run(rows), run(rows, "candidate", model__fingerprint="base"))

    assert "both sides are the same model" in pairing.warnings


def test_equal_names_of_a_server_are_no_proof_of_equal_weights(rows, run):
    name = {"model__fingerprint": "unverified:abc"}

    pairing = pair(run(rows, **name), run(rows, "candidate", **name))

    text = "both sides have one name, and nothing verifies whether they are one model"
    assert text in pairing.warnings
    assert not pairing.sameness.repeated


def test_one_model_asked_twice_is_a_repetition_unless_a_setting_that_matters_differs(rows, run):
    same = {"model__fingerprint": "base"}
    other = {"engine__version": "2", "invocations": [{"started": "", "packages": {"torch": "3"}}]}

    assert pair(run(rows), run(rows, "again", **same, **other)).sameness.repeated
    assert not pair(run(rows), run(rows, "half", **same, model__dtype="bf16")).sameness.repeated
    assert not pair(run(rows), run(rows, "candidate")).sameness.repeated


def test_answers_are_identical_by_text_and_log_probabilities(outcome, run):
    lost = [outcome(None, cluster=f"mixed-{k}") for k in (1, 2)]
    same = outcome(1, cluster="mixed-3", logprobs=((-1.0, None, 1),))
    other = replace(same, logprobs=((-1.1, None, 1),))
    answer = outcome(1, cluster="mixed-1")

    def counted(base, candidate):
        found = pair(run(base), run(candidate, "candidate"), max_error_rate=1.0).sameness
        return found.identical, found.answers, found.all_identical

    assert counted([*lost, same], [*lost, same]) == (1, 1, True)
    assert counted([*lost, same], [*lost, other]) == (0, 1, False)
    assert counted([*lost, same], [answer, lost[1], same]) == (1, 2, False)
    assert counted(lost, lost) == (0, 0, False)


def test_nearly_identical_outputs_are_a_warning_and_no_verdict_is_held_back(outcome, run):
    base = [outcome(1, cluster=f"mixed-{k}") for k in range(100)]
    candidate = [replace(base[0], output="another"), *base[1:]]

    pairing = pair(run(base), run(candidate, "candidate"))

    assert "99 of 100 outputs are identical: is the adapter applied?" in pairing.warnings
    assert compare(pairing, primary="generate").verdict.word == "within noise"


def test_identical_outputs_of_two_models_raise_the_question_of_the_adapter(rows, run):
    pairing = pair(run(rows), run(rows, "candidate"))

    assert "4 of 4 outputs are identical: is the adapter applied?" in pairing.warnings


def test_truncated_answers_and_thinking_text_are_said(outcome, rows, run):
    cut = outcome(0, cluster="mixed-3", status="truncated", output="<think> well")

    pairing = pair(run(rows), run([*rows[:3], cut], "candidate"))

    assert "candidate: 1 of 4 answers were truncated (25.0 %)" in pairing.warnings
    assert "candidate: 1 outputs contain thinking tags" in pairing.warnings


def test_warnings_of_the_runs_are_repeated(rows, run):
    pairing = pair(run(rows), run(rows, "candidate", warnings=["all lora_B matrices are zero"]))

    assert "candidate: all lora_B matrices are zero" in pairing.warnings
