"""What Python may give, what is refused, and what it leaves."""

import json
import subprocess
import sys

import pytest

import qwen_bench
from qwen_bench.errors import InputError, NotComparableError
from qwen_bench.runs.manifest_file import read_manifest

SMALL = {"suite": "quick", "limit": 1, "lengths": (1,), "lang": "en", "family": "fact_recall"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_importing_the_package_loads_next_to_nothing():
    code = "import sys, json, qwen_bench; print(json.dumps(sorted(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = {name for name in json.loads(done.stdout) if name.startswith("qwen_bench")}
    assert loaded == {"qwen_bench", "qwen_bench.version"}


def test_every_public_name_is_there():
    for name in qwen_bench.__all__:
        assert getattr(qwen_bench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = qwen_bench.nothing


@pytest.mark.parametrize(
    "first", ["import qwen_bench.report.page", "from qwen_bench import run", "pass"]
)
def test_report_can_be_called_whatever_was_imported_before(first):
    code = (
        f"{first}\nfrom qwen_bench import report\nimport qwen_bench.report.page\n"
        "import qwen_bench\nfor call in (report, qwen_bench.report):\n"
        "    try:\n        call(path='x.html')\n"
        "    except qwen_bench.QwenBenchError as error:\n        print(error.message)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["a report needs a run"] * 2


def test_the_manifest_says_which_values_came_from_python():
    done = qwen_bench.run("mock:oracle", **SMALL)

    invocation = read_manifest(done.run.folder).invocations[0]
    assert invocation.argv == ()
    assert invocation.args_effective["limit"] == {"value": 1, "source": "python"}
    assert invocation.args_effective["seed"] == {"value": 0, "source": "default"}
    assert invocation.args_passed["lengths"] == [1]


def test_a_run_made_in_python_is_resumed_by_its_folder():
    first = qwen_bench.run("mock:oracle", **SMALL, max_new_tokens=9).run

    more = qwen_bench.run(resume=first.folder, limit=2).run

    assert more.folder == first.folder
    assert len(more.outcomes) > len(first.outcomes)
    assert more.manifest.generation.max_new_tokens == 9
    assert len(more.manifest.invocations) == 2


def test_a_candidate_that_could_not_be_compared_is_not_asked():
    base = qwen_bench.run("mock:oracle", **SMALL).run

    with pytest.raises(NotComparableError, match="could not be compared"):
        qwen_bench.run("mock:blind", baseline=base, **SMALL, seed=1)

    assert len(list(base.folder.parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lenghts": (1,)}, "no such option 'lenghts'; near: lengths"),
        ({"limit": 0}, "limit: 0 is too small, must be 1 or more"),
        ({"limit": "ten"}, "limit: 'ten' is not a number"),
        ({"mode": "chat"}, "mode: 'chat' is not one of generate, rank, both"),
        ({"offline": "yes"}, "offline: 'yes' is neither True nor False"),
        ({"margin": 0.05}, "margin: margin is in points: write 5 for five points"),
        ({"policy": "last-turn:4"}, "unknown history policy 'last-turn'"),
        ({"html": "x.html"}, "html is an option of commands"),
        ({"lang": "fr"}, "no such language 'fr'"),
    ],
)
def test_what_a_flag_would_refuse_is_refused(given, message):
    with pytest.raises(InputError) as caught:
        qwen_bench.run("mock:oracle", **{**SMALL, **given})

    assert message in caught.value.message


def test_a_value_and_its_text_are_the_same():
    from qwen_bench.app.config import RunConfig

    told = RunConfig.of(lengths=(1, 8), lang=["en", "zh"], margin=3, model="mock:oracle", limit=2)
    typed = RunConfig.of(lengths="1,8", lang="en,zh", margin="3", model=["mock:oracle"], limit="2")

    assert told == typed
