"""Tokens and memory before a model is loaded, against what an engine counts afterwards."""

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.chat.policy import parse_policy
from qwen_bench.chat.token_estimate import text_tokens
from qwen_bench.engines.cost_estimate import count_tokens, estimate_tokens, kv_cache
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_config, open_prompter
from qwen_bench.errors import InputError, ModelError
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Generation, Request, Unit
from qwen_bench.runs.runner import units


@pytest.fixture
def prompter(checkpoints):
    return open_prompter(parse_spec(str(checkpoints["qwen2"])), EngineOptions())


def test_counted_tokens_are_those_of_the_engine(open_tiny, forked_unit, prompter):
    engine, _ = open_tiny("qwen2")
    replies = list(engine.answer(forked_unit))
    counters = engine.counters()

    found = count_tokens([forked_unit], prompter)

    fed_back = sum(reply.output_tokens - 1 for reply in replies if reply.mode == "generate")
    assert found.shared == counters.tree_tokens
    assert found.naive == counters.naive_tokens - fed_back
    assert found.requests == len(replies)
    assert found.generated == sum(reply.mode == "generate" for reply in replies)
    assert found.exact


def test_prompts_beyond_the_window_are_counted_apart(forked_unit, prompter):
    everything = count_tokens([forked_unit], prompter)

    found = count_tokens([forked_unit], prompter, window=everything.longest - 1)

    assert found.too_long > 0
    assert found.requests == everything.requests
    assert found.longest == everything.longest
    assert found.naive < everything.naive


def test_a_history_policy_shortens_the_prompts(forked_unit, prompter):
    full = count_tokens([forked_unit], prompter)

    short = count_tokens([forked_unit], prompter, policy=parse_policy("last-turns:1"))

    assert short.longest < full.longest
    assert short.naive < full.naive


def test_an_estimate_shares_equal_beginnings_and_nothing_else():
    turn = (Message("user", "a" * 40), Message("assistant", "b" * 40))
    asked = [
        Request(key, (*turn, Message("user", text)), "generate")
        for key, text in (("one", "c" * 20 + "d" * 20), ("two", "c" * 20 + "e" * 20))
    ]

    found = estimate_tokens([Unit("dialogue", tuple(asked))])

    message, opening = 40 * 0.188 + 5, 3
    common = 20 * 0.188 + 3
    assert found.naive == 2 * round(3 * message + opening)
    assert found.shared == round(4 * message + 2 * opening - common)
    assert not found.exact


def test_an_estimate_reads_equal_prompts_once():
    chat = (Message("user", "a" * 40),)
    asked = [Request(key, chat, "generate") for key in ("one", "two")]

    found = estimate_tokens([Unit("dialogue", tuple(asked))])

    assert (found.naive, found.shared) == (2 * 16, 16)


def test_ranking_reads_each_candidate_and_shares_the_prompt():
    asked = Request("one", (Message("user", "a" * 40),), "rank", ("bbbbbbbbb", "ccccccccc"))

    found = estimate_tokens([Unit("dialogue", (asked,))])

    assert found.generated == 0
    assert (found.naive, found.shared) == (2 * (16 + 2), 19)


def test_the_memory_of_a_dialogue_is_what_the_engine_holds_at_most(
    open_tiny, checkpoints, forked_unit, prompter
):
    from qwen_bench.engines.hf.buffers import BLOCK

    engine, _ = open_tiny("qwen2")
    list(engine.answer(forked_unit))
    cache = kv_cache(open_config(parse_spec(str(checkpoints["qwen2"])), EngineOptions()))

    found = count_tokens([forked_unit], prompter)

    # Rows are as wide as the widest and grow by blocks.
    blocks = found.generated * BLOCK
    held = engine.counters().peak_kv_bytes
    assert cache.bytes_of(found.longest) <= held <= cache.bytes_of(found.together + blocks)
    assert found.together < found.apart / 2


def test_only_a_template_that_asks_for_thoughts_keeps_room_for_them(saying, forked_unit):
    spec = parse_spec(str(saying("red")))
    on, off = (
        count_tokens([forked_unit], open_prompter(spec, EngineOptions(thinking=thinking)))
        for thinking in ("on", "off")
    )

    # Without a thought the prompts are a few tokens longer.
    assert on.together - off.together > 2000 * on.generated > 0


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_estimated_turn_has_the_size_the_suites_are_made_for(lang):
    suite = build_suite("quick", Selection(langs=(lang,), lengths=(8,)))

    found = estimate_tokens(units(suite.dialogues(), ("generate",), Generation(16)))

    assert 110 < found.longest / 9 < 180


def test_chinese_characters_are_more_tokens_than_letters():
    assert text_tokens("我的猫叫饼干") == pytest.approx(6 * 0.765)
    assert text_tokens("biscuit") == pytest.approx(7 * 0.188)


def test_a_digit_a_sign_and_a_line_break_are_about_a_token_each():
    assert text_tokens("| 42\n") == pytest.approx(4 * 0.96 + 0.188)


def test_answers_lower_the_sharing_ratio(forked_unit, prompter):
    found = count_tokens([forked_unit], prompter)

    assert found.sharing_ratio(1) == found.naive / found.shared
    assert found.sharing_ratio(20) < found.sharing_ratio(1)
    assert found.forward(20) == found.shared + 19 * found.generated


QWEN3 = {
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_size": 1024,
    "dtype": "bfloat16",
    "max_position_embeddings": 40_960,
}


def test_the_cache_of_grouped_heads_is_the_worked_number():
    found = kv_cache(QWEN3)

    assert found.bytes_per_token == 2 * 28 * 8 * 128 * 2 == 114_688
    assert found.bytes_of(1_000) == 114_688_000
    assert (found.layers, found.other_layers, found.window) == (28, 0, 40_960)


def test_head_size_and_heads_follow_from_the_rest_where_they_are_missing():
    plain = {key: QWEN3[key] for key in ("num_hidden_layers", "num_attention_heads", "hidden_size")}

    found = kv_cache(plain)

    assert found.bytes_per_token == 2 * 28 * 1024 * 4
    assert (found.dtype, found.window) == ("float32", None)


def test_layers_of_bounded_size_do_not_grow_with_the_history():
    kinds = ["linear_attention"] * 21 + ["full_attention"] * 7

    found = kv_cache({**QWEN3, "layer_types": kinds})

    assert (found.layers, found.other_layers) == (7, 21)
    assert found.bytes_per_token == 2 * 7 * 8 * 128 * 2


def test_a_configuration_without_layers_is_refused():
    with pytest.raises(ModelError, match="num_hidden_layers"):
        kv_cache({"num_attention_heads": 2})


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "qwen3_5"])
def test_the_configuration_is_that_of_the_text_model(checkpoints, family):
    found = kv_cache(open_config(parse_spec(str(checkpoints[family])), EngineOptions()))

    assert found.bytes_per_token > 0
    assert (found.other_layers > 0) == (family == "qwen3_5")


def test_a_solver_has_no_configuration():
    with pytest.raises(InputError, match="mock solvers have no configuration"):
        open_config(parse_spec("mock:oracle"), EngineOptions())
