"""`data convert`: what a form can hold arrives, what it cannot hold is refused by its line."""

import json
import resource
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwen_bench.chat.json_objects import JsonObject
from qwen_bench.chat.jsonl import read_records
from qwen_bench.cli.data_convert import FORMS as NAMES
from qwen_bench.cli.main import main
from qwen_bench.data.chat_form import CannotHoldError, chat_of
from qwen_bench.data.conversion import convert
from qwen_bench.data.forms import FORMS, form_of, is_read
from qwen_bench.errors import DataError

ASK, TOLD = "I have a parrot.", "Nice."
QUESTION, ANSWER = "Which pet do I have?", "A parrot."


def messages(*texts, system=None):
    roles = ("user", "assistant") * len(texts)
    said = [{"role": r, "content": t} for r, t in zip(roles, texts, strict=False)]
    return ([{"role": "system", "content": system}] if system else []) + said


WHOLE = messages(ASK, TOLD, QUESTION, ANSWER)
BRIEF = messages(ASK, TOLD, QUESTION, ANSWER, system="Be brief.")
PAIR = [ASK, TOLD]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Jilin"}}}
CALLING = [
    {"role": "user", "content": "Is it cold?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "-17"},
    {"role": "assistant", "content": "Yes."},
]
GPT = [
    {"from": "human", "value": ASK},
    {"from": "gpt", "value": TOLD},
    {"from": "human", "value": QUESTION},
    {"from": "gpt", "value": ANSWER},
]
V1 = [{"from": m["role"], "value": m["content"]} for m in WHOLE]
# What is found by --from auto, the record, and the conversation that it is.
IMPORTS = {
    "messages": ("chatml", {"messages": WHOLE, "id": 7, "mood": "x"}, {"id": 7, "mood": "x"}),
    "parts": (
        "chatml",
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ASK}]}, *WHOLE[1:]]},
        {},
    ),
    "masks of OpenAI": (
        "chatml",
        {"messages": [WHOLE[0], {**WHOLE[1], "weight": 0}, *WHOLE[2:]]},
        {"messages": [WHOLE[0], {**WHOLE[1], "loss": False}, *WHOLE[2:]]},
    ),
    "mask of a record": (
        "chatml",
        {"messages": messages(ASK, TOLD), "loss": False},
        {"messages": [WHOLE[0], {**WHOLE[1], "loss": False}]},
    ),
    "developer": (
        "chatml",
        {"messages": [{"role": "developer", "content": "Be brief."}, *WHOLE]},
        {"messages": BRIEF},
    ),
    "thought": (
        "chatml",
        {"messages": [WHOLE[0], {**WHOLE[1], "reasoning": "A pet."}]},
        {"messages": [WHOLE[0], {**WHOLE[1], "reasoning_content": "A pet."}]},
    ),
    "calls of OpenAI": (
        "chatml",
        {
            "tools": [TOOL],
            "messages": [
                CALLING[0],
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city": "Jilin"}'},
                        }
                    ],
                },
                *CALLING[2:],
            ],
        },
        {"messages": CALLING, "tools": [TOOL]},
    ),
    "functions, as they were": (
        "chatml",
        {
            "functions": [TOOL["function"]],
            "messages": [
                CALLING[0],
                {
                    "role": "assistant",
                    "content": None,
                    "function_call": {"name": "weather", "arguments": '{"city": "Jilin"}'},
                },
                {"role": "function", "content": "-17", "name": "weather"},
                CALLING[3],
            ],
        },
        {
            "messages": [*CALLING[:2], {**CALLING[2], "name": "weather"}, CALLING[3]],
            "tools": [TOOL],
        },
    ),
    "sharegpt": (
        "sharegpt",
        {"system": "Be brief.", "conversations": GPT, "source": "web"},
        {"source": "web", "messages": BRIEF},
    ),
    "sharegpt, system in front": (
        "sharegpt",
        {"conversations": [{"from": "system", "value": "Be brief."}, *GPT]},
        {"messages": BRIEF},
    ),
    "sharegpt with tools": (
        "sharegpt",
        {
            "tools": json.dumps([TOOL]),
            "conversations": [
                {"from": "human", "value": "Is it cold?"},
                {"from": "function_call", "value": json.dumps(CALL["function"])},
                {"from": "observation", "value": "-17"},
                {"from": "gpt", "value": "Yes."},
            ],
        },
        {"messages": CALLING, "tools": [TOOL]},
    ),
    "sharegpt, pairs": (
        "sharegpt",
        {
            "conversation": [
                {"human": ASK, "assistant": TOLD},
                {"human": QUESTION, "assistant": ANSWER},
            ],
            "system": "Be brief.",
        },
        {"messages": BRIEF},
    ),
    "alpaca": (
        "alpaca",
        {"instruction": QUESTION, "input": "", "output": ANSWER, "history": [PAIR], "system": ""},
        {},
    ),
    "alpaca with input": (
        "alpaca",
        {"instruction": "Name it.", "input": "a parrot", "output": ANSWER},
        {"messages": messages("Name it.\na parrot", ANSWER)},
    ),
    "query, response": (
        "query-response",
        {"query": QUESTION, "response": ANSWER, "history": [PAIR], "system": "Be brief."},
        {"messages": BRIEF},
    ),
    "history as a Python list": (
        "query-response",
        {"prompt": QUESTION, "output": ANSWER, "history": repr([tuple(PAIR)])},
        {},
    ),
    "question, answer": (
        "query-response",
        {"question": QUESTION, "answer": ANSWER},
        {"messages": messages(QUESTION, ANSWER)},
    ),
    "qwen-v1": ("qwen-v1", {"id": "7", "conversations": V1}, {"id": "7"}),
}


