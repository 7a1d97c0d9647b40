"""`-M KEY=VALUE`: keys that exist, values they take, engines they belong to."""

import pytest

from qwen_bench.engines.engine_options import (
    ARGUMENTS,
    EngineOptions,
    arguments_help,
    check_used,
    engine_of,
    read_arguments,
    read_bytes,
)
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.errors import InputError


def test_values_have_the_type_of_their_key():
    found = read_arguments(
        ["memory=4GiB", "timeout=2.5", "enforce_eager=true", "tokenizer=./a=b", "logprobs=20"]
    )

    assert found == {
        "memory": 4 << 30,
        "timeout": 2.5,
        "enforce_eager": True,
        "tokenizer": "./a=b",
        "logprobs": 20,
    }
    assert type(found["enforce_eager"]) is bool


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sdpa", "-M sdpa: expected KEY=VALUE"),
        ("attn_impl=sdpa", "unknown model argument 'attn_impl'; near: attn_implementation"),
        ("=4", "unknown model argument ''"),
        ("memory=much", "-M memory: 'much' is not bytes"),
        ("memory=0", "-M memory: '0' is not bytes"),
        ("chunk_tokens=0", "-M chunk_tokens: '0' is not a whole number from 1 on"),
        ("chunk_tokens=1.5", "is not a whole number"),
        ("max_retries=-1", "is not a whole number from 0 on"),
        ("timeout=nan", "is not a number above 0"),
        ("timeout=soon", "is not a number above 0"),
        ("gpu_memory_utilization=1.1", "is not a number above 0 and at most 1"),
        ("enforce_eager=1", "-M enforce_eager: '1' is not true or false"),
        ("tokenizer=", "-M tokenizer: '' is not a text"),
    ],
)
def test_what_cannot_be_read_is_refused(text, message):
    with pytest.raises(InputError) as caught:
        read_arguments([text])

    assert message in caught.value.message


def test_a_key_given_twice_is_refused():
    with pytest.raises(InputError, match="-M memory is given twice"):
        read_arguments(["memory=1GB", "memory=2GB"])


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("4GiB", 4 << 30), ("4 gib", 4 << 30), ("2GB", 2 * 10**9), ("1.5k", 1500)],
)
def test_sizes_have_decimal_and_binary_units(text, size):
    assert read_bytes(text) == size


def test_the_engine_of_a_spec_follows_from_its_kind_and_the_option():
    mock, embedded, served = map(parse_spec, ("mock:oracle", "embedded", "openai:m"))
    vllm = EngineOptions(engine="vllm")

    assert [engine_of(spec, EngineOptions()) for spec in (mock, embedded, served)] == [
        None,
        "hf",
        "openai",
    ]
    assert [engine_of(spec, vllm) for spec in (mock, embedded, served)] == [None, "vllm", "openai"]


def test_a_key_of_an_engine_that_is_not_used_is_refused():
    check_used(["memory", "timeout"], ["hf", "openai", None])

    with pytest.raises(InputError, match="max_model_len is an argument of the vllm engine"):
        check_used(["max_model_len"], ["hf", None])


def test_the_help_names_every_key():
    text = arguments_help()

    assert all(key in text for keys in ARGUMENTS.values() for key in keys)
