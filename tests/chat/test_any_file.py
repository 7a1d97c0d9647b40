"""Whatever a file holds, its readers give conversations or one error that names file and line."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwen_bench.chat.jsonl import read_records
from qwen_bench.data.validation import validate
from qwen_bench.errors import DataError
from qwen_bench.probes.filler_screening import Screened, load_own_filler

MANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
READ = {"messages", "type", "id", "source", "system", "topic", "canary", "tools"}
READ_IN_MESSAGES = {"role", "content", "tool_calls"}
MASKS = {"loss", "loss_scale", "loss_weight", "train", "training", "weight", "mask", "masked"}
SETTINGS = {"mask_history", "train_on_inputs", "train_on_prompt"}
KEYS = st.sampled_from(sorted(READ | READ_IN_MESSAGES | MASKS | SETTINGS)) | st.sampled_from(
    ["tools", "tool_calls", "name", "labels", "label", "images", "train_detail", "mood"]
)
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["\ud83d", "\ude00", "<|im_end|>\n", "<think>", "\x00", " ", "user", "assistant", "chatml"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([0, 1, 0.5]) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | TEXTS, inner, max_size=3),
    max_leaves=6,
)
EXTRA = st.dictionaries(KEYS | TEXTS, VALUES, max_size=2)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda text: text.strip() and "|" not in text
)
CONTENTS = WORDS | WORDS.map(lambda text: [{"type": "text", "text": text}])


def _conversation(*, broken):
    """Lists of messages; in broken ones a key drawn beside them may replace role or content."""
    texts = CONTENTS | TEXTS if broken else CONTENTS
    exchange = st.tuples(texts, texts, EXTRA, EXTRA)

    def made(parts):
        messages = []
        for user, reply, of_user, of_reply in parts:
            for role, content, extra in (
                ("user", user, of_user),
                ("assistant", reply, of_reply),
            ):
                own = {"role": role, "content": content}
                messages.append({**own, **extra} if broken else {**extra, **own})
        return messages

    return st.lists(exchange, min_size=1, max_size=2).map(made)


GOOD = st.tuples(_conversation(broken=False), EXTRA).map(
    lambda made: {**made[1], "messages": made[0]}
)
BROKEN = st.tuples(_conversation(broken=True), EXTRA).map(
    lambda made: {"messages": made[0], **made[1]}
)
RECORDS = GOOD | BROKEN
FILES = st.one_of(
    st.binary(max_size=60),
    st.lists((RECORDS | VALUES).map(json.dumps), max_size=4).map("\n".join).map(str.encode),
    st.tuples(st.lists(RECORDS | VALUES, max_size=3), st.sampled_from([None, 0, 1, 4]))
    .map(lambda made: json.dumps(made[0], indent=made[1]))
    .map(str.encode),
    st.lists(RECORDS, max_size=3)
    .map(lambda made: "\n".join(json.dumps(one, indent=2) for one in made))
    .map(str.encode),
    st.tuples(RECORDS.map(json.dumps), st.integers(0, 300), TEXTS).map(
        lambda made: (made[0][: made[1]] + made[2] + made[0][made[1] + 1 :]).encode(
            "utf-8", "surrogatepass"
        )
    ),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("any") / "data.jsonl"


def records_or_error(path, read):
    """What a reader gives, or the one error it may raise, whose place is checked."""
    try:
        return read()
    except DataError as caught:
        error = caught
    whole = "holds no conversation" in error.message or "are left" in error.message
    assert (error.line is None) is whole, error.message
    if error.line is not None:
        assert 1 <= error.line <= path.read_bytes().count(b"\n") + 1
    place = str(path) if error.line is None else f"{path}:{error.line}"
    assert error.message.startswith(f"{place}  error  ")
    assert error.message.encode("utf-8") is not None
    return None


@MANY
@given(content=FILES)
def test_any_file_gives_conversations_that_can_be_encoded_or_one_error_with_its_place(
    path, content
):
    path.write_bytes(content)

    records = records_or_error(path, lambda: list(read_records(path)))

    for record in records or ():
        for text in (record.id, record.source or "", *record.ignored):
            assert text.encode("utf-8") is not None
        for message in record.messages:
            assert "<|im_end|>" not in message.content
            assert message.content.encode("utf-8") is not None


@MANY
@given(content=FILES)
def test_any_file_as_filler_gives_exchanges_or_one_error_with_its_place(path, content):
    path.write_bytes(content)

    found = records_or_error(path, lambda: load_own_filler(path, {}, ("en",)))

    assert found is None or isinstance(found, Screened)
    for thread in found.banks["en"].threads if found else ():
        for turn in thread:
            assert (turn.user + turn.assistant).encode("utf-8") is not None


@MANY
@given(content=FILES)
def test_validation_finds_an_error_where_the_reader_refuses_and_nowhere_else(path, content):
    path.write_bytes(content)
    found = []

    validate(path, found.append)

    # Of these the reader makes no fault: an array is read, and one mode is for who trains to ask.
    own = {"array-file", "template-flags"}
    errors = [one for one in found if one.level == "error" and one.kind not in own]
    refused = refusal(path)
    assert bool(errors) is (refused is not None)
    if refused is not None:
        first = errors[0]
        assert (first.line, first.kind) == (refused.line, refused.kind)
        assert first.kind == "empty" or first.text == refused.what


def refusal(path):
    """The error of the reader, if it has one."""
    try:
        list(read_records(path))
    except DataError as error:
        return error
    return None


def _holds_something(value):
    return value is not None and value not in ("", [], {})


@MANY
@given(record=GOOD)
def test_no_key_is_dropped_without_a_word(path, record):
    path.write_text(json.dumps(record) + "\n", "utf-8")

    records = records_or_error(path, lambda: list(read_records(path)))

    wanted = [
        key
        for key, value in record.items()
        if key not in READ | MASKS | SETTINGS and _holds_something(value)
    ]
    for message in record["messages"]:
        wanted += [
            f"messages[].{key}"
            for key, value in message.items()
            if key not in READ_IN_MESSAGES | MASKS and _holds_something(value)
        ]
    for one in records or ():
        of_parts = ("system[]", "messages[].content[]")
        named = [key for key in one.ignored if not key.startswith(of_parts)]
        assert sorted(named) == sorted(wanted)


MASK_VALUES = st.none() | st.booleans() | st.sampled_from([0, 1, 0.0, 1.0, 0.5, 2, "no"])


@MANY
@given(masks=st.dictionaries(st.sampled_from(sorted(MASKS)), MASK_VALUES, max_size=3))
def test_a_mask_masks_or_is_refused(path, masks):
    messages = [
        {"role": "user", "content": "My bus is line 9."},
        {"role": "assistant", "content": "Noted.", **masks},
    ]
    path.write_text(json.dumps({"messages": messages}) + "\n", "utf-8")
    given_masks = {key: value for key, value in masks.items() if value is not None}
    clear = all(value in (0, 1) for value in given_masks.values())
    says = {(value == 1) is not key.startswith("mask") for key, value in given_masks.items()}

    records = records_or_error(path, lambda: list(read_records(path)))

    if clear and len(says) < 2:
        assert records[0].trained == (False, says != {False})
    else:
        assert records is None
