"""A small vllm that computes with a real tiny model and has the traps of the real one.

Prefixes are cached in blocks of 16; positions out of the cache hold garbage; a call that mixes
requests for chosen tokens with others loses the best log-probabilities of the others; after a
fault, what was asked stays inside; LoRA makes `prompt_logprobs` fail.
"""

import importlib.machinery
import json
import sys
import warnings
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import pytest

BLOCK = 16
GARBAGE = -4242.0
KNOWN = {
    "n", "temperature", "top_p", "top_k", "min_p", "seed", "repetition_penalty",
    "presence_penalty", "frequency_penalty", "max_tokens", "min_tokens", "stop", "stop_token_ids",
    "ignore_eos", "logprobs", "prompt_logprobs", "logprob_token_ids", "detokenize",
    "skip_reading_prefix_cache",
}  # fmt: skip


class SamplingParams(SimpleNamespace):
    """Refuses what the real one does not know."""

    def __init__(self, **settings):
        unknown = settings.keys() - KNOWN
        if unknown:
            raise TypeError(f"unexpected arguments {sorted(unknown)}")
        self.given = frozenset(settings)
        super().__init__(**({"skip_reading_prefix_cache": None} | settings))


class FakeLLM:
    """One opened engine. `calls` are (ids, settings, adapter path) lists, one a call."""

    opened: ClassVar = []
    faults: ClassVar = []
    """Exceptions of the next calls; None lets one pass."""
    script = None
    """Ids that every generation gives instead of the model's own."""
    hides_cache = False

    def __init__(self, **arguments):
        from transformers import AutoModelForCausalLM

        self.arguments = arguments
        self.model = AutoModelForCausalLM.from_pretrained(arguments["model"]).eval()
        self.peft = None
        self.adapters = {}
        self.cache = set()
        self.stale = []
        self.calls = []
        self.forgotten = 0
        self.ended = 0
        self.llm_engine = SimpleNamespace(engine_core=SimpleNamespace(shutdown=self._end))
        FakeLLM.opened.append(self)

    def _end(self):
        self.ended += 1

    def reset_prefix_cache(self):
        self.cache.clear()
        self.forgotten += 1
        return True

    def generate(self, prompts, sampling_params, lora_request=None, *, use_tqdm=True):
        assert not use_tqdm
        adapter = lora_request.lora_path if lora_request else None
        asks = [
            (tuple(prompt["prompt_token_ids"]), params, adapter)
            for prompt, params in zip(prompts, sampling_params, strict=True)
        ]
        self.calls.append(asks)
        fault = FakeLLM.faults.pop(0) if FakeLLM.faults else None
        if fault is not None:
            self.stale += asks
            raise fault
        chosen = any(params.logprob_token_ids for _, params, _ in asks)
        outputs = [self._one(*ask, chosen) for ask in self.stale + asks]
        self.stale = []
        return outputs

    def _one(self, ids, params, adapter, chosen):
        limit = self.arguments["max_model_len"]
        assert len(ids) < limit, "longer than max_model_len"
        reads = params.skip_reading_prefix_cache
        if reads is None:
            reads = params.prompt_logprobs is not None
        blocks = [(adapter, ids[:end]) for end in range(BLOCK, len(ids) + 1, BLOCK)]
        cached = 0
        for _, prefix in [] if reads else [block for block in blocks if len(block[1]) < len(ids)]:
            if (adapter, prefix) not in self.cache:
                break
            cached = len(prefix)
        self.cache |= set(blocks)
        tokens, seen = self._generated(ids, params, adapter, chosen)
        before = None
        if params.prompt_logprobs is not None:
            assert not self.arguments.get("enable_lora"), "subscript b has size 3"
            before = [None, *self._of_prompt(ids, adapter, cached)]
        sequence = SimpleNamespace(token_ids=tokens, logprobs=seen)
        return SimpleNamespace(
            prompt_token_ids=list(ids),
            outputs=[sequence],
            prompt_logprobs=before,
            num_cached_tokens=None if FakeLLM.hides_cache else cached,
        )

    def _logprobs(self, ids, adapter):
        import torch

        model = self._under(adapter)
        with torch.inference_mode():
            return model(torch.tensor([ids])).logits[0].float().log_softmax(-1)

    def _under(self, adapter):
        if adapter is None:
            if self.peft is not None:
                self.peft.base_model.disable_adapter_layers()
            return self.model
        from peft import PeftModel

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            name = self.adapters.setdefault(adapter, f"a{len(self.adapters)}")
            if self.peft is None:
                self.peft = PeftModel.from_pretrained(self.model, adapter, adapter_name=name)
                self.peft.eval()
            elif name not in self.peft.peft_config:
                self.peft.load_adapter(adapter, adapter_name=name)
        self.peft.base_model.enable_adapter_layers()
        self.peft.set_adapter(name)
        return self.peft

    def _of_prompt(self, ids, adapter, cached):
        logprobs = self._logprobs(ids, adapter)
        for place, token in enumerate(ids[1:]):
            value = GARBAGE if place < cached else float(logprobs[place, token])
            yield {token: SimpleNamespace(logprob=value)}

    def _generated(self, ids, params, adapter, chosen):
        tokens, seen = [], []
        for number in range(params.max_tokens):
            last = self._logprobs([*ids, *tokens], adapter)[-1]
            scripted = FakeLLM.script is not None and params.max_tokens > 1
            token = FakeLLM.script[number] if scripted else int(last.argmax())
            tokens.append(token)
            wanted = {token}
            if params.logprob_token_ids:
                wanted |= set(params.logprob_token_ids)
            elif params.logprobs:
                wanted |= {0} if chosen else set(last.topk(params.logprobs).indices.tolist())
            seen.append({item: SimpleNamespace(logprob=float(last[item])) for item in wanted})
            if token in params.stop_token_ids:
                break
            if scripted and number + 1 == len(FakeLLM.script):
                break
        has = params.logprobs is not None or params.logprob_token_ids
        return tokens, seen if has else None


