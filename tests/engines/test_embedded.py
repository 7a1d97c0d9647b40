"""The embedded model loads from its wheel and answers as plain transformers."""

import hashlib

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.engines.embedded import embedded_folder, find_embedded
from qwen_bench.engines.options import EngineOptions
from qwen_bench.engines.protocol import Request, Unit
from qwen_bench.engines.registry import open_engines
from qwen_bench.engines.spec import parse_spec


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

    with open_engines([parse_spec("embedded")], EngineOptions(), {}) as engines:
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
    assert engine.identity().engine["prefix_sharing"] == "packed"
