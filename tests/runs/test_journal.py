import json
import resource
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.errors import NewerSchemaError, RunError
from qwen_bench.runs.journal import Journal, decode, encode, final_keys, read_journal


@pytest.fixture
def three(outcome):
    return [replace(outcome, probe_id=f"p{number}") for number in range(3)]


def write(path, outcomes):
    with Journal(path, 0) as journal:
        journal.append(outcomes)


def test_rows_come_back_as_they_were_written(tmp_path, three):
    ranked = replace(three[1], mode="rank", logprobs=((-1.5, None, 2), (-2.0, -0.25, 1)))
    failed = replace(
        three[2], status="error", output=None, score=None, error_type="E", error_message="m"
    )

    write(tmp_path / "r", [three[0], ranked, failed])

    assert read_journal(tmp_path / "r").outcomes == (three[0], ranked, failed)


@pytest.mark.parametrize(
    "text", ["\0", "a\u2028b\u2029c\x85d", "x" * 1_000_000, "\r\n\t", "\x1b[31m"]
)
def test_hostile_output_stays_on_one_line_and_comes_back(tmp_path, outcome, text):
    row = replace(outcome, output=text)

    write(tmp_path / "r", [row])

    assert (tmp_path / "r").read_bytes().count(b"\n") == 1
    assert read_journal(tmp_path / "r").outcomes == (row,)


def test_lone_surrogates_become_the_replacement_character(outcome):
    row = encode(replace(outcome, output="a\ud800b"))

    assert decode(row).output == "a�b"


@given(st.text())
def test_any_text_makes_a_row_of_one_line(text):
    row = {"probe_id": "p", "output": text}

    line = json.dumps(row, ensure_ascii=False)

    assert "\n" not in line


def test_error_messages_are_cut_to_500_characters(outcome):
    row = encode(replace(outcome, status="error", error_type="E", error_message="x" * 900))

    assert len(json.loads(row)["error"]["message"]) == 500


def test_numbers_that_are_not_finite_are_refused(outcome):
    with pytest.raises(ValueError, match="Out of range"):
        encode(replace(outcome, margin=float("nan")))


def test_keys_of_a_later_version_are_ignored(outcome):
    row = json.loads(encode(outcome)) | {"v": 1, "colour": "blue"}

    assert decode(json.dumps(row).encode()) == outcome


def test_a_row_has_level_and_wording_where_its_suite_has_them(outcome):
    row = replace(outcome, level=3, wording="paraphrase")

    assert decode(encode(row)) == row
    assert not {"level", "wording"} & json.loads(encode(outcome)).keys()


def test_a_row_of_a_suite_without_levels_has_none(outcome):
    found = decode(encode(outcome))

    assert (found.level, found.wording) == (None, "")


def test_a_last_line_cut_at_any_byte_is_dropped(tmp_path, three):
    path = tmp_path / "r"
    write(path, three)
    data = path.read_bytes()
    second_ends = data.rindex(b"\n", 0, len(data) - 1) + 1

    for cut in range(second_ends + 1, len(data)):
        path.write_bytes(data[:cut])
        content = read_journal(path)
        assert (content.outcomes, content.whole_bytes) == (tuple(three[:2]), second_ends)
        assert content.torn


def test_a_last_line_that_is_no_row_is_dropped(tmp_path, three):
    path = tmp_path / "r"
    write(path, three)
    path.write_bytes(path.read_bytes() + b'{"v":1}\n')

    content = read_journal(path)

    assert content.torn
    assert content.outcomes == tuple(three)


def test_the_next_writer_cuts_the_torn_line_off(tmp_path, three):
    path = tmp_path / "r"
    write(path, three[:2])
    path.write_bytes(path.read_bytes() + b'{"v":1,"pro')

    with Journal(path, read_journal(path).whole_bytes) as journal:
        journal.append(three[2:])

    assert read_journal(path).outcomes == tuple(three)


