"""How vLLM is opened: once a base, for all its adapters, quietly, and ended again."""

import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_engines
from qwen_bench.engines.vllm.vllm_model import adapter_rank
from qwen_bench.errors import AdapterMismatchError, EngineError, MissingExtraError, ModelError
from qwen_bench.probes.suites import build_suite
from qwen_bench.solvers.solver_engine import SolverEngine

VLLM = EngineOptions(engine="vllm")


def scores(engine, unit):
    return {
        (reply.id, reply.mode): [score.logprob for score in reply.scores] or reply.text
        for reply in engine.answer(unit)
    }


def test_nothing_imports_vllm_before_an_engine_is_opened():
    code = (
        "import sys, qwen_bench.engines.registry, qwen_bench.engines.vllm.vllm_engine; "
        "print('vllm' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_without_vllm_the_extra_is_named(checkpoints, monkeypatch):
    monkeypatch.setattr("qwen_bench.engines.registry.find_spec", lambda _: None)

    with (
        pytest.raises(MissingExtraError, match="vllm") as raised,
        open_engines([parse_spec(str(checkpoints["qwen2"]))], VLLM),
    ):
        pass

    assert "qwen-bench[vllm]" in raised.value.fix[0]


def test_solvers_need_no_vllm(monkeypatch):
    def solver(spec):
        return SolverEngine(spec.name, build_suite("quick"))

    monkeypatch.setattr("qwen_bench.engines.registry.find_spec", lambda _: None)

    with open_engines([parse_spec("mock:oracle")], VLLM, solver=solver) as engines:
        assert next(engines).identity().engine.name != "vllm"


def test_it_is_opened_with_what_the_user_chose_and_what_answers_need(fake_vllm, checkpoints):
    options = replace(
        VLLM,
        dtype="bfloat16",
        model_args={"max_model_len": 512, "gpu_memory_utilization": 0.5, "enforce_eager": False},
    )

    with open_engines([parse_spec(str(checkpoints["qwen2"]))], options) as engines:
        next(engines)

    arguments = fake_vllm.opened[0].arguments
    assert arguments["enable_prefix_caching"] is True
    assert arguments["generation_config"] == "vllm"
    assert (arguments["max_model_len"], arguments["gpu_memory_utilization"]) == (512, 0.5)
    assert (arguments["dtype"], arguments["enforce_eager"]) == ("bfloat16", False)
    assert "enable_lora" not in arguments
    assert arguments["load_format"] == "safetensors"


def test_the_context_of_the_model_is_the_default(fake_vllm, checkpoints):
    with open_engines([parse_spec(str(checkpoints["qwen2"]))], VLLM) as engines:
        assert next(engines).abilities().max_context == 1024

    assert fake_vllm.opened[0].arguments["max_model_len"] == 1024


@pytest.mark.usefixtures("fake_vllm")
def test_who_answers_differs_from_the_hf_engine_in_the_engine_only(checkpoints):
    spec = parse_spec(str(checkpoints["qwen2"]))

    with open_engines([spec], VLLM) as engines:
        mine = next(engines).identity()
    with open_engines([spec], EngineOptions()) as engines:
        theirs = next(engines).identity()

    assert (mine.model, mine.template, mine.generation) == (
        theirs.model,
        theirs.template,
        theirs.generation,
    )
    assert (mine.engine.name, mine.engine.version) == ("vllm", "0.0-fake")


@pytest.mark.usefixtures("fake_vllm")
def test_a_device_vllm_was_not_built_for_is_refused(checkpoints):
    with (
        pytest.raises(EngineError, match="computes on cpu, not on mps"),
        open_engines(
            [parse_spec(str(checkpoints["qwen2"]))], replace(VLLM, device="mps")
        ) as engines,
    ):
        next(engines)


def test_what_vllm_refuses_is_told_without_a_traceback(fake_vllm, checkpoints, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("No available memory for the cache blocks.\nmore")

    monkeypatch.setattr(fake_vllm.LLM, "__init__", refuse)

    with (
        pytest.raises(EngineError, match="vllm cannot load qwen2") as raised,
        open_engines([parse_spec(str(checkpoints["qwen2"]))], VLLM) as engines,
    ):
        next(engines)

    assert raised.value.why[0] == "No available memory for the cache blocks."


def test_base_and_adapters_share_one_vllm_and_never_a_call(
    fake_vllm, checkpoints, make_lora, forked_unit
):
    first, second = make_lora("a", seed=1), make_lora("b", rank=12, seed=2)
    base = str(checkpoints["qwen2"])
    specs = [parse_spec(text) for text in (base, str(first), str(second), f"again={base}")]

    with open_engines(specs, VLLM) as engines:
        found = [scores(engine, forked_unit) for engine in engines]

    (llm,) = fake_vllm.opened
    assert llm.arguments["max_lora_rank"] == 16
    assert llm.ended == 1
    for call in llm.calls:
        assert len({adapter for _, _, adapter in call}) == 1
    assert found[0] == found[3]
    assert found[0] != found[1] != found[2] != found[0]


@pytest.mark.usefixtures("fake_vllm")
def test_adapters_answer_as_in_the_hf_engine(make_lora, forked_unit):
    spec = parse_spec(str(make_lora("a", seed=1)))

    with open_engines([spec], VLLM) as engines:
        mine = scores(next(engines), forked_unit)
    with open_engines([spec], EngineOptions()) as engines:
        theirs = scores(next(engines), forked_unit)

    assert mine.keys() == theirs.keys()
    for key, found in mine.items():
        expected = theirs[key]
        if key[1] == "rank":
            expected = pytest.approx(expected, abs=1e-5)
        assert found == expected


def test_an_engine_opened_for_adapters_never_asks_for_prompt_logprobs(
    fake_vllm, checkpoints, make_lora, forked_unit
):
    specs = [parse_spec(str(checkpoints["qwen2"])), parse_spec(str(make_lora("a")))]

    with open_engines(specs, VLLM) as engines:
        list(next(engines).answer(forked_unit))

    assert fake_vllm.asks
    assert all(params.prompt_logprobs is None for _, params, _ in fake_vllm.asks)


def test_a_base_is_ended_when_no_later_spec_needs_it(fake_vllm, checkpoints):
    specs = [parse_spec(str(checkpoints[family])) for family in ("qwen2", "qwen3")]

    with open_engines(specs, VLLM) as engines:
        next(engines)
        next(engines)
        assert [llm.ended for llm in fake_vllm.opened] == [1, 0]

    assert [llm.ended for llm in fake_vllm.opened] == [1, 1]


def test_an_adapter_that_vllm_does_not_apply_is_a_warning(fake_vllm, make_lora, monkeypatch):
    monkeypatch.setattr(fake_vllm.LLM, "_under", lambda self, _: self.model)

    with open_engines([parse_spec(str(make_lora("a")))], VLLM) as engines:
        (warning,) = next(engines).identity().warnings

    assert warning == "adapter a: vllm answers with it as without it"


@pytest.mark.usefixtures("fake_vllm")
def test_an_adapter_that_does_something_warns_of_nothing(make_lora):
    with open_engines([parse_spec(str(make_lora("a")))], VLLM) as engines:
        assert next(engines).identity().warnings == ()


def test_an_adapter_that_vllm_refuses_is_named(fake_vllm, make_lora):
    fake_vllm.LLM.faults[:] = [None, ValueError("vLLM does not yet support DoRA.")]

    with (
        pytest.raises(AdapterMismatchError, match="vllm cannot use the adapter a"),
        open_engines([parse_spec(str(make_lora("a")))], VLLM) as engines,
    ):
        next(engines)


def test_an_adapter_of_another_base_is_refused_before_vllm_is_opened(
    fake_vllm, checkpoints, make_lora
):
    spec = parse_spec(f"{checkpoints['qwen3']}+{make_lora('a')}")

    with (
        pytest.raises(AdapterMismatchError, match="do not fit"),
        open_engines([spec], VLLM) as engines,
    ):
        next(engines)

    assert not fake_vllm.opened


def test_the_largest_rank_of_a_pattern_counts(make_lora):
    folder = make_lora("a")
    file = folder / "adapter_config.json"
    file.write_text(
        file.read_text().replace('"rank_pattern": {}', '"rank_pattern": {"q_proj": 40}')
    )

    assert adapter_rank(folder) == 40


@pytest.mark.usefixtures("fake_vllm")
def test_an_output_layer_that_vllm_would_drop_is_refused(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints["qwen2"], tmp_path / "model")
    found = load_file(folder / "model.safetensors")
    embeddings = found["model.embed_tokens.weight"]

    def opened(head):
        save_file(found | {"lm_head.weight": head}, folder / "model.safetensors", {"format": "pt"})
        with open_engines([parse_spec(str(folder))], VLLM) as engines:
            return next(engines).identity().model.label

    assert opened(embeddings.clone()) == "model"
    with pytest.raises(ModelError, match="has an lm_head that differs from its embeddings") as seen:
        opened(embeddings * 2)
    assert seen.value.fix[0] == '"tie_word_embeddings": false in config.json'


@pytest.mark.usefixtures("fake_vllm")
def test_a_package_that_vllm_misses_is_named(checkpoints, monkeypatch):
    def broken(**_):
        raise ImportError("AWQ needs it. Please install it with `pip install autoawq`")

    monkeypatch.setattr(sys.modules["vllm"], "LLM", broken)

    with (
        pytest.raises(EngineError, match="vllm cannot load") as caught,
        open_engines([parse_spec(str(checkpoints["qwen2"]))], VLLM) as engines,
    ):
        next(engines)

    assert caught.value.fix[0] == "pip install autoawq"
