"""An object with `.chat` is asked fairly: no turn or setting is lost, and every fault is a row."""

# ruff: noqa: ARG002, ARG005 - fakes take what the real method takes

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import qwen_bench
from qwen_bench.chat.messages import Message
from qwen_bench.chat.policy import Policy
from qwen_bench.cli.main import main
from qwen_bench.engines.legacy_chat import LegacyChat, QwenV1Counter
from qwen_bench.errors import EngineError, InputError
from qwen_bench.protocol import Request, Sampling, Unit

DOC = Path(__file__).resolve().parents[2] / "docs" / "legacy.md"
CHAT = (
    Message("user", "My locker is 11."),
    Message("assistant", "Noted."),
    Message("user", "My cat is Biscuit."),
    Message("assistant", "Fine."),
    Message("user", "Which locker is mine?"),
)


class Words:
    """A tokenizer in the style of Qwen v1: a token a character; special strings are plain text."""

    def encode(self, text, *, allowed_special):
        assert allowed_special == set()
        return [ord(character) for character in text]


class PlainWords:
    """A tokenizer that knows no `allowed_special`."""

    def encode(self, text, *, add_special_tokens):
        assert add_special_tokens is False
        return [ord(character) for character in text]


class V1:
    """Answers with what it was given last, appends to the history it gets, and may break."""

    def __init__(self, **settings):
        self.generation_config = SimpleNamespace(
            **({"repetition_penalty": 1.3, "do_sample": True, "max_window_size": 6144} | settings)
        )
        self.heard = []
        self.during = []

    def chat(self, tokenizer, query, history, system="You are a helpful assistant."):
        self.heard.append((query, tuple(history), system))
        self.during.append(dict(vars(self.generation_config)))
        answer = history[0][0] if history else "nothing"
        history.append((query, answer))
        return answer, history


@pytest.fixture
def engine():
    """Makes an adapter around an object."""

    def make(model=None, **options):
        options = {"fingerprint": "test"} | options
        return LegacyChat(model or V1(), Words(), **options)

    return make


def reply_to(engine, messages, **request):
    (reply,) = engine.answer(Unit("d", (Request("q", messages, "generate", **request),)))
    return reply


def test_the_history_goes_as_pairs_and_the_answer_comes_back(engine):
    model = V1()

    reply = reply_to(engine(model), CHAT)

    assert (reply.status, reply.text) == ("ok", "My locker is 11.")
    assert model.heard == [
        (
            "Which locker is mine?",
            (("My locker is 11.", "Noted."), ("My cat is Biscuit.", "Fine.")),
            "You are a helpful assistant.",
        )
    ]


def test_an_object_that_appends_to_its_history_changes_no_later_question(engine):
    model = V1()
    asked = engine(model)

    first, second = reply_to(asked, CHAT), reply_to(asked, CHAT)

    assert model.heard[0] == model.heard[1]
    assert first.text == second.text


def test_a_plain_text_is_read_as_well(engine):
    class Plain(V1):
        def chat(self, tokenizer, query, history):
            return query.upper()

    assert reply_to(engine(Plain()), CHAT).text == "WHICH LOCKER IS MINE?"


def test_a_system_message_is_passed_on(engine):
    model = V1()

    reply_to(engine(model), (Message("system", "Be brief."), *CHAT))

    assert model.heard[0][2] == "Be brief."


def test_a_system_message_that_chat_does_not_take_is_no_answer(engine):
    class Deaf(V1):
        def chat(self, tokenizer, query, history, **kwargs):
            raise AssertionError("asked")

    asked = engine(Deaf())
    reply = reply_to(asked, (Message("system", "Be brief."), *CHAT))

    assert (reply.status, reply.reason) == ("error", "bad_history")
    assert not asked.abilities().system_messages


