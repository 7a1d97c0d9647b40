"""A history of 128k tokens is planned in a moment and little memory; no model is asked."""

import gc
import random
import time
import tracemalloc
from types import SimpleNamespace

import pytest
import torch

from qwen_bench.engines.decoding import Budget, Stopping
from qwen_bench.engines.hf.packing import chunks
from qwen_bench.engines.hf.shared_prefix import _Reader
from qwen_bench.engines.hf.tasks import Computation, Limits, Task, TreeCounters
from qwen_bench.engines.prefix_tree import PrefixTree
from qwen_bench.engines.prompter import EncodedPrompt
from qwen_bench.record.counters import Counters

LONGEST = 1 << 17
LENGTHS = 12
QUESTIONS = 300
CONFIG = SimpleNamespace(
    num_hidden_layers=4,
    hidden_size=64,
    intermediate_size=128,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=151_936,
)


@pytest.fixture(scope="module")
def dialogue():
    """Prompts of made-up ids, each history half as long as the next, and what is ranked."""
    source = random.Random(0)  # noqa: S311 - any numbers will do

    def draw(count):
        return [source.randrange(3, CONFIG.vocab_size) for _ in range(count)]

    line = draw(LONGEST)
    prompts = [(*line[: LONGEST >> number % LENGTHS], *draw(30)) for number in range(QUESTIONS)]
    return prompts, [draw(3) for _ in range(4)]


def planned(prompts, candidates):
    """Everything the engine does between the ids and the first forward, rows included."""
    tree, tasks = PrefixTree(), []
    for number, prompt in enumerate(prompts):
        end = tree.insert(prompt)
        paths = [tree.path(tree.insert(ids, end), len(prompt)) for ids in candidates]
        tasks.append(Task(2 * number, end, tuple(paths)))
        tasks.append(Task(2 * number + 1, end, budget=Budget(32, 0)))
    forward = SimpleNamespace(config=CONFIG, device=torch.device("cpu"), dtype=torch.float32)
    work = Computation(
        tree, forward, TreeCounters(Counters()), Limits(), Stopping(frozenset(), str), 2
    )
    reader = _Reader(work, tasks)
    read = [part for stem in reader.stems for part in chunks(stem, reader._wanted, reader._room)]
    return tree, read, [batch for stem in reader.stems for batch in reader.pack(stem)]


def test_128k_tokens_with_300_questions_are_planned_in_under_a_second(dialogue):
    begun = time.process_time()

    tree, read, batches = planned(*dialogue)

    assert time.process_time() - begun < 1
    fed = sum(map(len, read))
    fed += sum(len(limb.nodes) for batch in batches for limbs in batch.passes for limb in limbs)
    assert fed == len(tree)
    assert LONGEST < len(tree) < LONGEST + 50 * QUESTIONS
    assert sum(len(batch.leaves) for batch in batches) == QUESTIONS


def test_the_plan_of_128k_tokens_takes_less_than_200_mb(dialogue):
    tracemalloc.start()
    try:
        held = planned(*dialogue)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert held
    assert most < 200e6 / 4  # 23 MB when this was written


def test_a_tree_of_128k_tokens_takes_a_few_bytes_a_token(dialogue):
    prompts, _ = dialogue
    tracemalloc.start()
    try:
        tree = PrefixTree()
        for prompt in prompts:
            tree.insert(prompt)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert held < 16 * len(tree)


@pytest.mark.parametrize("family", ["qwen2", "qwen3_5"])
def test_texts_and_ids_of_prompts_are_let_go_of_before_the_model_is_asked(
    open_tiny, forked_unit, family
):
    engine, base = open_tiny(family)
    alive = []

    def look(*_):
        alive.append(sum(type(item) is EncodedPrompt for item in gc.get_objects()))

    base.model.register_forward_pre_hook(look)

    list(engine.answer(forked_unit))

    assert alive
    assert not any(alive)
