"""A GGUF file answers as transformers reads it, converted once; what cannot be read is refused."""

import json
import struct
import warnings
from contextlib import closing

import gguf
import pytest
from peft import LoraConfig, get_peft_model

from qwen_bench.chat.messages import Message
from qwen_bench.engines.embedded import embedded_folder, find_embedded
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.gguf_header import read_header
from qwen_bench.engines.gguf_model import GgufModel, read_tokenizer
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.openai.server_request import load_local
from qwen_bench.engines.quantisation import quantisation_of
from qwen_bench.engines.registry import look_up, open_config, open_engines, open_prompter
from qwen_bench.errors import InputError, ModelError
from qwen_bench.protocol import Request, Unit
from qwen_bench.testing import tiny_model, tiny_tokenizer

LAYERS = 2


def write_gguf(path, *, arch="qwen2", kind="Q8_0", without=(), fields=()):
    """A random Qwen2 as llama.cpp's converter writes it, its matrices quantised."""
    model, tokenizer = tiny_model("qwen2"), tiny_tokenizer()
    config = model.config
    writer = gguf.GGUFWriter(path, arch)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{kind}"])
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    names = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    special = {item["content"] for item in backend["added_tokens"]}
    kinds = [3 if name in special else 1 for name in names]
    unused = config.vocab_size - len(names)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([*names, *(f"[PAD{number}]" for number in range(unused))])
    writer.add_token_types([*kinds, *[5] * unused])
    writer.add_token_merges([" ".join(pair) for pair in backend["model"]["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(tokenizer.chat_template)
    for name, value in fields:
        (writer.add_string if isinstance(value, str) else writer.add_uint16)(name, value)
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, LAYERS)
    for name, tensor in model.state_dict().items():
        stored = table.get_name(name, try_suffixes=(".weight", ".bias"))
        if stored is None or stored in without or name == "lm_head.weight":
            continue
        numbers = tensor.float().numpy()
        if numbers.ndim == 2:
            packed = gguf.GGMLQuantizationType[kind]
            numbers = gguf.quants.quantize(numbers, packed)
            writer.add_tensor(stored, numbers, raw_dtype=packed)
        else:
            writer.add_tensor(stored, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A user cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "qwen-bench" / "gguf"


@pytest.fixture
def tiny_gguf(tmp_path):
    return write_gguf(tmp_path / "tiny-Q8_0.gguf")


ASKED = tuple(
    Request(f"{question}-{mode}", (Message("user", question),), mode, names, 5)
    for question in ("My locker is number 44.", "My locker is number 45. Which?")
    for mode, names in (("generate", ()), ("rank", ("44", "red green")))
)


def answers_of(*specs, **options):
    """Replies and identities of some models, each asked the same."""
    parsed = [parse_spec(str(spec)) for spec in specs]
    with open_engines(parsed, EngineOptions(**options)) as engines, closing(engines):
        return [(engine, list(engine.answer(Unit("u", ASKED)))) for engine in engines]


def test_a_gguf_file_answers_as_transformers_reads_it(tiny_gguf, plain):
    from transformers import AutoModelForCausalLM, GgufConfig

    ((engine, replies),) = answers_of(tiny_gguf)

    engine._base.model = AutoModelForCausalLM.from_pretrained(
        tiny_gguf.parent,
        gguf_file=tiny_gguf.name,
        quantization_config=GgufConfig(dequantize=True),
    ).eval()
    plain(engine._base, engine).check(Unit("u", ASKED), replies)
    assert engine.identity().engine.prefix_sharing == "two-part"


def test_the_manifest_names_file_hash_and_quantisation(tiny_gguf):
    ((engine, _),) = answers_of(tiny_gguf)

    model = engine.identity().model
    assert (model.kind, model.resolved, model.label) == ("gguf", tiny_gguf.name, tiny_gguf.name)
    assert model.quantisation == "GGUF Q8_0"
    assert model.fingerprint == GgufModel("m", tiny_gguf).fingerprint
    assert model.context_window == 1024


def test_a_file_is_converted_once_and_its_words_come_from_there(tiny_gguf, cache):
    answers_of(tiny_gguf)
    written = {file: file.stat().st_mtime_ns for file in cache.rglob("*")}
    spec = parse_spec(str(tiny_gguf))

    answers_of(tiny_gguf)
    prompter = open_prompter(spec, EngineOptions())

    assert {file: file.stat().st_mtime_ns for file in cache.rglob("*")} == written
    assert prompter.tokenizer.name_or_path.startswith(str(cache))
    assert open_config(spec, EngineOptions())["hidden_size"] == 32


def test_number_formats_are_converted_apart(tiny_gguf, cache):
    for dtype in ("float32", "bfloat16"):
        ((engine, _),) = answers_of(tiny_gguf, dtype=dtype)
        assert engine.identity().model.dtype == dtype

    assert len(list(cache.iterdir())) == 2


def test_nothing_is_converted_to_look_at_a_file(tiny_gguf, cache):
    spec = look_up(parse_spec(str(tiny_gguf)), EngineOptions())

    assert open_config(spec, EngineOptions())["num_hidden_layers"] == LAYERS
    assert open_prompter(spec, EngineOptions()).stop_tokens(()).end_of_turn_name == "<|im_end|>"
    assert not cache.exists()


def test_a_server_may_be_given_the_tokenizer_of_its_file(tiny_gguf):
    local = load_local(EngineOptions(model_args={"tokenizer": str(tiny_gguf)}))

    assert local.context_window == 1024
    assert local.text_tokens("44 44") == len(read_tokenizer(tiny_gguf).encode("44 44"))


def test_an_adapter_is_put_on_a_gguf_file(tiny_gguf, tmp_path):
    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for an attribute that is being renamed.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        wrapped = get_peft_model(
            tiny_model("qwen2"), LoraConfig(target_modules=["q_proj"], init_lora_weights=False)
        )
        wrapped.save_pretrained(tmp_path / "adapter")

    (base, plain_replies), (engine, replies) = answers_of(
        tiny_gguf, f"{tiny_gguf}+{tmp_path / 'adapter'}"
    )

    model = engine.identity().model
    assert model.kind == "adapter"
    assert model.quantisation == "GGUF Q8_0"
    assert model.base_fingerprint == base.identity().model.fingerprint
    assert [reply.scores for reply in replies] != [reply.scores for reply in plain_replies]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (None, None),
        ({"quant_method": "gptq", "bits": 4}, "gptq, 4 bits"),
        ({"quant_method": "awq", "w_bit": 4}, "awq, 4 bits"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes, 4 bits"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
    ],
)
def test_the_format_of_a_quantised_checkpoint_is_named(tmp_path, settings, named):
    config = {} if settings is None else {"quantization_config": settings}
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert quantisation_of("m", tmp_path) == named


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])
    return path


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0, "cannot be read as a GGUF file"),
        (100, "cannot be read as a GGUF file"),
        (-20_000, "ends in the middle"),
    ],
)
def test_a_file_that_was_cut_is_refused_before_it_is_read(tiny_gguf, size, message):
    with pytest.raises(ModelError, match=message) as caught:
        look_up(parse_spec(str(cut(tiny_gguf, size))), EngineOptions())

    assert any("download or copy it again" in fix for fix in caught.value.fix)


