"""A history policy decides what a model is sent, and nothing else."""

from dataclasses import replace

import pytest

from qwen_bench.chat.messages import Message, conversation_sha256
from qwen_bench.chat.policy import Policy, keep
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_engines
from qwen_bench.errors import InputError
from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Request, Unit
from qwen_bench.solvers.solver_engine import SolverEngine


def cut(unit, policy, prompter):
    """The unit as a client with the policy would have asked it; (unit, dropped by id)."""
    kept = {request.id: keep(policy, request.messages, prompter) for request in unit.requests}
    requests = tuple(
        replace(request, messages=kept[request.id].messages) for request in unit.requests
    )
    return replace(unit, requests=requests), {key: item.dropped for key, item in kept.items()}


def answers(replies):
    return {
        (reply.id, reply.mode): replace(reply, seconds=0.0, dropped_turns=0) for reply in replies
    }


@pytest.mark.parametrize("strategy", ["two-part", "copying"])
@pytest.mark.parametrize(
    "policy",
    [Policy("last-turns", 1), Policy("last-tokens", 80), Policy("qwen-v1", 60)],
    ids=str,
)
def test_answers_are_those_to_the_conversation_that_was_cut_by_hand(
    policy, strategy, open_tiny, forked_unit
):
    engine, _ = open_tiny(policy=policy, strategy=strategy)
    other, _ = open_tiny(strategy=strategy)
    unit, dropped = cut(forked_unit, policy, other._prompter)

    replies = list(engine.answer(forked_unit))

    mine, theirs = answers(replies), answers(other.answer(unit))
    assert {reply.id: reply.dropped_turns for reply in replies} == dropped
    assert 0 < dropped["long"] < 3
    assert mine.keys() == theirs.keys()
    for key, reply in mine.items():
        assert (reply.text, reply.status, reply.prompt_sha256, reply.prompt_tokens) == (
            theirs[key].text,
            theirs[key].status,
            theirs[key].prompt_sha256,
            theirs[key].prompt_tokens,
        )
        for ours, expected in zip(reply.scores, theirs[key].scores, strict=True):
            assert ours.logprob == pytest.approx(expected.logprob, abs=1e-4)


def test_equal_prompts_still_share_their_tokens(open_tiny, forked_unit):
    policy = Policy("last-turns", 1)
    engine, _ = open_tiny(policy=policy)
    other, _ = open_tiny()
    unit, _ = cut(forked_unit, policy, other._prompter)

    list(engine.answer(forked_unit))
    list(other.answer(unit))

    assert engine.counters().forward_tokens == other.counters().forward_tokens
    assert engine.counters().naive_tokens == other.counters().naive_tokens
    assert engine.counters().sharing_ratio > 1.5


def test_full_is_what_happens_without_a_policy(open_tiny, forked_unit):
    engine, _ = open_tiny(policy=Policy("full"))
    other, _ = open_tiny()

    assert answers(engine.answer(forked_unit)) == answers(other.answer(forked_unit))


@pytest.fixture
def small_window(open_tiny):
    """An engine whose context window is 70 tokens, under a policy."""

    def open_one(policy):
        def shrink(base):
            base.config.max_position_embeddings = 70

        return open_tiny(change=shrink, policy=policy)[0]

    return open_one


def test_what_fits_after_the_cut_is_not_too_long(small_window, asked):
    unit = Unit("d", asked("long", 3, "Which locker is mine?"))

    full = {reply.status for reply in small_window(Policy("full")).answer(unit)}
    last = {reply.status for reply in small_window(Policy("last-turns", 1)).answer(unit)}

    assert full == {"too_long"}
    assert "too_long" not in last


def test_a_prompt_too_long_even_after_the_cut_says_what_was_cut(small_window):
    turn = (Message("user", "My cat is called Biscuit."), Message("assistant", "Noted."))
    question = Message("user", "Which locker is mine? " * 20)
    unit = Unit("d", (Request("q", (*turn, *turn, question), "generate"),))

    (reply,) = small_window(Policy("last-turns", 1)).answer(unit)

    assert (reply.status, reply.dropped_turns) == ("too_long", 1)


def test_the_policy_of_the_options_reaches_every_engine(checkpoints, forked_unit):
    options = EngineOptions(policy=Policy("last-turns", 2))

    with open_engines([parse_spec(str(checkpoints["qwen2"]))], options) as engines:
        replies = list(next(engines).answer(forked_unit))

    assert {reply.dropped_turns for reply in replies if reply.id == "long"} == {1}


@pytest.fixture(scope="module")
def probes():
    """Every asked probe of a small suite, by id."""
    suite = build_suite("quick")
    return {asked.probe.id: asked for dialogue in suite.dialogues() for asked in dialogue.probes}


def said(name, probes, policy="full", limit=None):
    engine = SolverEngine(name, build_suite("quick"), Policy(policy, limit))
    requests = tuple(Request(key, asked.messages, "generate") for key, asked in probes.items())
    return {reply.id: reply for reply in engine.answer(Unit("d", requests))}


@pytest.mark.parametrize("turns", [1, 2, 5, 64])
def test_the_oracle_under_last_turns_is_the_window_solver_on_the_whole_history(probes, turns):
    main = {key: asked for key, asked in probes.items() if asked.probe.condition == "main"}

    cut_off = said("oracle", main, "last-turns", turns)
    window = said(f"window-{turns}", main)

    assert {key: reply.text for key, reply in cut_off.items()} == {
        key: reply.text for key, reply in window.items()
    }


def test_a_solver_reads_only_the_kept_turns(probes):
    main = {
        key: asked
        for key, asked in probes.items()
        if asked.probe.condition == "main" and asked.probe.family == "fact_recall"
    }
    blind = said("blind", main)
    far = {key for key, asked in main.items() if asked.probe.distance_first >= 2}

    recency = said("recency", main, "last-turns", 2)

    assert far
    assert all(recency[key].text == blind[key].text for key in far)


def test_a_solver_names_the_prompt_it_saw(probes):
    reply = next(iter(said("oracle", probes, "last-turns", 1).values()))
    messages = probes[reply.id].messages

    kept = keep(Policy("last-turns", 1), messages)

    assert reply.prompt_sha256 == conversation_sha256(kept.messages)
    assert reply.dropped_turns == kept.dropped


@pytest.mark.parametrize("kind", ["last-tokens", "qwen-v1"])
def test_solvers_refuse_a_policy_that_counts_tokens(kind):
    with pytest.raises(InputError, match="mock solvers have no tokenizer; use last-turns:N"):
        SolverEngine("oracle", build_suite("quick"), Policy(kind, 100))
