"""`--offline` is also set by the variable of the Hub's own library."""

from pathlib import Path

import pytest

from qwen_bench.cli.main import main
from qwen_bench.runs.manifest_file import read_manifest

ASKED = (
    "run", "--model", "mock:oracle", "--suite", "quick", "--limit", "1", "--lengths", "1",
    "--lang", "en", "--family", "fact_recall", "--run-id", "one", "-q",
)  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("HF_HUB_OFFLINE", "1", {"value": True, "source": "environment"}),
        ("HF_HUB_OFFLINE", "0", {"value": False, "source": "environment"}),
        ("HF_HUBOFFLINE", "1", {"value": False, "source": "default"}),
    ],
)
def test_the_variable_of_the_hub_is_read(tmp_path, monkeypatch, variable, value, found):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv(variable, value)

    assert main(ASKED) == 0

    given = read_manifest(Path("runs/one")).invocations[0].args_effective["offline"]
    assert given == found
