"""Memory is budgeted; when it runs out, less is computed together and no probe is lost."""

import weakref
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import torch

from qwen_bench.chat.messages import Message
from qwen_bench.engines import device_memory as memory
from qwen_bench.engines.device_memory import is_out_of_memory, memory_budget
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.hf import shared_prefix as two_part
from qwen_bench.engines.hf.attention import StemPass
from qwen_bench.engines.hf.open_hf import limits_for
from qwen_bench.engines.hf.tasks import Limits
from qwen_bench.protocol import Request, Unit

CPU = torch.device("cpu")


def keys(replies):
    return [(reply.id, reply.mode) for reply in replies]


def essence(replies):
    return {
        (reply.id, reply.mode): (
            reply.status,
            reply.text,
            [score.candidate for score in reply.scores],
        )
        for reply in replies
    }


class Allocator:
    """A model on a device whose memory ends; `fails` says when, from rows, tokens and pass."""

    def __init__(self, model, fails, error=None):
        self._model = model
        self.fails = fails
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        self.sizes = []

    def __getattr__(self, name):
        return getattr(self._model, name)

    def __call__(self, *, input_ids, **options):
        sharing = options.get("sharing")
        trunk = sharing is None or isinstance(sharing, StemPass)
        if self.fails(input_ids, trunk):
            raise type(self.error)(*self.error.args)
        self.sizes.append(input_ids.numel())
        return self._model(input_ids=input_ids, **options)


@pytest.fixture
def short_of(open_tiny):
    """An engine on a model that fails as told, and that model."""

    def make(fails, *, error=None, strategy="two-part", family="qwen2", **limits):
        made = []

        def shrink(base):
            base.model = Allocator(base.model, fails, error)
            made.append(base.model)

        engine, _ = open_tiny(family, shrink, strategy=strategy, limits=Limits(**limits))
        return engine, made[0]

    return make


@pytest.fixture
def trunks(monkeypatch):
    """The trunks that exist."""
    alive = weakref.WeakSet()

    class Counted(two_part.Trunk):
        def __init__(self, capacity):
            super().__init__(capacity)
            alive.add(self)

    monkeypatch.setattr(two_part, "Trunk", Counted)
    return alive


class TestBudget:
    def test_half_of_the_free_memory_of_a_cpu(self, monkeypatch):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 << 30))
        monkeypatch.setattr(memory, "_cgroup_free", lambda _: [])

        assert memory_budget(CPU) == 4 << 30

    def test_a_limit_of_the_process_counts(self, monkeypatch, tmp_path):
        (tmp_path / "memory.max").write_text(f"{3 << 30}\n")
        (tmp_path / "memory.current").write_text(f"{1 << 30}\n")
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 << 30))
        monkeypatch.setattr(memory, "_CGROUPS", tmp_path)

        assert memory_budget(CPU) == 1 << 30

    @pytest.mark.parametrize(("limit", "free"), [("max", []), ("100", [60]), ("30", [0])])
    def test_no_limit_is_no_limit(self, limit, free, tmp_path):
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text("40")

        assert memory._cgroup_free(tmp_path) == free

    def test_the_old_form_of_the_limit_is_read_too(self, tmp_path):
        (tmp_path / "memory").mkdir()
        (tmp_path / "memory" / "memory.limit_in_bytes").write_text("100\n")
        (tmp_path / "memory" / "memory.usage_in_bytes").write_text("40\n")

        assert memory._cgroup_free(tmp_path) == [60]

    def test_cuda_leaves_a_part_free_and_reuses_what_torch_holds(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (900, 2000))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 300)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 200)

        assert memory_budget(torch.device("cuda")) == int(0.85 * 1000)

    def test_mps_leaves_a_part_of_what_it_recommends(self, monkeypatch):
        monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 1000)
        monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 200)

        assert memory_budget(torch.device("mps")) == 500

    @pytest.mark.parametrize(("given", "size"), [("4GiB", 4 << 30), (1_000_000, 1_000_000)])
    def test_the_user_may_set_it(self, given, size):
        options = EngineOptions(batch_size=7, model_args={"memory": given, "chunk_tokens": 64})

        limits = limits_for(options, CPU)

        assert (limits.memory_bytes, limits.rows, limits.chunk) == (size, 7, 64)

    def test_the_batch_size_is_in_the_identity(self, open_tiny):
        engine, _ = open_tiny("qwen2", limits=Limits(rows=3, chunk=64))

        facts = engine.identity().engine

        assert (facts.batch_size, facts.chunk_tokens) == (3, 64)


