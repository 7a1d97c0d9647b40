"""What is shown while a long history is read."""

import re

import pytest

from qwen_bench.cli import display
from qwen_bench.cli.display import Screen


def watcher_of(mode):
    screen = Screen(mode, verbose=False, debug=False, environment={})
    return screen, screen.watcher("mine", 2)


def test_lines_tell_tokens_after_a_pause_only(capsys, monkeypatch, tmp_path):
    clock = iter([0.0, 0.0, 1.0, 31.0, 32.0])
    monkeypatch.setattr(display.time, "monotonic", lambda: next(clock))
    _, watcher = watcher_of("plain")
    watcher.started(tmp_path, 4, ())

    for read in (512, 1024, 1536):
        watcher.reading(read, 131_072)

    lines = capsys.readouterr().err.splitlines()[1:]
    assert [re.sub(r"^\S+ ", "", line) for line in lines] == ["mine  0/4  1,024/131,072 tokens"]


@pytest.mark.parametrize(
    ("read", "shown"), [(34_816, "34,816/131,072 tokens"), (0, "131,072 tokens encoded")]
)
def test_a_bar_tells_how_far_a_history_is_read(capsys, tmp_path, read, shown):
    screen, watcher = watcher_of("rich")
    watcher.started(tmp_path, 4, ())

    watcher.reading(read, 131_072)
    screen.close()

    assert shown in " ".join(capsys.readouterr().err.split())


def test_nothing_is_told_of_reading_when_nothing_is_shown(capsys, tmp_path):
    screen, watcher = watcher_of("none")
    watcher.started(tmp_path, 4, ())

    watcher.reading(512, 131_072)
    screen.close()

    assert capsys.readouterr() == ("", "")
