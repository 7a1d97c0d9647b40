"""What happens in one worker, how much of a cluster it gets, and what is refused before Ray."""

import os
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.engines import registry
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.ray import ray_engine
from qwen_bench.engines.ray.worker import Worker, WorkerRefusal
from qwen_bench.engines.ray.worker_resources import Node, cpus_each, gpus_each
from qwen_bench.engines.registry import open_engines
from qwen_bench.errors import EngineError, InputError, MissingExtraError, ModelError
from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Request, Unit
from qwen_bench.record.manifest import EngineInfo
from qwen_bench.solvers.solver_engine import SolverEngine
from qwen_bench.testing import ScriptedEngine

UNIT = Unit(
    "d",
    tuple(Request(f"r{number}", (Message("user", "Is it?"),), "generate") for number in range(3)),
)
SIDE_BY_SIDE = EngineOptions(device="cpu", replicas=2)


@pytest.fixture
def model(tmp_path):
    """A folder that looks like a model to a SPEC."""
    (tmp_path / "config.json").write_text("{}")
    return parse_spec(str(tmp_path))


@pytest.fixture
def scripted():
    """An opener of engines that follow a script; the list of what was opened."""
    opened = []

    def install(*engines):
        @contextmanager
        def fake(specs, options):
            opened.append((len(specs), options))
            yield iter(engines[-len(specs) :])

        return fake, opened

    return install


def test_a_worker_walks_through_the_specs_and_opens_them_once(scripted):
    names = ("a", "b", "c")
    opener, opened = scripted(*(ScriptedEngine({}, name=name) for name in names))
    walker = Worker(names, EngineOptions(), opener)

    found = [walker.open(place).identity.model.label for place in (0, 2)]

    assert found == ["a", "c"]
    assert [count for count, _ in opened] == [3]
    assert walker.start() == os.getpid()


def test_a_new_worker_begins_at_the_spec_that_is_asked_for(scripted):
    names = ("a", "b", "c")
    opener, opened = scripted(*(ScriptedEngine({}, name=name) for name in names))

    found = Worker(names, EngineOptions(), opener).open(1)

    assert found.identity.model.label == "b"
    assert [count for count, _ in opened] == [2]


def test_an_exception_in_the_engine_becomes_replies_in_the_worker(scripted):
    def answers(request):
        if request.id == "r1":
            raise ZeroDivisionError("bug")
        return "yes"

    opener, _ = scripted(ScriptedEngine(answers))
    walker = Worker(("a",), EngineOptions(), opener)
    walker.open(0)

    answered = walker.answer(UNIT)

    assert [reply.status for reply in answered.replies] == ["ok", "error", "error"]
    assert answered.replies[1].error_type == "ZeroDivisionError"
    assert answered.counters.requests == 1


def test_an_error_for_the_user_is_given_back_as_a_value(scripted):
    def answers(_):
        raise ModelError("no such weights", fix="find them")

    opener, _ = scripted(ScriptedEngine(answers))
    walker = Worker(("a",), EngineOptions(), opener)
    walker.open(0)

    refused = walker.answer(UNIT)

    assert isinstance(refused, WorkerRefusal)
    assert type(refused.error) is ModelError
    assert refused.error.fix == ("find them",)


def test_a_model_that_cannot_be_loaded_is_refused_by_the_worker(model):
    refused = Worker([model], EngineOptions(device="cpu"), open_engines).open(0)

    assert isinstance(refused, WorkerRefusal)
    assert isinstance(refused.error, ModelError)


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "share"),
    [
        ([(8, 0)], 2, 0, 4),
        ([(8, 0)], 3, 0, 2),
        ([(2, 0)], 2, 0, 1),
        ([(2, 0)], 4, 0, 0.5),
        ([(1, 0), (1, 0)], 3, 0, 0.5),
        ([(3, 0), (3, 0)], 3, 0, 1),
        ([(16, 8)], 8, 1, 2),
        ([(64, 4), (64, 0)], 4, 1, 16),
        ([(4, 2), (32, 2)], 4, 1, 2),
        ([(4, 2), (32, 2)], 3, 1, 4),
    ],
)
def test_a_worker_gets_as_many_processors_as_let_all_of_them_fit(nodes, workers, gpus, share):
    assert cpus_each([Node(*node) for node in nodes], workers, gpus) == pytest.approx(share)


