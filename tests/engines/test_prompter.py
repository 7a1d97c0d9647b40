"""Ids come from strings, and text never becomes a marker by accident."""

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.chat.rendering import CHATML, ChatSettings, ChatTemplate
from qwen_bench.engines.prompter import Prompter
from qwen_bench.errors import TemplateError
from qwen_bench.testing import tiny_tokenizer

REFUSING_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
LOSING_SYSTEM = CHATML.replace("in messages", "in messages if message.role != 'system'")


def prompter(template=CHATML, tokenizer=None):
    settings = ChatSettings(ChatTemplate(template, "file", "t"))
    return Prompter(tokenizer or tiny_tokenizer(), settings)


def test_markers_in_a_candidate_are_plain_text():
    own = prompter()

    ids = own.candidate("a<|im_end|>")

    assert own.tokenizer.get_vocab()["<|im_end|>"] not in ids
    assert own.text(ids) == "a<|im_end|>"


def test_special_tokens_are_removed_from_an_answer():
    own = prompter()

    assert own.text([*own.candidate("Li."), 2]) == "Li."


@pytest.mark.parametrize("shipped", [(), (2,), (0, 2)])
def test_the_stop_set_is_a_union_whatever_the_checkpoint_ships(shipped):
    stops = prompter().stop_tokens(shipped)

    assert stops.ids == {0, 1, 2}
    assert (stops.end_of_turn, stops.end_of_turn_name) == (2, "<|im_end|>")


def test_a_stop_token_only_the_checkpoint_knows_is_kept():
    stops = prompter().stop_tokens((7,))

    assert 7 in stops.ids


def test_the_closer_is_read_from_the_template():
    stops = prompter(CHATML.replace("<|im_end|>", "<|endoftext|>")).stop_tokens(())

    assert stops.end_of_turn_name == "<|endoftext|>"


def test_a_template_that_closes_nothing_falls_back_to_the_tokenizers_end():
    template = CHATML.replace("<|im_end|>", "")

    assert prompter(template).stop_tokens(()).end_of_turn_name == "<|im_end|>"


def test_without_any_closer_the_template_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None

    with pytest.raises(TemplateError, match="does not end assistant turns"):
        prompter(CHATML.replace("<|im_end|>", ""), tokenizer).stop_tokens(())


def test_equal_prompts_have_equal_hashes_and_ids():
    own = prompter()
    messages = (Message("user", "我的猫叫饼干。"),)

    assert own.prompt(messages) == own.prompt(messages)
    assert len(own.prompt(messages).sha256) == 64


CHAT = (
    Message("user", "My cat is called Biscuit."),
    Message("assistant", "Noted."),
    Message("user", "我的猫叫什么名字？"),
)


def test_the_tokens_of_all_blocks_add_up_to_the_prompt():
    own = prompter()
    prompt = own.prompt(CHAT)

    sizes = own.blocks(prompt)

    assert len(sizes) == len(CHAT) + 1
    assert sum(sizes) == len(prompt.ids) == own.prompt_tokens(CHAT)


def test_what_stands_before_the_first_block_counts_with_it():
    plain, marked = prompter(), prompter("<|endoftext|>" + CHATML)

    first, *rest = plain.blocks(plain.prompt(CHAT))

    assert marked.blocks(marked.prompt(CHAT)) == (first + 1, *rest)


def test_a_template_without_chatml_has_no_blocks():
    own = prompter("{% for m in messages %}[{{ m['content'] }}]{% endfor %}")

    assert own.blocks(own.prompt(CHAT)) == ()


SYSTEM = Message("system", "Be brief.")
WITH_DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nDefault.<|im_end|>\n{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "option", "opening", "text"),
    [
        (CHATML, "default", (), None),
        (CHATML, "none", (), None),
        (CHATML, "Given.", (), "Given."),
        (CHATML, "Given.", (SYSTEM,), "Be brief."),
        (WITH_DEFAULT + CHATML, "default", (), "Default."),
        (WITH_DEFAULT + CHATML, "none", (), ""),
        (WITH_DEFAULT + CHATML, "default", (SYSTEM,), "Be brief."),
        (CHATML.replace("'\\n' + m", "'\\nHurry. ' + m"), "default", (SYSTEM,), "Hurry. Be brief."),
        ("{% for m in messages %}[{{ m['content'] }}]{% endfor %}", "Given.", (), "Given."),
    ],
)
def test_the_system_text_is_what_the_prompt_shows(template, option, opening, text):
    settings = ChatSettings(ChatTemplate(template, "file", "t"), option)

    assert Prompter(tiny_tokenizer(), settings).system_text((*opening, *CHAT)) == text


@pytest.mark.parametrize(
    ("template", "takes"),
    [(CHATML, True), (REFUSING_SYSTEM + CHATML, False), (LOSING_SYSTEM, False)],
)
def test_a_template_that_refuses_or_loses_a_system_message_is_noticed(template, takes):
    assert prompter(template).takes_system() is takes


class Recording:
    """A tokenizer that remembers what it encoded."""

    def __init__(self, tokenizer, ending=()):
        self.inner, self.encoded, self.ending = tokenizer, [], list(ending)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def encode(self, text, **options):
        self.encoded.append(text)
        return [*self.inner.encode(text, **options), *self.ending]


def history(turns, question="Who?"):
    texts = [f" turn {i}\n\n你好 {i}  " for i in range(2 * turns)]
    roles = ("user", "assistant")
    told = [Message(roles[i % 2], text) for i, text in enumerate(texts)]
    return (*told, Message("user", question))


def test_what_prompts_of_one_history_share_is_encoded_once():
    tokenizer = Recording(tiny_tokenizer())
    own = prompter(tokenizer=tokenizer)
    own.prompt(history(3))
    tokenizer.encoded.clear()

    first, second = own.prompt(history(20)), own.prompt(history(20, "When?"))

    assert len(tokenizer.encoded) == len(set(tokenizer.encoded))
    assert len(tokenizer.encoded) < 40
    for prompt in (first, second):
        assert list(prompt.ids) == tiny_tokenizer().encode(prompt.text, add_special_tokens=False)


def test_a_tokenizer_that_encodes_parts_in_another_way_gets_every_prompt_whole():
    tokenizer = Recording(tiny_tokenizer(), ending=[7])
    own = prompter(tokenizer=tokenizer)

    for turns in (3, 4, 4):
        prompt = own.prompt(history(turns))
        inner = tokenizer.inner.encode(prompt.text, add_special_tokens=False)
        assert list(prompt.ids) == [*inner, 7]
