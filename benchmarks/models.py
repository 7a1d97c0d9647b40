"""The models that are measured, on disk: safetensors for torch, F32 GGUF for llama.cpp.

Both files of a model hold the same float32 numbers. Random models have all weights but the norms
multiplied by 3: with the usual initialisation answers are nearly constant, and equal answers would
prove nothing. None has a stop token, so the number of generated tokens is fixed.

    python -m benchmarks.models        # prepares everything, once; the other scripts need it
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODELS = ("qwen3-tiny", "qwen3-deep", "smollm2")
REAL_NEW_TOKENS = 16
_LAYERS = {"qwen3-tiny": 4, "qwen3-deep": 16}
_SIZES = {
    "vocab_size": 4096,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 16384,
    "tie_word_embeddings": True,
}
GGUF = "model-f32.gguf"


def default_folder() -> Path:
    """Where prepared models and unfinished results are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "qwen-bench" / "benchmarks"


def prepare(folder: Path, say: Callable[[str], None]) -> None:
    """Make every model and the grid `real`, unless they are there.

    Args:
        folder: receives one folder a model, and `real.json`.
        say: is told what is made.
    """
    for name in MODELS:
        if not (folder / name / GGUF).is_file():
            say(f"making {name}")
            _whole(folder / name, _build_smollm2 if name == "smollm2" else _builder(name))
    if not (folder / "real.json").is_file():
        say("making the grid real")
        text = json.dumps(_real_grid(folder / "smollm2"))
        (folder / "real.json").write_text(text, encoding="utf-8")


def load(folder: Path, *, attention: str | None = None) -> Any:  # noqa: ANN401 - a transformers model
    """A prepared model in float32, in evaluation mode, that never stops by itself.

    Args:
        folder: of the model.
        attention: implementation by its transformers name; None for the default.
    """
    import torch  # noqa: PLC0415 - seconds to import
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - as above

    options = {} if attention is None else {"attn_implementation": attention}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
    settings = model.generation_config
    settings.eos_token_id = None
    settings.pad_token_id = 0
    settings.repetition_penalty = 1.0
    return model.eval()


def word_tokenizer(vocabulary: int) -> Any:  # noqa: ANN401 - a transformers tokenizer
    """A tokenizer whose word `t17` is id 17, for runners that take text only."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    words = {f"t{token}": token for token in range(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="t0"))  # noqa: S106 - not a secret
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="t0",  # noqa: S106 - not a secret
        pad_token="t0",  # noqa: S106 - not a secret
        clean_up_tokenization_spaces=False,
    )


def _whole(target: Path, build: Callable[[Path], None]) -> None:
    """Build in a folder beside the target and move it there when it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".making-", dir=target.parent))
    try:
        build(work)
        shutil.rmtree(target, ignore_errors=True)
        work.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def random_model(name: str) -> Any:  # noqa: ANN401 - a transformers model
    """A random Qwen3 without a stop token, non-norm weights three times the usual ones."""
    import torch  # noqa: PLC0415 - seconds to import
    from transformers import Qwen3Config, Qwen3ForCausalLM  # noqa: PLC0415 - as above

    config = Qwen3Config(
        **_SIZES,
        num_hidden_layers=_LAYERS[name],
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = Qwen3ForCausalLM(config).eval()
        for key, weight in model.named_parameters():
            if "norm" not in key:
                weight.mul_(3)
    return model


def _builder(name: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        model = random_model(name)
        model.save_pretrained(folder)
        _write_gguf(model, folder / GGUF, "qwen3")

    return build


def _build_smollm2(folder: Path) -> None:
    """The embedded model, dequantised to float32, with its own vocabulary in the GGUF file too."""
    from qwen_bench.engines.embedded import embedded_folder  # noqa: PLC0415 - needs torch

    source = embedded_folder()
    shutil.copytree(source, folder, dirs_exist_ok=True)
    _write_gguf(load(source), folder / GGUF, "llama")


def _write_gguf(model: Any, path: Path, architecture: str) -> None:  # noqa: ANN401 - transformers
    """Write the weights as F32 GGUF with a vocabulary of numbered words, which nobody reads."""
    import gguf  # noqa: PLC0415 - wanted only here

    config = model.config
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([f"t{token}" for token in range(config.vocab_size)])
    writer.add_token_types([gguf.TokenType.NORMAL] * config.vocab_size)
    writer.add_token_merges(["t 0"])
    writer.add_add_bos_token(False)  # noqa: FBT003 - the interface of gguf
    names = gguf.get_tensor_name_map(
        gguf.MODEL_ARCH.QWEN3 if architecture == "qwen3" else gguf.MODEL_ARCH.LLAMA,
        config.num_hidden_layers,
    )
    for key, weight in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        numbers = weight.detach().float().numpy()
        # llama.cpp rotates neighbouring pairs in Llama models, transformers the two halves.
        if architecture == "llama" and "q_proj" in key:
            numbers = _paired(numbers, heads)
        elif architecture == "llama" and "k_proj" in key:
            numbers = _paired(numbers, groups)
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ValueError(f"GGUF has no name for {key}")
        writer.add_tensor(name, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _paired(weight: Any, heads: int) -> Any:  # noqa: ANN401 - numpy array
    """(heads * size, hidden) rows reordered from halves to neighbouring pairs within each head."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns).copy()


def _real_grid(folder: Path) -> dict[str, Any]:
    """One English dialogue of suite `core`, all its probes, as ids of the embedded model."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - seconds to import

    from qwen_bench.chat.rendering import ChatSettings, choose_template  # noqa: PLC0415
    from qwen_bench.engines.prompter import Prompter  # noqa: PLC0415
    from qwen_bench.probes.selection import Selection  # noqa: PLC0415
    from qwen_bench.probes.suites import build_suite  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(folder)
    template = choose_template(None, tokenizer.chat_template, "smollm2")
    prompter = Prompter(tokenizer, ChatSettings(template))
    suite = build_suite("core", Selection(conditions=("main",), langs=("en",)))
    dialogue = next(iter(suite.dialogues()))
    asked = [
        (prompter.prompt(item.messages).ids, item.probe.rank_candidates)
        for item in dialogue.probes
        if item.probe.length <= 32
    ]
    return {
        "dialogue": dialogue.id,
        "prompts": [ids for ids, _ in asked],
        "scored": [
            (ids, [prompter.candidate(text) for text in candidates])
            for ids, candidates in asked
            if candidates
        ],
        "new_tokens": REAL_NEW_TOKENS,
    }


def main() -> None:
    """Prepare all models."""
    parser = argparse.ArgumentParser(description="Prepare the models of the benchmarks.")
    parser.add_argument("--models", type=Path, default=default_folder(), help="folder to use")
    prepare(parser.parse_args().models, lambda text: print(text, file=sys.stderr))  # noqa: T201


if __name__ == "__main__":
    main()
