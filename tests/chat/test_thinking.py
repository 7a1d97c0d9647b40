"""The answer is what follows the last closing tag."""

import pytest

from qwen_bench.chat.messages import SplitReply, opens_thought, split_thought


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("Li.", False, SplitReply("Li.", None, complete=True)),
        ("<think>\nhm\n</think>\n\nLi.", False, SplitReply("Li.", "hm", complete=True)),
        ("hm</think>\n\nLi.", True, SplitReply("Li.", "hm", complete=True)),
        ("a</think>b</think>Li.", True, SplitReply("Li.", "a</think>b", complete=True)),
        ("hm", True, SplitReply("", "hm", complete=False)),
        ("\n<think>hm", False, SplitReply("", "hm", complete=False)),
        ("", False, SplitReply("", None, complete=True)),
    ],
)
def test_a_reply_is_split_into_thought_and_answer(text, opened, expected):
    assert split_thought(text, prompt_opened=opened) == expected


def test_only_a_prompt_that_ends_in_the_tag_opens_a_thought():
    assert opens_thought("<|im_start|>assistant\n<think>\n")
    assert not opens_thought("<|im_start|>assistant\n<think>\n\n</think>\n\n")
