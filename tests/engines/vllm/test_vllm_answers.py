"""What vLLM is asked gives the answers of the hf engine, whatever its cache and its faults do."""

from dataclasses import replace

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.chat.policy import Policy
from qwen_bench.chat.rendering import CHATML
from qwen_bench.engines.vllm.sampling_requests import whole_logprobs
from qwen_bench.errors import EngineError
from qwen_bench.protocol import Request, Sampling, Unit

COMPLETE = {
    "n", "temperature", "top_p", "top_k", "min_p", "seed", "repetition_penalty",
    "presence_penalty", "frequency_penalty", "max_tokens", "min_tokens", "stop",
    "stop_token_ids", "ignore_eos", "logprobs", "prompt_logprobs", "logprob_token_ids",
}  # fmt: skip


def facts(reply):
    """A reply without what is measured."""
    return replace(reply, seconds=0.0, scores=(), margin=None, cached_tokens=None)


def check_equal(mine, theirs):
    """The same replies in any order, numbers to 1e-5."""
    ours = {(reply.id, reply.mode): reply for reply in mine}
    expected = {(reply.id, reply.mode): reply for reply in theirs}
    assert ours.keys() == expected.keys()
    for key, reply in ours.items():
        assert facts(reply) == facts(expected[key])
        assert reply.margin == pytest.approx(expected[key].margin, abs=1e-5)
        for score, other in zip(reply.scores, expected[key].scores, strict=True):
            assert (score.candidate, score.tokens) == (other.candidate, other.tokens)
            assert score.logprob == pytest.approx(other.logprob, abs=1e-5)
            assert score.end_logprob == pytest.approx(other.end_logprob, abs=1e-5)


def padded(engine, words, size):
    """A question whose prompt has `size` tokens."""
    for extra in range(64):
        messages = (Message("user", words + "!" * extra),)
        if len(engine._prompter.prompt(messages).ids) == size:
            return messages
    raise AssertionError("no such length")


def test_every_answer_is_the_one_of_the_hf_engine(open_vllm, open_tiny, forked_unit):
    engine, _ = open_tiny()

    replies = list(open_vllm().answer(forked_unit))

    check_equal(replies, engine.answer(forked_unit))


def test_every_setting_that_can_change_an_answer_is_named(open_vllm, fake_vllm, forked_unit):
    engine = open_vllm()

    list(engine.answer(forked_unit))

    assert fake_vllm.asks
    for _, params, _ in fake_vllm.asks:
        assert params.given >= COMPLETE
        assert (params.temperature, params.repetition_penalty, params.ignore_eos) == (0, 1, True)
        assert (params.presence_penalty, params.frequency_penalty, params.min_p) == (0, 0, 0)
    writing = [params for _, params, _ in fake_vllm.asks if params.logprobs == 2]
    assert {tuple(params.stop_token_ids) for params in writing} == {
        tuple(sorted(engine._stops.ids))
    }


def test_the_longest_prompt_is_read_first_with_one_token(open_vllm, fake_vllm, forked_unit):
    list(open_vllm().answer(forked_unit))

    (first,) = fake_vllm.calls[0]
    ids, params, _ = first
    assert params.max_tokens == 1
    assert len(ids) == max(len(ids) for ids, params, _ in fake_vllm.asks if params.logprobs == 2)


def kind_of(params):
    """What a sequence is for: reading the history, ranking, or generating."""
    if params.prompt_logprobs is not None or params.logprob_token_ids is not None:
        return "rank"
    return "read" if params.logprobs is None else "generate"


def test_generating_and_ranking_never_share_a_call(open_vllm, fake_vllm, forked_unit):
    list(open_vllm().answer(forked_unit))

    calls = [{kind_of(params) for _, params, _ in call} for call in fake_vllm.calls]
    assert all(len(kinds) == 1 for kinds in calls)
    assert set().union(*calls) == {"read", "rank", "generate"}


def test_sharing_a_call_would_lose_the_margin(open_vllm, fake_vllm, asked):
    """Negative control: the fake has the trap that separate calls avoid."""
    engine = open_vllm()
    list(engine.answer(Unit("d", asked("q", 1, "Which locker is mine?"))))
    llm = fake_vllm.opened[0]
    (writing,) = [ask for ask in fake_vllm.asks if ask[1].logprobs == 2]
    ids, params, _ = writing
    given = {name: getattr(params, name) for name in params.given}
    chosen = type(params)(**(given | {"logprobs": None, "logprob_token_ids": [5]}))
    prompts = [{"prompt_token_ids": list(ids)}] * 2

    alone, mixed = (
        llm.generate(prompts[: len(settings)], settings, use_tqdm=False)[0]
        for settings in ([params], [params, chosen])
    )

    assert mixed.outputs[0].logprobs[0].keys() != alone.outputs[0].logprobs[0].keys()


