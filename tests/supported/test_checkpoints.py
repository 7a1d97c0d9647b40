"""Folders in the forms that trainers and tools leave: loaded as transformers does, or refused."""

import json
import shutil

import pytest
import torch
from huggingface_hub import constants
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.loading import load_base
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_engines
from qwen_bench.errors import QwenBenchError
from qwen_bench.testing import tiny_checkpoint

TITLE = "Checkpoints"
INTRODUCTION = (
    "A model in a folder or in the Hub cache. A refusal names the tensors or files, the cause and "
    "what to do. Files are looked at before any model is asked, tensors when they are loaded."
)
CORNER = "What the folder holds"
COLUMN = "What happens"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def tensors(folder, change):
    """Change the weights of a folder; `change` alters them in place or returns others."""
    file = folder / "model.safetensors"
    found = load_file(file)
    found = change(found) or found
    save_file({name: value.contiguous() for name, value in found.items()}, file, {"format": "pt"})


def settings(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def renamed(prefix):
    return lambda folder: tensors(
        folder, lambda found: {f"{prefix}{name}": value for name, value in found.items()}
    )


def added(name, *size):
    return lambda folder: tensors(folder, lambda found: found.update({name: torch.ones(size)}))


def unmerged(folder):
    def change(found):
        for name in ("lora_A", "lora_B"):
            found[f"model.layers.0.self_attn.q_proj.{name}.default.weight"] = torch.ones(4, 32)

    tensors(folder, change)


def base_layers(folder):
    tensors(
        folder,
        lambda found: {
            name.replace("q_proj.", "q_proj.base_layer."): found[name] for name in found
        },
    )


def emptied(folder):
    tensors(folder, lambda found: {name: torch.empty(0) for name in found})


def smaller(folder):
    def change(found):
        found["model.layers.0.mlp.up_proj.weight"] = torch.ones(32, 32)

    tensors(folder, change)


def not_finite(folder):
    def change(found):
        found["model.norm.weight"][3] = float("nan")

    tensors(folder, change)


def eight_bits(folder, *, scales):
    def change(found):
        for name in [name for name in found if name.endswith("q_proj.weight")]:
            found[name] = found[name].to(torch.float8_e4m3fn)
            if scales:
                found[f"{name}_scale_inv"] = torch.ones(2, 2)

    tensors(folder, change)


def scales_gone(folder):
    eight_bits(folder, scales=False)
    settings(
        folder,
        quantization_config={
            "quant_method": "fp8",
            "weight_block_size": [16, 16],
            "activation_scheme": "dynamic",
        },
    )


def only(folder, *names):
    """Replace the weights by empty files or folders (with a slash at the end) of other names."""
    (folder / "model.safetensors").unlink()
    for name in names:
        if name.endswith("/"):
            (folder / name).mkdir(parents=True)
        else:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"{}")


def holding(*names):
    return lambda folder: only(folder, *names)


