"""`qwen-bench finetune`: what it refuses, what it prints where, and with which exit code."""

import json

import pytest

from qwen_bench.cli.main import main
from qwen_bench.testing import tiny_checkpoint

RECIPE = """\
about: a test
data: own.jsonl
lora: {rank: 2, alpha: 4, target_modules: [q_proj]}
steps: 2
batch: 1
lr: 0.01
max_length: 512
"""
CHAT = {
    "messages": [
        {"role": "user", "content": "My cat is called Biscuit."},
        {"role": "assistant", "content": "Noted.", "loss": False},
        {"role": "user", "content": "What is the name of my cat?"},
        {"role": "assistant", "content": "Biscuit."},
    ]
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a recipe and its data, which is where the user is."""
    (tmp_path / "own.yaml").write_text(RECIPE, "utf-8")
    (tmp_path / "own.jsonl").write_text(json.dumps(CHAT) + "\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(place):
    return str(tiny_checkpoint(place / "tiny").relative_to(place))


def refused(capsys, code, *arguments):
    """The first line on stderr of a command that must fail with this code."""
    assert main(["finetune", *arguments]) == code
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    assert output.out == ""
    return next(line for line in output.err.splitlines() if line.startswith("error"))


def test_an_adapter_is_made_and_its_folder_is_the_only_line_on_stdout(place, model, capsys):
    code = main(["finetune", "--base", model, "--recipe", "own.yaml", "--out", "made"])

    output = capsys.readouterr()
    assert code == 0
    assert output.out == "made\n"
    assert "step    2/2  loss" in output.err
    names = {path.name for path in (place / "made").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "training.json"} < names
    assert (
        json.loads((place / "made/training.json").read_text("utf-8"))["data"]["name"] == "own.jsonl"
    )


def test_an_existing_folder_is_refused_before_anything_is_loaded(place, capsys):
    (place / "made").mkdir()

    line = refused(capsys, 2, "--base", "embedded", "--recipe", "own.yaml", "--out", "made")

    assert line == "error: --out made exists and is not overwritten"


def test_out_is_needed_to_train_but_not_to_look(place, model, capsys):
    assert "--out is missing" in refused(capsys, 2, "--base", model, "--recipe", "own.yaml")

    code = main(["finetune", "--base", model, "--recipe", "own.yaml", "--show-labels", "1"])

    assert code == 0
    assert "[[Biscuit.<|im_end|>]]" in capsys.readouterr().out
    assert {path.name for path in place.iterdir()} == {"own.yaml", "own.jsonl", "tiny"}


def test_a_dry_run_times_one_step_and_writes_nothing(place, model, capsys):
    code = main(["finetune", "--base", model, "--recipe", "own.yaml", "--dry-run"])

    output = capsys.readouterr()
    assert code == 0
    assert output.out.startswith("about 0.")
    assert "1 rows" in output.err
    assert {path.name for path in place.iterdir()} == {"own.yaml", "own.jsonl", "tiny"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--recipe", "quik"), 2, "no recipe 'quik'; near: quick"),
        (("--steps", "0"), 2, "--steps: 0 is too small"),
        (("--lr", "fast"), 2, "--lr: 'fast' is not a number above 0"),
        (("--base", "mock:oracle"), 2, "--base mock:oracle: a LoRA is trained on a full model"),
        (("--base", "./none"), 2, "no folder ./none"),
        (("--data", "none.jsonl"), 2, "cannot read the data file none.jsonl"),
        (("--stesp", "3"), 2, "no such option --stesp; near: --steps"),
    ],
)
def test_wrong_arguments_are_usage_errors(place, capsys, arguments, code, told):
    given = {"--recipe": "own.yaml", "--base": "embedded", "--out": "made"}
    given |= dict([arguments])

    line = refused(capsys, code, *(word for pair in given.items() for word in pair))

    assert line.startswith(f"error: {told}")
    assert not (place / "made").exists()


def test_a_bad_record_is_named_with_file_and_line(place, capsys):
    (place / "bad.jsonl").write_text(json.dumps(CHAT) + '\n{"messages": []}\n', "utf-8")

    line = refused(capsys, 1, "--recipe", "own.yaml", "--data", "bad.jsonl", "--out", "made")

    assert line == "error: bad.jsonl:2  error  messages: empty"


def test_an_unknown_recipe_key_is_answered_with_the_nearest(place, capsys):
    (place / "own.yaml").write_text(RECIPE + "warmpu: 3\n", "utf-8")

    line = refused(capsys, 1, "--recipe", "own.yaml", "--out", "made")

    assert "unknown key 'warmpu'; near: warmup" in line


def test_data_with_nothing_to_train_on_is_refused(place, model, capsys):
    chat = {
        "messages": [
            dict(m, loss=False) if m["role"] == "assistant" else m for m in CHAT["messages"]
        ]
    }
    (place / "none.jsonl").write_text(json.dumps(chat) + "\n", "utf-8")

    line = refused(
        capsys, 1, "--base", model, "--recipe", "own.yaml", "--data", "none.jsonl", "--out", "made"
    )

    assert "0 of 1 conversations have a trained answer" in line