def item_of(content):
    return JsonObject(content, 1, "x:1", partial(DataError, "x", 1))


def read(form, content):
    return chat_of(item_of(content), FORMS[form].read(content, partial(DataError, "x", 1)))[0]


@pytest.mark.parametrize(("form", "content", "wanted"), IMPORTS.values(), ids=IMPORTS)
def test_a_record_of_each_form_is_recognised_and_becomes_messages(form, content, wanted):
    assert form_of(content) == form
    assert read(form, content) == {"messages": WHOLE} | wanted


def test_every_form_that_the_command_names_is_one():
    assert tuple(FORMS) == NAMES
    assert all(is_read(form, record) for form, record, _ in IMPORTS.values())


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
VALUES = st.none() | st.booleans() | st.integers() | TEXTS | st.lists(TEXTS, max_size=2)
KEYS = st.sampled_from(["mood", "lang", "score", "x"])
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=2)


FUNCTIONS = st.fixed_dictionaries({"name": TEXTS, "arguments": OBJECTS | TEXTS})
CALLS = st.fixed_dictionaries(
    {"type": st.just("function"), "function": FUNCTIONS}, optional={"id": TEXTS}
)


@st.composite
def exchanges(draw, rich):
    """A user's message, calls of tools where they are wanted, and the answer."""
    said = [{"role": "user", "content": draw(TEXTS)}]
    if "tools" in rich and draw(st.booleans()):
        calls = draw(st.lists(CALLS, min_size=1, max_size=2))
        text = draw(st.just("") | TEXTS)
        said.append({"role": "assistant", "content": text, "tool_calls": calls})
        said += [{"role": "tool", "content": draw(TEXTS)} for _ in calls]
        if draw(st.booleans()):
            said[-1]["tool_call_id"] = draw(TEXTS)
    return [*said, {"role": "assistant", "content": draw(TEXTS)}]


@st.composite
def chats(draw):
    """A conversation in the middle form with anything that it may hold."""
    chat = draw(st.fixed_dictionaries({}, optional={"id": TEXTS | st.integers(), "source": TEXTS}))
    rich = draw(st.sets(st.sampled_from(["tools", "thoughts", "masks", "keys", "flags"])))
    system = st.fixed_dictionaries({"role": st.just("system"), "content": TEXTS | st.just("")})
    said = draw(st.lists(system, max_size=1))
    for exchange in draw(st.lists(exchanges(rich), min_size=1, max_size=3)):
        said += exchange
    said += draw(st.lists(st.just({"role": "user", "content": "And?"}), max_size=1))
    for message in said:
        answer = message["role"] == "assistant"
        if answer and "thoughts" in rich and draw(st.booleans()):
            message["reasoning_content"] = draw(TEXTS)
        if answer and "masks" in rich and draw(st.booleans()):
            message["loss"] = False
    if "keys" in rich:
        said = [{**message, **draw(st.dictionaries(KEYS, VALUES, max_size=1))} for message in said]
    chat["messages"] = said
    if "tools" in rich:
        chat["tools"] = draw(st.lists(OBJECTS, min_size=1, max_size=2))
    if "flags" in rich:
        chat["chat_template_kwargs"] = {"enable_thinking": draw(st.booleans())}
    return chat | draw(st.dictionaries(KEYS, VALUES, max_size=2))


def through(form, chat):
    """A conversation written in a form, as JSON, and read again; None where it is refused."""
    try:
        written = json.loads(json.dumps(FORMS[form].write(chat)))
    except CannotHoldError:
        return None
    assert is_read(form, written)
    return read(form, written)


def is_plain(chat):
    """Whether a conversation has nothing but texts in turns, which every form can hold."""
    first, *rest = chat["messages"]
    rest = rest if first["role"] == "system" else chat["messages"]
    plain = all(message.keys() == {"role", "content"} for message in chat["messages"])
    return plain and bool(first["content"]) and len(rest) % 2 == 0 and "tools" not in chat


