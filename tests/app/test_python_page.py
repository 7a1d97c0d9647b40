"""The page of examples runs as it stands, in an empty folder."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCKS = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text("utf-8"), re.DOTALL)


class V1:
    """A chat object that says again what was asked last."""

    generation_config = None

    def chat(self, _, query, history):
        return query, history

    def state_dict(self):
        import torch

        return {"weights": torch.zeros(1)}


class Words:
    def encode(self, text, **_):
        return text.split()


def write_family(folder):
    """The family that families.md makes from nothing."""
    text = (DOCS / "families.md").read_text("utf-8")
    for name, body in re.findall(
        r"`families/(on_call/\w+\.yaml)`:\n\n```yaml\n(.*?)```", text, re.DOTALL
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body, encoding="utf-8")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """What the blocks of the page leave, one after the other, and what each prints."""
    home = tmp_path_factory.mktemp("page")
    write_family(home / "families")
    names = {"model": V1(), "tokenizer": Words()}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for block in BLOCKS:
            exec(block, names)  # noqa: S102 - the examples are the thing under test
    return names


def test_a_baseline_makes_a_comparison(done):
    tuned = done["tuned"]
    assert tuned.run.manifest.status == "finished"
    assert tuned.baseline == done["base"]
    assert tuned.comparison.candidate.label == "window-4"
    assert tuned.comparison.modes["generate"].overall.difference < 0


def test_recorded_runs_are_narrowed_and_compared_again(done):
    again = done["again"]
    assert list(again.modes["generate"].by_length) == [8]
    assert again.warnings[0].startswith("narrowed to lengths 8")
    assert again.margin == pytest.approx(0.03)


def test_the_page_is_written(done):
    assert done["page"] == Path("report.html")


def test_an_engine_of_ones_own_is_asked_and_compared(done):
    parrot = done["parrot"]
    assert parrot.run.manifest.engine.name == "parrot"
    assert parrot.run.manifest.suite.modes == ("generate",)
    assert len(parrot.run.outcomes) == parrot.run.manifest.expected.rows


def test_a_family_of_ones_own_is_asked(done):
    assert done["rota"].run.manifest.suite.families == ("on_call",)


def test_an_object_with_chat_is_asked(done):
    assert done["v1"].run.manifest.engine.name == "legacy"
