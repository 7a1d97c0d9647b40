"""Engines come one at a time, share their base, and need torch only when a model answers."""

import gc
import json
import shutil
import subprocess
import sys
import weakref

import pytest
import torch

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_engines
from qwen_bench.errors import InputError, TemplateError
from qwen_bench.probes.suites import build_suite
from qwen_bench.record.manifest import Thinking
from qwen_bench.solvers.solver_engine import SolverEngine


def opened(*texts, options=None):
    specs = [parse_spec(str(text)) for text in texts]
    return open_engines(specs, options or EngineOptions(), solver=solver)


def solver(spec):
    return SolverEngine(spec.name, build_suite("quick"))


def test_solvers_and_specs_need_no_model_library():
    code = (
        "import sys\n"
        "from qwen_bench.engines.engine_options import EngineOptions\n"
        "from qwen_bench.engines.registry import open_engines\n"
        "from qwen_bench.engines.model_spec import parse_spec\n"
        "from qwen_bench.probes.suites import build_suite\n"
        "from qwen_bench.solvers.solver_engine import SolverEngine\n"
        "import qwen_bench.chat.rendering, qwen_bench.testing, qwen_bench.engines.fingerprint\n"
        "solver = lambda spec: SolverEngine(spec.name, build_suite('quick'))\n"
        "specs = [parse_spec('mock:oracle')]\n"
        "with open_engines(specs, EngineOptions(), solver=solver) as engines:\n"
        "    next(engines).identity()\n"
        "heavy = {'torch', 'transformers', 'peft', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )

    done = subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.PIPE)

    assert done.returncode == 0, done.stderr


def test_a_missing_package_names_the_extra(checkpoints):
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from qwen_bench.engines.engine_options import EngineOptions\n"
        "from qwen_bench.engines.registry import open_engines\n"
        "from qwen_bench.engines.model_spec import parse_spec\n"
        "from qwen_bench.errors import MissingExtraError\n"
        "try:\n"
        "    open_engines([parse_spec(sys.argv[1])], EngineOptions()).__enter__()\n"
        "except MissingExtraError as error:\n"
        "    assert 'qwen-bench[hf]' in error.fix[0]\n"
        "else:\n"
        "    raise AssertionError\n"
    )

    command = [sys.executable, "-c", code, str(checkpoints["qwen2"])]
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE)

    assert done.returncode == 0, done.stderr


def test_a_solver_without_a_suite_is_refused():
    with (
        open_engines([parse_spec("mock:oracle")], EngineOptions()) as engines,
        pytest.raises(InputError, match="mock:oracle: a solver answers a suite"),
    ):
        next(engines)


def test_engines_come_in_the_order_of_the_specs(checkpoints):
    with opened("mock:oracle", checkpoints["qwen2"], "mock:blind") as engines:
        resolved = [engine.identity().model.resolved for engine in engines]

    assert resolved == ["mock:oracle", "qwen2", "mock:blind"]


def test_equal_bases_are_loaded_once(checkpoints):
    with opened(checkpoints["qwen2"], f"again={checkpoints['qwen2']}") as engines:
        first, second = engines

    assert first._base is second._base


def test_a_base_is_freed_when_no_later_spec_needs_it(checkpoints):
    with opened(checkpoints["qwen2"], checkpoints["qwen3"]) as engines:
        first = next(engines)
        model = weakref.ref(first._base.model)
        del first
        next(engines)
        gc.collect()

        assert model() is None


def test_settings_of_torch_are_restored(checkpoints):
    torch.set_float32_matmul_precision("high")
    try:
        with opened(checkpoints["qwen2"]) as engines:
            next(engines)
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_system_text_is_recorded_by_its_hash(checkpoints):
    hashes = set()
    for system in ("default", "none", "Be brief."):
        with opened(checkpoints["qwen2"], options=EngineOptions(system=system)) as engines:
            hashes.add(next(engines).identity().generation.system_sha256)

    assert None in hashes
    assert len(hashes) == 3


def test_a_thinking_switch_the_template_does_not_have_is_a_warning(checkpoints):
    with opened(checkpoints["qwen2"], options=EngineOptions(thinking="off")) as engines:
        identity = next(engines).identity()

    assert identity.template.thinking == Thinking(requested="off", effective="none")
    assert "no thinking switch" in identity.warnings[0]


def test_a_model_without_template_is_refused_until_one_is_given(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints["qwen2"], tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()

    with opened(folder) as engines, pytest.raises(TemplateError, match="bare has no chat template"):
        next(engines)
    with opened(folder, options=EngineOptions(chat_template="chatml")) as engines:
        assert next(engines).identity().template.source == "built-in"


def test_a_penalty_and_a_missing_stop_token_of_the_checkpoint_are_warnings(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints["qwen2"], tmp_path / "odd")
    settings = {"eos_token_id": 0, "repetition_penalty": 1.1}
    (folder / "generation_config.json").write_text(json.dumps(settings))

    with opened(folder) as engines:
        identity = next(engines).identity()

    assert identity.generation.repetition_penalty == 1.0
    penalty, closer = identity.warnings
    assert penalty.startswith("odd sets repetition_penalty 1.1;")
    assert closer.startswith("the template of odd closes turns with <|im_end|>, which its")
    assert "<|im_end|>" in identity.generation.stop


def test_an_unknown_device_is_refused_before_anything_is_loaded(checkpoints):
    options = EngineOptions(device="gpu")

    with opened(checkpoints["qwen2"], options=options) as engines, pytest.raises(InputError):
        next(engines)


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_sixteen_bit_weights_pass_the_self_check_by_the_bound_of_cached_forwards(
    family, checkpoints, forked_unit
):
    with opened(checkpoints[family], options=EngineOptions(dtype="bfloat16")) as engines:
        engine = next(engines)
        replies = list(engine.answer(forked_unit))
        facts = engine.identity()

    assert (facts.model.dtype, facts.engine.prefix_sharing) == ("bfloat16", "two-part")
    assert {reply.status for reply in replies} <= {"ok", "truncated"}