@pytest.mark.parametrize(("there", "back"), list(product(FORMS, FORMS)))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(chat=chats())
def test_there_and_back_loses_nothing_that_both_forms_can_hold(there, back, chat):
    first = through(there, chat)
    second = through(back, first) if first is not None else None

    assert first in (None, chat)
    assert second in (None, chat)
    if is_plain(chat):
        assert second == chat
    if {there, back} <= {"chatml", "openai"}:
        assert second == chat


NAMES_OF_KEYS = st.sampled_from(
    """messages conversations conversation instruction input output query response history system
    tools functions id type source text role content from value human assistant gpt loss tool_calls
    function_call name arguments weight reasoning chat_template_kwargs mood""".split()  # noqa: SIM905
)
WORDS = st.sampled_from(["user", "human", "gpt", "assistant", "system", "function_call", "[]", ""])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | WORDS | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES_OF_KEYS, inner, max_size=4),
    max_leaves=12,
)
TURNS = st.lists(
    st.fixed_dictionaries({"from": WORDS | ANYTHING, "value": TEXTS | ANYTHING}), max_size=3
)
RECORDS = st.dictionaries(NAMES_OF_KEYS, ANYTHING | TEXTS, max_size=5) | st.fixed_dictionaries(
    {"conversations": TURNS}, optional={"system": ANYTHING, "tools": ANYTHING}
)


