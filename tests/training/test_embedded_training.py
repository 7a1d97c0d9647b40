"""The recipe on the real embedded tokenizer, and the adapter that is shipped with the project."""

import json

import pytest

from qwen_bench.chat.rendering import ChatSettings, choose_template
from qwen_bench.engines.embedded import embedded_folder
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.hf.attaching import attach_adapter
from qwen_bench.engines.loading import load_base
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.resources import data_folder
from qwen_bench.training.preparation import make_rows
from qwen_bench.training.recipe import GenerateBlock, load_recipe
from qwen_bench.training.training_dialogues import generate, training_families

DEMO = data_folder("finetune") / "demo"


@pytest.mark.model
def test_every_answer_of_generated_data_ends_with_the_end_of_turn_token_that_is_also_the_padding():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedded_folder())
    settings = ChatSettings(choose_template(None, tokenizer.chat_template, "embedded"))
    wanted = GenerateBlock(n=20, lengths=(1, 8), langs=("en", "zh"), families=training_families())

    rows, counts = make_rows(generate(wanted), settings, tokenizer, 8192)

    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert counts.several_rows == 0
    assert counts.dropped == 0
    for row in rows:
        assert {row.labels[span.end - 1] for span in row.spans} == {tokenizer.eos_token_id}


@pytest.mark.model
def test_the_shipped_adapter_fits_the_embedded_model_and_does_something():
    spec = parse_spec(str(DEMO))
    assert spec.base is not None
    base = load_base(spec.base, EngineOptions())

    adapter = attach_adapter(base, DEMO)

    record = json.loads((DEMO / "training.json").read_text("utf-8"))
    assert spec.base.kind == "embedded"
    assert adapter.warnings == ()
    assert record["base"]["fingerprint"] == base.source.fingerprint


def test_the_shipped_adapter_is_small_and_made_by_the_shipped_recipe():
    record = json.loads((DEMO / "training.json").read_text("utf-8"))

    assert record["recipe"]["sha256"] == load_recipe("quick").sha256
    assert record["command"] == (
        "qwen-bench finetune --base embedded --recipe finetune/quick.yaml --out finetune/demo"
    )
    assert (DEMO / "adapter_model.safetensors").stat().st_size < 4_000_000
    assert sum(path.stat().st_size for path in DEMO.iterdir()) < 4_200_000
