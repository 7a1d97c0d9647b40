"""The embedded model loads from its wheel and answers as plain transformers."""

import hashlib

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.engines.embedded import embedded_folder, find_embedded
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.loading import load_base
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_engines
from qwen_bench.protocol import Request, Unit


def test_the_gguf_is_found_without_importing_its_package():
    found = find_embedded()

    assert found.package_version == "0.1.2"
    assert found.sha256 == hashlib.sha256(found.gguf.read_bytes()).hexdigest()


@pytest.mark.model
def test_a_second_start_converts_nothing():
    folder = embedded_folder()
    written = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}

    assert embedded_folder() == folder
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == written
    assert not list(folder.parent.glob(".converting-*"))


@pytest.mark.model
def test_the_embedded_model_recalls_a_name_and_equals_plain_transformers(plain):
    turns = (
        Message("user", "My cat is called Biscuit. Please remember her name."),
        Message("assistant", "I will remember that your cat is called Biscuit."),
        Message("user", "I went to the market today and bought bread."),
        Message("assistant", "That sounds like a good day."),
    )
    question = Message("user", "What is the name of my cat?")
    other = Message("user", "What did I buy at the market?")
    names = ("Biscuit", "Pepper", "Shadow", "Luna")
    unit = Unit(
        "d",
        tuple(
            Request(key, messages, mode, names if mode == "rank" else (), 12)
            for key, messages in {
                "near": (*turns[:2], question),
                "far": (*turns, question),
                "bread": (*turns, other),
                "blind": (question,),
            }.items()
            for mode in ("generate", "rank")
        ),
    )

    with open_engines([parse_spec("embedded")], EngineOptions()) as engines:
        engine = next(engines)
        replies = list(engine.answer(unit))
        plain(engine._base, engine).check(unit, replies, tolerance=1e-4)

    by_key = {(reply.id, reply.mode): reply for reply in replies}
    assert "Biscuit" in by_key["far", "generate"].text
    assert "Biscuit" not in by_key["blind", "generate"].text
    assert max(by_key["far", "rank"].scores, key=lambda s: s.logprob).candidate == "Biscuit"
    counters = engine.counters()
    assert counters.padding_tokens == counters.recomputed_tokens == 0
    assert counters.forward_tokens == counters.tree_tokens + counters.decoded_tokens
    assert engine.identity().engine.prefix_sharing == "two-part"


@pytest.mark.model
def test_the_embedded_model_in_bfloat16_is_no_further_from_float32_than_plain_bfloat16(plain):
    history = [
        message
        for number in range(5)
        for message in (
            Message("user", f"Entry {number}: we counted {number * 7 + 3} boxes today."),
            Message("assistant", "I have written that down."),
        )
    ]
    names = ("Three boxes were counted.", "Ten boxes, if I am right.", "No boxes at all, sorry.")
    unit = Unit(
        "d",
        tuple(
            Request(f"{n}-{turns}", (*history[: 2 * turns], Message("user", text)), "rank", names)
            for turns in (1, 3, 5)
            for n, text in enumerate(("How many in entry 0?", "And how many in entry 1?"))
        ),
    )
    spec = parse_spec("embedded")

    with open_engines([spec], EngineOptions(dtype="bfloat16")) as engines:
        engine = next(engines)
        replies = {reply.id: reply for reply in engine.answer(unit)}
        rounded = {q.id: plain(engine._base, engine).scores(q) for q in unit.requests}
    exact = plain(load_base(spec, EngineOptions()), engine)
    ours, theirs = [], []
    for request in unit.requests:
        for own, other, true in zip(
            replies[request.id].scores, rounded[request.id], exact.scores(request), strict=True
        ):
            ours.append(abs(own.logprob - true[0]) / own.tokens)
            theirs.append(abs(other[0] - true[0]) / own.tokens)

    assert engine.identity().engine.prefix_sharing == "two-part"
    assert sum(ours) < 1.3 * sum(theirs)
    assert max(ours) < 0.3
