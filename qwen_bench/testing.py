"""Test doubles: a scripted engine, manifests and runs, tiny checkpoints with real files.

Public, so that people who write engines or probes test with what this project tests with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from qwen_bench.chat.rendering import CHATML
from qwen_bench.engines.quiet_library import quiet_transformers
from qwen_bench.protocol import Abilities, Identity, Reply, Request, Score, Unit
from qwen_bench.record.counters import Counters
from qwen_bench.record.manifest import DecodingInfo, EngineInfo, Manifest, ModelInfo, TemplateInfo
from qwen_bench.record.outcome import Run

Family = Literal["qwen2", "qwen3", "llama", "qwen3_5", "gemma3"]
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = 512
SAMPLE_TEXT = (
    "My cat is called Biscuit and my locker is number 44.",
    "What is the name of my cat? Which locker is mine?",
    "Thank you, noted. Please remember that the meeting moved to Friday.",
    "我的猫叫饼干，我的柜子是四十四号。我的猫叫什么名字？",
    "system user assistant hello yes no red green blue north south",
)


_MANIFEST: dict[str, Any] = {
    "run_id": "run",
    "status": "finished",
    "identity": "",
    "tool": {"version": "0.1.0"},
    "suite": {
        "name": "core",
        "version": "1.0",
        "sha256": "5" * 64,
        "seed": 0,
        "filler_sha256": "f" * 64,
        "langs": ["en", "zh"],
        "families": ["fact_recall", "pronoun"],
        "lengths": [1, 4],
        "conditions": ["main"],
        "modes": ["generate"],
        "primary": "generate",
    },
    "scorer": {"version": "1.0"},
    "generation": {"max_new_tokens": 64},
    "template": {"chat_template_sha256": "t1"},
    "model": {"spec": "mock:oracle", "label": "oracle", "kind": "mock", "fingerprint": "w1"},
    "engine": {"name": "hf", "device": "cpu"},
    "expected": {"rows": 1, "ids_sha256": ""},
}


def make_manifest(given: Manifest | None = None, /, **changes: Any) -> Manifest:  # noqa: ANN401 - values of fields
    """A manifest, of a finished run of two families unless another one is given.

    Args:
        given: the manifest to change.
        changes: fields by dotted name, dots written as two underscores: ``suite__policy="full"``.

    Raises:
        pydantic.ValidationError: a value that the field does not take.
    """
    data = deepcopy(_MANIFEST) if given is None else given.model_dump()
    for name, value in changes.items():
        *parts, last = name.split("__")
        target = data
        for part in parts:
            target = target[part]
        target[last] = value
    return Manifest.model_validate(data)


def change_run(run: Run, **changes: Any) -> Run:  # noqa: ANN401 - values of fields
    """A run whose manifest has other values; names as for `make_manifest`."""
    return replace(run, manifest=make_manifest(run.manifest, **changes))


class ScriptedEngine:
    """Answers from a table or a function, without a model.

    Args:
        answers: generated text by request id, or a function of the request that returns a text, a
            finished `Reply`, or raises. In rank mode the answer gets log-probability -1, every
            other candidate -2. A request without an answer gets an empty text.
        name: for the identity.
    """

    def __init__(
        self,
        answers: Mapping[str, str] | Callable[[Request], str | Reply],
        *,
        name: str = "scripted",
    ) -> None:
        self._answers = answers
        self._name = name
        self._counters = Counters()
        self.asked: list[Request] = []
        self.closed = False

    def identity(self) -> Identity:
        """A mock model of the given name."""
        model = ModelInfo(
            spec=f"mock:{self._name}",
            label=self._name,
            kind="mock",
            fingerprint=f"scripted:{self._name}",
        )
        return Identity(model, TemplateInfo(), DecodingInfo(), EngineInfo(name="scripted"))

    def abilities(self) -> Abilities:
        """Both modes, no limit."""
        return Abilities()

    def answer(self, unit: Unit) -> Iterator[Reply]:
        """One reply for each request, in order."""
        for request in unit.requests:
            self.asked.append(request)
            reply = self._reply(request)
            self._counters.requests += 1
            yield reply

    def counters(self) -> Counters:
        """Requests answered so far."""
        return replace(self._counters)

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _reply(self, request: Request) -> Reply:
        if callable(self._answers):
            answer = self._answers(request)
        else:
            answer = self._answers.get(request.id, "")
        if isinstance(answer, Reply):
            return answer
        if request.mode == "generate":
            return Reply(request.id, "generate", "ok", text=answer, finish_reason="stop")
        scores = tuple(
            Score(candidate, -1.0 if candidate == answer else -2.0, -0.5, 1)
            for candidate in request.candidates
        )
        return Reply(request.id, "rank", "ok", scores=scores)


def tiny_checkpoint(folder: Path, family: Family = "qwen2", *, seed: int = 0) -> Path:
    """Write a two-layer random model with tokenizer and ChatML template, as transformers does.

    Weights are redrawn with standard deviation 0.2: with the default initialisation logits are
    nearly constant, and equality tests pass on broken code.

    Args:
        folder: created if missing.
        family: architecture; `qwen3_5` mixes linear and full attention.
        seed: of the weights.

    Returns:
        The folder.
    """
    with quiet_transformers():
        tiny_model(family, seed=seed).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
    return folder


def tiny_4bit_checkpoint(folder: Path) -> Path:
    """Write a random model as bitsandbytes keeps it in 4 bit, with tokenizer and template.

    It has no biases: bitsandbytes 0.50 cannot train through layers that have, on a CPU.

    Returns:
        The folder.
    """
    import torch  # noqa: PLC0415 - seconds to import
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig  # noqa: PLC0415 - as above

    whole = folder.with_name(f"{folder.name}-whole")
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32, bnb_4bit_quant_type="nf4"
    )
    with quiet_transformers():
        # A row of a weight must be a multiple of what is quantised together.
        tiny_model("qwen3", hidden_size=128, intermediate_size=256).save_pretrained(whole)
        quantised = AutoModelForCausalLM.from_pretrained(
            whole, quantization_config=settings, device_map={"": "cpu"}
        )
        quantised.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
    return folder


def tiny_tokenizer() -> Any:  # noqa: ANN401 - transformers is untyped
    """A byte-level BPE tokenizer of 512 entries with ChatML tokens and template."""
    from tokenizers import (  # noqa: PLC0415 - seconds to import
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - as above

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SAMPLE_TEXT * 2, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",  # noqa: S106 - a token of text, not a secret
        pad_token="<|endoftext|>",  # noqa: S106 - as above
        chat_template=CHATML,
        clean_up_tokenization_spaces=False,
    )


def tiny_model(family: Family = "qwen2", *, seed: int = 0, **changes: Any) -> Any:  # noqa: ANN401 - untyped
    """A random two-layer model, in evaluation mode.

    Args:
        family: architecture. `qwen2` ties its embeddings, `qwen3` has a head size of its own,
            `qwen3_5` mixes linear and full attention, `gemma3` sliding windows and full attention.
        seed: of the weights.
        changes: settings of the configuration.
    """
    import torch  # noqa: PLC0415 - seconds to import
    import transformers  # noqa: PLC0415 - as above

    common: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "bos_token_id": None,
        "eos_token_id": SPECIAL_TOKENS.index("<|im_end|>"),
        "pad_token_id": SPECIAL_TOKENS.index("<|endoftext|>"),
    }
    own: dict[Family, dict[str, Any]] = {
        "qwen2": {"tie_word_embeddings": True},
        "qwen3": {"head_dim": 16},
        "llama": {},
        "qwen3_5": {
            "head_dim": 16,
            "layer_types": ["linear_attention", "full_attention"],
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e4,
                "mrope_section": [1, 1, 0],
                "mrope_interleaved": True,
                "partial_rotary_factor": 0.25,
            },
        },
        "gemma3": {
            "head_dim": 16,
            "query_pre_attn_scalar": 16,
            "sliding_window": 24,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    }
    classes: dict[Family, tuple[str, str]] = {
        "qwen2": ("Qwen2Config", "Qwen2ForCausalLM"),
        "qwen3": ("Qwen3Config", "Qwen3ForCausalLM"),
        "llama": ("LlamaConfig", "LlamaForCausalLM"),
        "qwen3_5": ("Qwen3_5TextConfig", "Qwen3_5ForCausalLM"),
        "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM"),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config_name, model_name = classes[family]
        config = getattr(transformers, config_name)(**(common | own[family] | changes))
        model = getattr(transformers, model_name)(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim > 1 and "norm" not in name:
                    parameter.normal_(0.0, 0.2)
                if name.endswith("A_log"):
                    # Running states that fade within a token would hide a wrong one.
                    parameter.fill_(-4.0)
    return model.eval()
