"""What goes out: settings that decide an answer, and nothing that a server refuses."""

import json
import shutil
import traceback

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.chat.policy import Policy, keep
from qwen_bench.chat.rendering import CHATML
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.openai.one_server import draw_seed
from qwen_bench.engines.openai.server_request import load_local
from qwen_bench.errors import EngineError, InputError
from qwen_bench.protocol import Request, Sampling, Unit
from qwen_bench.record.manifest import Thinking

TALK = (
    Message("user", "My cat is called Biscuit."),
    Message("assistant", "Noted."),
    Message("user", "My locker is number 44."),
    Message("assistant", "Thank you."),
    Message("user", "Which locker is mine?"),
)


def asked(messages=TALK, **settings):
    return Unit("d", (Request("q", messages, "generate", **settings),))


@pytest.fixture
def sent(server, open_engine):
    """The body of one request, and its reply."""

    def body_of(unit=None, engine=None, **options):
        engine = engine or open_engine(**options)
        server.heard.clear()
        (reply,) = engine.answer(unit or asked())
        return server.asked()[-1], reply

    return body_of


def test_an_answer_is_greedy_seeded_and_bounded(sent):
    body, _ = sent(asked(max_new_tokens=24))

    assert body["model"] == "m"
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.0, 24, 0)
    assert [message["content"] for message in body["messages"]] == [m.content for m in TALK]
    assert "top_p" not in body


def test_sampling_is_passed_on_with_a_seed_of_its_own_for_each_request(sent):
    sampling = Sampling(0.6, 0.95, 20, seed=3)

    body, _ = sent(asked(sampling=sampling))

    assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (0.6, 0.95, 20, 0)
    assert body["seed"] == draw_seed(sampling, "q") != draw_seed(sampling, "other")
    assert body["seed"] != draw_seed(Sampling(0.6, 0.95, 20, seed=4), "q")
    assert 0 <= body["seed"] < 2**31


@pytest.fixture
def strict(server, act):
    """Lets the server refuse what it does not know of the fields of a chat, as some do."""

    def refuse(known, naming, status):
        usual = server.chat

        def chat(body):
            unknown = set(body) - known - {"model", "messages", "max_tokens", "temperature"}
            said = f"Unexpected fields in the request: {unknown}" if naming else "bad request"
            return act({"detail": said}, status) if unknown else usual(body)

        server.chat = chat

    return refuse


@pytest.mark.parametrize("naming", [True, False])
@pytest.mark.parametrize("status", [400, 422])
def test_a_field_that_the_server_refuses_is_dropped_and_said(
    naming, status, strict, open_engine, sent
):
    known = {"seed", "repetition_penalty"}
    strict(known, naming, status)
    engine = open_engine()

    body, reply = sent(engine=engine)

    assert reply.status == "ok"
    assert set(body) == known | {"model", "messages", "max_tokens", "temperature"}
    refused = ["repeat_penalty", "top_k", "min_p", "logprobs", "top_logprobs"]
    assert engine.identity().engine.refused_fields == refused


@pytest.mark.parametrize("thinking", ["on", "off"])
def test_the_thinking_switch_goes_to_the_template_of_the_server(thinking, sent):
    body, _ = sent(thinking=thinking)

    assert body["chat_template_kwargs"] == {"enable_thinking": thinking == "on"}
    assert body["enable_thinking"] is (thinking == "on")


def test_no_switch_is_sent_by_default(sent):
    assert not {"chat_template_kwargs", "enable_thinking"} & set(sent()[0])


def test_a_model_that_thinks_all_the_same_is_warned_of(server, open_engine, act, answer):
    server.chat = lambda _: act(answer("Hi", reasoning_content="Hm."))

    engine = open_engine(thinking="off")

    assert any("thinks although --thinking is off" in line for line in engine.identity().warnings)
    assert engine.identity().template.thinking == Thinking(requested="off", effective="on")


class TestPenalty:
    """A penalty counts as pinned only if answers were seen to change with it."""

    @pytest.mark.parametrize("name", ["repetition_penalty", "repeat_penalty"])
    def test_a_field_that_changes_an_answer_is_pinned(self, name, server, open_engine, act, answer):
        server.chat = lambda body: act(answer("one one" if body.get(name, 1) == 1 else "two"))

        engine = open_engine()

        assert name in engine.identity().engine.pinned
        assert not any("penalty not pinned" in line for line in engine.identity().warnings)

    def test_a_field_that_is_ignored_is_not(self, open_engine):
        engine = open_engine()

        assert not {"repetition_penalty", "repeat_penalty"} & set(engine.identity().engine.pinned)
        assert any("penalty not pinned" in line for line in engine.identity().warnings)

    def test_answers_that_change_by_themselves_prove_nothing(
        self, server, open_engine, act, answer
    ):
        count = iter(range(100))
        server.chat = lambda _: act(answer(f"one {next(count)}"))

        assert any("penalty not pinned" in line for line in open_engine().identity().warnings)