def converted(*arguments):
    """What `convert` gives, or its error."""
    try:
        return convert(*arguments)
    except DataError as error:
        return error


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    records=st.lists(RECORDS, min_size=1, max_size=3),
    form=st.sampled_from(["auto", *FORMS]),
    wanted=st.sampled_from([*FORMS]),
)
def test_any_records_are_written_or_refused_with_their_lines(
    tmp_path_factory, records, form, wanted
):
    folder = tmp_path_factory.mktemp("any")
    source, target = folder / "a.jsonl", folder / "b.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    refused = []

    done = converted(source, target, form, wanted, refused.append)

    if isinstance(done, DataError):
        assert not target.exists()
        assert done.line in (None, *range(1, len(records) + 1))
    else:
        assert done.read == len(records) == done.written + len(refused)
        assert done.refused == [one.line for one in refused]
        assert target.read_bytes().endswith(b"\n")
    assert not list(folder.glob(".*"))


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = main(["data", "convert", *(str(word) for word in words)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


@pytest.mark.parametrize("form", FORMS)
def test_converting_a_converted_file_changes_nothing(call, tmp_path, form):
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": BRIEF, "id": "é"}) + "\n")

    assert call("a.jsonl", "-o", "b.json", "--to", form)[0] == 0
    assert call("b.json", "-o", "c.json", "--to", form, "--from", form)[0] == 0
    assert call("c.json", "-o", "d.jsonl")[0] == 0

    assert (tmp_path / "c.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert [json.loads((tmp_path / "d.jsonl").read_text())] == [{"messages": BRIEF, "id": "é"}]


def test_an_array_becomes_lines_that_the_trainer_reads(call, tmp_path):
    records = [{"conversations": GPT, "id": f"{i}"} for i in range(3)]
    (tmp_path / "a.json").write_text(json.dumps(records, indent=1))

    code, out, err = call("a.json", "-o", "b.jsonl")

    assert (code, out) == (0, "3 read, 3 written\n")
    assert err == "read as sharegpt, written as chatml: b.jsonl\n"
    assert [record.id for record in read_records(tmp_path / "b.jsonl")] == ["0", "1", "2"]
    first = (tmp_path / "b.jsonl").read_text().partition("\n")[0]
    assert list(json.loads(first)) == ["id", "messages"]


def test_records_that_cannot_be_read_are_refused_with_their_lines_and_the_rest_is_written(
    call, tmp_path
):
    good = json.dumps({"conversations": GPT})
    bad = [
        '{"conversations": [',
        json.dumps({"instruction": "Hi", "output": "Hello"}),
        json.dumps({"conversations": GPT[1:]}),
        json.dumps({"conversations": [{"from": "human", "value": "\ud83d"}, GPT[1]]}),
        json.dumps({"conversations": GPT, "score": float("nan")}),
    ]
    (tmp_path / "a.jsonl").write_text("\n".join([good, *bad, good]) + "\n")

    code, out, err = call("a.jsonl", "-o", "b.jsonl")

    *refused, closing = out.splitlines()
    assert code == 1
    assert closing == "7 read, 2 written, 5 refused (lines 2, 3, 4, 5, 6)"
    assert [text.partition("  error    ")[2] for text in refused] == [
        "not valid JSON at column 20: expecting value",
        "this record is alpaca, the one in line 1 is sharegpt",
        "messages[0]: assistant; a conversation starts with user",
        "holds half of a surrogate pair, which no file can hold",
        "holds a number that JSON does not have, such as NaN",
    ]
    assert err.endswith("exit 1: some records were refused\n")
    assert len((tmp_path / "b.jsonl").read_text().splitlines()) == 2


LOSSY = {
    "tools": ("alpaca", {"messages": CALLING, "tools": [TOOL]}, "tools"),
    "calls": ("qwen-v1", {"messages": CALLING}, "calls of tools"),
    "mask": (
        "sharegpt",
        {"messages": [WHOLE[0], {**WHOLE[1], "loss": False}]},
        '"loss": false; the answer would be learned',
    ),
    "thought": (
        "query-response",
        {"messages": [WHOLE[0], {**WHOLE[1], "reasoning_content": "Hm."}]},
        "a thought",
    ),
    "unanswered": ("alpaca", {"messages": WHOLE[:3]}, "a last message without an answer"),
    "key of a message": (
        "alpaca",
        {"messages": [{**WHOLE[0], "name": "Li"}, WHOLE[1]]},
        "the key 'name' of a message",
    ),
    "key that is taken": (
        "alpaca",
        {"messages": WHOLE, "history": "long"},
        "the key 'history' means something else there",
    ),
    "empty system": (
        "sharegpt",
        {"messages": [{"role": "system", "content": ""}, *WHOLE]},
        "an empty system message, which means none there",
    ),
}


@pytest.mark.parametrize(("form", "record", "told"), LOSSY.values(), ids=LOSSY)
def test_what_a_form_cannot_hold_is_refused_and_nothing_is_written(
    call, tmp_path, form, record, told
):
    (tmp_path / "a.jsonl").write_text(json.dumps(record))

    code, out, err = call("a.jsonl", "-o", "b.jsonl", "--to", form)

    assert code == 1
    assert f"a.jsonl:1  error    {form} cannot hold it: {told}" in out
    assert "error: a.jsonl  error  no conversation could be written: 1 read, 0 written" in err
    assert not (tmp_path / "b.jsonl").exists()


def test_keys_of_parts_that_are_joined_are_named(call, tmp_path):
    part = {"type": "text", "text": ASK, "cache_control": "a"}
    record = {"messages": [{"role": "user", "content": [part]}, WHOLE[1]]}
    (tmp_path / "a.jsonl").write_text(json.dumps(record))

    code, _, err = call("a.jsonl", "-o", "b.jsonl")

    assert code == 0
    assert "warning: not kept: messages[].content[].cache_control (1)" in err


BAD = {
    "missing": (None, 2, "error: cannot read a.jsonl"),
    "empty": (b"", 1, "error: a.jsonl  error  no records"),
    "unknown": (b'{"text": "a"}', 1, "no known form of training data; keys: text"),
    "a line of 50 MB": (b'{"a": "' + b"x" * (50 << 20), 1, "a line of more than 32 MB"),
    "not JSON": (b"hello", 1, "error: a.jsonl:1  error  not valid JSON at column 1"),
    "history that is code": (
        json.dumps({"query": "a", "response": "b", "history": "__import__('os')"}).encode(),
        1,
        "no conversation could be written",
    ),
}


@pytest.mark.parametrize(("content", "code", "told"), BAD.values(), ids=BAD)
def test_a_file_that_cannot_be_converted_gives_one_message_and_no_file(
    call, tmp_path, content, code, told
):
    if content is not None:
        (tmp_path / "a.jsonl").write_bytes(content)

    ended, _, err = call("a.jsonl", "-o", "b.jsonl")

    assert ended == code
    assert told in err
    assert sorted(path.name for path in tmp_path.iterdir()) in ([], ["a.jsonl"])


def test_a_mark_and_crlf_are_read(call, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps({"messages": WHOLE}).encode())

    assert call("a.jsonl", "-o", "b.jsonl")[:2] == (0, "1 read, 1 written\n")


def test_a_file_is_replaced_only_when_forced_and_never_that_which_is_read(call, tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(json.dumps({"messages": WHOLE}))

    assert call("a.jsonl", "-o", "b.jsonl")[0] == 2
    assert call("a.jsonl", "-o", "a.jsonl", "--force")[0] == 2
    assert call("a.jsonl", "-o", "b.jsonl", "--force", "--to", "alpaca")[0] == 0
    assert "instruction" in (tmp_path / "b.jsonl").read_text()


def test_a_full_disk_is_told_and_leaves_nothing(call, tmp_path):
    record = json.dumps({"messages": messages("x" * 3000, TOLD)})
    (tmp_path / "a.jsonl").write_text("\n".join([record] * 30))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        code, _, err = call("a.jsonl", "-o", "b.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert code == 1
    assert "error: cannot write b.jsonl: file too large" in err
    assert [path.name for path in Path().iterdir()] == ["a.jsonl"]
