"""A server that fails in any way costs the requests it failed, and says so; or ends the run."""

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.errors import EngineError, InputError
from qwen_bench.protocol import Request, Unit

NOW = {"retry-after-ms": "1"}


def unit(*texts, dialogue="d"):
    return Unit(
        dialogue, tuple(Request(text, (Message("user", text),), "generate") for text in texts)
    )


def only(engine, text="question"):
    (reply,) = engine.answer(unit(text))
    return reply


@pytest.fixture
def failing(server, open_engine):
    """An engine that was opened in peace, and whose server then follows a script."""

    def open_one(*actions, **options):
        engine = open_engine(**options)
        script = list(actions)
        server.heard.clear()
        server.chat = lambda _: script.pop(0) if len(script) > 1 else script[0]
        return engine

    return open_one


def test_a_busy_server_is_asked_again_by_the_sdk_and_the_retry_is_counted(failing, act, answer):
    engine = failing(act({"error": "busy"}, 429, NOW), act(answer("Biscuit.")))

    reply = only(engine)

    assert (reply.status, reply.text) == ("ok", "Biscuit.")
    assert engine.counters().retries == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_fails_after_all_retries_is_an_error_row(status, failing, server, act):
    engine = failing(act({"error": {"message": "no luck"}}, status, NOW))

    reply = only(engine)

    assert (reply.status, reply.reason, reply.text) == ("error", f"http_{status}", None)
    assert reply.error_message == f"HTTP {status}: no luck"
    assert engine.counters().retries == 1
    assert len(server.asked()) == 2


def test_a_server_that_hangs_is_a_timeout_and_the_next_request_is_answered(failing, act, answer):
    engine = failing(
        act(answer(), wait=1.0),
        act(answer("Good.")),
        model_args={"timeout": 0.3, "max_retries": 0},
    )

    replies = [only(engine), only(engine)]

    assert [(reply.status, reply.reason) for reply in replies] == [
        ("error", "timeout"),
        ("ok", None),
    ]


def test_a_cut_line_is_a_connection_error(failing, act):
    reply = only(failing(act(cut=True), model_args={"max_retries": 0}))

    assert (reply.status, reply.reason) == ("error", "connection")


def test_a_line_cut_after_a_failure_costs_nothing_when_the_sdk_asks_again(failing, act, answer):
    engine = failing(
        act({"error": "x"}, 500, NOW),
        act(cut=True),
        act(answer("Good.")),
        model_args={"max_retries": 2},
    )

    assert only(engine).text == "Good."
    assert engine.counters().retries == 2


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>oops</html>", "invalid"),
        (b"[1, 2]", "invalid"),
        ({"choices": []}, "empty"),
        ({}, "empty"),
        ({"choices": None}, "empty"),
    ],
)
def test_a_response_without_an_answer_is_an_error(body, reason, failing, act):
    reply = only(failing(act(body)))

    assert (reply.status, reply.reason) == ("error", reason)


def test_an_error_in_a_response_of_200_is_named(failing, act):
    reply = only(failing(act({"error": {"message": "upstream is busy"}})))

    assert (reply.status, reply.reason) == ("error", "empty")
    assert reply.error_message == "the response holds an error: upstream is busy"


def test_an_error_in_a_response_of_200_counts_as_the_status_that_it_names(failing, act):
    reply = only(failing(act({"error": {"code": 503, "message": "no worker"}})))

    assert (reply.status, reply.reason) == ("error", "http_503")
    assert reply.error_message == "HTTP 503: no worker"


@pytest.mark.parametrize(
    "body", [b"\xff\xfe not json", b"", b"null", b'{"detail": [{"msg": "bad"}]}']
)
def test_any_body_of_an_error_is_understood_as_far_as_it_goes(body, failing, act):
    reply = only(failing(act(body, 400)))

    assert (reply.status, reply.reason) == ("error", "http_400")
    assert reply.error_message.startswith("HTTP 400: ")


TOO_LONG = [
    (400, {"error": {"type": "exceed_context_size_error", "n_prompt_tokens": 5031, "n_ctx": 4096}}),
    (400, {"error": {"code": "context_length_exceeded", "message": "too many"}}),
    (400, {"message": "This model's maximum context length is 4096 tokens. However, you asked"}),
    (400, {"error": {"message": "The input is longer than the model's context length"}}),
    (422, {"error": "Input validation error: `inputs` has 2000 tokens, the input is too long"}),
    (400, {"error": {"message": "Range of input length should be [1, 30720]"}}),
    (413, {"error": {"message": "prompt is too long"}}),
]


