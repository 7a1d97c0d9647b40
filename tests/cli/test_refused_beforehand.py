"""What a comparison will refuse is refused before the baseline is asked anything."""

import json
import shutil
from pathlib import Path

import pytest

from qwen_bench.chat.rendering import CHATML
from qwen_bench.testing import tiny_checkpoint

FEW = ("--suite", "full", "--limit", "1", "--lengths", "1", "--lang", "en", "--max-new-tokens", "2",
       "--family", "system_rule", "--family", "fact_recall", "--device", "cpu")  # fmt: skip
REFUSING = "{%- if messages[0]['role'] == 'system' -%}{{ raise_exception('no') }}{%- endif -%}"


@pytest.fixture
def models(tmp_path):
    """Folders of tiny models by name: two families, one without a system role, one broken."""
    base = tiny_checkpoint(tmp_path / "base")
    other = tiny_checkpoint(tmp_path / "other", "llama")
    (other / "chat_template.jinja").write_text(
        CHATML.replace("<|im_start|>", "<turn>").replace("<|im_end|>", "</turn>")
    )
    silent = tiny_checkpoint(tmp_path / "silent", seed=1)
    (silent / "chat_template.jinja").write_text(REFUSING + CHATML)
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    (broken / "tokenizer.json").write_text("{}")
    return {folder.name: folder for folder in (base, other, silent, broken)}


def asked():
    """Names of the models that have a run folder."""
    folders = Path("runs").iterdir() if Path("runs").exists() else ()
    return sorted(
        json.loads((item / "manifest.json").read_text())["model"]["label"] for item in folders
    )


def test_two_families_are_compared_although_their_answers_stop_differently(call, models):
    called = call(
        "run", "--baseline", models["base"], "--model", models["other"], *FEW, "--json", "out.json"
    )

    assert called.code == 0, called.err
    settings = json.loads(Path("out.json").read_text())["candidates"][0]["settings"]
    (stop,) = [item for item in settings if item["field"] == "generation.stop"]
    assert stop["class"] == "expected"
    assert "</turn>" in stop["candidate"]
    assert "</turn>" not in stop["base"]


def test_other_families_of_probes_are_refused_before_the_baseline_is_asked(call, models):
    called = call("run", "--baseline", models["base"], "--model", models["silent"], *FEW)

    assert called.code == 5
    assert "could not be compared with the baseline base" in called.err
    assert "suite.families" in called.err
    assert asked() == []


def test_a_stored_baseline_with_other_settings_is_refused_before_weights_are_loaded(
    call, models, monkeypatch
):
    call("run", "--model", "mock:oracle", *FEW, "--seed", "3", "--run-id", "stored")
    monkeypatch.setattr("qwen_bench.app.recording.open_engines", lambda *_: pytest.fail("opened"))

    called = call("run", "--baseline", "stored", "--model", models["base"], *FEW)

    assert called.code == 5
    assert "could not be compared with the baseline stored" in called.err
    assert "suite.seed" in called.err


def test_of_several_candidates_only_the_refused_one_is_left_out(call, models):
    words = ("--model", models["silent"], "--model", models["other"])

    called = call("run", "--baseline", models["base"], *words, *FEW)

    assert called.code == 5
    assert "suite.families" in called.err
    assert asked() == ["base", "other"]


def test_a_candidate_without_a_usable_tokenizer_is_refused_before_the_baseline_is_asked(
    call, models
):
    called = call("run", "--baseline", models["base"], "--model", models["broken"], *FEW)

    assert called.code == 1
    assert "the tokenizer of broken cannot be loaded" in called.err
    assert asked() == []


def test_an_unknown_field_to_allow_is_refused_before_the_baseline_is_asked(call):
    called = call(
        "run", "--baseline", "mock:oracle", "--model", "mock:blind", *FEW,
        "--allow-mismatch", "suite.sed",
    )  # fmt: skip

    assert called.code == 2
    assert "fix: near: suite.seed" in called.err
    assert asked() == []


def test_a_field_that_only_warns_may_be_allowed_and_the_flag_is_said_to_change_nothing(call):
    called = call(
        "run", "--baseline", "mock:oracle", "--model", "mock:blind", *FEW,
        "--allow-mismatch", "template.chat_template_sha256",
    )  # fmt: skip

    assert called.code == 0, called.err
    assert (
        "notice: --allow-mismatch template.chat_template_sha256 changes nothing: a difference in "
        "it is only warned of"
    ) in called.err


def test_what_is_not_known_of_a_server_is_not_held_against_it(call, models, monkeypatch):
    """Whether a server takes system messages is seen only when it is asked."""
    call("run", "--model", models["silent"], *FEW, "--run-id", "stored")
    reached = []

    def reach(specs, *_, **__):
        reached.extend(spec.text for spec in specs)
        raise KeyboardInterrupt

    monkeypatch.setattr("qwen_bench.app.recording.open_engines", reach)

    call("run", "--baseline", "stored", "--model", "openai:m", *FEW)
    seeded = call("run", "--baseline", "stored", "--model", "openai:m", *FEW, "--seed", "3")

    assert reached == ["openai:m"]
    assert seeded.code == 5
