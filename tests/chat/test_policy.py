"""What a client with a history policy still sends."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_bench.chat.messages import Message
from qwen_bench.chat.policy import FULL, Policy, keep, parse_policy
from qwen_bench.chat.rendering import ChatSettings, ChatTemplate
from qwen_bench.errors import InputError

# The prompt of Qwen2, whose text is that of Qwen v1's `chat()`.
QWEN2 = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# From the wheel that ships the ranks.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def ranks_of(path):
    import base64

    lines = (line.split() for line in Path(path).read_bytes().splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in lines}


@pytest.fixture(scope="module")
def qwen():
    """Counts tokens as the real Qwen tokenizer does, ranks read from the dashscope wheel."""
    from tokenizers.normalizers import NFC
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    from qwen_bench.engines.prompter import Prompter

    class Converter(TikTokenConverter):
        # The original reads the file with a package that nothing else here needs.
        load_tiktoken_bpe = staticmethod(ranks_of)

    found = importlib.util.find_spec("dashscope")
    if found is None or not found.submodule_search_locations:
        pytest.fail("the dashscope wheel holds the Qwen ranks: pip install --no-deps dashscope")
    file = Path(found.submodule_search_locations[0]) / "resources" / "qwen.tiktoken"
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Converter(str(file), PATTERN, extra_special_tokens=special).converted()
    tokenizer.normalizer = NFC()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    return Prompter(wrapped, ChatSettings(ChatTemplate(QWEN2, "file", "qwen2")))


class Words:
    """A counter for which every word is a token and a prompt has four more."""

    def prompt_tokens(self, messages):
        return 4 + sum(len(message.content.split()) for message in messages)

    def text_tokens(self, text):
        return 1 if text == "\n" else len(text.split())

    def system_text(self, messages):
        return messages[0].content if messages[0].role == "system" else None


def chat(*turns, system=None, question="Which locker is mine?"):
    opening = () if system is None else (Message("system", system),)
    history = [
        message
        for user, reply in turns
        for message in (Message("user", user), Message("assistant", reply))
    ]
    return (*opening, *history, Message("user", question))


LOCKERS = chat(*((f"My locker is {number}.", "Noted.") for number in (11, 22, 33, 55)))


@pytest.mark.parametrize(
    ("window", "turns", "prompt"),
    [
        (1, 0, 24),
        (30, 0, 24),
        (31, 1, 44),
        (50, 1, 44),
        (51, 2, 64),
        (70, 2, 64),
        (71, 3, 84),
        (90, 3, 84),
        (91, 4, 104),
        (6144, 4, 104),
    ],
)
def test_qwen_v1_keeps_the_turns_of_the_worked_example(qwen, window, turns, prompt):
    kept = keep(Policy("qwen-v1", window), LOCKERS, qwen)

    assert kept.dropped == 4 - turns
    assert kept.messages == LOCKERS[2 * kept.dropped :]
    assert qwen.prompt_tokens(kept.messages) == prompt


@pytest.mark.parametrize("system", ["You are a helpful assistant.", "Be brief."])
def test_qwen_v1_counts_a_system_message_of_the_conversation(qwen, system):
    messages = (Message("system", system), *LOCKERS)
    block = qwen.prompt_tokens(messages) - qwen.prompt_tokens(LOCKERS) + 10

    fits = keep(Policy("qwen-v1", block + 20 + 1), messages, qwen)
    not_yet = keep(Policy("qwen-v1", block + 20), messages, qwen)

    assert (fits.dropped, not_yet.dropped) == (3, 4)
    assert fits.messages[0] == messages[0]


def test_qwen_v1_counts_nothing_where_the_template_writes_no_system_block(qwen):
    from qwen_bench.chat.rendering import CHATML
    from qwen_bench.engines.prompter import Prompter

    own = Prompter(qwen.tokenizer, ChatSettings(ChatTemplate(CHATML, "built-in", "chatml")))

    assert keep(Policy("qwen-v1", 20), LOCKERS, own).dropped == 4
    assert keep(Policy("qwen-v1", 21), LOCKERS, own).dropped == 3


def test_qwen_v1_stops_at_one_long_turn_and_loses_everything_older(qwen):
    long = "word " * 60
    messages = chat(("My locker is 11.", "Noted."), (long, "Yes."), ("My locker is 33.", "Noted."))

    assert keep(Policy("qwen-v1", 70), messages, qwen).dropped == 2


def test_special_strings_in_a_turn_count_as_text_under_qwen_v1(qwen):
    plain = chat(("My locker is 11.", "Noted."))
    marked = chat(("My locker is 11.<|im_end|>", "Noted."))
    window = Policy("qwen-v1", 31)

    assert keep(window, plain, qwen).dropped == 0
    assert keep(window, marked, qwen).dropped == 1


@pytest.mark.parametrize("limit", range(20, 110))
def test_last_tokens_keeps_as_many_turns_as_fit_the_whole_prompt(qwen, limit):
    kept = keep(Policy("last-tokens", limit), LOCKERS, qwen)

    assert kept.dropped == 4 - sum(size <= limit for size in (44, 64, 84, 104))


@pytest.mark.parametrize(("limit", "dropped"), [(1, 3), (3, 1), (4, 0), (9, 0)])
def test_last_turns_keeps_the_newest(limit, dropped):
    kept = keep(Policy("last-turns", limit), LOCKERS)

    assert kept == (LOCKERS[2 * dropped :], dropped)


def test_full_keeps_everything_and_needs_no_counter():
    assert keep(FULL, LOCKERS) == (LOCKERS, 0)


@pytest.mark.parametrize("kind", ["last-tokens", "qwen-v1"])
def test_a_policy_that_counts_tokens_needs_a_counter(kind):
    with pytest.raises(ValueError, match="needs a token counter"):
        keep(Policy(kind, 9), LOCKERS)


@pytest.mark.parametrize("policy", [Policy("last-turns", 1), Policy("last-tokens", 1)])
def test_one_message_has_no_turn_to_drop(policy):
    assert keep(policy, LOCKERS[-1:], Words()) == (LOCKERS[-1:], 0)


texts = st.lists(st.sampled_from(["one", "two", "three"]), max_size=12).map(" ".join)


@settings(max_examples=200)
@given(
    turns=st.lists(st.tuples(texts, texts), max_size=8),
    system=st.none() | texts,
    kind=st.sampled_from(["last-turns", "last-tokens", "qwen-v1"]),
    limit=st.integers(1, 120),
)
def test_turns_go_whole_oldest_first_and_system_and_question_stay(turns, system, kind, limit):
    messages = chat(*turns, system=system)
    kept = keep(Policy(kind, limit), messages, Words())

    assert 0 <= kept.dropped <= len(turns)
    assert kept.messages == chat(*turns[kept.dropped :], system=system)
    assert keep(Policy(kind, limit + 1), messages, Words()).dropped <= kept.dropped


@settings(max_examples=200)
@given(turns=st.lists(st.tuples(texts, texts), max_size=8), limit=st.integers(1, 120))
def test_last_tokens_could_not_keep_one_turn_more(turns, limit):
    count = Words().prompt_tokens
    kept = keep(Policy("last-tokens", limit), chat(*turns), Words())

    assert kept.dropped == len(turns) or count(kept.messages) <= limit
    assert kept.dropped == 0 or count(chat(*turns[kept.dropped - 1 :])) > limit


@pytest.mark.parametrize("text", ["full", "last-turns:8", "last-tokens:2048", "qwen-v1:6144"])
def test_a_policy_reads_back_as_it_is_written(text):
    assert str(parse_policy(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("last-turn:8", "unknown history policy 'last-turn'; near: last-turns, last-tokens"),
        ("", "unknown history policy ''; there are full, last-tokens, last-turns, qwen-v1"),
        ("Full", "unknown history policy 'Full'; near: full"),
        ("8", "unknown history policy '8'; there are"),
        ("full:3", "full takes no number, not '3'"),
        ("full:", "full takes no number"),
        ("last-turns", "last-turns needs a number: last-turns:N"),
        ("qwen-v1:", "qwen-v1 needs a number: qwen-v1:N"),
        ("last-turns:ten", "'ten' is not a number of turns"),
        ("last-tokens:1k", "'1k' is not a number of tokens"),
        ("last-turns:2.5", "'2.5' is not a number of turns"),
        ("last-turns: 4", "' 4' is not a number of turns"),
        ("last-turns:٤", "is not a number of turns"),
        (f"last-turns:{'9' * 5000}", "is not a number of turns"),
        ("last-turns:0", "0 turns is below 1"),
        ("qwen-v1:-5", "-5 tokens is below 1"),
    ],
)
def test_a_mistyped_policy_is_refused(text, message):
    with pytest.raises(InputError) as caught:
        parse_policy(text)

    assert message in caught.value.message


@pytest.mark.parametrize(("kind", "limit"), [("full", 3), ("last-turns", None), ("qwen-v1", 0)])
def test_an_impossible_policy_cannot_be_made(kind, limit):
    with pytest.raises(ValueError, match="is no policy"):
        Policy(kind, limit)
