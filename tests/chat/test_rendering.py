"""Prompts are what each Qwen generation's template writes, byte for byte."""

import importlib.util
import json
from pathlib import Path

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.chat.rendering import (
    CHATML,
    ChatSettings,
    ChatTemplate,
    choose_template,
    effective_thinking,
    prompt_text,
    render,
    template_system,
)
from qwen_bench.errors import InputError, TemplateError
from qwen_bench.testing import tiny_tokenizer

GOLDENS = json.loads(
    (Path(__file__).parents[1] / "data/goldens/chatml_renderings.json").read_text("utf-8")
)["cases"]

# No package holds the templates of these; the goldens prove that the rules are these.
DEFAULT_SYSTEM = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\n' + default + '<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WRITTEN = {
    # Qwen v1 joins blocks by a newline instead of ending them by one.
    "v1": (
        "{% if messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' }}"
        "{% if not loop.last or add_generation_prompt %}{{ '\n' }}{% endif %}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "qwen1.5-b": "{% set default = 'You are a helpful assistant' %}" + DEFAULT_SYSTEM,
    "qwen2": "{% set default = 'You are a helpful assistant.' %}" + DEFAULT_SYSTEM,
}
QUESTION = (
    Message("user", "My name is Li."),
    Message("assistant", "Hello Li."),
    Message("user", "?"),
)


def qwen_template(key):
    """Template of a generation, from the trl wheel (read as a file) or from this page."""
    if key in WRITTEN:
        return ChatTemplate(WRITTEN[key], "file", key)
    found = importlib.util.find_spec("trl")
    if found is None or not found.submodule_search_locations:
        pytest.fail("the trl wheel holds the Qwen templates: pip install --no-deps trl==1.16.0")
    file = Path(found.submodule_search_locations[0]) / "chat_templates" / f"{key}.jinja"
    return ChatTemplate(file.read_text("utf-8"), "file", key)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def settings_of(key, **options):
    return ChatSettings(qwen_template(key), **options)


def test_there_are_21_golden_renderings():
    assert len(GOLDENS) == 21


@pytest.mark.parametrize("case", GOLDENS, ids=lambda case: f"{case['template']}-{case['case']}")
def test_a_golden_rendering_is_reproduced_byte_for_byte(case, tokenizer):
    messages = [Message(**message) for message in case["messages"]]
    assert set(case["kwargs"]) == {"add_generation_prompt"}

    text = render(messages, qwen_template(case["template"]), tokenizer, **case["kwargs"])

    assert text == case["expected"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("qwen1.5-b", "You are a helpful assistant"),
        ("qwen2", "You are a helpful assistant."),
        ("qwen2_5", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
        ("qwen3", None),
        ("qwen3_5_think", None),
    ],
)
def test_the_default_system_text_is_read_from_a_rendering(key, expected, tokenizer):
    assert template_system(settings_of(key), tokenizer) == expected


@pytest.mark.parametrize(
    ("key", "auto", "on", "off"),
    [
        ("qwen2_5", "none", "none", "none"),
        ("qwen3_instruct_2507", "none", "none", "none"),
        ("qwen3", "on", "on", "off"),
        ("qwen3_5_nothink", "off", "on", "off"),
        ("qwen3_5_think", "on", "on", "off"),
        ("qwen3_8", "on", "on", "off"),
    ],
)
def test_the_effective_thinking_mode_is_read_from_renderings(key, auto, on, off, tokenizer):
    found = [
        effective_thinking(settings_of(key, thinking=mode), tokenizer)
        for mode in ("auto", "on", "off")
    ]

    assert found == [auto, on, off]


def test_thinking_off_closes_the_thought_of_qwen3_in_the_prompt(tokenizer):
    plain = prompt_text(QUESTION, settings_of("qwen3"), tokenizer)

    off = prompt_text(QUESTION, settings_of("qwen3", thinking="off"), tokenizer)

    assert off == plain + "<think>\n\n</think>\n\n"


def test_system_none_suppresses_the_text_the_template_would_insert(tokenizer):
    text = prompt_text(QUESTION, settings_of("qwen2_5", system="none"), tokenizer)

    assert text.startswith("<|im_start|>system\n<|im_end|>\n<|im_start|>user\n")


def test_system_none_adds_nothing_where_the_template_inserts_nothing(tokenizer):
    none = prompt_text(QUESTION, settings_of("qwen3", system="none"), tokenizer)

    assert none == prompt_text(QUESTION, settings_of("qwen3"), tokenizer)


def test_a_system_text_makes_two_generations_equal(tokenizer):
    texts = {
        prompt_text(QUESTION, settings_of(key, system="Be brief."), tokenizer)
        for key in ("qwen2", "qwen2_5", "qwen3_instruct_2507")
    }

    assert len(texts) == 1
    assert texts.pop().startswith("<|im_start|>system\nBe brief.<|im_end|>\n")


def test_a_conversation_keeps_its_own_system_message(tokenizer):
    own = (Message("system", "Own."), *QUESTION)

    text = prompt_text(own, settings_of("qwen2_5", system="Given."), tokenizer)

    assert "Own." in text
    assert "Given." not in text


def test_a_prompt_that_ends_with_the_assistant_is_refused_with_its_index(tokenizer):
    with pytest.raises(TemplateError, match="message 1 is from the assistant"):
        prompt_text(QUESTION[:2], settings_of("qwen2_5"), tokenizer)


def test_a_template_that_refuses_names_the_model(tokenizer):
    with pytest.raises(TemplateError, match="chat template of qwen3_5_think fails"):
        render([Message("assistant", "a")], qwen_template("qwen3_5_think"), tokenizer)


def test_a_template_that_is_not_jinja_is_a_template_error(tokenizer):
    with pytest.raises(TemplateError, match="broken"):
        render(QUESTION, ChatTemplate("{% for %}", "file", "broken"), tokenizer)


def test_a_template_that_drops_turns_stops_the_run_and_names_the_turn(tokenizer):
    last_only = "{% set messages = messages[-1:] %}" + CHATML
    settings = ChatSettings(ChatTemplate(last_only, "model", "bad"))

    with pytest.raises(TemplateError, match="lost turn 1 of 2"):
        prompt_text(QUESTION, settings, tokenizer)


def test_a_model_without_template_is_refused_and_the_built_in_one_is_never_silent():
    with pytest.raises(TemplateError, match="m has no chat template; pass --chat-template"):
        choose_template(None, None, "m")

    assert choose_template("chatml", None, "m").source == "built-in"


def test_a_template_file_is_recorded_by_hash(tmp_path):
    file = tmp_path / "t.jinja"
    file.write_text(CHATML, "utf-8")

    chosen = choose_template(str(file), "own", "m")

    assert chosen == ChatTemplate(CHATML, "file", "t.jinja")
    assert chosen.sha256 == choose_template("chatml", None, "m").sha256


def test_a_missing_template_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot read the chat template"):
        choose_template(str(tmp_path / "nope"), None, "m")