@pytest.mark.parametrize(
    "messages",
    [
        CHAT[:4],
        CHAT[1:],
        (CHAT[0], *CHAT),
        (*CHAT[:2], Message("tool", "3"), *CHAT[2:]),
        (*CHAT[:2], Message("system", "Be brief."), *CHAT[2:]),
    ],
    ids=["ends-with-assistant", "begins-with-assistant", "two-users", "tool", "late-system"],
)
def test_an_odd_history_is_an_error_and_not_asked(engine, messages):
    model = V1()

    reply = reply_to(engine(model), messages)

    assert (reply.status, reply.reason) == ("error", "bad_history")
    assert not model.heard


def test_settings_are_pinned_for_the_answer_and_put_back(engine):
    model = V1(top_p=0.8)
    before = dict(vars(model.generation_config))

    reply_to(engine(model), CHAT, max_new_tokens=12)

    assert model.during == [
        before | {"repetition_penalty": 1.0, "do_sample": False, "max_new_tokens": 12}
    ]
    assert vars(model.generation_config) == before


def test_settings_are_put_back_after_an_error_too(engine):
    class Broken(V1):
        def chat(self, tokenizer, query, history):
            raise RuntimeError("CUDA out of memory")

    model = Broken()
    before = dict(vars(model.generation_config))

    reply = reply_to(engine(model), CHAT)

    assert (reply.status, reply.reason, reply.error_type) == ("error", "oom", "RuntimeError")
    assert vars(model.generation_config) == before


def test_one_fault_does_not_cost_the_other_answers(engine):
    class Moody(V1):
        def chat(self, tokenizer, query, history):
            if query == "bad":
                raise ValueError("no")
            return "fine"

    requests = tuple(
        Request(word, (Message("user", word),), "generate") for word in ("good", "bad", "better")
    )

    replies = list(engine(Moody()).answer(Unit("d", requests)))

    assert [(reply.status, reply.reason) for reply in replies] == [
        ("ok", None),
        ("error", "chat"),
        ("ok", None),
    ]


def test_what_is_no_text_is_an_error(engine):
    class Odd(V1):
        def chat(self, tokenizer, query, history):
            return {"response": "44"}

    reply = reply_to(engine(Odd()), CHAT)

    assert (reply.status, reply.error_message) == ("error", "chat() returned dict, not a text")


@pytest.mark.parametrize(("window", "dropped"), [(81, 2), (82, 1), (124, 1), (125, 0), (6144, 0)])
def test_a_conversation_its_window_would_cut_is_not_asked(engine, window, dropped):
    """System block 37 tokens, newer turn 44, older 43; Qwen v1 wants less than the window."""
    model = V1(max_window_size=window)

    reply = reply_to(engine(model), CHAT)

    if dropped:
        assert (reply.status, reply.reason) == ("too_long", "cut")
        assert f"drops {dropped} turns" in reply.error_message
        assert not model.heard
    else:
        assert reply.status == "ok"


def test_the_prompt_is_counted_as_its_chatml_text(engine):
    system = Message("system", "You are a helpful assistant.")
    blocks = [f"A{message.role}\n{message.content}B" for message in (system, *CHAT)]

    reply = reply_to(engine(), CHAT)

    assert reply.prompt_tokens == len("\n".join([*blocks, "Aassistant\n"]))


def test_the_window_is_6144_where_nothing_says_otherwise(engine):
    model = V1()
    del model.generation_config.max_window_size

    assert engine(model).identity().engine.max_window_size == 6144


def test_a_policy_cuts_before_the_window_is_looked_at(engine):
    model = V1(max_window_size=100)

    reply = reply_to(engine(model, policy=Policy("last-turns", 1)), CHAT)

    assert (reply.status, reply.dropped_turns) == ("ok", 1)
    assert model.heard[0][1] == (("My cat is Biscuit.", "Fine."),)


def test_a_prompt_beyond_the_context_is_too_long(engine):
    model = V1()
    model.config = SimpleNamespace(seq_length=100)

    reply = reply_to(engine(model), CHAT)

    assert (reply.status, reply.reason) == ("too_long", "local")
    assert not model.heard


def test_a_plain_tokenizer_counts_the_same():
    assert QwenV1Counter(PlainWords()).prompt_tokens(CHAT) == QwenV1Counter(Words()).prompt_tokens(
        CHAT
    )


