import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.app.recording import continue_command
from qwen_bench.cli.display import choose
from qwen_bench.cli.exits import Code, decisive
from qwen_bench.cli.text import printable, quoted_block, shortened, write_line
from qwen_bench.record.formats import percent, signed


@given(st.text())
def test_printed_text_has_nothing_a_terminal_obeys(text):
    shown = printable(text)

    assert not re.search(
        "[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]", shown
    )


def test_bidirectional_controls_become_their_code_points():
    assert printable("a\u202eb\x9bc") == "aU+202EbU+009Bc"


def test_a_word_of_100_kilobytes_is_shortened_with_its_size():
    assert shortened("x" * 100_000) == "x" * 200 + "… (99800 more characters)"


def test_the_token_that_stops_workflow_commands_is_never_the_same():
    first = quoted_block(["##[error]x"], {"GITHUB_ACTIONS": "true"})
    second = quoted_block(["##[error]x"], {"GITHUB_ACTIONS": "true"})

    assert first[0] != second[0]
    assert first[2] == f"::{first[0].removeprefix('::stop-commands::')}::"
    assert quoted_block(["x"], {}) == ["x"]


def test_a_stream_without_unicode_gets_ascii():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")

    write_line(stream, "suite core · ━━ → 中")

    assert stream.buffer.getvalue() == b"suite core - ## -> \\u4e2d\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("wanted", "quiet", "stream", "environment", "mode"),
    [
        ("auto", False, Terminal(), {}, "rich"),
        ("auto", False, Terminal(), {"CI": "1"}, "plain"),
        ("auto", False, Terminal(), {"TERM": "dumb"}, "plain"),
        ("auto", False, io.StringIO(), {"FORCE_COLOR": "1"}, "plain"),
        ("auto", True, Terminal(), {}, "none"),
        ("rich", False, io.StringIO(), {}, "rich"),
        ("none", False, Terminal(), {}, "none"),
    ],
)
def test_the_display_is_chosen_from_the_stream(wanted, quiet, stream, environment, mode):
    assert choose(wanted, quiet=quiet, stream=stream, environment=environment) == mode


def test_the_worse_outcome_decides():
    order = [130, 1, 5, 3, 4, 0]

    for number, code in enumerate(order):
        assert decisive([Code(other) for other in order[number:]]) == code


@pytest.mark.parametrize(
    ("words", "folder", "command"),
    [
        (["run", "--limit", "2"], "runs/x", "qwen-bench run --limit 2 --resume runs/x"),
        (["run", "--resume", "--limit", "2"], "runs/x", "qwen-bench run --limit 2 --resume runs/x"),
        (["run", "--resume", "old", "-v"], "runs/x", "qwen-bench run -v --resume runs/x"),
        (["run", "--resume=old"], None, "qwen-bench run --resume"),
        (["run", "--run-id", "x"], "runs/x", "qwen-bench run --resume runs/x"),
        (["run", "--family", "a*"], "runs/a b", "qwen-bench run --family 'a*' --resume 'runs/a b'"),
    ],
)
def test_the_command_that_continues_is_the_one_that_was_typed(words, folder, command):
    assert continue_command(words, folder) == command


def test_zero_has_no_sign():
    assert (signed(-0.0001), signed(0.05), percent(0.979)) == ("0.0", "+5.0", "97.9 %")
