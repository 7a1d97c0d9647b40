"""An adapter that is put on another base than it was trained on says so, in one line."""

import json
import shutil
import warnings
from pathlib import Path

import pytest
from huggingface_hub import constants
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.fingerprint import model_fingerprint
from qwen_bench.engines.loading import Source
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.recorded_base import base_notices
from qwen_bench.engines.registry import open_engines
from qwen_bench.testing import tiny_checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "89abcdef0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Folders of two models of one shape, and of a copy of the first under another name."""
    root = tmp_path_factory.mktemp("two")
    one = tiny_checkpoint(root / "one")
    return {
        "one": one,
        "other": tiny_checkpoint(root / "other", seed=5),
        "copy": shutil.copytree(one, root / "copy"),
    }


@pytest.fixture(autouse=True)
def _no_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def source(folder):
    return Source(folder, folder.name, None, model_fingerprint(folder))


def of_the_hub(name, commit=COMMIT):
    return Source(Path(commit), name, commit, f"commit:{commit}")


def named(name, **settings):
    return {"base_model_name_or_path": str(name), **settings}


def test_another_model_of_the_same_shape_is_named(two, tmp_path):
    (line,) = base_notices(named(two["one"]), tmp_path, source(two["other"]))

    assert line == (
        "it was trained on one, and is put on other, whose weights or configuration differ"
    )


@pytest.mark.parametrize("base", ["one", "copy"])
def test_the_same_weights_under_any_name_give_no_line(two, tmp_path, base):
    assert base_notices(named(two["one"]), tmp_path, source(two[base])) == ()


def test_a_base_that_is_not_here_is_compared_by_name(two, tmp_path):
    (line,) = base_notices(named("Qwen/Qwen3-0.6B"), tmp_path, source(two["one"]))

    assert line == (
        "it names Qwen/Qwen3-0.6B as its base, and is put on one; "
        "whether they are the same cannot be told here"
    )
    assert base_notices(named("org/one"), tmp_path, source(two["one"])) == ()


def test_commits_are_compared_where_both_are_known(tmp_path):
    config = named("org/base", revision=OLDER)

    (line,) = base_notices(config, tmp_path, of_the_hub("org/base"))

    assert line == f"it was trained on org/base at commit {OLDER}, and is put on {COMMIT}"
    assert base_notices(config, tmp_path, of_the_hub("org/base", OLDER)) == ()
    for revision in (None, "main", COMMIT):
        config = named("org/base", revision=revision)
        assert base_notices(config, tmp_path, of_the_hub("org/base")) == ()


def test_a_repack_in_fewer_bits_is_said_to_be_one(tmp_path):
    config = named("unsloth/Qwen2.5-0.5B-bnb-4bit")

    (line,) = base_notices(config, tmp_path, of_the_hub("Qwen/Qwen2.5-0.5B"))

    assert line == (
        "it was trained on unsloth/Qwen2.5-0.5B-bnb-4bit, a repack of Qwen/Qwen2.5-0.5B in fewer "
        "bits"
    )


def test_a_base_in_the_hub_cache_is_compared_by_content(two, tmp_path):
    repository = tmp_path / "hub" / "models--org--base"
    shutil.copytree(two["one"], repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)

    assert base_notices(named("org/base"), tmp_path, source(two["copy"])) == ()
    (line,) = base_notices(named("org/base"), tmp_path, source(two["other"]))
    assert line.startswith("it was trained on org/base, and is put on other, whose weights")


def test_the_fingerprint_in_training_json_decides_before_any_name(two, tmp_path):
    def trained_on(fingerprint):
        record = {"base": {"fingerprint": fingerprint, "resolved": "mine"}}
        (tmp_path / "training.json").write_text(json.dumps(record))

    base = source(two["one"])
    trained_on(base.fingerprint)
    assert base_notices(named(two["other"]), tmp_path, base) == ()
    trained_on("full:" + "0" * 64)
    (line,) = base_notices(named(two["one"]), tmp_path, base)
    assert line == (
        "it was trained on mine, and is put on one, whose fingerprint is not the one in its "
        "training.json"
    )
    trained_on(f"commit:{COMMIT}")
    assert base_notices(named(two["one"]), tmp_path, base) == ()


@pytest.mark.parametrize("text", ["", "[]", '{"base": 3}', '{"base": {"fingerprint": 3}}'])
def test_a_training_json_of_another_program_is_passed_over(two, tmp_path, text):
    (tmp_path / "training.json").write_text(text)

    assert base_notices(named(two["one"]), tmp_path, source(two["one"])) == ()


@pytest.fixture
def lora(two, tmp_path):
    """Folder of a LoRA on the first model; `change` of its tensors by name."""

    def make(change=None):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            made = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
            model = get_peft_model(AutoModelForCausalLM.from_pretrained(two["one"]), made)
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.data += 0.3 if change is None else change(name) - weight.data
        model.save_pretrained(tmp_path / "lora")
        return tmp_path / "lora"

    return make


def warnings_of(*texts):
    options = EngineOptions(offline=True, device="cpu")
    with open_engines([parse_spec(text) for text in texts], options) as engines:
        return [" ".join(engine.identity().warnings) for engine in engines]


def test_the_line_is_a_warning_of_the_model_that_is_asked(two, lora):
    folder = lora()

    own, foreign = warnings_of(str(folder), f"{two['other']}+{folder}")

    assert "trained on" not in own
    assert "adapter lora: it was trained on one, and is put on other" in foreign


def test_beside_it_an_adapter_that_changes_nothing_says_so_too(two, lora):
    folder = lora(lambda name: float("lora_B" in name))

    (said,) = warnings_of(f"{two['other']}+{folder}")

    assert "it was trained on one" in said
    assert "it changes nothing" in said
