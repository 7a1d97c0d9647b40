"""A base and its adapters do not touch one another, and one that does is caught."""

import json
import time
import warnings

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.hf.attaching import attach_adapter
from qwen_bench.engines.hf.isolation import Isolation, bits_sum, check_prompts
from qwen_bench.engines.loading import load_base
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_engines
from qwen_bench.errors import EngineError
from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Generation
from qwen_bench.runs.runner import units
from qwen_bench.testing import tiny_model

COPY = "has a copy of the weights to itself, because the base is not the same beside it"


@pytest.fixture
def folders(tmp_path, checkpoints):
    """A base and two LoRAs on it."""

    def make(name, seed):
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = get_peft_model(
                tiny_model(),
                LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False),
            )
        model.save_pretrained(tmp_path / name)
        file = tmp_path / name / "adapter_config.json"
        config = json.loads(file.read_text("utf-8"))
        base = {"base_model_name_or_path": str(checkpoints["qwen2"])}
        file.write_text(json.dumps(config | base), "utf-8")
        return tmp_path / name

    return checkpoints["qwen2"], make("one", 1), make("two", 2)


@pytest.fixture
def leak(monkeypatch):
    """`leak("two", after=6)`: the adapter writes into its base when it computes, from then on.

    Without `after` it writes once, as it is attached.
    """

    def plant(which, after=None):
        original = PeftModel.load_adapter

        def load(model, folder, adapter_name, *arguments, **options):
            result = original(model, folder, adapter_name, *arguments, **options)
            if folder.name == which:
                write(model, adapter_name, after)
            return result

        monkeypatch.setattr(PeftModel, "load_adapter", load)

    def write(model, adapter, after):
        layer = model.base_model.model.model.layers[0].self_attn.q_proj
        if after is None:
            layer.base_layer.weight.data += 0.5
            return
        calls = []

        def hook(module, *_):
            if module.active_adapters == [adapter] and not module.disable_adapters:
                calls.append(adapter)
                if len(calls) > after:
                    module.base_layer.weight.data += 0.5

        layer.register_forward_hook(hook)

    return plant


def ask(folders, unit):
    specs = [parse_spec(f"m{number}={folder}") for number, folder in enumerate(folders)]
    found = []
    with open_engines(specs, EngineOptions()) as engines:
        for engine in engines:
            replies = [(item.id, item.text, item.scores) for item in engine.answer(unit)]
            found.append((replies, engine.identity().warnings))
    return found


def test_an_adapter_that_writes_into_the_base_gets_weights_of_its_own(folders, leak, forked_unit):
    base, one, two = folders
    alone = [ask([folder], forked_unit)[0][0] for folder in (base, one)]
    leak("two")

    found = ask([base, one, two, base], forked_unit)

    assert [replies for replies, _ in found[:2]] == alone
    assert found[3][0] == alone[0]
    assert [line for line in found[2][1] if COPY in line] == [f"adapter two: {COPY}"]
    assert not any(said for _, said in (*found[:2], found[3]))


def test_one_that_writes_later_ends_the_run_that_it_would_spoil(folders, leak, forked_unit):
    leak("two", after=6)

    with pytest.raises(EngineError, match="no longer computes what it did at first") as caught:
        ask(folders, forked_unit)

    assert "two" in caught.value.why[0]
    assert "a run of its own" in caught.value.fix[0]


def test_alone_on_its_base_nobody_can_be_harmed_and_nothing_is_refused(folders, leak, forked_unit):
    leak("two", after=6)

    assert len(ask([folders[2]], forked_unit)[0][0]) == len(forked_unit.requests)


def test_a_write_that_no_prompt_shows_is_seen_in_the_weights(folders):
    base = load_base(parse_spec(str(folders[0])), EngineOptions())
    watch = Isolation(base)
    name = attach_adapter(base, folders[1]).name
    assert watch.includes(name)
    assert watch.leaves_weights()
    # A buffer that this computation does not read stands for rows that these prompts do not.
    base.model.register_buffer("rows", torch.ones(4))
    watch = Isolation(base)
    base.model.rows[2] += 1

    assert watch.unchanged(None)
    assert not watch.leaves_weights()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8, torch.float64])
def test_every_written_number_changes_the_sum_of_bits(dtype):
    tensor = torch.arange(64).to(dtype)
    before = bits_sum(tensor)

    tensor[17] = 5

    assert bits_sum(tensor) != before


@pytest.mark.model
@pytest.mark.slow
def test_the_check_costs_less_than_a_hundredth_of_a_quick_run(monkeypatch):
    spent = {"shared": 0.0, "check": 0.0}

    def timed(name, kind):
        original = getattr(Isolation, name)

        def call(*arguments):
            begun = time.process_time()
            try:
                return original(*arguments)
            finally:
                spent[kind] += time.process_time() - begun

        monkeypatch.setattr(Isolation, name, call)

    for name in ("__init__", "includes", "leaves_weights"):
        timed(name, "shared")
    timed("check", "check")
    suite = build_suite("quick")
    dialogues = list(suite.dialogues())
    # The smallest dialogue, for which a check is dearest.
    first = min(units(dialogues, suite.modes, Generation()), key=lambda unit: len(unit.requests))
    seconds, checks = [], []
    specs = [parse_spec("embedded"), parse_spec("finetune/demo")]

    with open_engines(specs, EngineOptions()) as engines:
        for engine in engines:
            spent["check"], begun = 0.0, time.process_time()
            assert len(list(engine.answer(first))) == len(first.requests)
            seconds.append(time.process_time() - begun)
            checks.append(spent["check"])

    assert checks[0] == 0.0 < checks[1]
    whole = len(dialogues) * sum(seconds)
    assert spent["shared"] + len(dialogues) * sum(checks) < 0.01 * whole


def test_the_check_prompts_reach_from_the_first_token_to_the_last():
    prompts = check_prompts(1000, [7, 8])

    assert (int(prompts.min()), int(prompts.max())) == (0, 999)
    assert prompts[:, :2].tolist() == [[7, 8]]