class FakeVllm:
    """What a test sees of the package."""

    LLM = FakeLLM

    @property
    def opened(self):
        """Engines in the order they were opened."""
        return FakeLLM.opened

    @property
    def calls(self):
        """All calls so far, over all engines."""
        return [call for llm in FakeLLM.opened for call in llm.calls]

    @property
    def asks(self):
        """All sequences asked for so far."""
        return [ask for call in self.calls for ask in call]


@pytest.fixture
def fake_vllm(monkeypatch):
    """Puts the fake in the place of vllm."""
    package = ModuleType("vllm")
    package.__spec__ = importlib.machinery.ModuleSpec("vllm", None)
    package.__version__ = "0.0-fake"
    package.SamplingParams = SamplingParams
    package.LLM = FakeLLM
    platforms, distributed, lora = (
        ModuleType(f"vllm.{name}") for name in ("platforms", "distributed", "lora")
    )
    platforms.current_platform = SimpleNamespace(device_type="cpu")
    distributed.cleanup_dist_env_and_memory = lambda: None
    request = ModuleType("vllm.lora.request")
    request.LoRARequest = lambda name, number, path: SimpleNamespace(
        lora_name=name, lora_int_id=number, lora_path=path
    )
    for module in (package, platforms, distributed, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for name, value in {"opened": [], "faults": [], "script": None, "hides_cache": False}.items():
        monkeypatch.setattr(FakeLLM, name, value)
    for name in ("LOGGING_LEVEL", "LOGGING_STREAM", "NO_USAGE_STATS", "ENABLE_V1_MULTIPROCESSING"):
        monkeypatch.setenv(f"VLLM_{name}", "set by the test")
    return FakeVllm()


@pytest.fixture
def open_vllm(fake_vllm, checkpoints):
    """Opens an engine on a tiny model; `window` is the context, `template` the chat template."""
    from qwen_bench.chat.rendering import ChatSettings, choose_template
    from qwen_bench.engines.engine_options import EngineOptions
    from qwen_bench.engines.loading import shipped_template
    from qwen_bench.engines.model_spec import parse_spec
    from qwen_bench.engines.vllm.vllm_engine import VllmEngine
    from qwen_bench.engines.vllm.vllm_model import open_base

    assert not fake_vllm.opened

    def open_one(*, template=None, window=None, adapters=(), adapter=None, **options):
        spec = parse_spec(str(checkpoints["qwen2"]))
        settings = {"max_model_len": window} if window else {}
        base = open_base(spec, EngineOptions(model_args=settings), adapters)
        own = shipped_template(base.loaded.tokenizer)
        chat = ChatSettings(choose_template(template, own, "tiny"))
        attached = base.attach(adapter, allow_pickle=False) if adapter else None
        return VllmEngine(base, chat, spec, adapter=attached, **options)

    return open_one


@pytest.fixture
def make_lora(tmp_path, checkpoints):
    """Writes a LoRA folder for the tiny Qwen2, its factors random or zero."""
    import torch
    from peft import LoraConfig, get_peft_model

    from qwen_bench.testing import tiny_model

    def make(name, *, rank=4, scale=0.5, seed=0):
        torch.manual_seed(seed)
        config = LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            wrapped = get_peft_model(tiny_model("qwen2"), config)
        with torch.no_grad():
            for key, parameter in wrapped.named_parameters():
                if "lora_B" in key:
                    parameter.normal_(0.0, scale)
        folder = tmp_path / name
        wrapped.save_pretrained(folder)
        file = folder / "adapter_config.json"
        written = json.loads(file.read_text())
        written["base_model_name_or_path"] = str(checkpoints["qwen2"])
        file.write_text(json.dumps(written))
        return folder

    return make