class TestOutOfMemory:
    @pytest.mark.parametrize(
        ("family", "strategy"),
        [("qwen3", "two-part"), ("qwen2", "copying"), ("qwen3_5", "copying")],
    )
    def test_fewer_rows_give_the_same_answers_and_the_split_is_counted(
        self, family, strategy, short_of, open_tiny, forked_unit
    ):
        expected = essence(open_tiny(family, strategy=strategy)[0].answer(forked_unit))
        most = 60 if strategy == "two-part" else 20
        engine, _ = short_of(
            lambda ids, trunk: (ids.shape[0] > 1 or not trunk) and ids.numel() > most,
            strategy=strategy,
            family=family,
        )

        replies = list(engine.answer(forked_unit))

        assert essence(replies) == expected
        counters = engine.counters()
        assert counters.oom_splits > 0
        assert counters.forward_tokens == (
            counters.tree_tokens + counters.decoded_tokens + counters.recomputed_tokens
        )

    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("CUDA out of memory."),
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
            MemoryError(),
        ],
        ids=["cuda", "cpu", "mps", "python"],
    )
    def test_every_device_says_it_in_words_of_its_own(self, error, short_of, forked_unit):
        engine, _ = short_of(lambda ids, trunk: not trunk and ids.numel() > 60, error=error)

        replies = list(engine.answer(forked_unit))

        assert {reply.status for reply in replies} <= {"ok", "truncated"}
        assert engine.counters().oom_splits > 0

    def test_the_smaller_budget_stays_for_the_run(self, short_of, forked_unit):
        engine, _ = short_of(lambda ids, trunk: not trunk and ids.numel() > 60)

        list(engine.answer(forked_unit))
        first = engine.counters().oom_splits
        list(engine.answer(replace(forked_unit, dialogue="second")))

        assert first > 0
        assert engine.counters().oom_splits == first

    def test_the_chunk_is_halved_down_to_128_when_one_request_is_too_much(
        self, short_of, open_tiny
    ):
        long = Message("user", "44 " * 200)
        unit = Unit("u", (Request("long", (long,), "generate", max_new_tokens=2),))
        (expected,) = open_tiny("qwen2")[0].answer(unit)
        engine, model = short_of(lambda ids, _: ids.numel() > 130)

        (reply,) = engine.answer(unit)

        assert (reply.status, reply.text) == (expected.status, expected.text)
        assert expected.prompt_tokens > 512
        assert max(model.sizes) == 128

    def test_what_never_fits_is_an_error_and_all_the_rest_is_answered(
        self, short_of, open_tiny, forked_unit
    ):
        reference, base = open_tiny("qwen2")
        expected = essence(reference.answer(forked_unit))
        (poison,) = base.tokenizer.encode("P", add_special_tokens=False)
        odd = Request("odd", (Message("user", "P"),), "generate", max_new_tokens=4)
        engine, _ = short_of(lambda ids, _: bool((ids == poison).any()))
        requests = (*forked_unit.requests[:3], odd, *forked_unit.requests[3:])

        replies = list(engine.answer(Unit("u", requests)))

        assert sorted(keys(replies)) == sorted((r.id, r.mode) for r in requests)
        (failed,) = [reply for reply in replies if reply.id == "odd"]
        assert (failed.status, failed.reason, failed.error_type) == (
            "error",
            "oom",
            "OutOfMemoryError",
        )
        assert essence(reply for reply in replies if reply.id != "odd") == expected

    def test_the_failed_batch_is_freed_before_the_next_try(self, short_of, forked_unit, trunks):
        held = []

        def fails(ids, trunk):
            held.append(len(trunks))
            return not trunk and ids.numel() > 60

        engine, _ = short_of(fails)
        list(engine.answer(forked_unit))

        assert engine.counters().oom_splits > 0
        assert max(held) == 1
        assert len(trunks) == 0

    def test_another_error_is_none_of_memory(self):
        assert not is_out_of_memory(RuntimeError("shape mismatch"))
        assert not is_out_of_memory(ValueError("out of memory"))


class TestStreaming:
    @pytest.mark.parametrize("strategy", ["two-part", "copying"])
    def test_thirty_dialogues_hold_no_more_than_three(self, strategy, open_tiny, forked_unit):
        peaks = []
        for dialogues in (3, 30):
            engine, _ = open_tiny("qwen2", strategy=strategy)
            for number in range(dialogues):
                requests = forked_unit.requests[: 4 + 2 * (number % 2)]
                list(engine.answer(Unit(str(number), requests)))
            peaks.append(engine.counters().peak_kv_bytes)

        assert peaks[0] == peaks[1] > 0

    def test_nothing_is_held_between_dialogues(self, open_tiny, forked_unit, trunks):
        engine, _ = open_tiny("qwen2", strategy="two-part")

        batches = engine.answer(forked_unit)
        next(batches)
        during = len(trunks)
        list(batches)

        assert (during, len(trunks)) == (1, 0)


def test_seconds_are_told_by_phase(open_tiny, forked_unit):
    engine, _ = open_tiny("qwen2")

    list(engine.answer(forked_unit))

    counters = engine.counters()
    phases = [
        counters.encode_seconds,
        counters.trunk_seconds,
        counters.rows_seconds,
        counters.decode_seconds,
    ]
    assert all(phase > 0 for phase in phases)
    assert sum(phases) <= counters.seconds
    assert counters.cpu_seconds > 0
    assert counters.rows_max >= 4
