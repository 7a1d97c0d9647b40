"""Models that think, through the hf engine: where the thought ends and what it may cost."""

from dataclasses import replace

import pytest

from qwen_bench.protocol import Request, Sampling, Unit
from qwen_bench.record.manifest import Thinking

STRATEGIES = ("two-part", "copying")


@pytest.fixture
def open_saying(saying):
    """`open_saying(text, ...)`: an engine on a model that says it; `thinking` as on the line."""
    from qwen_bench.chat.rendering import ChatSettings, choose_template
    from qwen_bench.engines.engine_options import EngineOptions
    from qwen_bench.engines.hf.hf_engine import HfEngine
    from qwen_bench.engines.loading import load_base, shipped_template
    from qwen_bench.engines.model_spec import parse_spec

    def open_one(text, template="qwen3", *, thinking="auto", strategy=None, **made):
        spec = parse_spec(str(saying(text, template, **made)))
        base = load_base(spec, EngineOptions())
        own = choose_template(None, shipped_template(base.tokenizer), "tiny")
        return HfEngine(base, ChatSettings(own, thinking=thinking), spec, strategy=strategy)

    return open_one


def reply_of(engine, asked, **changes):
    request = asked("a", 2, "Which?", budget=4)[0]
    # The window of a tiny model is too small for the usual budget of a thought.
    request = replace(request, **{"max_thinking_tokens": 50} | changes)
    (reply,) = engine.answer(Unit("u", (request,)))
    return reply


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_thought_is_stripped_and_counted(open_saying, asked, strategy):
    reply = reply_of(open_saying("<think>abc</think>red", strategy=strategy), asked)

    assert (reply.status, reply.reason, reply.finish_reason) == ("ok", None, "stop")
    assert reply.text == "red"
    # <think>, a, b, c, </think>; then the answer and its end.
    assert reply.thought_tokens == 5
    assert reply.output_tokens > reply.thought_tokens
    assert reply.margin > 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_thought_that_the_prompt_opened_is_stripped_as_well(open_saying, asked, strategy):
    engine = open_saying("abc</think>red", "qwen3_5_think", strategy=strategy)

    reply = reply_of(engine, asked)

    assert engine.identity().template.thinking == Thinking(requested="auto", effective="on")
    assert (reply.status, reply.text, reply.thought_tokens) == ("ok", "red", 4)


def test_a_closing_tag_of_several_tokens_ends_the_thought(open_saying, asked):
    reply = reply_of(open_saying("abc</think>d", "qwen3_5_think", tags=()), asked)

    assert (reply.status, reply.text) == ("ok", "d")
    assert reply.thought_tokens > 4


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_thought_longer_than_its_budget_holds_no_answer_and_is_not_closed(
    open_saying, asked, strategy
):
    reply = reply_of(
        open_saying("<think>abc</think>red", strategy=strategy), asked, max_thinking_tokens=3
    )

    assert (reply.status, reply.reason) == ("truncated", "thinking")
    assert (reply.text, reply.finish_reason) == ("", "thinking")
    assert (reply.thought_tokens, reply.output_tokens) == (3, 3)


def test_the_budget_of_the_answer_begins_after_the_thought(open_saying, asked):
    reply = reply_of(open_saying("<think>abc</think>xyz"), asked, max_new_tokens=2)

    assert (reply.status, reply.reason, reply.text) == ("truncated", "length", "xy")
    assert (reply.thought_tokens, reply.output_tokens) == (5, 7)


def test_a_model_that_stops_inside_its_thought_gave_no_answer(open_saying, asked):
    reply = reply_of(open_saying("<think>abc"), asked)

    assert (reply.status, reply.reason, reply.finish_reason) == ("ok", "thinking", "stop")
    assert reply.text == ""


def test_an_answer_without_a_thought_spends_nothing_on_one(open_saying, asked):
    reply = reply_of(open_saying("red", thinking="off"), asked, max_thinking_tokens=1)

    assert (reply.status, reply.text, reply.thought_tokens) == ("ok", "red", 0)


@pytest.mark.parametrize(
    ("template", "thinking", "effective"),
    [
        ("qwen3", "auto", "on"),
        ("qwen3", "on", "on"),
        ("qwen3", "off", "off"),
        ("qwen3_5_nothink", "auto", "off"),
        ("qwen3_5_nothink", "on", "on"),
        ("qwen3_5_think", "auto", "on"),
        ("qwen3_5_think", "off", "off"),
        ("qwen3_instruct_2507", "on", "none"),
        ("qwen2_5", "off", "none"),
    ],
)
def test_the_switch_means_what_each_template_makes_of_it(
    open_saying, template, thinking, effective
):
    identity = open_saying("red", template, thinking=thinking).identity()

    assert identity.template.thinking == Thinking(requested=thinking, effective=effective)
    ignored = any("no thinking switch" in line for line in identity.warnings)
    assert ignored == (effective == "none")


def test_the_room_of_a_thought_counts_towards_the_window_only_where_prompts_ask_for_one(
    open_saying, asked
):
    on, off = (open_saying("red", thinking=thinking) for thinking in ("on", "off"))

    replies = [reply_of(engine, asked, max_thinking_tokens=1000) for engine in (on, off)]

    assert [reply.status for reply in replies] == ["too_long", "ok"]
    assert on.counters().forward_tokens == 0


def sampled(asked, keys, seed=5):
    """Requests for the same prompts under other names, drawn at temperature 1."""
    requests = []
    for number, key in enumerate(keys):
        request = asked(key, number % 3 + 1, "Which locker is mine?", budget=12)[0]
        requests.append(replace(request, sampling=Sampling(1.0, 0.95, 50, seed)))
    return tuple(requests)


def texts(engine, requests):
    return {reply.id: reply.text for reply in engine.answer(Unit("u", tuple(requests)))}


@pytest.mark.parametrize("family", ["qwen3", "qwen3_5"])
def test_what_is_drawn_depends_neither_on_the_order_nor_on_what_is_asked_beside(
    open_tiny, asked, family
):
    engine, _ = open_tiny(family)
    requests = sampled(asked, "abcdef")

    together = texts(engine, requests)
    backward = texts(engine, requests[::-1])
    alone = {}
    for request in requests:
        alone |= texts(engine, [request])

    assert together == backward == alone
    assert len(set(together.values())) == 6


def test_another_seed_draws_other_answers_and_greedy_ones_have_no_seed(open_tiny, asked):
    engine, _ = open_tiny("qwen3")

    first, second = (texts(engine, sampled(asked, "ab", seed)) for seed in (1, 2))
    greedy = [
        texts(
            engine, [replace(item, sampling=Sampling(seed=seed)) for item in sampled(asked, "ab")]
        )
        for seed in (1, 2)
    ]

    assert first["a"] != second["a"]
    assert greedy[0] == greedy[1]


def test_equal_prompts_are_decoded_once_when_greedy_and_each_when_drawn(open_tiny, asked):
    engine, _ = open_tiny("qwen3")
    same = [asked(key, 2, "Which?", budget=8)[0] for key in "ab"]
    before = engine.counters().decoded_tokens

    list(engine.answer(Unit("u", tuple(same))))
    greedy = engine.counters().decoded_tokens - before
    drawn = [replace(item, sampling=Sampling(temperature=1.0)) for item in same]
    answers = texts(engine, drawn)

    assert greedy <= 7
    assert answers["a"] != answers["b"]


def test_a_request_for_no_thought_at_all_is_refused():
    with pytest.raises(ValueError, match="budget"):
        Request("a", (), "generate", max_thinking_tokens=0)
