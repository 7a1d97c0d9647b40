"""`data stats` counts what training data holds and measures whether answers need their history."""

import json
from math import log

import pytest

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.chat.messages import Message
from qwen_bench.cli.main import main
from qwen_bench.data.context_use import HistoryUse, later_answers, without_history
from qwen_bench.data.statistics import Statistics
from qwen_bench.testing import tiny_checkpoint


def messages(turns, text="My bus is line 9."):
    said = []
    for turn in range(turns):
        said.append({"role": "user", "content": f"{text} {turn}"})
        said.append({"role": "assistant", "content": "Noted."})
    return said


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = main(["data", *(str(word) for word in words)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


@pytest.fixture
def file(tmp_path):
    records = [
        {"messages": messages(1), "source": "own"},
        {"messages": messages(2), "source": "own"},
        {"messages": messages(9, "我坐九路车去上班。")},
        {"messages": "bad"},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_conversations_turns_languages_sources_and_roles_are_counted(call, file):
    code, out, _ = call("stats", file)

    assert code == 0
    assert out.splitlines() == [
        "conversations  3",
        "user turns     1 1 · 2-3 1 · 4-7 0 · 8+ 1",
        "languages      en 2 · zh 1",
        "sources        own 2",
        "characters     228",
        "trained        12 of 12 answers",
        "messages       assistant 12 · user 12; most user turns 9",
        "not counted    1 records with errors: data validate",
    ]


def test_tokens_and_the_need_of_history_are_measured_on_a_model(call, file, tiny, tmp_path):
    words = ("--model", tiny, "--history", "6", "--json", "b.json", "--chart", "c.svg")

    code, out, err = call("stats", file, *words)

    document = json.loads((tmp_path / "b.json").read_text())
    assert code == 0, err
    assert "measuring 6 answers with and without their history" in err
    assert "later answers need it (95 % interval" in out
    rows = document["history"]["rows"]
    assert len(rows) == document["history"]["answers"] == 6
    assert all(0 < row["loss"] < 3 * log(1000) and row["turn"] > 1 for row in rows)
    assert document["model"]["tokens"] > document["model"]["trained_tokens"] > 0
    assert document["user_turns"] == {"1": 1, "2": 1, "9": 1}
    assert "Answers by what history saves" in (tmp_path / "c.svg").read_text()


def test_the_same_file_gives_the_same_picture(call, file, tmp_path):
    for name in ("a.svg", "b.svg", "c.png"):
        assert call("stats", file, "--chart", name)[0] == 0

    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


TOOL_CHAT = (
    Message("system", "Be brief."),
    Message("user", "I am in Jilin."),
    Message("assistant", "Noted."),
    Message("user", "Is it cold here?"),
    Message("assistant", "Let me look."),
    Message("tool", "-17"),
    Message("assistant", "Yes."),
)
LEARNED = (False, False, True, False, False, False, True)


def test_without_its_history_an_answer_keeps_system_message_question_and_results_of_tools():
    (cut,) = later_answers([ChatRecord("a", TOOL_CHAT, LEARNED)], 5)

    alone = without_history(cut)

    assert alone.messages == (TOOL_CHAT[0], *TOOL_CHAT[3:])
    assert alone.trained == (False, False, False, False, True)


def test_only_learned_answers_behind_a_second_user_message_are_drawn_the_same_at_every_call():
    chats = [ChatRecord(f"{i}", TOOL_CHAT, LEARNED) for i in range(50)]

    first, second = (later_answers(iter(chats), 10) for _ in range(2))

    assert first == second
    assert len(first) == 10
    assert first != chats[:10]
    assert all(record.messages == TOOL_CHAT and sum(record.trained) == 1 for record in first)


def test_the_share_that_needs_its_history_has_an_interval():
    uses = [HistoryUse(i, 2, 3, 1.0, 2.0 if i < 6 else 1.1) for i in range(10)]

    lines = Statistics(history=uses).lines()

    assert "60.0 % of 10 later answers need it (95 % interval 31.3 to 83.2)" in lines[-2]
    assert "1.00 nats a token higher (median)" in lines[-1]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("none.jsonl",), 2, "error: cannot read none.jsonl"),
        (("empty.jsonl",), 1, "error: empty.jsonl  error  no records"),
        (("a.jsonl", "--history", "5"), 2, "error: --history needs --model"),
        (("a.jsonl", "--chart", "a.pdf"), 2, "error: --chart a.pdf: a picture ends with .svg or"),
        (("a.jsonl", "--model", "mock:oracle"), 2, "mock solvers have no"),
    ],
)
def test_a_mistake_is_told_in_one_line(call, file, words, code, told):
    (file.parent / "empty.jsonl").write_text("")

    ended, _, err = call("stats", *words)

    assert ended == code
    assert told in err


def test_validate_with_a_model_names_what_is_too_long_and_what_its_template_loses(
    call, file, tiny, tmp_path
):
    tools = {"messages": messages(2), "tools": [{"name": "weather"}]}
    (tmp_path / "b.jsonl").write_text(file.read_text() + json.dumps(tools))

    code, out, _ = call("validate", "b.jsonl", "--model", tiny, "--max-length", "60")

    assert code == 1
    assert "b.jsonl:3  warning" in out
    assert "answers would be dropped" in out
    assert "b.jsonl:5  error    messages[1] cannot be trained with the chat template of" in out
    assert "does not write the tool weather" in out
    assert "rows           one a conversation" in out
