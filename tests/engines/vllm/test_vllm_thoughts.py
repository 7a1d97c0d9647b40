"""vLLM has one budget for a sequence; thoughts and answers are cut as in the hf engine."""

from dataclasses import replace

import pytest

from qwen_bench.chat.rendering import CHATML
from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Unit
from qwen_bench.scoring.score import score_reply

OPENED = CHATML.replace(r"assistant\n", r"assistant\n<think>\n")


@pytest.fixture
def template(tmp_path):
    """A chat template whose prompts end inside a thought."""
    file = tmp_path / "thinking.jinja"
    file.write_text(OPENED)
    assert OPENED.count("<think>") == 1
    return str(file)


@pytest.fixture
def say(open_vllm, fake_vllm, asked):
    """The reply when the model says a text, and a stop token after it unless `runaway`."""

    def one(text, *, answer=8, thought=40, runaway=False, **options):
        engine = open_vllm(**options)
        fake_vllm.LLM.script = [
            *engine._prompter.candidate(text),
            *([] if runaway else [engine._stops.end_of_turn]),
        ]
        request = replace(
            asked("q", 1, "Which locker is mine?", budget=answer)[0], max_thinking_tokens=thought
        )
        (reply,) = engine.answer(Unit("d", (request,)))
        return reply, [params.max_tokens for _, params, _ in fake_vllm.asks]

    return one


def test_prompts_that_open_a_thought_ask_for_both_budgets_at_once(say, template):
    reply, budgets = say("no</think>44", template=template)

    assert budgets == [48]
    assert (reply.status, reply.text, reply.finish_reason) == ("ok", "44", "stop")
    assert 0 < reply.thought_tokens < reply.output_tokens


def test_other_prompts_ask_for_the_answer_only(say):
    reply, budgets = say("44")

    assert budgets == [8]
    assert (reply.status, reply.text, reply.thought_tokens) == ("ok", "44", 0)


def test_the_answer_is_cut_at_its_own_budget_after_the_thought(say, template):
    reply, _ = say("no</think>" + "yes no " * 8, answer=3, template=template, runaway=True)

    assert (reply.status, reply.reason) == ("truncated", "length")
    assert reply.output_tokens == reply.thought_tokens + 3


def test_a_thought_beyond_its_budget_is_truncated_though_it_ended_later(say, template):
    reply, _ = say("no " * 6 + "</think>44", thought=5, answer=40, template=template)

    assert (reply.status, reply.reason, reply.text) == ("truncated", "thinking", "")
    assert (reply.output_tokens, reply.thought_tokens) == (5, 5)


@pytest.fixture
def surprise(open_vllm, fake_vllm, asked):
    """Reply and asks when a model opens a thought unasked; `room` tokens are left for it."""

    def one(room=None):
        text = "<think>no no no</think>44"
        request = replace(
            asked("q", 1, "Which locker is mine?", budget=8)[0], max_thinking_tokens=40
        )
        window = None
        if room is not None:
            (reply,) = open_vllm().answer(Unit("d", (request,)))
            window = reply.prompt_tokens + request.max_new_tokens + room
        engine = open_vllm(window=window)
        whole = [*engine._prompter.candidate(text), engine._stops.end_of_turn]
        parts = iter([whole[:8], whole[8:]])

        def generate(prompts, **more):
            fake_vllm.LLM.script = next(parts)
            return original(prompts, **more)

        llm = fake_vllm.opened[-1]
        original, llm.generate = llm.generate, generate
        (reply,) = engine.answer(Unit("d", (request,)))
        return reply, [ask for call in llm.calls for ask in call], tuple(whole)

    return one


def test_a_thought_nobody_expected_is_given_its_budget_in_a_second_call(surprise):
    reply, (first, second), whole = surprise()

    assert (reply.status, reply.text) == ("ok", "44")
    assert first[1].max_tokens == 8
    assert second[0] == (*first[0], *whole[:8])
    assert second[1].max_tokens == 40


def test_a_thought_nobody_expected_gets_no_more_than_the_context_has(surprise):
    reply, (_, second), _ = surprise(room=12)

    assert second[1].max_tokens == 12
    assert (reply.status, reply.reason) == ("truncated", "thinking")


def test_thinking_answers_are_those_of_the_hf_engine(open_vllm, open_tiny, template, asked):
    from qwen_bench.chat.rendering import ChatSettings, choose_template
    from qwen_bench.engines.hf.hf_engine import HfEngine
    from qwen_bench.engines.model_spec import parse_spec

    _, base = open_tiny()
    chat = ChatSettings(choose_template(template, None, "tiny"))
    other = HfEngine(base, chat, parse_spec("embedded"))
    request = replace(asked("q", 2, "Which locker is mine?")[0], max_thinking_tokens=12)

    (mine,) = open_vllm(template=template).answer(Unit("d", (request,)))
    (theirs,) = other.answer(Unit("d", (request,)))

    assert mine.status == "truncated"
    assert (mine.text, mine.reason, mine.output_tokens, mine.thought_tokens) == (
        theirs.text,
        theirs.reason,
        theirs.output_tokens,
        theirs.thought_tokens,
    )


@pytest.mark.parametrize(("said", "reason"), [("", "empty"), ("no", "no_answer")])
def test_a_turn_that_ends_without_an_answer_is_an_empty_row(say, template, said, reason):
    asked = next(iter(build_suite("demo").dialogues())).probes[0]

    reply, _ = say(said, template=template if said else None)
    row = score_reply(asked.probe, reply, asked.messages)

    assert (row.status, row.reason, row.score) == ("empty", reason, 0)
    assert not row.unread