@pytest.mark.parametrize("size", [63, 64, 65])
def test_scores_are_right_wherever_a_block_of_the_cache_ends(open_vllm, open_tiny, size):
    engine, (other, _) = open_vllm(), open_tiny()
    messages = padded(engine, "Which locker is mine, and what is the name of my cat", size)
    unit = Unit(
        "d",
        (
            Request("q", messages, "rank", ("44", "Biscuit", "red green")),
            Request("q", messages, "generate", max_new_tokens=2),
        ),
    )

    check_equal(engine.answer(unit), other.answer(unit))


def test_a_pass_whose_last_prompt_token_was_cached_is_asked_token_by_token(open_vllm, fake_vllm):
    engine = open_vllm()
    messages = padded(engine, "Which locker is mine, and what is the name of my cat", 64)
    request = Request("q", messages, "rank", ("44", "Biscuit"))
    again = Request("again", messages, "generate", max_new_tokens=1)

    list(engine.answer(Unit("d", (request, again))))

    kinds = [
        "whole" if params.prompt_logprobs == 0 else "step"
        for _, params, _ in fake_vllm.asks
        if params.prompt_logprobs == 0 or params.logprob_token_ids
    ]
    assert kinds.count("whole") == 2
    assert kinds.count("step") > 2


def test_cached_positions_would_have_given_garbage(open_vllm, fake_vllm):
    """Negative control: without the rule the score of the fake is far off."""
    engine = open_vllm()
    messages = padded(engine, "Which locker is mine, and what is the name of my cat", 64)
    ids = engine._prompter.prompt(messages).ids
    request = Request("q", messages, "rank", ("44", "Biscuit"))
    (reply,) = engine.answer(Unit("d", (request,)))
    llm = fake_vllm.opened[0]
    (asked, params, _) = next(ask for ask in fake_vllm.asks if ask[1].prompt_logprobs == 0)

    (output,) = llm.generate([{"prompt_token_ids": list(asked)}], [params], use_tqdm=False)
    trusted = whole_logprobs(output, ids, asked[len(ids) :])
    output.num_cached_tokens = 0
    wrong = whole_logprobs(output, ids, asked[len(ids) :])

    assert trusted is None
    assert abs(wrong[0] - reply.scores[0].logprob) > 100


def test_a_cache_that_is_not_accounted_for_is_not_trusted(open_vllm, open_tiny, fake_vllm, asked):
    fake_vllm.LLM.hides_cache = True
    engine, (other, _) = open_vllm(), open_tiny()
    unit = Unit("d", asked("q", 2, "Which locker is mine?"))

    check_equal(engine.answer(unit), other.answer(unit))
    assert engine.counters().forward_tokens is None
    assert engine.counters().sharing_ratio is None


def test_every_unit_begins_with_an_empty_cache(open_vllm, fake_vllm, asked):
    engine = open_vllm()

    for name in ("a", "b"):
        list(engine.answer(Unit(name, asked(name, 1, "Which locker is mine?"))))

    assert fake_vllm.opened[0].forgotten == 2


def test_tokens_are_accounted_for(open_vllm, forked_unit):
    engine = open_vllm()

    replies = list(engine.answer(forked_unit))

    counted = engine.counters()
    naive = sum(
        reply.prompt_tokens + reply.output_tokens - 1
        if reply.mode == "generate"
        else sum(reply.prompt_tokens + score.tokens for score in reply.scores)
        for reply in replies
    )
    assert counted.requests == len(replies)
    assert counted.naive_tokens == naive
    assert counted.recomputed_tokens >= 0
    assert counted.forward_tokens == (
        counted.tree_tokens + counted.decoded_tokens + counted.recomputed_tokens
    )
    assert counted.decoded_tokens == sum((reply.output_tokens or 1) - 1 for reply in replies)
    assert counted.sharing_ratio > 1.2


def test_the_tree_is_the_one_of_the_hf_engine(open_vllm, open_tiny, forked_unit):
    engine, (other, _) = open_vllm(), open_tiny()

    list(engine.answer(forked_unit))
    list(other.answer(forked_unit))

    assert engine.counters().tree_tokens == other.counters().tree_tokens


def test_what_is_too_long_is_not_asked(open_vllm, fake_vllm, asked):
    unit = Unit("d", asked("q", 3, "Which locker is mine?"))

    replies = list(open_vllm(window=70).answer(unit))

    assert {(reply.status, reply.reason) for reply in replies} == {("too_long", "local")}
    assert not fake_vllm.asks


