"""Adapters leave the base as it was, and a broken one never passes for a fine-tune."""

import json
import warnings

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import DynamicCache

from qwen_bench.chat.rendering import CHATML
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.hf.attaching import attach_adapter
from qwen_bench.engines.hf.hf_engine import HfEngine
from qwen_bench.engines.hf.tasks import Limits
from qwen_bench.engines.loading import load_base
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_engines
from qwen_bench.errors import AdapterMismatchError, ModelError
from qwen_bench.testing import tiny_model


@pytest.fixture
def make_adapter(tmp_path, checkpoints):
    """Writes a LoRA folder for a tiny model with random factors."""

    def make(name="lora", family="qwen2", *, zero=False, seed=0, **options):
        torch.manual_seed(seed)
        settings = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5.23 for an attribute that is being renamed.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            wrapped = get_peft_model(tiny_model(family), LoraConfig(**(settings | options)))
        with torch.no_grad():
            for key, parameter in wrapped.named_parameters():
                if "lora_B" in key:
                    parameter.normal_(0.0, 0.0 if zero else 0.5)
        folder = tmp_path / name
        wrapped.save_pretrained(folder)
        file = folder / "adapter_config.json"
        config = json.loads(file.read_text())
        file.write_text(json.dumps(config | {"base_model_name_or_path": str(checkpoints[family])}))
        return folder

    return make


@pytest.fixture
def base(checkpoints):
    """A loaded tiny Qwen2."""
    return load_base(parse_spec(str(checkpoints["qwen2"])), EngineOptions())


def change(folder, edit):
    """Rewrite the tensors of an adapter."""
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file)


def texts(engine, unit):
    return [(reply.id, reply.text, reply.scores) for reply in engine.answer(unit)]


def test_base_and_adapters_interleaved_equal_separate_loads(make_adapter, checkpoints, forked_unit):
    specs = [
        parse_spec(str(checkpoints["qwen2"])),
        parse_spec(str(make_adapter("a", seed=1))),
        parse_spec(str(make_adapter("b", seed=2))),
        parse_spec(f"again={checkpoints['qwen2']}"),
    ]

    with open_engines(specs, EngineOptions()) as engines:
        together = [texts(engine, forked_unit) for engine in engines]
    alone = []
    for spec in specs[:3]:
        with open_engines([spec], EngineOptions()) as engines:
            alone.append(texts(next(engines), forked_unit))

    assert together[:3] == alone
    assert together[3] == together[0]
    assert together[1] != together[0]
    assert together[2] != together[1]


def test_the_base_is_bitwise_the_same_before_and_after_an_adapter(base, make_adapter):
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        before = base.model(ids).logits
        name = attach_adapter(base, make_adapter()).name
        with base.weights(name):
            adapted = base.model(ids).logits
        with base.weights(None):
            after = base.model(ids).logits

    assert torch.equal(before, after)
    assert not torch.equal(before, adapted)


def test_an_adapter_answers_as_plain_transformers_with_peft(
    base, make_adapter, open_tiny, plain, forked_unit
):
    reference, _ = open_tiny("qwen2")
    spec = parse_spec(str(make_adapter()))
    attached = attach_adapter(base, spec.path)
    engine = HfEngine(base, reference._prompter.settings, spec, adapter=attached)

    replies = list(engine.answer(forked_unit))

    with base.weights(attached.name):
        plain(base, engine).check(forked_unit, replies)


def test_models_that_take_turns_within_a_dialogue_do_not_touch_one_another(
    base, make_adapter, open_tiny, forked_unit
):
    reference, _ = open_tiny("qwen2")
    folders = [None, make_adapter("a", seed=1), make_adapter("b", seed=2)]

    def engines():
        for folder in folders:
            attached = None if folder is None else attach_adapter(base, folder)
            settings, spec = reference._prompter.settings, parse_spec(str(folder or "embedded"))
            yield HfEngine(base, settings, spec, adapter=attached, limits=Limits(rows=2))

    def essence(replies):
        return [(reply.id, reply.mode, reply.text, reply.scores) for reply in replies]

    one_by_one = [essence(engine.answer(forked_unit)) for engine in engines()]
    running = [engine.answer(forked_unit) for engine in engines()]
    in_turn = list(zip(*running, strict=True))

    assert [essence(replies) for replies in zip(*in_turn, strict=True)] == one_by_one
    assert one_by_one[0] != one_by_one[1] != one_by_one[2]


def test_negative_control_keys_and_values_of_the_base_are_wrong_for_an_adapter(base, make_adapter):
    ids = torch.arange(3, 40)[None]
    name = attach_adapter(base, make_adapter()).name
    cache = DynamicCache(config=base.config)
    with torch.inference_mode():
        with base.weights(None):
            base.model(ids[:, :30], past_key_values=cache)
        with base.weights(name):
            expected = base.model(ids).logits[0, -1]
            found = base.model(ids[:, 30:], past_key_values=cache).logits[0, -1]

    assert float((found - expected).abs().max()) > 1e-2