def test_candidates_cannot_be_ranked_and_nothing_is_drawn(engine):
    rank = Request("q", CHAT, "rank", ("11", "22"))
    drawn = Request("q", CHAT, "generate", sampling=Sampling(temperature=0.5))

    assert not engine().abilities().rank
    for request in (rank, drawn):
        with pytest.raises(EngineError):
            list(engine().answer(Unit("d", (request,))))


def test_a_suite_that_ranks_is_refused_before_anything_is_asked(engine, tmp_path):
    model = V1()

    with pytest.raises(EngineError, match="cannot rank"):
        qwen_bench.run(engine(model), suite="quick", mode="rank", runs_dir=tmp_path)

    assert not model.heard
    assert not list(tmp_path.iterdir())


def test_what_the_checkpoint_shipped_is_recorded_and_a_penalty_is_a_warning(engine):
    identity = engine().identity()

    assert identity.generation.checkpoint_defaults == {
        "repetition_penalty": 1.3,
        "do_sample": True,
    }
    assert identity.warnings == ("legacy sets repetition_penalty 1.3; the benchmark uses 1.0",)


def test_an_object_without_settings_is_a_warning(engine):
    bare = SimpleNamespace(chat=lambda tokenizer, query, history: query)

    asked = engine(bare)

    assert "no generation_config" in asked.identity().warnings[0]
    assert reply_to(asked, CHAT).text == "Which locker is mine?"


def test_other_weights_have_another_fingerprint():
    from qwen_bench.testing import tiny_model

    def fingerprint(seed):
        model = tiny_model(seed=seed)
        model.chat = lambda tokenizer, query, history: query
        return LegacyChat(model, Words()).identity().model.fingerprint

    assert fingerprint(0) == fingerprint(0) != fingerprint(1)


def test_objects_that_cannot_be_used_are_refused():
    with pytest.raises(InputError, match="has no method chat"):
        LegacyChat(object(), Words(), fingerprint="x")
    with pytest.raises(InputError, match="no state_dict"):
        LegacyChat(V1(), Words())


class Knowing(V1):
    """Repeats every user turn it sees; `forgets` keeps the last one only."""

    def __init__(self, *, forgets=False):
        super().__init__()
        self.forgets = forgets

    def state_dict(self):
        import torch

        return {"forgets": torch.tensor([self.forgets])}

    def chat(self, tokenizer, query, history, system=""):
        seen = history[-1:] if self.forgets else history
        return " ".join(question for question, _ in seen), history


def test_the_example_of_the_docs_leaves_runs_that_can_be_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", DOC.read_text("utf-8"), re.DOTALL)

    folders = []
    for forgets in (False, True):
        names = {"model": Knowing(forgets=forgets), "tokenizer": Words()}
        exec(code, names)  # noqa: S102 - the example is the thing under test
        folders.append(names["found"].run.folder)
    capsys.readouterr()
    code = main(["compare", *map(str, folders)])

    printed = capsys.readouterr().out
    assert code in {0, 3, 4}, printed
    assert "qwen-7b-chat" in printed
    first = names["found"].run.manifest
    assert first.engine.name == "legacy"
    assert first.template.source == "v1 code"
    assert first.status == "finished"


def test_a_stopped_run_goes_on_where_it_was(engine, tmp_path):
    class Tired(V1):
        left = 3

        def chat(self, tokenizer, query, history, system=""):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            return "nothing"

    from qwen_bench.runs.job import RunInterruptedError

    small = {
        "suite": "quick",
        "mode": "generate",
        "lang": "en",
        "lengths": (1,),
        "limit": 1,
        "runs_dir": tmp_path,
    }
    with pytest.raises(RunInterruptedError) as stopped:
        qwen_bench.run(engine(Tired()), **small)
    (folder,) = tmp_path.iterdir()

    run = qwen_bench.run(engine(V1()), **small, resume=folder).run

    assert "run(..., resume=" in stopped.value.command
    assert run.folder == folder
    assert run.manifest.invocations[0].rows_written == 2
    assert len(run.outcomes) == run.manifest.expected.rows
