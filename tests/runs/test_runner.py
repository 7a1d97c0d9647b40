from dataclasses import replace

import pytest

from qwen_bench.protocol import Generation, Reply, Sampling, Score
from qwen_bench.runs.runner import ask, plan, units


def ask_all(suite, engine, modes=("generate", "rank"), todo=None, stopped=lambda: False):
    """Outcomes of asking a suite."""
    written = []
    whole = plan(suite.dialogues(), modes)
    finished = ask(
        suite.dialogues(),
        engine,
        whole.keys if todo is None else todo,
        modes=modes,
        generation=Generation(9),
        write=written.append,
        attempts={},
        stopped=stopped,
    )
    return finished, written


def test_every_request_of_a_dialogue_travels_in_one_unit(make_suite, make_engine):
    engine = make_engine()
    units = []
    plain = engine.answer
    engine.answer = lambda unit: units.append(unit) or plain(unit)

    ask_all(make_suite(), engine)

    assert len({unit.dialogue for unit in units}) == len(units)
    assert {
        request.max_new_tokens
        for unit in units
        for request in unit.requests
        if request.mode == "generate"
    } == {9}


def test_rank_is_asked_only_where_it_is_defined(make_suite):
    suite = make_suite(families=())
    ranked = {
        asked.probe.id
        for dialogue in suite.dialogues()
        for asked in dialogue.probes
        if asked.probe.rank_candidates
    }

    keys = plan(suite.dialogues(), ("rank",)).keys

    assert keys == {(probe_id, "rank") for probe_id in ranked}


def test_only_what_is_missing_is_asked(make_suite, make_engine):
    engine = make_engine()
    key = min(plan(make_suite().dialogues(), ("generate",)).keys)

    finished, written = ask_all(make_suite(), engine, ("generate",), todo={key})

    assert finished
    assert [(row.probe_id, row.mode) for row in written] == [key]
    assert len(engine.asked) == 1


def test_a_request_without_a_reply_becomes_an_error(make_suite, make_engine):
    engine = make_engine()
    plain = engine.answer
    engine.answer = lambda unit: iter(list(plain(unit))[:-1])

    _, written = ask_all(make_suite(), engine)

    assert "NoReply" in {row.error_type for row in written}
    assert {(row.probe_id, row.mode) for row in written} == plan(
        make_suite().dialogues(), ("generate", "rank")
    ).keys


def test_an_answer_nobody_asked_for_is_not_recorded(make_suite, make_engine):
    engine = make_engine()
    plain = engine.answer
    engine.answer = lambda unit: [*plain(unit), Reply("other", "generate", "ok", text="x")]

    _, written = ask_all(make_suite(), engine)

    assert "other" not in {row.probe_id for row in written}


def test_a_fault_of_the_engine_costs_one_dialogue_only(make_suite, make_engine):
    def answers(_):
        if len(engine.asked) == 1:
            raise ZeroDivisionError("bug")
        return "Kwame"

    engine = make_engine(answers)

    finished, written = ask_all(make_suite(), engine)

    failed = [row for row in written if row.status == "error"]
    assert finished
    assert {row.error_type for row in failed} == {"ZeroDivisionError"}
    assert 0 < len(failed) < len(written)


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_log_probabilities_that_are_no_numbers_are_errors(make_suite, make_engine, bad):
    def answers(request):
        scores = tuple(Score(candidate, bad, None, 1) for candidate in request.candidates)
        return Reply(request.id, "rank", "ok", scores=scores)

    _, written = ask_all(make_suite(), make_engine(answers), ("rank",))

    assert {(row.status, row.score, row.error_type) for row in written} == {
        ("error", None, "NotFinite")
    }


def test_the_order_of_dialogues_changes_no_row(make_suite, make_engine):
    suite = make_suite(lengths=(1, 2))
    _, forward = ask_all(suite, make_engine())
    backward = []
    ask(
        reversed(list(suite.dialogues())),
        make_engine(),
        plan(suite.dialogues(), ("generate", "rank")).keys,
        modes=("generate", "rank"),
        generation=Generation(9),
        write=backward.append,
        attempts={},
        stopped=lambda: False,
    )

    def rows(outcomes):
        return {(row.probe_id, row.mode): replace(row, seconds=0.0) for row in outcomes}

    assert rows(forward) == rows(backward)


def test_the_plan_depends_on_ids_only(make_suite):
    small, large = make_suite(limit=1), make_suite(limit=2)

    first = plan(small.dialogues(), ("generate",))

    assert first.ids_sha256 == plan(small.dialogues(), ("generate",)).ids_sha256
    assert first.ids_sha256 != plan(large.dialogues(), ("generate",)).ids_sha256
    assert first.keys < plan(large.dialogues(), ("generate",)).keys


def test_budgets_and_sampling_of_the_run_are_those_of_every_generating_request(make_suite):
    generation = Generation(9, 33, Sampling(0.6, 0.95, 20, 7))

    asked = [
        request
        for unit in units(make_suite().dialogues(), ("generate", "rank"), generation)
        for request in unit.requests
    ]

    assert {
        (item.max_new_tokens, item.max_thinking_tokens, item.sampling)
        for item in asked
        if item.mode == "generate"
    } == {(9, 33, generation.sampling)}
    assert any(item.mode == "rank" for item in asked)