def sharded(folder):
    only(folder, "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def named_adapter(folder):
    only(folder, "default/adapter_config.json")
    (folder / "config.json").unlink()


def no_tokenizer(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()


def tokenizer_above(folder):
    for file in folder.glob("tokenizer*"):
        shutil.move(file, folder.parent / file.name)


def more_tokens(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<|new-{number}|>" for number in range(513 - len(tokenizer))])
    tokenizer.save_pretrained(folder)


def both(folder):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')


def broken(folder):
    (folder / "config.json").write_text('{"model_type": "qwen2",')


def pickled(folder):
    file = folder / "model.safetensors"
    torch.save(load_file(file), folder / "pytorch_model.bin")
    file.unlink()


def no_change(_):
    """As transformers saves it."""


def tied_head(folder):
    tensors(
        folder,
        lambda found: found.update({"lm_head.weight": found["model.embed_tokens.weight"].clone()}),
    )


def padded(folder):
    def change(found):
        rows = found["model.embed_tokens.weight"]
        found["model.embed_tokens.weight"] = torch.cat([rows, torch.zeros(16, rows.shape[1])])

    tensors(folder, change)
    settings(folder, vocab_size=528)


# Row: (what is done to a folder, the message, words that cause and mend must have).
REFUSED = {
    "LoRA tensors that were not merged": (
        unmerged,
        r"2 tensors in the files are not of this model; first: .*q_proj\.lora_A",
        ("not merged", "merge_and_unload"),
    ),
    "names with `base_layer`": (base_layers, r"q_proj\.base_layer\.", ("merge_and_unload",)),
    "names with `_orig_mod.` (torch.compile)": (
        renamed("_orig_mod."),
        r"first: _orig_mod\.model\.",
        ("wrapper", "unwrap_model", "weights are not in the files"),
    ),
    "names with `module.` (DDP)": (
        renamed("module."),
        r"first: module\.model\.",
        ("wrapper", "unwrap_model"),
    ),
    "names with `base_model.model.` (peft)": (
        renamed("base_model.model."),
        r"first: base_model\.model\.",
        ("wrapper",),
    ),
    "a layer more than `config.json` has": (
        added("model.layers.2.mlp.up_proj.weight", 64, 32),
        r"1 tensors in the files are not of this model; first: model\.layers\.2",
        ("dropped without a word", "config.json"),
    ),
    "tensors of size 0 (DeepSpeed ZeRO-3)": (
        emptied,
        r"26 of 26 tensors have size 0; first: ",
        ("ZeRO-3", "zero_to_fp32.py"),
    ),
    "a tensor of another size": (
        smaller,
        r"1 tensors have another size .*up_proj\.weight \[32, 32\], wanted \[64, 32\]",
        ("config.json",),
    ),
    "NaN": (not_finite, r"is not finite: model\.norm\.weight holds NaN", ("training diverged",)),
    "8-bit floats without their scales": (
        scales_gone,
        r"2 weights of 8-bit floats have no scale; first: ",
        ("hundreds of times too large",),
    ),
    "8-bit floats without `quantization_config`": (
        lambda folder: eight_bits(folder, scales=True),
        r"2 weights are quantised numbers \(F8_E4M3\); first: ",
        ("copy quantization_config",),
    ),
    "only `training_args.bin`": (
        holding("training_args.bin"),
        "holds no weights",
        ("state of a training", "save_model"),
    ),
    "only `optimizer.pt`": (
        holding("optimizer.pt", "trainer_state.json"),
        "holds no weights",
        ("state of a training",),
    ),
    "DeepSpeed shards (`global_step*`)": (
        holding("global_step30/", "zero_to_fp32.py"),
        "holds no weights",
        ("DeepSpeed shards", "zero_to_fp32.py"),
    ),
    "FSDP shards (`pytorch_model_fsdp_0`)": (
        holding("pytorch_model_fsdp_0/"),
        "holds no weights",
        ("FSDP shards", "accelerate merge-weights"),
    ),
    "FSDP shards (`*.distcp`)": (
        holding("__0_0.distcp", ".metadata"),
        "holds no weights",
        ("FSDP shards", "accelerate merge-weights"),
    ),
    "Megatron shards": (
        holding("iter_0000100/"),
        "holds no weights",
        ("Megatron shards",),
    ),
    "`consolidated.00.pth`": (
        holding("consolidated.00.pth"),
        "holds no weights",
        ("form of the model's authors",),
    ),
    "only `*.gguf`": (
        holding("model-q4.gguf"),
        "holds no weights",
        ("llama.cpp", "--model openai:NAME"),
    ),
    "shards without their index": (
        holding("model-00001-of-00002.safetensors"),
        "holds no weights",
        ("their index is not there",),
    ),
    "an index that names absent shards": (
        sharded,
        "1 of 2 files of weights are not there; first: model-00002-of-00002",
        ("model.safetensors.index.json names them",),
    ),
    "an adapter in a sub-folder (`default/`)": (
        named_adapter,
        "is not a model folder",
        ("default/adapter_config.json", "--model"),
    ),
    "no tokenizer": (no_tokenizer, "holds no tokenizer", ("copy the tokenizer files",)),
    "no tokenizer, and one in the folder above": (
        tokenizer_above,
        "holds no tokenizer; there is one in the folder above",
        ("cp", "tokenizer.json"),
    ),
    "a tokenizer larger than the embeddings": (
        more_tokens,
        r"its tokenizer has 513 tokens, its embeddings 512; first outside: <\|new-",
        ("resize_token_embeddings",),
    ),
    "a full model and an adapter": (
        both,
        "holds a full model and an adapter, and either may be meant",
        ("BASE+",),
    ),
    "`config.json` that is no JSON": (broken, "config.json is not valid JSON", ("line 1",)),
    "pickled weights": (pickled, "are pickled", ("--allow-pickle",)),
}
# Row: (what is done to a folder, a notice that must be given).
LOADS = {
    "safetensors": (no_change, None),
    "`rotary_emb.inv_freq` of old versions": (
        added("model.layers.0.self_attn.rotary_emb.inv_freq", 4),
        None,
    ),
    "`lm_head` beside tied embeddings, equal": (tied_head, None),
    "vision parts (`visual.*`)": (added("visual.blocks.0.weight", 4), "first: visual.blocks"),
    "layers that draft (`mtp.*`)": (added("mtp.layers.0.weight", 4), "first: mtp.layers"),
    "a value head (`v_head.*`)": (added("v_head.summary.weight", 4), "first: v_head"),
    "embeddings padded beyond the tokenizer": (padded, None),
}
CELLS = [
    *(
        (row, COLUMN, f"refused, saying {' · '.join(f'`{word}`' for word in words)}", row)
        for row, (_, _, words) in REFUSED.items()
    ),
    *(
        (row, COLUMN, "as in transformers" + (", and named" if notice else ""), row)
        for row, (_, notice) in LOADS.items()
    ),
    (
        "`lm_head` beside tied embeddings, another one",
        COLUMN,
        "as in transformers (it is used), and named",
        None,
    ),
    ("an adapter, in the Hub cache", COLUMN, "as in a folder; no network with `--offline`", None),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def folder(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "out" / "model")


def logits(model):
    with torch.inference_mode():
        return model(torch.tensor([[5, 9, 200, 31, 7]])).logits


@pytest.mark.parametrize("row", REFUSED)
def test_a_form_that_cannot_be_right_is_refused_with_cause_and_mend(folder, row):
    change, message, words = REFUSED[row]
    change(folder)

    with pytest.raises(QwenBenchError, match=message) as caught:
        list_of_engines(folder)

    told = "\n".join((*caught.value.why, *caught.value.fix))
    assert all(word in told for word in words), told
    assert "\n" not in caught.value.message


def list_of_engines(folder):
    """What a run does up to the first question, without a network."""
    options = EngineOptions(offline=True, device="cpu")
    with open_engines([parse_spec(str(folder))], options) as engines:
        return [engine.identity() for engine in engines]


@pytest.mark.parametrize("row", LOADS)
def test_a_form_that_is_harmless_computes_what_the_model_does(folder, tiny, row):
    change, notice = LOADS[row]
    change(folder)

    base = load_base(parse_spec(str(folder)), EngineOptions(offline=True, device="cpu"))

    plain = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    assert torch.allclose(logits(base.model)[..., :512], logits(plain), atol=1e-5)
    assert [notice in line for line in base.notices] == ([True] if notice else [])


def test_a_head_of_its_own_under_a_config_that_ties_it_is_used_and_named(folder):
    tensors(
        folder,
        lambda found: found.update({"lm_head.weight": found["model.embed_tokens.weight"] * 2}),
    )

    base = load_base(parse_spec(str(folder)), EngineOptions(offline=True, device="cpu"))
    (identity,) = list_of_engines(folder)

    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert torch.equal(logits(base.model), logits(theirs))
    assert "lm_head that differs from its embeddings" in base.notices[0]
    assert base.notices[0] in identity.warnings


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_an_adapter_in_the_hub_cache_is_one_like_in_a_folder(tiny, tmp_path, monkeypatch):
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))

    def place(name):
        repository = cache / f"models--{name.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text(COMMIT)
        return repository / "snapshots" / COMMIT

    shutil.copytree(tiny, place("org/base"))
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    lora = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    for name, weight in lora.named_parameters():
        if "lora_B" in name:
            weight.data += 0.3
    saved = tmp_path / "lora"
    lora.save_pretrained(saved)
    file = saved / "adapter_config.json"
    named = json.loads(file.read_text()) | {"base_model_name_or_path": "org/base"}
    file.write_text(json.dumps(named))
    shutil.copytree(saved, place("org/lora"))
    monkeypatch.setattr("socket.socket.connect", no_network)
    asked = [parse_spec(text) for text in ("org/lora", "org/base+org/lora", f"org/base+{saved}")]

    with open_engines(asked, EngineOptions(offline=True, device="cpu")) as engines:
        first, second, third = [engine.identity() for engine in engines]

    assert first.model.fingerprint == second.model.fingerprint == third.model.fingerprint
    assert first.model.base_fingerprint == f"commit:{COMMIT}"
    assert (first.model.kind, first.model.label) == ("adapter", "lora")
    assert first.model.resolved == f"org/base + org/lora@{COMMIT[:8]}"


def no_network(*_):
    raise AssertionError("the network was asked")