def test_too_few_gpus_are_said_with_what_would_work():
    with pytest.raises(EngineError, match="4 workers need a GPU each; there are 2") as caught:
        cpus_each([Node(8, 1), Node(8, 1)], 4, 1)

    assert caught.value.fix == ("--replicas 2, or --device cpu",)


def test_a_cluster_without_processors_is_refused():
    with pytest.raises(EngineError, match="no processors"):
        cpus_each([Node(0, 0)], 2, 0)


@pytest.mark.parametrize(
    ("device", "gpus", "each"),
    [("auto", 2, 1), ("auto", 0, 0), ("cpu", 2, 0), ("cuda", 0, 1), ("mps", 0, 0)],
)
def test_a_worker_has_a_gpu_to_itself_where_it_computes_on_one(device, gpus, each):
    assert gpus_each(device, [Node(4, 0), Node(4, gpus)]) == each


def test_without_ray_the_extra_is_named(model, monkeypatch):
    monkeypatch.setattr(
        registry, "find_spec", lambda name: None if name == "ray" else find_spec(name)
    )

    with pytest.raises(MissingExtraError) as caught, open_engines([model], SIDE_BY_SIDE):
        pass

    assert "ray" in caught.value.message
    assert caught.value.fix[0] == "pip install 'qwen-bench[ray]'"


def test_a_device_with_a_number_cannot_be_shared_out(model):
    options = EngineOptions(device="cuda:1", replicas=2)

    with (
        pytest.raises(InputError, match="cuda:1 names one device") as caught,
        open_engines([model], options) as engines,
    ):
        next(engines)

    assert caught.value.fix == ("--device cuda",)


def test_solvers_need_no_workers_and_start_no_ray(monkeypatch):
    monkeypatch.setattr(registry, "find_spec", lambda _: None)

    def solver(spec):
        return SolverEngine(spec.name, build_suite("quick"))

    with open_engines([parse_spec("mock:oracle")], SIDE_BY_SIDE, solver=solver) as engines:
        identity = next(engines).identity()

    assert identity.engine == EngineInfo(name="mock")


def test_paths_mean_the_same_in_a_process_that_began_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    spec = parse_spec("./base+./lora")

    found = ray_engine._absolute(spec)
    options = ray_engine._absolute_options(EngineOptions(chat_template="my.jinja"))

    assert found.path == tmp_path / "lora"
    assert found.base.path == tmp_path / "base"
    assert found.text == spec.text
    assert Path(options.chat_template) == tmp_path / "my.jinja"
    assert (
        ray_engine._absolute_options(EngineOptions(chat_template="chatml")).chat_template
        == "chatml"
    )


@pytest.mark.parametrize(
    ("given", "own", "expected"),
    [
        ({}, True, {"loopback": "0", "token": True}),
        ({}, False, {"loopback": None, "token": False}),
        ({"RAY_AUTH_MODE": "disabled"}, True, {"loopback": "0", "token": False}),
    ],
)
def test_ray_of_our_own_is_told_to_stay_on_this_machine_and_keep_others_out(given, own, expected):
    """In a process of its own: Ray reads these once."""
    code = (
        "import os; from qwen_bench.engines.ray.ray_engine import _prepare; "
        f"_prepare(own={own}); import sys; assert 'ray' not in sys.modules; "
        "print(os.environ.get('RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER'), "
        "len(os.environ.get('RAY_AUTH_TOKEN', '')), os.environ['RAY_USAGE_STATS_ENABLED'])"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}

    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean | given,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == [
        str(expected["loopback"]),
        "64" if expected["token"] else "0",
        "0",
    ]


def test_the_pool_loads_no_heavy_library():
    code = (
        "import sys, qwen_bench.engines.ray.ray_engine; "
        "print(sorted({'torch', 'ray', 'transformers'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