def test_three_adapters_take_less_than_15_percent_more_memory_than_the_base_alone(
    base, make_adapter
):
    def tensors():
        held = [*base.model.parameters(), *base.model.buffers()]
        return {tensor.data_ptr(): tensor.nbytes for tensor in held}

    alone = tensors()

    for number in range(3):
        attach_adapter(base, make_adapter(f"lora-{number}", seed=number))

    together = tensors()
    assert alone.keys() <= together.keys(), "a tensor of the base was copied or moved"
    assert sum(alone.values()) < sum(together.values()) < 1.15 * sum(alone.values())


def test_the_identity_names_both_fingerprints(make_adapter):
    with open_engines([parse_spec(str(make_adapter()))], EngineOptions()) as engines:
        model = next(engines).identity().model

    assert model.kind == "adapter"
    assert model.resolved == "qwen2 + lora"
    assert model.fingerprint.startswith(model.base_fingerprint + "+")


def test_a_zero_adapter_is_a_warning(base, make_adapter):
    attached = attach_adapter(base, make_adapter(zero=True))

    assert attached.warnings == (
        "adapter lora: all 4 lora_B matrices are zero, so this adapter changes nothing",
    )


def test_a_sound_adapter_has_no_warning(base, make_adapter):
    assert attach_adapter(base, make_adapter()).warnings == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_named(value, base, make_adapter):
    folder = make_adapter()
    change(folder, lambda tensors: tensors[min(tensors)].fill_(value))

    with pytest.raises(AdapterMismatchError, match=r"not finite: .*layers\.0\..*lora_A"):
        attach_adapter(base, folder)


def test_an_adapter_of_another_width_counts_what_does_not_fit(base, make_adapter):
    folder = make_adapter()

    def widen(tensors):
        for name in tensors:
            if "lora_A" in name:
                tensors[name] = torch.ones(4, 48)

    change(folder, widen)

    with pytest.raises(
        AdapterMismatchError, match=r"4 of 8 adapter tensors do not fit qwen2; first: .* expects 48"
    ):
        attach_adapter(base, folder)


def test_an_adapter_of_another_architecture_does_not_fit(base, make_adapter):
    folder = make_adapter(family="qwen3_5", target_modules=["in_proj_qkv"])

    with pytest.raises(AdapterMismatchError, match="has no counterpart in the base"):
        attach_adapter(base, folder)


def test_an_adapter_that_skips_a_layer_belongs_to_another_model(base, make_adapter):
    folder = make_adapter()

    def skip(tensors):
        for name in [name for name in tensors if "layers.1." in name]:
            del tensors[name]

    change(folder, skip)

    with pytest.raises(AdapterMismatchError, match="1 of 2 layers adapted"):
        attach_adapter(base, folder)


def test_layers_left_out_on_purpose_are_fine(base, make_adapter):
    folder = make_adapter(layers_to_transform=[0])

    assert attach_adapter(base, folder).warnings == ()


def test_a_tensor_that_no_module_takes_is_an_error(base, make_adapter):
    folder = make_adapter()
    change(folder, lambda tensors: tensors.update({"base_model.model.extra": torch.ones(2)}))

    with pytest.raises(AdapterMismatchError, match="1 adapter tensors were not loaded") as caught:
        attach_adapter(base, folder)

    assert caught.value.why == ("base_model.model.extra",)


def test_pickled_adapters_are_refused_unless_allowed(base, make_adapter):
    folder = make_adapter()
    file = folder / "adapter_model.safetensors"
    torch.save(load_file(file), folder / "adapter_model.bin")
    file.unlink()

    with pytest.raises(ModelError, match="are pickled"):
        attach_adapter(base, folder)
    assert attach_adapter(base, folder, allow_pickle=True).warnings == ()


def test_a_damaged_adapter_file_is_refused(base, make_adapter):
    folder = make_adapter()
    (folder / "adapter_model.safetensors").write_bytes(b"not a tensor file")

    with pytest.raises(ModelError, match="is damaged"):
        attach_adapter(base, folder)


def test_an_adapter_folder_without_weights_is_refused(base, make_adapter):
    folder = make_adapter()
    (folder / "adapter_model.safetensors").unlink()

    with pytest.raises(ModelError, match="holds no adapter_model"):
        attach_adapter(base, folder)


def test_a_bad_adapter_is_found_before_the_base_answers(make_adapter, checkpoints):
    folder = make_adapter()
    change(folder, lambda tensors: tensors[min(tensors)].fill_(float("nan")))
    specs = [parse_spec(str(checkpoints["qwen2"])), parse_spec(str(folder))]

    with open_engines(specs, EngineOptions()) as engines, pytest.raises(AdapterMismatchError):
        next(engines)


def test_a_template_in_the_adapter_folder_is_the_one_used(make_adapter):
    folder = make_adapter()
    (folder / "chat_template.jinja").write_text(CHATML + "\n")

    with open_engines([parse_spec(str(folder))], EngineOptions()) as engines:
        sha256 = next(engines).identity().template.chat_template_sha256

    (folder / "chat_template.jinja").unlink()
    with open_engines([parse_spec(str(folder))], EngineOptions()) as engines:
        assert next(engines).identity().template.chat_template_sha256 != sha256
