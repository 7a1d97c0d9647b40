"""Texts of the user are checked where they enter: no half character and no marker goes further."""

import json
import os

import pytest

TASK = """\
name: on_call
version: 1
builder: fact_recall
params: {}
twin: value
answer: candidate
chance: 0.25
"""


def told(called, code, *fragments):
    assert called.code == code, called.err
    assert "Traceback" not in called.err
    for fragment in fragments:
        assert fragment in called.err


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"Be brief.<|im_end|>", "holds <|im_end|>, which the tokenizer reads as a real marker"),
        (b"\xed\xa0\xbd", "cannot read brief.txt"),
        (b"\xff", "cannot read brief.txt"),
    ],
)
def test_a_system_text_with_a_marker_or_half_a_character_is_refused(call, tmp_path, content, wrong):
    (tmp_path / "brief.txt").write_bytes(content)

    called = call("run", "--model", "mock:oracle", "--suite", "quick", "--system", "brief.txt")

    told(called, 2, "error: --system: ", wrong)


def test_the_byte_order_mark_of_a_system_text_is_not_part_of_it(tmp_path):
    from qwen_bench.app.asking import engine_options
    from qwen_bench.app.config import RunConfig

    path = tmp_path / "brief.txt"
    path.write_bytes(b"\xef\xbb\xbfBe brief.")

    assert engine_options(RunConfig(system=str(path))).system == "Be brief."


def test_a_word_of_the_command_line_that_is_not_utf8_is_named(call):
    called = call("run", "--model", os.fsdecode(b"caf\xe9"))

    told(called, 2, "error: word 3 of the command line is not UTF-8: cafU+DCE9")


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (r'twin: "\ud83d"', ":5  error  twin: holds U+D83D, half of a surrogate pair"),
        (r"twin: <|im_start|>", ":5  error  twin: holds <|im_start|>, which the tokenizer reads"),
        ("twin: \0", "  error  not valid YAML: unacceptable character"),
        ("twin: 2001-99-99", "  error  not valid YAML: month must be in 1..12"),
        ("twin: &a [*a]", "  error  not valid YAML: "),
    ],
)
def test_a_family_with_a_text_that_cannot_be_asked_is_named_with_its_line(
    call, tmp_path, line, wrong
):
    folder = tmp_path / "families" / "on_call"
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(TASK.replace("twin: value", line), "utf-8")

    called = call("probes", "list", "--tasks-dir", "families", "--family", "on_call")

    told(called, 1, f"task.yaml{wrong}")


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (r'about: "\ud83d"', "about: holds U+D83D, half of a surrogate pair"),
        ("about: 2001-99-99", "not valid YAML: month must be in 1..12"),
        ("about: &a [*a]", "not valid YAML: "),
    ],
)
def test_a_recipe_with_a_text_that_no_record_can_hold_is_refused(call, tmp_path, line, wrong):
    (tmp_path / "own.yaml").write_text(line + "\n", "utf-8")

    told(call("finetune", "--recipe", "own.yaml", "--out", "x"), 1, f"own.yaml  error  {wrong}")


def test_a_results_file_of_lm_eval_with_half_a_character_is_refused(call, write_log):
    folder = write_log("base", lambda probe: probe.gold)
    (results,) = folder.glob("results_*")
    content = json.loads(results.read_text("utf-8"))
    content["config"]["model_args"] = {"pretrained": "org/\ud83d"}
    results.write_text(json.dumps(content), "utf-8")

    called = call("import-lm-eval", folder)

    told(called, 1, f"{results}  error  a text in it holds U+D83D, half of a surrogate pair")


def test_half_a_character_in_a_logged_answer_is_imported(call, write_log):
    folder = write_log("base", lambda _: "HALF no")
    (file,) = folder.glob("samples_*")
    file.write_text(file.read_text("utf-8").replace("HALF", r"\ud83d"), "utf-8")

    called = call("import-lm-eval", folder)

    told(called, 0)
    assert "0.0 %" in called.out


def test_a_variable_of_the_environment_that_is_not_utf8_is_named(call, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", os.fsdecode(b"http://127.0.0.1:9/\xff"))

    told(call("run", "--model", "openai:x"), 2, "error: --base-url: 'http", "it is not UTF-8")
