"""What a manifest says of how answers were generated, and what it leaves out."""

import pytest

from qwen_bench.protocol import Generation, Identity, Sampling
from qwen_bench.record.manifest import DecodingInfo, EngineInfo, ModelInfo, TemplateInfo, Thinking
from qwen_bench.record.marks import differences
from qwen_bench.runs.draft_manifest import draft_manifest
from qwen_bench.runs.runner import plan

ADVICE = "--temperature 0.6 --top-p 0.95 --top-k 20 --sampling-seed N"
RANKED = "rank scores candidates where its thought would begin"


@pytest.fixture
def draft(make_suite):
    """`draft(generation, thinking)`: the manifest of a model that reports this thinking mode."""

    def make(generation, modes=("generate",), **thinking):
        suite = make_suite()
        identity = Identity(
            ModelInfo(spec="m", label="m", kind="local", fingerprint="f"),
            TemplateInfo(thinking=Thinking(**thinking)),
            DecodingInfo(),
            EngineInfo(name="hf"),
        )
        return draft_manifest(
            suite,
            modes,
            plan(suite.dialogues(), modes),
            identity,
            spec="m",
            label="m",
            generation=generation,
        )

    return make


def test_a_greedy_model_that_does_not_think_has_a_budget_and_nothing_more(draft):
    found = draft(Generation(64), effective="none").generation

    assert found.max_new_tokens == 64
    assert (found.temperature, found.top_p, found.top_k, found.seed) == (0.0, None, None, None)
    assert found.max_thinking_tokens is None


def test_sampling_is_recorded_over_what_the_engine_does_by_itself(draft):
    found = draft(Generation(64, sampling=Sampling(0.6, 0.95, 20, 0)), effective="off").generation

    assert (found.temperature, found.top_p, found.top_k, found.seed) == (0.6, 0.95, 20, 0)


def test_filters_that_are_off_are_not_recorded(draft):
    found = draft(Generation(64, sampling=Sampling(0.6)), effective="off").generation

    assert (found.temperature, found.top_p, found.top_k, found.seed) == (0.6, None, None, 0)


@pytest.mark.parametrize(
    ("thinking", "budget", "recorded"),
    [
        ({"effective": "on"}, 2048, 2048),
        ({"effective": "off"}, 2048, None),
        ({"effective": "none"}, 2048, None),
        # It may think although no prompt asks for it.
        ({"effective": "none"}, 512, 512),
        # A server that renders by itself.
        ({"requested": "on"}, 2048, 2048),
        ({"requested": "auto"}, 2048, None),
        ({"requested": "on", "effective": "none"}, 2048, None),
    ],
)
def test_the_budget_of_thoughts_is_recorded_where_it_can_have_an_effect(
    draft, thinking, budget, recorded
):
    found = draft(Generation(64, budget), **thinking)

    assert found.generation.max_thinking_tokens == recorded


@pytest.mark.parametrize(
    "other",
    [
        Generation(64, 2048, Sampling(0.6)),
        Generation(64, 100),
        Generation(32),
    ],
)
def test_what_changes_answers_changes_the_identity(draft, other):
    one, two = draft(Generation(64), effective="on"), draft(other, effective="on")

    assert one.identity != two.identity
    assert all(field.startswith("generation.") for field, _, _ in differences(one, two))


def test_sampling_without_temperature_is_no_difference(draft):
    greedy = draft(Generation(64, sampling=Sampling(0.0, 0.5, 9, 9)), effective="on")

    assert greedy.identity == draft(Generation(64), effective="on").identity


@pytest.mark.parametrize(
    ("effective", "modes", "temperature", "expected"),
    [
        ("on", ("generate",), 0.0, {ADVICE}),
        ("on", ("generate", "rank"), 0.0, {ADVICE, RANKED}),
        ("on", ("rank",), 0.0, {RANKED}),
        ("on", ("generate",), 0.6, set()),
        ("off", ("generate", "rank"), 0.0, set()),
    ],
)
def test_a_model_that_thinks_is_warned_about(draft, effective, modes, temperature, expected):
    generation = Generation(64, sampling=Sampling(temperature))

    text = "\n".join(draft(generation, modes, effective=effective).warnings)

    assert {part for part in (ADVICE, RANKED) if part in text} == expected
