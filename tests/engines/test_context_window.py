"""The context window: as a checkpoint says or the user knows, as far as sharing goes."""

import json
from contextlib import closing

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.engines.context_window import configured_window, shared_window
from qwen_bench.engines.cost_estimate import kv_cache
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_config, open_engines
from qwen_bench.errors import InputError
from qwen_bench.protocol import Request, Unit
from qwen_bench.testing import tiny_checkpoint

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "original_max_position_embeddings": 64,
}
THETA = {"rope_theta": 1e4}


@pytest.mark.parametrize(
    ("positions", "rope", "window", "shared"),
    [
        (1024, None, 1024, None),
        (1024, {"rope_type": "default", **THETA}, 1024, None),
        (256, YARN, 1024, None),
        (1024, YARN, 1024, None),
        (256, {"type": "yarn", "factor": 4}, 1024, None),
        (4096, {"rope_type": "yarn", "factor": None}, 4096, None),
        (131_072, {"rope_type": "llama3", "factor": 8.0}, 131_072, None),
        (1024, {"full_attention": YARN | {"factor": 8.0}, "sliding_attention": THETA}, 2048, None),
        (1024, DYNAMIC, 1024, 1024),
        (1024, LONGROPE, 1024, 64),
        (None, None, None, None),
    ],
)
def test_the_window_follows_the_rope_scaling_of_the_checkpoint(positions, rope, window, shared):
    assert configured_window(positions, rope) == window
    assert shared_window(positions, rope) == shared


def folder_with(tmp_path, rope=None, positions=256):
    """A checkpoint whose `config.json` configures rope scaling as a user writes it there."""
    folder = tiny_checkpoint(tmp_path / "tiny", "llama")
    settings = json.loads((folder / "config.json").read_text())
    settings["max_position_embeddings"] = positions
    if rope is not None:
        settings.pop("rope_parameters", None)
        settings |= {"rope_scaling": rope, **THETA}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def asked_of(folder, *requests, **options):
    """Replies, identity and the engine's window."""
    spec = parse_spec(str(folder))
    with open_engines([spec], EngineOptions(**options)) as engines, closing(engines):
        engine = next(engines)
        replies = list(engine.answer(Unit("u", requests)))
        return replies, engine.identity(), engine.abilities().max_context


def long_request(tokens, key="long"):
    """A prompt of about so many tokens of the tiny tokenizer."""
    return Request(key, (Message("user", "44 " * tokens),), "generate", max_new_tokens=4)


def test_a_prompt_beyond_the_trained_length_is_read_where_yarn_reaches(tmp_path):
    folder = folder_with(tmp_path, YARN)

    (reply,), identity, window = asked_of(folder, long_request(600))

    assert reply.status in {"ok", "truncated"}
    assert 256 < reply.prompt_tokens < 1024
    assert window == identity.model.context_window == 1024


def test_answers_beyond_the_trained_length_are_those_of_plain_forwards(open_tiny, plain):
    scaled = YARN | THETA

    def scale(base):
        base.config.rope_parameters = scaled
        base.model.model.rotary_emb.__init__(base.config)
        base.config.max_position_embeddings = 256

    engine, base = open_tiny("llama", change=scale)
    unit = Unit("u", tuple(long_request(tokens, str(tokens)) for tokens in (100, 400, 402, 700)))

    plain(base, engine).check(unit, list(engine.answer(unit)))


@pytest.mark.parametrize(("rope", "tokens"), [(YARN, 1200), (None, 600), (DYNAMIC, 600)])
def test_what_the_scaling_does_not_reach_is_too_long(tmp_path, rope, tokens):
    folder = folder_with(tmp_path, rope)

    (reply,), _, _ = asked_of(folder, long_request(tokens))

    assert (reply.status, reply.reason) == ("too_long", "local")


def test_max_context_lets_a_model_have_what_the_user_knows_and_says_so(tmp_path):
    folder = folder_with(tmp_path)

    (reply,), identity, window = asked_of(folder, long_request(600), max_context=800)

    assert reply.status in {"ok", "truncated"}
    assert window == identity.model.context_window == 800
    assert "--max-context lets tiny have 800 tokens; it is made for 256" in identity.warnings


def test_max_context_may_also_take_room_away(tmp_path):
    folder = folder_with(tmp_path, positions=1024)

    (reply,), identity, _ = asked_of(folder, long_request(600), max_context=500)

    assert reply.status == "too_long"
    assert not any("--max-context" in line for line in identity.warnings)


@pytest.mark.parametrize(("rope", "shared"), [(DYNAMIC, 256), (LONGROPE, 64)])
def test_a_scaling_that_depends_on_the_length_of_a_prompt_is_not_shared(tmp_path, rope, shared):
    folder = folder_with(tmp_path, rope)

    (reply,), identity, window = asked_of(folder, long_request(120))

    assert window == shared
    assert (reply.status == "too_long") is (shared < 120)
    assert any(f"by the length of the prompt beyond {shared}" in line for line in identity.warnings)
    with pytest.raises(InputError, match="--max-context 500") as caught:
        asked_of(folder, max_context=500)
    assert f"--max-context {shared}" in caught.value.fix


def test_a_plan_counts_with_the_same_window(tmp_path):
    folder = folder_with(tmp_path, YARN)
    config = open_config(parse_spec(str(folder)), EngineOptions())

    assert kv_cache(config).window == 1024
    assert kv_cache(config, max_context=2000).window == 2000
