"""Long histories: planned in a moment and little memory, read in chunks that are told of."""

import gc
import random
import time
import tracemalloc
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from qwen_bench.engines.decoding import Budget, Stopping
from qwen_bench.engines.hf.buffers import Trunk
from qwen_bench.engines.hf.packing import chunks
from qwen_bench.engines.hf.shared_prefix import _Reader
from qwen_bench.engines.hf.tasks import Computation, Limits, Task, TreeCounters, kv_bytes
from qwen_bench.engines.prefix_tree import PrefixTree
from qwen_bench.engines.prompter import EncodedPrompt, Prompter
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
def test_texts_and_ids_of_prompts_but_the_latest_are_let_go_of_before_the_model_is_asked(
    open_tiny, forked_unit, family
):
    engine, base = open_tiny(family)
    alive = []

    def prompts():
        return sum(type(item) is EncodedPrompt for item in gc.get_objects())

    base.model.register_forward_pre_hook(lambda *_: alive.append(prompts()))
    # Engines of other tests may still hold their latest.
    gc.collect()
    others = prompts()

    list(engine.answer(forked_unit))

    assert alive
    assert max(alive) <= others + 1


def test_a_prompt_that_is_asked_in_two_modes_in_a_row_is_encoded_once(open_tiny, forked_unit):
    engine, _ = open_tiny("qwen2")
    encoded = []
    plain_encoded = Prompter._encoded

    def encode(self, text):
        encoded.append(text)
        return plain_encoded(self, text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Prompter, "_encoded", encode)
        list(engine.answer(forked_unit))

    prompts = {engine._prompter.prompt(request.messages).text for request in forked_unit.requests}
    assert sorted(encoded) == sorted(prompts)


@pytest.mark.parametrize("family", ["qwen2", "qwen3_5"])
def test_every_chunk_of_a_trunk_is_told(open_tiny, forked_unit, family):
    engine, _ = open_tiny(family, limits=Limits(chunk=16))
    told = []
    engine.tell(lambda *tokens: told.append(tokens))

    list(engine.answer(forked_unit))

    # While prompts are encoded nothing is read, and the tree grows.
    encoded = [total for read, total in told if not read]
    assert encoded == sorted(encoded)
    assert len(encoded) == len(forked_unit.requests)
    longest = told[-1][1]
    trunk = [read for read, total in told if read and total == longest]
    assert trunk == sorted(trunk)
    assert len(trunk) >= longest // 16
    assert max(b - a for a, b in pairwise([0, *trunk])) <= (16 if family == "qwen2" else 64)


@pytest.mark.parametrize("family", ["qwen2", "qwen3_5"])
def test_a_stop_inside_a_trunk_comes_within_one_chunk_and_leaves_the_engine_usable(
    open_tiny, forked_unit, plain, family
):
    engine, base = open_tiny(family, limits=Limits(chunk=16))
    fed = []

    def stop(read, _):
        if read:
            raise KeyboardInterrupt

    hook = base.model.register_forward_pre_hook(
        lambda *given: fed.append(given[2]["input_ids"].numel()), with_kwargs=True
    )
    engine.tell(stop)
    with pytest.raises(KeyboardInterrupt):
        list(engine.answer(forked_unit))
    hook.remove()
    engine.tell(lambda *_: None)

    assert len(fed) == 1
    assert fed[0] <= 16
    plain(base, engine).check(forked_unit, list(engine.answer(forked_unit)))


def test_keys_and_values_of_a_trunk_lie_where_they_were_written(open_tiny, forked_unit):
    engine, base = open_tiny("qwen2", limits=Limits(chunk=16))
    places, held = set(), set()
    plain_write = Trunk.write

    def write(self, layer, keys, values):
        plain_write(self, layer, keys, values)
        places.add((id(self), layer, self.read(layer, 1)[0].data_ptr()))
        held.add(self.nbytes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trunk, "write", write)
        list(engine.answer(forked_unit))

    layers = base.config.num_hidden_layers
    longest = max(len(engine._prompter.prompt(r.messages).ids) for r in forked_unit.requests)
    assert len(places) == layers
    assert max(held) == longest * kv_bytes(base.config, 4)