@pytest.mark.parametrize(("status", "body"), TOO_LONG)
def test_a_prompt_that_the_server_finds_too_long_is_so_in_any_wording(status, body, failing, act):
    reply = only(failing(act(body, status)))

    assert (reply.status, reply.reason) == ("too_long", "server")


def test_other_bad_requests_are_not_taken_for_too_long(failing, act):
    reply = only(failing(act({"error": {"message": "messages[0].content: bad context"}}, 400)))

    assert (reply.status, reply.reason) == ("error", "http_400")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "refused the key"),
        (403, "refused the key"),
        (404, "does not know the model 'm'"),
        (422, "does not understand"),
    ],
)
def test_what_hits_every_request_ends_the_run(status, message, failing, act):
    with pytest.raises(EngineError, match=message):
        only(failing(act({"error": {"message": "never"}}, status)))


@pytest.mark.parametrize("concurrency", [1, 4])
def test_one_failure_among_many_is_the_only_one(concurrency, server, open_engine, act, answer):
    engine = open_engine(concurrency=concurrency)
    server.chat = lambda body: (
        act({"error": "x"}, 500, NOW) if "q3" in str(body["messages"]) else act(answer())
    )

    replies = list(engine.answer(unit(*(f"q{n}" for n in range(8)))))

    assert {reply.id: reply.status for reply in replies} == {
        f"q{n}": "error" if n == 3 else "ok" for n in range(8)
    }


def test_a_caller_that_stops_leaves_the_rest_unasked(server, open_engine):
    engine = open_engine(concurrency=2)
    server.heard.clear()
    replies = engine.answer(unit(*(f"q{n}" for n in range(200))))

    next(replies)
    replies.close()

    assert len(server.asked()) < 100


class TestOpening:
    def test_nobody_there(self, open_engine):
        with pytest.raises(EngineError, match="is not reachable; nothing was recorded"):
            open_engine(url="http://127.0.0.1:9/v1")

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refused_key(self, status, server, open_engine, act):
        server.act = lambda _: act({"error": {"message": "Incorrect API key"}}, status)

        with pytest.raises(EngineError, match="refused the key; nothing was recorded") as caught:
            open_engine()
        assert "OPENAI_API_KEY" in caught.value.fix[0]

    @pytest.mark.parametrize(
        ("status", "said"), [(404, "nope"), (400, "The model `m` does not exist.")]
    )
    def test_an_unknown_model_names_those_that_are_served(
        self, status, said, server, open_engine, act
    ):
        server.models = {"data": [{"id": "Qwen/Qwen3-8B"}, {"id": "lora"}]}
        server.chat = lambda _: act({"error": {"message": said}}, status)

        with pytest.raises(EngineError, match="does not know the model 'm'") as caught:
            open_engine()
        assert "it serves Qwen/Qwen3-8B, lora" in caught.value.why

    @pytest.mark.parametrize("page", [b"<html>hello</html>", b"", b'"text"', b"[]"])
    @pytest.mark.parametrize("kind", ["application/json", "text/html"])
    def test_pages_that_are_something_else_do_not_matter(
        self, page, kind, server, open_engine, act
    ):
        usual = server.usual
        server.act = lambda heard: (
            usual(heard)
            if heard.path == "/v1/chat/completions"
            else act(page, headers={"content-type": kind})
        )

        assert open_engine().identity().engine.serves == []

    def test_a_server_that_only_fails(self, server, open_engine, act):
        server.act = lambda _: act({"error": "down"}, 500, NOW)

        with pytest.raises(EngineError, match="does not answer a first small question"):
            open_engine()

    def test_no_address(self):
        from qwen_bench.engines.engine_options import EngineOptions
        from qwen_bench.engines.model_spec import parse_spec
        from qwen_bench.engines.registry import open_engines

        expected = "no server address; pass --base-url or set OPENAI_BASE_URL"
        with (
            pytest.raises(InputError, match=expected),
            open_engines([parse_spec("openai:m")], EngineOptions()),
        ):
            pass

    @pytest.mark.parametrize(
        "address",
        ["127.0.0.1:8000", "ftp://host/v1", "http://", "x", "http://h:x", "http://h/v1?key=1"],
    )
    def test_no_proper_address(self, address, open_engine):
        with pytest.raises(InputError, match="not the address of a server"):
            open_engine(url=address)
