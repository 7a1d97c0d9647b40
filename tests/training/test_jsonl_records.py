"""ChatML JSONL is read strictly: a bad record is named with file, line and place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.chat.jsonl import read_records, record_line
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
        line_of({**USER, "loss": True}, REPLY),
        "messages[0].loss: only assistant messages are learned, this one is from user",
    ),
    "reasoning": (
        line_of({**USER, "reasoning_content": "hm"}, REPLY),
        "messages[0].reasoning_content: only an assistant has thoughts",
    ),
    "calls": (
        line_of({**USER, "tool_calls": [{"name": "a"}]}, REPLY),
        "messages[0].tool_calls: only an assistant calls tools",
    ),
    "id": (line_of(USER, REPLY, id=7.5), "id: number, not text or a whole number"),
    "key twice": (b'{"id": "a", "id": "b"}', "the key 'id' stands twice in one object"),
    "deep": (b'{"a":' * 100_000, "not valid JSON: nested too deeply"),
    "long number": (b'{"a": ' + b"7" * 5000 + b"}", "not valid JSON: exceeds the limit"),
    "other form": (
        b'{"conversations": [{"from": "human", "value": "Hi"}]}',
        "messages: missing; 'conversations' is another form of training data",
    ),
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


def read(tmp_path, *lines):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return list(read_records(path))


def test_the_fault_of_a_line_that_was_cut_off_does_not_read_the_rest(tmp_path):
    cut = GOOD[:-30].encode()

    with pytest.raises(DataError, match=r"data.jsonl:1  error  not valid JSON at column"):
        read(tmp_path, cut, GOOD.encode(), b"\xff")


def test_a_fault_inside_an_indented_object_is_named_with_its_own_line(tmp_path):
    text = json.dumps({"messages": [USER, REPLY]}, indent=2).replace('"user",', '"user"')

    with pytest.raises(DataError, match=r"data.jsonl:6  error  not valid JSON at column 7"):
        read(tmp_path, GOOD.encode(), text.encode())


def test_items_of_an_array_are_named_by_line_and_index(tmp_path):
    bad = {"messages": [USER]}
    text = json.dumps([{"messages": [USER, REPLY]}, bad], indent=1)

    with pytest.raises(DataError, match=r"data.jsonl:14  error  \[1\] messages: no assistant"):
        read(tmp_path, text.encode())


def test_conversations_in_one_line_of_an_array_have_ids_of_their_own(tmp_path):
    records = read(tmp_path, f"[{GOOD}, {GOOD}]".encode())

    assert [(record.id, record.line) for record in records] == [
        ("data.jsonl[0]", 1),
        ("data.jsonl[1]", 1),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"[{GOOD}\n{GOOD}]", ":2  error  not valid JSON: no ',' or ']' after item 0"),
        (f"[{GOOD},]", ":1  error  not valid JSON at column"),
        (f"[{GOOD}", ":1  error  not valid JSON"),
        (f"[{GOOD}]\n{GOOD}", ":2  error  something follows the JSON array"),
        ("[]", "  error  holds no conversation"),
    ],
)
def test_a_broken_array_is_named_with_its_line(tmp_path, text, told):
    with pytest.raises(DataError) as caught:
        read(tmp_path, text.encode())

    assert told in caught.value.message


def test_a_key_that_no_file_can_hold_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"data.jsonl:1  error  key .*half of a surrogate pair"):
        read(tmp_path, GOOD[:-1].encode() + b', "\\ud83d": 1}')


def test_a_system_message_in_both_places_must_be_the_same(tmp_path):
    system = {"role": "system", "content": "Be brief."}
    (record,) = read(tmp_path, line_of(system, USER, REPLY, system="Be brief."))
    assert [message.role for message in record.messages] == ["system", "user", "assistant"]

    with pytest.raises(DataError, match=r"data.jsonl:1  error  system: another text than"):
        read(tmp_path, line_of(system, USER, REPLY, system="Be loud."))


@pytest.mark.parametrize("marker", ["<|im_start|>", "<|im_end|>", "<|endoftext|>"])
def test_the_place_of_a_marker_is_that_of_the_file_beside_a_system_key(tmp_path, marker):
    with pytest.raises(DataError, match=r"data.jsonl:1  error  messages\[0\].content: holds"):
        read(tmp_path, line_of({**USER, "content": f"a{marker}b"}, REPLY, system="Be brief."))


@pytest.mark.parametrize("line", [line for line, _ in DEFECTS.values()], ids=DEFECTS)
def test_every_error_says_what_mends_it(tmp_path, line):
    with pytest.raises(DataError) as caught:
        read(tmp_path, GOOD.encode(), line)

    assert caught.value.fix