class TestSystem:
    def test_the_text_of_the_system_option_is_sent(self, sent):
        body, _ = sent(system="Be brief.")

        assert body["messages"][0] == {"role": "system", "content": "Be brief."}
        assert len(body["messages"]) == len(TALK) + 1

    def test_a_system_message_of_the_conversation_wins(self, sent):
        own = (Message("system", "Speak Latin."), *TALK)

        body, _ = sent(asked(own), system="Be brief.")

        assert [m["content"] for m in body["messages"]] == [m.content for m in own]

    def test_an_empty_one_needs_the_template(self, open_engine, checkpoints, server, act, answer):
        with pytest.raises(InputError, match="--system none needs the model's template"):
            open_engine(system="none")

        server.chat = lambda _: act(answer(prompt=500))
        open_engine(system="none", model_args={"tokenizer": str(checkpoints["qwen2"])})

    def test_a_server_that_refuses_system_messages_is_seen(self, server, open_engine, act):
        usual = server.chat
        server.chat = lambda body: (
            act({"error": "System role not supported"}, 400)
            if body["messages"][0]["role"] == "system"
            else usual(body)
        )

        assert not open_engine().abilities().system_messages

    def test_a_server_that_loses_system_messages_is_seen(self, server, open_engine, act, answer):
        server.chat = lambda _: act(answer(prompt=9))

        assert not open_engine().abilities().system_messages

    def test_otherwise_they_are_taken(self, open_engine):
        assert open_engine().abilities().system_messages


def test_a_chat_template_cannot_be_applied_on_a_server(open_engine):
    with pytest.raises(InputError, match="--chat-template cannot be applied on a server"):
        open_engine(chat_template="chatml")


class TestPolicy:
    def test_turns_are_dropped_before_anything_is_sent(self, sent):
        body, reply = sent(policy=Policy("last-turns", 1))

        assert [m["content"] for m in body["messages"]] == [m.content for m in TALK[2:]]
        assert reply.dropped_turns == 1

    @pytest.mark.parametrize("kind", ["last-tokens", "qwen-v1"])
    def test_a_policy_that_counts_needs_a_tokenizer(self, kind, open_engine):
        with pytest.raises(InputError, match=r"counts tokens; pass -M tokenizer="):
            open_engine(policy=Policy(kind, 60))

    def test_with_one_it_counts_as_the_hf_engine_does(self, server, checkpoints, act, answer, sent):
        server.chat = lambda _: act(answer(prompt=500))
        options = {"model_args": {"tokenizer": str(checkpoints["qwen2"])}}
        lengths = set()
        for limit in (40, 60, 80, 200):
            policy = Policy("last-tokens", limit)
            prompter = load_local(EngineOptions(**options)).prompter
            body, reply = sent(policy=policy, **options)
            expected = keep(policy, TALK, prompter)
            assert len(body["messages"]) == len(expected.messages)
            assert reply.dropped_turns == expected.dropped
            lengths.add(expected.dropped)
        assert len(lengths) > 1


SECRET = "sk-very-secret-4711"  # noqa: S105 - that is the point


class TestSecrets:
    def test_the_key_is_sent_and_written_nowhere(self, server, open_engine, act):
        said = {"error": {"message": f"Incorrect API key provided: {SECRET}"}}
        engine = open_engine(key=SECRET)
        server.chat = lambda _: act(said, 500, {"retry-after-ms": "1"})

        (reply,) = engine.answer(asked())

        assert server.heard[-1].headers["authorization"] == f"Bearer {SECRET}"
        identity = engine.identity()
        parts = [identity.model, identity.template, identity.generation, identity.engine]
        written = json.dumps(
            [*(part.model_dump() for part in parts), identity.warnings, repr(reply)]
        )
        assert SECRET not in written
        assert "Incorrect API key provided: ***" in written

    def test_the_key_is_in_no_message_and_no_traceback(self, server, open_engine, act):
        server.act = lambda _: act({"error": {"message": f"Incorrect key {SECRET}"}}, 401)

        with pytest.raises(EngineError) as caught:
            open_engine(key=SECRET)

        error = caught.value
        assert SECRET not in str((error.message, error.why, error.fix))
        assert SECRET not in "".join(traceback.format_exception(error))

    def test_the_password_of_an_address_is_written_nowhere(self, server, open_engine):
        engine = open_engine(url=f"http://me:{SECRET}@{server.host}/v1")

        assert SECRET not in repr(engine.identity())
        assert engine.identity().engine.base_url == server.url

    def test_the_key_comes_from_the_environment(self, server, open_engine, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)

        open_engine()

        assert server.heard[-1].headers["authorization"] == f"Bearer {SECRET}"

    def test_a_local_server_needs_none(self, monkeypatch, sent):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)

        assert sent()[1].status == "ok"


def test_an_end_of_turn_that_is_text_is_sent_as_a_stop(server, open_engine, checkpoints, tmp_path):
    usual = server.chat
    server.chat = lambda body: usual({"messages": body["messages"] * 20})
    folder = tmp_path / "text"
    shutil.copytree(checkpoints["qwen2"], folder)
    (folder / "chat_template.jinja").write_text(
        CHATML.replace("<|im_start|>", "[").replace("<|im_end|>", "(end)")
    )
    local = {"tokenizer": str(folder)}

    with_text = open_engine(model_args=local)
    list(with_text.answer(asked()))
    sent = server.asked()[-1]
    server.heard.clear()
    plain = open_engine(model_args={"tokenizer": str(checkpoints["qwen2"])})
    list(plain.answer(asked()))

    assert sent["stop"] == ["(end)"]
    assert with_text.identity().generation.stop == ("(end)",)
    assert "stop" not in server.asked()[-1]
    assert plain.identity().generation.stop is None
