"""Runs made by hand: rows and manifests with the fields statistics read."""

import pytest

from qwen_bench import testing
from qwen_bench.record.outcome import Outcome, Run

MANIFEST = {
    "model__dtype": "float32",
    "template__thinking": {"requested": "auto"},
    "generation__checkpoint_defaults": {"top_p": 0.8},
    "invocations": [{"started": "", "packages": {"torch": "2.13"}}],
}


def make_outcome(value=1, *, cluster="mixed-0", question="q", **changes):
    """One row; a value of None is a row without a score."""
    status = changes.get("status", "ok" if value is not None else "too_long")
    fields = {
        "mode": "generate",
        "family": "fact_recall",
        "lang": "en",
        "length": 4,
        "distance": 2,
        "position": 0.5,
        "condition": "main",
        "policy": "full",
        "variant": "A",
        "evidence_visible": True,
        "status": status,
        "output": None if value is None else f"answer {value}",
        "score": value,
        "reason": "correct" if value else "wrong_candidate",
        "messages_sha256": "m",
        **changes,
    }
    place = f"{fields['variant']}/{fields['lang']}/{fields['family']}.{question}"
    ident = f"{cluster}/{place}/T{fields['length']}/{fields['condition']}"
    fields.setdefault("probe_id", ident)
    group = f"{cluster}/{fields['lang']}/{fields['family']}.{question}/T{fields['length']}"
    fields.setdefault("twin_group", group)
    return Outcome(cluster=cluster, **fields)


def make_manifest(**changes):
    """A manifest with dotted fields replaced, dots written as two underscores."""
    return testing.make_manifest(**(MANIFEST | changes))


def make_run(outcomes, label="base", **changes):
    """A finished run with these rows; every label has weights of its own."""
    changes.setdefault("model__fingerprint", label)
    return Run(label, make_manifest(run_id=label, **changes), tuple(outcomes))


@pytest.fixture(scope="session")
def outcome():
    return make_outcome


@pytest.fixture(scope="session")
def manifest():
    return make_manifest


@pytest.fixture(scope="session")
def run():
    return make_run


@pytest.fixture
def grid():
    """Rows of many clusters: one for each family, length and language, value by a rule."""

    def build(
        value, *, clusters=40, families=("fact_recall", "pronoun"), lengths=(1, 4), **changes
    ):
        return [
            make_outcome(
                value(number, family, length, lang),
                cluster=f"mixed-{number:03d}",
                family=family,
                length=length,
                lang=lang,
                **changes,
            )
            for number in range(clusters)
            for family in families
            for length in lengths
            for lang in ("en", "zh")
        ]

    return build