def test_what_just_fits_is_answered(open_vllm, fake_vllm, asked):
    unit = Unit("d", asked("q", 1, "Which locker is mine?"))
    size = max(reply.prompt_tokens for reply in open_vllm().answer(unit))
    longest = max(
        len(ids) - size for ids, params, _ in fake_vllm.asks if params.prompt_logprobs == 0
    )
    need = size + max(longest + 1, 6)

    exact = {reply.status for reply in open_vllm(window=need).answer(unit)}
    short = {reply.status for reply in open_vllm(window=need - 1).answer(unit)}

    assert "too_long" not in exact
    assert "too_long" in short


def test_the_history_policy_is_applied(open_vllm, open_tiny, forked_unit):
    policy = Policy("last-turns", 1)
    engine, _ = open_tiny(policy=policy)

    replies = list(open_vllm(policy=policy).answer(forked_unit))

    check_equal(replies, engine.answer(forked_unit))
    assert {reply.dropped_turns for reply in replies} == {0, 2}


def test_drawn_answers_have_seeds_of_their_own(open_vllm, fake_vllm, asked):
    sampling = Sampling(temperature=0.6, top_p=0.95, top_k=20, seed=7)
    requests = [
        replace(asked(name, 1, "Which locker is mine?")[0], sampling=sampling)
        for name in ("a", "b")
    ]

    for _ in range(2):
        list(open_vllm().answer(Unit("d", tuple(requests))))

    drawn = [params for _, params, _ in fake_vllm.asks if params.temperature]
    assert {(item.temperature, item.top_p, item.top_k) for item in drawn} == {(0.6, 0.95, 20)}
    seeds = [item.seed for item in drawn]
    assert seeds[:2] == seeds[2:]
    assert seeds[0] != seeds[1]


def test_a_fault_becomes_rows_and_vllm_is_opened_anew(open_vllm, open_tiny, fake_vllm, asked):
    engine, (other, _) = open_vllm(), open_tiny()
    units = [Unit(name, asked(name, 1, "Which locker is mine?")) for name in ("a", "b")]
    fake_vllm.LLM.faults[:] = [None, RuntimeError("lost"), None]

    first, second = ([*engine.answer(unit)] for unit in units)

    assert {(reply.status, reply.reason, reply.error_message) for reply in first} == {
        ("error", "engine", "lost")
    }
    assert len(first) == 2
    check_equal(second, other.answer(units[1]))
    assert [llm.ended for llm in fake_vllm.opened] == [1, 0]


def test_what_was_answered_before_a_fault_stays(open_vllm, fake_vllm, asked):
    engine = open_vllm()
    fake_vllm.LLM.faults[:] = [None, None, RuntimeError("lost")]

    replies = list(engine.answer(Unit("d", asked("q", 1, "Which locker is mine?"))))

    assert [(reply.mode, reply.status) for reply in replies] == [
        ("rank", "ok"),
        ("generate", "error"),
    ]


def test_short_memory_is_named_and_never_ends_the_run(open_vllm, fake_vllm, asked):
    engine = open_vllm()
    fake_vllm.LLM.faults[:] = [MemoryError("not enough memory")] * 3

    for name in ("a", "b", "c"):
        replies = list(engine.answer(Unit(name, asked(name, 1, "Which locker is mine?"))))
        assert {(reply.status, reply.reason) for reply in replies} == {("error", "oom")}


def test_two_failed_units_in_a_row_end_the_run(open_vllm, fake_vllm, asked):
    engine = open_vllm()
    fake_vllm.LLM.faults[:] = [RuntimeError("lost")] * 2
    list(engine.answer(Unit("a", asked("a", 1, "Which locker is mine?"))))

    with pytest.raises(EngineError, match="two dialogues in a row"):
        list(engine.answer(Unit("b", asked("b", 1, "Which locker is mine?"))))


def test_an_end_of_turn_that_is_text_stops_vllm_and_is_cut(open_vllm, fake_vllm, asked, tmp_path):
    file = tmp_path / "text.jinja"
    file.write_text(CHATML.replace("<|im_start|>", "[").replace("<|im_end|>", "(end)"))
    engine = open_vllm(template=str(file))
    fake_vllm.LLM.script = list(engine._prompter.candidate("red(end)\nblue"))

    (reply,) = engine.answer(
        Unit("d", (asked("q", 1, "Which locker is mine?", budget=len(fake_vllm.LLM.script))[0],))
    )

    assert (reply.status, reply.text, reply.stop_token) == ("ok", "red", "(end)")
    assert [(params.stop, params.detokenize) for _, params, _ in fake_vllm.asks] == [
        (["(end)"], True)
    ]
