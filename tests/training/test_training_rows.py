"""Labels cover the text of assistant turns and its end-of-turn token, under every template."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.chat.messages import Message, ToolCall
from qwen_bench.chat.rendering import ChatSettings, ChatTemplate, check_rendering, render
from qwen_bench.engines.prompter import Prompter
from qwen_bench.errors import DataError, InputError, TemplateError
from qwen_bench.testing import tiny_tokenizer
from qwen_bench.training.labelled_rows import (
    IGNORED,
    LabelledRow,
    Span,
    check_row,
    end_of_turn_of,
    make_targets,
    rows_of,
)
from qwen_bench.training.preparation import make_rows

CHAT = (
    Message("user", "My cat is called Biscuit."),
    Message("assistant", "Noted."),
    Message("user", "What is her name?"),
    Message("assistant", "Biscuit."),
    Message("user", "Which locker is mine?"),
    Message("assistant", "You never told me."),
)
RECORD = ChatRecord("chat", CHAT, (False, True) * 3)

# The release text of Qwen1.5, which leaves the last turn open; no package holds it.
OPEN_END = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] }}"
    "{% if not loop.last or message['role'] == 'user' %}{{ '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def trl_settings(key):
    """A Qwen template from the trl wheel, read as a file."""
    found = importlib.util.find_spec("trl")
    if found is None or not found.submodule_search_locations:
        pytest.fail("the trl wheel holds the Qwen templates: pip install --no-deps trl==1.16.0")
    file = Path(found.submodule_search_locations[0]) / "chat_templates" / f"{key}.jinja"
    return ChatSettings(ChatTemplate(file.read_text("utf-8"), "file", key))


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def plain(tokenizer):
    return ChatSettings(ChatTemplate(tokenizer.chat_template, "model", "tiny"))


def trained_texts(row, tokenizer):
    return [tokenizer.decode(list(row.ids[s.start : s.end])) for s in row.spans]


@pytest.mark.parametrize(
    ("key", "rows", "before_answer"),
    [
        ("qwen2_5", 1, ""),
        ("qwen3_instruct_2507", 1, ""),
        ("qwen3", 3, "<think>\n\n</think>\n\n"),
        ("qwen3_5_nothink", 3, ""),
        ("qwen3_5_think", 3, "\n</think>\n\n"),
        ("qwen3_6", 3, "\n</think>\n\n"),
    ],
)
def test_each_generation_gets_the_rows_its_template_allows(tokenizer, key, rows, before_answer):
    made, counts = make_rows([RECORD], trl_settings(key), tokenizer, 4096)

    assert len(made) == rows == counts.rows
    assert counts.several_rows == (rows > 1)
    assert [text for row in made for text in trained_texts(row, tokenizer)] == [
        f"{before_answer}{message.content}<|im_end|>" for message in CHAT[1::2]
    ]
    assert (counts.expansion > 1) == (rows > 1)


def test_a_template_that_leaves_the_last_turn_open_still_trains_the_end_of_turn_token(tokenizer):
    settings = ChatSettings(ChatTemplate(OPEN_END, "file", "qwen1.5-a"))

    (row,), _ = make_rows([RECORD], settings, tokenizer, 4096)

    assert trained_texts(row, tokenizer) == [f"{m.content}<|im_end|>" for m in CHAT[1::2]]


def test_the_prompt_before_an_answer_is_what_the_engine_sends(tokenizer, plain):
    (row,), _ = make_rows([RECORD], plain, tokenizer, 4096)

    for k, span in zip((1, 3, 5), row.spans, strict=True):
        assert row.ids[: span.start] == Prompter(tokenizer, plain).prompt(CHAT[:k]).ids


def test_the_end_of_turn_token_is_labelled_although_it_is_the_padding_token(tokenizer, plain):
    tokenizer.pad_token = "<|im_end|>"  # noqa: S105 - a token of text
    try:
        (row,), _ = make_rows([RECORD], plain, tokenizer, 4096)
    finally:
        tokenizer.pad_token = "<|endoftext|>"  # noqa: S105 - as above

    end_of_turn = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert [row.labels[span.end - 1] for span in row.spans] == [end_of_turn] * 3


def test_context_turns_and_prompts_carry_no_label(tokenizer, plain):
    record = ChatRecord("chat", CHAT, (False, False, False, True, False, False))

    (row,), counts = make_rows([record], plain, tokenizer, 4096)

    (span,) = row.spans
    assert row.labels[: span.start] == (IGNORED,) * span.start
    assert row.labels[span.start :] == row.ids[span.start :]
    assert span.end == len(row.ids)
    assert counts.share_by_turn == (0.0, 1.0, 0.0)


def test_long_conversations_lose_whole_exchanges_from_the_end(tokenizer, plain):
    targets = make_targets(RECORD, Prompter(tokenizer, plain), "<|im_end|>")
    short = ChatRecord("short", CHAT[:2], (False, True))
    limit = len(targets[1].ids)

    rows, counts = make_rows([RECORD, *[short] * 4], plain, tokenizer, limit)

    assert [span.turn for span in rows[0].spans] == [0, 1]
    assert rows[0].ids == targets[1].ids
    assert (counts.targets, counts.dropped, counts.cut, counts.dropped_whole) == (7, 1, 1, 0)


def test_too_many_dropped_answers_stop_the_training(tokenizer, plain):
    with pytest.raises(InputError, match="3 of 3 answers do not fit --max-length 16") as caught:
        make_rows([RECORD], plain, tokenizer, 16)

    needed = len(make_targets(RECORD, Prompter(tokenizer, plain), "<|im_end|>")[-1].ids)
    assert caught.value.fix == (f"--max-length {needed} keeps all of them",)


def test_data_without_a_trained_answer_is_refused(tokenizer, plain):
    with pytest.raises(DataError, match="0 of 1 conversations have a trained answer"):
        make_rows([ChatRecord("chat", CHAT, (False,) * 6)], plain, tokenizer, 4096)


def test_an_unanswered_last_question_is_left_out_and_counted(tokenizer, plain):
    record = ChatRecord("chat", CHAT[:5], (False, True, False, True, False))

    (row,), counts = make_rows([record], plain, tokenizer, 4096)

    assert trained_texts(row, tokenizer)[-1] == "Biscuit.<|im_end|>"
    assert counts.unanswered == 1


def test_a_turn_marker_inside_an_answer_stops_the_training(tokenizer, plain):
    chat = (CHAT[0], Message("assistant", "a<|im_start|>b"))

    with pytest.raises(TemplateError):
        make_rows([ChatRecord("chat", chat, (False, True))], plain, tokenizer, 4096)


def test_a_row_whose_span_lacks_the_end_of_turn_token_is_refused(tokenizer):
    ids = tuple(tokenizer("hello", add_special_tokens=False)["input_ids"])

    with pytest.raises(TemplateError, match=r"does not end with <\|im_end\|>"):
        check_row(
            LabelledRow("r", ids, (Span(0, len(ids), 0),)), ["hello"], tokenizer, "<|im_end|>"
        )


texts = st.text("ab é水\n.", min_size=1, max_size=12).filter(lambda text: text.strip() == text)


@settings(deadline=None, max_examples=40)
@given(exchanges=st.lists(st.tuples(texts, texts), min_size=1, max_size=5), cut=st.integers(0, 80))
@pytest.mark.parametrize("key", ["qwen2_5", "qwen3"])
def test_kept_targets_are_a_prefix_and_nothing_is_dropped_uncounted(tokenizer, key, exchanges, cut):
    chat = tuple(
        message
        for user, assistant in exchanges
        for message in (Message("user", user), Message("assistant", assistant))
    )
    prompter = Prompter(tokenizer, trl_settings(key))
    end_of_turn = end_of_turn_of(prompter)
    record = ChatRecord("chat", chat, (False, True) * len(exchanges))
    targets = make_targets(record, prompter, end_of_turn)
    limit = len(targets[-1].ids) - cut

    kept = [target for target in targets if len(target.ids) <= limit]
    rows = rows_of("chat", kept)

    assert [span.turn for row in rows for span in row.spans] == list(range(len(kept)))
    for row in rows:
        for span in row.spans:
            assert tokenizer.decode(list(row.ids[span.start : span.end])).endswith(end_of_turn)
            assert row.labels[span.start - 1] == IGNORED


WEATHER = '{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}'
CALLS = (
    ToolCall("weather", '{"city": "Harbin"}', "a"),
    ToolCall("weather", '{"city": "Jilin"}', "b"),
)
TOOL_CHAT = (
    Message("user", "Where is it colder, Harbin or Jilin?"),
    Message("assistant", "", "I have to look twice.", CALLS),
    Message("tool", "minus 20", tool_call_id="a"),
    Message("tool", "minus 17", tool_call_id="b"),
    Message("assistant", "In Harbin.", "20 is more than 17."),
    Message("user", "By how much?"),
    Message("assistant", "By 3 degrees."),
)
TOOL_RECORD = ChatRecord(
    "tools", TOOL_CHAT, (False, True, False, False, True, False, True), tools=(WEATHER,)
)


@pytest.mark.parametrize(
    ("key", "thoughts"),
    [
        ("qwen2_5", False),
        ("qwen3_instruct_2507", False),
        ("qwen3", True),
        ("qwen3_5_think", True),
        ("qwen3_6", True),
    ],
)
def test_calls_of_tools_and_thoughts_are_trained_as_the_template_writes_them(
    tokenizer, key, thoughts
):
    rows, counts = make_rows([TOOL_RECORD], trl_settings(key), tokenizer, 4096)

    calling, answering, last = (text for row in rows for text in trained_texts(row, tokenizer))
    assert calling.count("<tool_call>") == calling.count("weather") == 2
    assert "Harbin" in calling
    assert "Jilin" in calling
    assert ("I have to look twice." in calling) is thoughts
    assert ("20 is more than 17." in answering) is thoughts
    assert answering.endswith("In Harbin.<|im_end|>")
    assert last.endswith("By 3 degrees.<|im_end|>")
    assert counts.without_thought == (0 if thoughts else 2)
    prompt = tokenizer.decode(list(rows[0].ids[: rows[0].spans[0].start]))
    assert "weather" in prompt


def test_a_template_without_a_place_for_tools_is_refused_by_name(tokenizer, plain):
    with pytest.raises(TemplateError, match=r"tools: messages\[1\] cannot be trained") as caught:
        make_rows([TOOL_RECORD], plain, tokenizer, 4096)

    assert "does not write the tool weather" in caught.value.why[0]


@pytest.mark.parametrize("said", ["minus 20", "In Harbin."])
def test_a_rendering_that_loses_what_a_tool_or_an_assistant_said_is_found(tokenizer, said):
    settings = trl_settings("qwen3")
    chat = TOOL_CHAT[:6]
    text = render(chat, settings.template, tokenizer, tools=(WEATHER,))

    assert check_rendering(chat, text) is None
    with pytest.raises(TemplateError, match="the rendered prompt lost turn 1 of 2"):
        check_rendering(chat, text.replace(said, ""))