def test_a_file_that_is_something_else_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK\x03\x04" + bytes(100))

    with pytest.raises(ModelError, match="cannot be read as a GGUF file") as caught:
        look_up(parse_spec(str(path)), EngineOptions())

    assert caught.value.why == ("it does not begin with the letters GGUF",)


def test_a_version_nobody_writes_is_refused(tiny_gguf):
    data = bytearray(tiny_gguf.read_bytes())
    struct.pack_into("<I", data, 4, 1)
    tiny_gguf.write_bytes(data)

    with pytest.raises(ModelError) as caught:
        read_header("m", tiny_gguf)

    assert caught.value.why == ("its version is 1; known are 2 and 3, little-endian",)


def test_an_architecture_transformers_does_not_know_names_the_server_way(tmp_path):
    path = write_gguf(tmp_path / "odd.gguf", arch="plamo3")

    with pytest.raises(ModelError, match=r"odd.gguf \(GGUF, plamo3\) cannot be loaded") as caught:
        look_up(parse_spec(str(path)), EngineOptions())

    assert f"llama-server -m {path} serves it" in " ".join(caught.value.fix)
    assert "--model openai:NAME --base-url URL" in " ".join(caught.value.fix)


def test_a_file_without_one_of_the_tensors_is_refused_and_nothing_is_kept(tmp_path, cache):
    path = write_gguf(tmp_path / "part.gguf", without={"blk.1.ffn_up.weight"})

    with pytest.raises(ModelError, match="1 weights are not in the files") as caught:
        answers_of(path)

    assert "up_proj" in str(caught.value.message)
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    ("fields", "message", "fix"),
    [
        ([("split.count", 3)], "is one part of 3", "llama-gguf-split --merge"),
        ([("general.type", "adapter")], r"a part for one \(adapter\)", "in the form of PEFT"),
        ([("general.type", "mmproj")], r"a part for one \(mmproj\)", "the language model"),
    ],
)
def test_parts_of_models_are_refused(tmp_path, fields, message, fix):
    path = write_gguf(tmp_path / "part.gguf", fields=fields)

    with pytest.raises(ModelError, match=message) as caught:
        look_up(parse_spec(str(path)), EngineOptions())

    assert fix in " ".join(caught.value.fix)


def test_positions_that_transformers_would_place_otherwise_are_refused(tmp_path):
    path = write_gguf(tmp_path / "long.gguf", fields=[("qwen2.rope.scaling.type", "yarn")])

    with pytest.raises(ModelError, match=r"scales its positions \(yarn\)") as caught:
        look_up(parse_spec(str(path)), EngineOptions())

    assert f"llama-server -m {path} serves it" in caught.value.fix[0]


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(tiny_gguf, cache, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())

    with pytest.raises(ModelError, match=r"0\.0 GB are free"):
        answers_of(tiny_gguf)

    assert not cache.exists()


def test_a_missing_file_is_no_hub_id():
    with pytest.raises(InputError, match=r"no file model\.gguf"):
        parse_spec("model.gguf")


def test_the_wheel_of_the_embedded_model_holds_a_whole_model_in_4_bits():
    header = read_header("m", find_embedded().gguf)

    assert (header.architecture, header.quantisation) == ("llama", "Q4_1")
    assert header.parameters == 134_515_008
    assert header.tensors == 272


@pytest.mark.model
@pytest.mark.slow
def test_the_file_of_the_wheel_becomes_the_embedded_model():
    from safetensors.torch import load_file

    folder = GgufModel("m", find_embedded().gguf).folder("float32")

    found = load_file(folder / "model.safetensors")
    expected = load_file(embedded_folder() / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(found[name].equal(expected[name]) for name in expected)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (folder / name).read_bytes() == (embedded_folder() / name).read_bytes()
