"""Every field of the manifest is marked, and what follows from a field follows from its mark."""

import re
from pathlib import Path
from typing import Annotated

import pytest

from qwen_bench.record.manifest import Manifest, Section, SuiteInfo
from qwen_bench.record.marks import (
    Mark,
    differences,
    identity_fields,
    marked_fields,
    with_identity,
)
from qwen_bench.stats.comparability import differing_settings
from qwen_bench.testing import make_manifest

DOCS = Path(__file__).resolve().parents[2] / "docs" / "runs.md"


def paths_of(section, prefix=""):
    """Dotted names of all fields of a kind of section, those of sections inside it included."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from paths_of(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_field_of_the_manifest_carries_a_mark():
    marked = [field.path for field in marked_fields(make_manifest())]

    assert marked == list(paths_of(Manifest))


def test_a_new_field_without_a_mark_fails():
    class Grown(Manifest):
        mood: str = "calm"

    grown = Grown.model_validate(make_manifest().model_dump())

    with pytest.raises(TypeError, match=r"Grown\.mood needs one mark"):
        marked_fields(grown)


def test_a_new_field_without_a_mark_fails_inside_a_section_too():
    class GrownSuite(SuiteInfo):
        mood: str = "calm"

    class Grown(Manifest):
        suite: GrownSuite

    grown = Grown.model_validate(make_manifest().model_dump())

    with pytest.raises(TypeError, match=r"GrownSuite\.mood needs one mark"):
        marked_fields(grown)


def test_a_new_field_with_a_mark_is_told_like_the_others():
    class Grown(Manifest):
        mood: Annotated[str, Mark("warn", identity=True)] = "calm"

    grown = Grown.model_validate(make_manifest().model_dump())

    assert identity_fields(grown) == identity_fields(make_manifest()) | {"mood": "calm"}


def test_the_fields_of_the_identity_are_those_the_documentation_lists():
    paragraph = re.search(r"\*\*Identity\.\*\*.*?\n\n", DOCS.read_text("utf-8"), re.DOTALL)
    listed = re.findall(r"`([a-z_]+\.[a-z_0-9.]+)`", paragraph[0])

    marked = {field.path for field in marked_fields(make_manifest()) if field.mark.identity}

    assert len(listed) == len(set(listed))
    assert set(listed) == marked


def test_the_identity_leaves_out_what_is_null_and_what_does_not_change_answers():
    manifest = make_manifest(engine__device="cuda:1", suite__limit=3, model__label="other")

    found = identity_fields(manifest)

    assert found == {
        "engine.device": "cuda",
        "engine.name": "hf",
        "generation.max_new_tokens": 64,
        "generation.repetition_penalty": 1.0,
        "generation.temperature": 0.0,
        "model.fingerprint": "w1",
        "suite.filler_sha256": "f" * 64,
        "suite.name": "core",
        "suite.policy": "full",
        "suite.seed": 0,
        "suite.sha256": "5" * 64,
        "suite.version": "1.0",
        "template.chat_template_sha256": "t1",
    }


def test_the_identity_is_the_hash_that_earlier_versions_wrote():
    digest = "50ab468dac727db77c168f6cec7f701065937984756ae29188f5acf8a5f8c41a"

    assert with_identity(make_manifest()).identity == digest


def test_a_setting_this_version_does_not_declare_counts_where_answers_are_generated():
    manifest = make_manifest(generation__top_a=0.1, engine__backend="x")

    assert identity_fields(manifest)["generation.top_a"] == 0.1
    assert "engine.backend" not in identity_fields(manifest)


def test_another_scorer_forbids_continuing_although_it_is_no_part_of_the_identity():
    before, after = make_manifest(), make_manifest(scorer__version="2.0", suite__seed=1)

    assert differences(before, after) == [("scorer.version", "1.0", "2.0"), ("suite.seed", 0, 1)]
    assert with_identity(make_manifest(scorer__version="2.0")) == with_identity(
        make_manifest(scorer__version="2.0", identity="old")
    )


def test_differences_are_told_by_what_they_decide_and_then_in_the_order_of_the_manifest():
    base = make_manifest(invocations=[{"started": "", "packages": {"torch": "2.12"}}])
    candidate = make_manifest(
        suite__seed=1,
        suite__lengths=[1],
        suite__families=["fact_recall"],
        scorer__version="2.0",
        generation__top_p=0.9,
        generation__max_new_tokens=32,
        template__thinking={"requested": "off"},
        model__label="other",
        model__fingerprint="w2",
        model__dtype="float16",
        engine__name="vllm",
        invocations=[{"started": "", "packages": {"torch": "2.13"}}],
    )

    found = [(item.kind, item.field) for item in differing_settings(base, candidate)]

    assert found == [
        ("must match", "suite.seed"),
        ("must match", "suite.families"),
        ("must match", "scorer.version"),
        ("must match", "generation.max_new_tokens"),
        ("must match", "generation.top_p"),
        ("warn", "template.thinking.requested"),
        ("warn", "model.dtype"),
        ("warn", "engine.name"),
        ("warn", "packages.torch"),
        ("expected", "model.label"),
        ("expected", "model.fingerprint"),
        ("expected", "suite.lengths"),
    ]
