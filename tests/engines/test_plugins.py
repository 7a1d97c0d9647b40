"""An engine of another package answers for SPECs that begin with its name."""

import sys
import types
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from qwen_bench.cli.main import main
from qwen_bench.engines import model_spec as spec
from qwen_bench.engines import registry
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_engines, open_prompter
from qwen_bench.errors import EngineError, InputError
from qwen_bench.testing import ScriptedEngine


@pytest.fixture
def install(monkeypatch):
    """Makes an entry point ``echo`` for an object; returns nothing."""

    def install_one(opened=None, value="echo_package:open_engine"):
        module = types.ModuleType("echo_package")
        module.open_engine = opened
        monkeypatch.setitem(sys.modules, "echo_package", module)
        found = EntryPoints([EntryPoint("echo", value, registry.PLUGINS)])

        def entry_points(*, group, **wanted):
            return found.select(group=group, **wanted)

        monkeypatch.setattr(registry, "entry_points", entry_points)
        monkeypatch.setattr(spec, "entry_points", entry_points)

    return install_one


def test_it_is_opened_with_the_rest_of_the_spec_and_the_options(install):
    seen = []

    def opened(name, options):
        seen.append((name, options))
        return ScriptedEngine({})

    install(opened)
    options = EngineOptions(concurrency=3)

    with open_engines([parse_spec("label=echo:some/model:v2")], options) as engines:
        engine = next(engines)

    assert isinstance(engine, ScriptedEngine)
    assert seen == [("some/model:v2", options)]


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_the_command_asks_it_like_any_other(more, install, tmp_path, monkeypatch, capsys):
    install(lambda *_: ScriptedEngine({}))
    monkeypatch.chdir(tmp_path)

    code = main(
        [
            *("run", "--model", "mine=echo:m", "--suite", "quick", "--limit", "1"),
            *("--lengths", "1", "--lang", "en", "--mode", "generate", "--run-id", "one", *more),
        ]
    )

    assert code == 0, capsys.readouterr().err
    assert (tmp_path / "runs/one/summary.json").exists() is not bool(more)


def test_a_package_that_cannot_be_imported_is_named(install):
    install(value="echo_package:nothing_of_this_name")

    with (
        open_engines([parse_spec("echo:m")], EngineOptions()) as engines,
        pytest.raises(EngineError, match="'echo:' cannot be loaded from echo_package:nothing"),
    ):
        next(engines)


def test_something_that_is_no_engine_is_refused(install):
    install(lambda *_: object())

    with (
        open_engines([parse_spec("echo:m")], EngineOptions()) as engines,
        pytest.raises(EngineError, match="gives no engine: it has no identity, abilities, answer"),
    ):
        next(engines)


def test_its_tokenizer_is_not_known_here(install):
    install()

    with pytest.raises(InputError, match="echo:m: a plug-in has no tokenizer here"):
        open_prompter(parse_spec("echo:m"), EngineOptions())


def test_without_such_an_entry_point_the_spec_is_unknown():
    with pytest.raises(InputError, match="unknown kind of model 'echo:'"):
        parse_spec("echo:m")
