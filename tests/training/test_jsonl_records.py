"""ChatML JSONL is read strictly: a bad record is named with file, line and place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.chat.jsonl import ChatRecord, read_records, record_line
from qwen_bench.chat.messages import Message
from qwen_bench.errors import DataError, InputError

USER = {"role": "user", "content": "My bus is line 9."}
REPLY = {"role": "assistant", "content": "Line 9, noted."}
GOOD = json.dumps({"messages": [USER, REPLY]})


def line_of(*messages, **keys):
    return json.dumps({"messages": list(messages), **keys}).encode()


DEFECTS = {
    "json": (b'{"messages": [}', "not valid JSON at column 15: expecting value"),
    "encoding": (b'{"messages": "\xc4"}', "byte 0xC4 is not UTF-8; convert the file first"),
    "array": (b"[1]", "this is a JSON array, not one object a line"),
    "number": (b"7", "number, not a JSON object"),
    "no messages": (b'{"id": "a"}', "messages: missing"),
    "empty messages": (b'{"messages": []}', "messages: empty"),
    "message list": (b'{"messages": {}}', "messages: object, not a list"),
    "message kind": (line_of("hello"), "messages[0]: text, not an object"),
    "role": (
        line_of(USER, REPLY, {"role": "bot", "content": "x"}),
        "messages[2].role: 'bot' is not system, user, assistant or tool",
    ),
    "null content": (
        line_of(USER, {"role": "assistant", "content": None}),
        "messages[1].content: null, not text",
    ),
    "blank content": (
        line_of(USER, REPLY, {"role": "user", "content": " \n"}),
        "messages[2].content: blank",
    ),
    "system place": (
        line_of(USER, REPLY, USER, {"role": "system", "content": "x"}),
        "messages[3]: a system message; only messages[0] may be one",
    ),
    "first turn": (
        line_of(REPLY, USER),
        "messages[0]: assistant; a conversation starts with user",
    ),
    "alternation": (line_of(USER, REPLY, USER, USER), "messages[3]: user after user"),
    "tool place": (
        line_of(USER, {"role": "tool", "content": "x"}, REPLY),
        "messages[1]: tool after user",
    ),
    "no answer": (line_of(USER), "messages: no assistant message, nothing to train on"),
    "loss on user": (
        line_of({**USER, "loss": False}, REPLY),
        "messages[0].loss: true or false, on assistant messages only",
    ),
    "reasoning": (
        line_of(USER, {**REPLY, "reasoning_content": "hm"}),
        "reasoning_content: not supported in training",
    ),
    "id": (line_of(USER, REPLY, id=7), "id: number, not text"),
    "type": (line_of(USER, REPLY, type="sharegpt"), "type: 'sharegpt' is not 'chatml'"),
}


@pytest.mark.parametrize(("line", "told"), DEFECTS.values(), ids=DEFECTS)
def test_a_defect_is_named_with_file_line_and_place(tmp_path, line, told):
    path = tmp_path / "data.jsonl"
    path.write_bytes(GOOD.encode() + b"\n\n" + line + b"\n")

    with pytest.raises(DataError) as caught:
        list(read_records(path))

    assert caught.value.message.startswith(f"{path}:3  error  {told}")


def test_an_id_used_twice_names_its_first_line(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(line_of(USER, REPLY, id="a") + b"\n" + line_of(USER, REPLY, id="a"))

    with pytest.raises(DataError, match="id: 'a' was used in line 1"):
        list(read_records(path))


def test_byte_order_mark_crlf_and_blank_lines_are_accepted(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n\r\n" + GOOD.encode() + b"\r\n")

    assert [record.id for record in read_records(path)] == ["data.jsonl:1", "data.jsonl:3"]


def test_a_file_without_conversations_is_refused(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\n \n")

    with pytest.raises(DataError, match="holds no conversation"):
        list(read_records(path))


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(InputError, match="cannot read the data file"):
        list(read_records(tmp_path / "none.jsonl"))


def test_records_are_read_before_a_later_defect_is_met(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(GOOD.encode() + b"\nnot json\n")

    assert next(read_records(path)).messages[0].content == USER["content"]


def test_loss_false_makes_an_assistant_turn_context(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(line_of(USER, {**REPLY, "loss": False}, USER, REPLY, mood="odd"))

    (record,) = read_records(path)

    assert record.trained == (False, False, False, True)
    assert record.ignored == ("mood",)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
exchanges = st.lists(st.tuples(texts, texts, st.booleans()), min_size=1, max_size=4)


@given(exchanges=exchanges, source=st.none() | st.just("own"))
def test_what_is_written_is_read_back(tmp_path_factory, exchanges, source):
    messages, trained = [], []
    for user, assistant, loss in exchanges:
        messages += [Message("user", user), Message("assistant", assistant)]
        trained += [False, loss]
    record = ChatRecord("a", tuple(messages), tuple(trained), source)
    path = tmp_path_factory.mktemp("round") / "data.jsonl"

    path.write_text(record_line(record) + "\n", "utf-8", newline="\n")

    assert list(read_records(path)) == [record]