def test_a_bad_line_in_the_middle_is_an_error_with_its_number(tmp_path, three):
    path = tmp_path / "r"
    write(path, three)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"#" + lines[1][1:] + lines[2])

    with pytest.raises(RunError, match="line 2 is not valid JSON") as caught:
        read_journal(path)

    assert "delete the line and resume" in caught.value.fix[0]


def test_two_different_answers_to_one_probe_are_an_error(tmp_path, outcome):
    write(tmp_path / "r", [outcome, replace(outcome, output="Maren")])

    with pytest.raises(RunError, match="second time, differently"):
        read_journal(tmp_path / "r")


def test_an_error_then_an_answer_is_no_contradiction(tmp_path, outcome):
    failed = replace(outcome, status="error", output=None, score=None)

    write(tmp_path / "r", [failed, outcome])

    assert len(read_journal(tmp_path / "r").outcomes) == 2


def test_an_unread_answer_is_kept_and_may_be_asked_again(tmp_path, outcome):
    unread = replace(
        outcome, status="empty", output="", score=0, error_type="ToolCallOnly", error_message="m"
    )

    write(tmp_path / "r", [unread, outcome])

    assert read_journal(tmp_path / "r").outcomes == (unread, outcome)
    assert final_keys([unread], retry_errors=True) == set()
    assert len(final_keys([unread], retry_errors=False)) == 1


def test_an_answer_that_the_model_left_empty_is_final(tmp_path, outcome):
    silent = replace(outcome, status="empty", output="", score=0)

    assert len(final_keys([silent], retry_errors=True)) == 1
    write(tmp_path / "r", [silent, outcome])
    with pytest.raises(RunError, match="second time, differently"):
        read_journal(tmp_path / "r")


@pytest.mark.parametrize("behind", [b"", b"{}\n"])
def test_a_row_with_a_status_of_a_newer_version_is_neither_broken_nor_cut_off(
    tmp_path, outcome, behind
):
    row = encode(outcome).replace(b'"status":"ok"', b'"status":"dreamt"')
    (tmp_path / "r").write_bytes(row + behind)

    with pytest.raises(NewerSchemaError, match="line 1 has the status 'dreamt'") as caught:
        read_journal(tmp_path / "r")

    assert caught.value.fix == ("upgrade qwen-bench",)


def test_errors_are_final_until_they_are_to_be_retried(outcome):
    failed = replace(outcome, status="error", output=None, score=None)
    key = (outcome.probe_id, "generate")

    assert final_keys([failed], retry_errors=False) == {key}
    assert final_keys([failed], retry_errors=True) == set()
    assert final_keys([failed, outcome], retry_errors=True) == {key}


def test_fsync_comes_at_most_once_a_second(tmp_path, outcome, monkeypatch):
    times = iter([0.0, 0.5, 1.2, 1.2, 1.9, 9.0, 9.0])
    synced = []
    monkeypatch.setattr("os.fsync", synced.append)

    with Journal(tmp_path / "r", 0, clock=lambda: next(times)) as journal:
        for _ in range(3):
            journal.append([outcome])
        assert len(synced) == 1

    assert len(synced) == 2


CHILD = """
import pathlib, resource, signal, sys
from qwen_bench.runs.journal import Journal, read_journal
source, target, limit = sys.argv[1:]
rows = read_journal(pathlib.Path(source)).outcomes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
with Journal(pathlib.Path(target), 0) as journal:
    try:
        for row in rows:
            journal.append([row])
    except OSError as error:
        sys.exit(error.errno)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no file size limits here")
@pytest.mark.parametrize("share", [0.01, 0.34, 0.5, 0.99])
def test_a_full_disk_leaves_whole_rows_only(tmp_path, three, share):
    write(tmp_path / "whole", three)
    limit = int((tmp_path / "whole").stat().st_size * share)

    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "whole"), str(tmp_path / "cut"), str(limit)],
        check=False,
    )

    content = read_journal(tmp_path / "cut")
    assert done.returncode == 27  # EFBIG
    assert not content.torn
    assert content.outcomes == tuple(three[: len(content.outcomes)])
