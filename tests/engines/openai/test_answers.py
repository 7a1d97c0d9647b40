"""What a response means: answer or thought, finished or cut, counted or not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.chat.messages import Message
from qwen_bench.engines.openai.chat_response import answer_in
from qwen_bench.errors import EngineError
from qwen_bench.protocol import Request, Unit


def asked(**budgets):
    return Unit("d", (Request("q", (Message("user", "Who?"),), "generate", **budgets),))


@pytest.fixture
def replied(server, open_engine, act):
    """Reply to one question when the server answers so; it answered the survey otherwise."""

    def reply_to(response, *, greeting=None, budgets=None, **options):
        if greeting is not None:
            server.chat = lambda _: act(greeting)
        engine = open_engine(**options)
        server.chat = lambda _: act(response)
        (reply,) = engine.answer(asked(**(budgets or {})))
        return reply

    return reply_to


@pytest.mark.parametrize("finish", ["stop", "eos_token", None])
def test_an_answer_that_stopped_is_ok(finish, replied, answer):
    reply = replied(answer("Li.", finish=finish, prompt=12, output=3, cached=8))

    assert (reply.status, reply.text, reply.finish_reason) == ("ok", "Li.", finish)
    assert (reply.prompt_tokens, reply.cached_tokens, reply.output_tokens) == (12, 8, 3)
    assert reply.thought_tokens == 0
    assert reply.prompt_sha256 is None


def test_an_empty_answer_that_stopped_is_an_answer(replied, answer):
    reply = replied(answer(""))

    assert (reply.status, reply.text) == ("ok", "")


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_marker_that_the_server_wrote_as_text_ends_the_answer(finish, replied, answer):
    said = "Li.<|im_end|>\n<|im_start|>user\nAnd Kwame?"

    reply = replied(answer(said, finish=finish))

    assert (reply.status, reply.reason, reply.text) == ("ok", None, "Li.")


def test_an_answer_cut_by_its_budget_keeps_its_text(replied, answer):
    reply = replied(answer("The cat is", finish="length"))

    assert (reply.status, reply.reason, reply.text) == ("truncated", "length", "The cat is")


def test_a_content_filter_is_a_refusal(replied, answer):
    reply = replied(answer("Well", finish="content_filter"))

    assert (reply.status, reply.reason, reply.text) == ("refused", "content_filter", "Well")


def test_a_content_filter_in_an_error_is_a_refusal_too(server, open_engine, act):
    engine = open_engine()
    server.chat = lambda _: act({"error": {"code": "data_inspection_failed", "message": "x"}}, 400)

    (reply,) = engine.answer(asked())

    assert (reply.status, reply.reason) == ("refused", "content_filter")


def test_an_end_that_nobody_knows_is_an_error(replied, answer):
    reply = replied(answer("Wel", finish="abort"))

    assert (reply.status, reply.reason, reply.text) == ("error", "abort", None)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_thought_in_a_field_of_its_own_is_no_answer(name, replied, answer):
    response = answer("\n\nLi.", **{name: "It was Li or Bo."})
    response["usage"]["completion_tokens_details"] = {"reasoning_tokens": 7}

    reply = replied(response)

    assert (reply.status, reply.text, reply.thought_tokens) == ("ok", "Li.", 7)


def test_a_thought_in_the_text_is_no_answer(replied, answer):
    reply = replied(answer("<think>\nLi or Bo?\n</think>\n\nLi."))

    assert (reply.status, reply.text, reply.thought_tokens) == ("ok", "Li.", None)


@pytest.mark.parametrize(
    "response",
    [
        {"text": "<think>It may be", "finish": "length"},
        {"text": None, "finish": "length", "reasoning_content": "It may be"},
        {"text": "", "finish": "length", "reasoning": "It may be"},
    ],
)
def test_a_thought_that_never_ended_has_no_answer(response, replied, answer):
    reply = replied(answer(**response))

    assert (reply.status, reply.reason, reply.text) == ("truncated", "thinking", "")


def test_text_that_closes_no_thought_of_the_prompt_is_no_answer_and_is_named(answer):
    opened = answer_in(answer("Li."), prompt_opened=True)
    closed = answer_in(answer("Li or Bo?</think>Li."), prompt_opened=True)

    assert (opened.text, opened.unread) == ("", "UnclosedThought")
    assert opened.sent == "text without </think>: Li."
    assert (closed.text, closed.unread) == ("Li.", None)


def test_the_words_that_an_error_quotes_are_one_line_without_commands(replied, answer):
    reply = replied(answer(None, reasoning="Li\n::error::x\n##[error]" + 300 * "y"))

    start = "the server sent reasoning alone: "
    assert reply.error_message.startswith(f"{start}Li ::error::x ## [error]yyy")
    assert "\n" not in reply.error_message
    assert len(reply.error_message) < 200


def test_a_thought_that_the_model_itself_left_open_is_no_fault_of_the_server(replied, answer):
    reply = replied(answer("<think>Li or Bo?"))

    assert (reply.status, reply.reason, reply.text) == ("ok", "thinking", "")
    assert reply.error_type is None


def test_a_server_that_counts_reasoning_and_hides_it_gets_both_budgets(
    server, open_engine, act, answer
):
    greeting = answer("", finish="length")
    greeting["usage"]["completion_tokens_details"] = {"reasoning_tokens": 8}
    server.chat = lambda _: act(greeting)
    engine = open_engine()
    server.heard.clear()
    response = answer("Li.")
    response["usage"]["completion_tokens_details"] = {"reasoning_tokens": 30}
    server.chat = lambda _: act(response)

    (reply,) = engine.answer(asked(max_new_tokens=16, max_thinking_tokens=100))

    assert server.asked()[0]["max_tokens"] == 116
    assert (reply.status, reply.text, reply.thought_tokens) == ("ok", "Li.", 30)


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=9)
KEYS = st.sampled_from(
    ["type", "text", "thinking", "thought", "reasoning", "reasoning_content", "content", "summary",
     "refusal", "value", "tool_calls", "audio", "x"]
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)


@given(message=ANYTHING, finish=SCALARS, usage=ANYTHING)
def test_any_message_is_an_answer_or_has_a_reason_why_it_is_none(message, finish, usage):
    choice = {"message": message, "finish_reason": finish}

    found = answer_in({"choices": [choice], "usage": usage})

    assert isinstance(found.text, str)
    assert not (found.unread and found.text.strip())
    assert bool(found.unread) == bool(found.sent)


@pytest.mark.parametrize("finish", ["STOP", "end_turn", "COMPLETE", "function_call"])
def test_other_words_for_an_end_are_understood(finish, replied, answer):
    assert replied(answer("Li.", finish=finish)).status == "ok"


def test_empty_text_cut_by_length_is_a_thought_on_a_model_that_thinks(replied, answer):
    thinking = answer("", reasoning_content="Hm.")

    cut = answer("", finish="length")

    assert replied(cut, greeting=thinking).reason == "thinking"
    assert replied(cut, greeting=answer("Hi")).reason == "length"


def test_a_model_that_thinks_gets_both_budgets_and_one_that_does_not_gets_one(
    server, open_engine, act, answer
):
    budgets = {"max_new_tokens": 16, "max_thinking_tokens": 100}
    sent = []
    for greeting in (answer("Hi"), answer("<think>Hm")):
        server.chat = lambda _, greeting=greeting: act(greeting)
        engine = open_engine()
        server.heard.clear()
        list(engine.answer(asked(**budgets)))
        sent.append(server.asked()[0]["max_tokens"])

    assert sent == [16, 116]


def test_a_thought_beyond_its_budget_is_cut_although_the_server_let_it_end(replied, answer):
    response = answer("Li.", reasoning_content="Hm." * 50)
    response["usage"]["completion_tokens_details"] = {"reasoning_tokens": 150}

    reply = replied(response, budgets={"max_thinking_tokens": 100})

    assert (reply.status, reply.reason, reply.text) == ("truncated", "thinking", "")


def test_an_answer_after_a_thought_has_its_own_budget(replied, answer, checkpoints):
    response = answer("word " * 30, reasoning_content="Hm.", prompt=500)

    reply = replied(
        response,
        greeting=answer(prompt=500),
        budgets={"max_new_tokens": 10},
        model_args={"tokenizer": str(checkpoints["qwen2"])},
    )

    assert (reply.status, reply.reason) == ("truncated", "length")
    assert 0 < len(reply.text) < 60
    assert ("word " * 30).startswith(reply.text)


def test_the_margin_is_the_smallest_gap_of_the_answer(answer):
    response = answer()
    pairs = ((-0.1, -2.0), (-0.5, -0.9), (-0.2, -5.0))
    response["choices"][0]["logprobs"] = {
        "content": [{"top_logprobs": [{"logprob": a}, {"logprob": b}]} for a, b in pairs]
    }

    assert answer_in(response).margin == pytest.approx(0.4)


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": [{}]}, [1]])
def test_without_log_probabilities_there_is_no_margin(logprobs, answer):
    response = answer()
    response["choices"][0]["logprobs"] = logprobs

    assert answer_in(response).margin is None


class TestCounts:
    """The prompt that was sent against the one that the server read."""

    @pytest.fixture
    def counted(self, server, open_engine, checkpoints, act, answer):
        """(reply, engine, tokens here) when the server counts so many more than there are."""

        def reply(more, **options):
            folder = str(checkpoints["qwen2"])
            server.chat = lambda _: act(answer(prompt=500))
            engine = open_engine(model_args={"tokenizer": folder}, **options)
            (request,) = asked().requests
            own = len(engine._local.prompter.prompt(request.messages).ids)
            server.chat = lambda _: act(answer(prompt=own + more))
            (found,) = engine.answer(asked())
            return found, own

        return reply

    def test_fewer_tokens_than_were_sent_is_a_cut_prompt_that_is_not_scored(self, counted):
        reply, own = counted(-1)

        assert (reply.status, reply.reason, reply.text) == ("too_long", "cut", None)
        assert reply.error_message == f"the server read {own - 1} of {own} tokens of the prompt"

    @pytest.mark.parametrize("more", [0, 5])
    def test_as_many_or_more_is_an_answer(self, more, counted):
        assert counted(more)[0].status == "ok"

    def test_more_tokens_are_said_once_and_recorded(
        self, open_engine, checkpoints, server, act, answer
    ):
        server.chat = lambda _: act(answer(prompt=500))

        engine = open_engine(model_args={"tokenizer": str(checkpoints["qwen2"])})

        (line,) = [text for text in engine.identity().warnings if "it adds text" in text]
        assert "500 tokens of a greeting" in line

    def test_a_tokenizer_that_makes_more_of_a_greeting_is_the_wrong_one(
        self, open_engine, checkpoints, server, act, answer
    ):
        server.chat = lambda _: act(answer(prompt=2))

        with pytest.raises(EngineError, match="makes 2 tokens of a greeting that has"):
            open_engine(model_args={"tokenizer": str(checkpoints["qwen2"])})

    def test_without_a_tokenizer_nothing_is_compared(self, replied, answer):
        assert replied(answer(prompt=1)).status == "ok"

    def test_a_prompt_too_long_for_the_window_is_found_before_it_is_sent(
        self, open_engine, checkpoints, server, act, answer
    ):
        server.models["data"][0]["max_model_len"] = 40
        server.chat = lambda _: act(answer(prompt=500))
        engine = open_engine(model_args={"tokenizer": str(checkpoints["qwen2"])})
        server.heard.clear()

        (reply,) = engine.answer(asked(max_new_tokens=64))

        assert (reply.status, reply.reason) == ("too_long", "local")
        assert server.heard == []
        assert engine.abilities().max_context == 40

    def test_a_window_of_the_tokenizers_model_counts_where_the_server_names_none(
        self, open_engine, checkpoints, server, act, answer
    ):
        server.chat = lambda _: act(answer(prompt=500))
        engine = open_engine(model_args={"tokenizer": str(checkpoints["qwen2"])})

        (reply,) = engine.answer(asked(max_new_tokens=1024))

        assert (reply.status, reply.reason) == ("too_long", "local")

    def test_without_a_tokenizer_the_servers_count_shows_that_there_was_no_room(
        self, server, open_engine, act, answer
    ):
        server.models["data"][0]["max_model_len"] = 40
        engine = open_engine()
        server.chat = lambda _: act(answer("Li", finish="length", prompt=30, output=10))

        (reply,) = engine.answer(asked(max_new_tokens=64))

        assert (reply.status, reply.reason, reply.text) == ("too_long", "server", None)
