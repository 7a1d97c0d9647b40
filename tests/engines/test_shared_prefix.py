"""Two-part attention gives what plain transformers gives, each token computed once, no padding."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_bench.engines.hf import selfcheck
from qwen_bench.engines.hf.attention import NAME, two_part
from qwen_bench.engines.hf.tasks import kv_bytes
from qwen_bench.testing import tiny_model

SHAPES = {
    "one key head for each query head": ("llama", {"num_key_value_heads": 4}),
    "three query heads a key head": ("qwen2", {"num_attention_heads": 6, "hidden_size": 48}),
    "four, head size not hidden / heads": ("qwen3", {"num_key_value_heads": 1}),
    "eight": ("qwen3", {"num_attention_heads": 8, "num_key_value_heads": 1}),
    "embeddings not tied": ("qwen2", {"tie_word_embeddings": False}),
}
FORKS = (0, 3, 17, 18, 40)


def exact(counters):
    """The identity every run must keep."""
    return counters.forward_tokens == (
        counters.tree_tokens
        + counters.decoded_tokens
        + counters.padding_tokens
        + counters.recomputed_tokens
    )


def tokens(outcome):
    return {number: result.tokens for number, result in outcome.results.items()}


@pytest.fixture
def options():
    """Several candidates of several tokens that begin alike, for each prompt."""

    def make(prompts):
        return [[(7, 8), (7, 9, 10), (11,), (12, 13, 14, 15)] for _ in prompts]

    return make


class TestEquality:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_greedy_answers_are_those_of_generate(self, shape, compute, forked, plain_ids):
        family, changes = SHAPES[shape]
        model, prompts = tiny_model(family, **changes), forked(FORKS, 3)

        answers = tokens(compute(model, prompts))

        expected = {n: plain_ids(model).tokens(prompt) for n, prompt in enumerate(prompts)}
        assert answers == expected
        assert len(set(expected.values())) > len(prompts) // 2, "equal answers prove nothing"

    @pytest.mark.parametrize("shape", SHAPES)
    def test_scores_are_those_of_a_full_log_softmax(
        self, shape, compute, forked, plain_ids, options
    ):
        family, changes = SHAPES[shape]
        model, prompts = tiny_model(family, **changes), forked(FORKS, 2)
        candidates = options(prompts)

        outcome = compute(model, prompts, candidates=candidates)

        for number, result in outcome.results.items():
            expected = plain_ids(model).scores(prompts[number], candidates[number])
            for own, plain in zip(result.scores, expected, strict=True):
                assert own == pytest.approx(plain, abs=1e-5)

    def test_140_answers_from_seven_lengths_equal_generate_one_by_one(
        self, compute, forked, plain_ids
    ):
        model = tiny_model("qwen3")
        prompts = forked((8, 16, 32, 64, 128, 256, 512), 20, longest=24)

        outcome = compute(model, prompts, budget=8)

        expected = {n: plain_ids(model).tokens(prompt, 8) for n, prompt in enumerate(prompts)}
        assert tokens(outcome) == expected
        assert len(set(expected.values())) > 70
        counters = outcome.counters
        assert counters.padding_tokens == counters.recomputed_tokens == 0
        assert counters.forward_tokens == counters.tree_tokens + counters.decoded_tokens
        assert counters.rows_max == 140

    @pytest.mark.parametrize("chunk", [1, 37, 128, 4096])
    def test_the_chunk_in_which_the_trunk_is_read_changes_nothing(
        self, chunk, compute, forked, options
    ):
        model, prompts = tiny_model("qwen2"), forked((0, 100, 300), 2)
        candidates = options(prompts)

        assert tokens(compute(model, prompts, chunk=chunk)) == tokens(compute(model, prompts))
        scores, expected = (
            compute(model, prompts, candidates=candidates, **limits).results
            for limits in ({"chunk": chunk}, {})
        )
        for number, result in expected.items():
            for own, other in zip(scores[number].scores, result.scores, strict=True):
                assert own == pytest.approx(other, abs=1e-5)

    @pytest.mark.parametrize("limits", [
        {"rows": 1},
        {"rows": 3},
        {"memory_bytes": 1},
        {"memory_bytes": 1_200_000, "logits_bytes": 100_000, "chunk": 64},
        {"logits_bytes": 1},
    ], ids=str)  # fmt: skip
    def test_any_budget_from_one_row_up_gives_the_same(self, limits, compute, forked, options):
        model, prompts = tiny_model("qwen3"), forked(FORKS, 3)
        candidates = options(prompts)

        outcome = compute(model, prompts, **limits)
        ranked = compute(model, prompts, candidates=candidates, **limits)

        assert tokens(outcome) == tokens(compute(model, prompts))
        expected = compute(model, prompts, candidates=candidates).results
        for number, result in expected.items():
            for own, other in zip(ranked.results[number].scores, result.scores, strict=True):
                assert own == pytest.approx(other, abs=1e-5)
        assert exact(outcome.counters)
        assert exact(ranked.counters)

    def test_less_memory_means_fewer_rows_and_less_held(self, compute, forked):
        model, prompts = tiny_model("qwen3"), forked((64,), 40)

        wide = compute(model, prompts).counters
        narrow = compute(
            model, prompts, memory_bytes=600_000, logits_bytes=100_000, chunk=64
        ).counters

        assert wide.rows_max == 40
        assert 1 < narrow.rows_max < 40
        assert narrow.peak_kv_bytes < wide.peak_kv_bytes
        assert narrow.recomputed_tokens == 0

    def test_any_order_of_prompts_gives_the_same(self, compute, forked):
        model, prompts = tiny_model("qwen2"), forked(FORKS, 3)

        answers = tokens(compute(model, prompts))
        backwards = tokens(compute(model, prompts[::-1]))

        last = len(prompts) - 1
        assert {last - number: found for number, found in backwards.items()} == answers

    @pytest.mark.parametrize(
        "prompts",
        [
            [[5]],
            [[5, 6, 7]],
            [[5, 6, 7], [5, 6, 7]],
            [[5, 6, 7, 8], [5, 6], [5, 6, 7]],
            [[5, 6, 7, 8], [9, 10], [11]],
            [[5, 6, 7, 8, 9], [5, 6, 7, 12]],
            [[5, *range(20, 90)], [5, 6, *range(100, 190)], [5, 6, *range(100, 150), 3, 4]],
        ],
        ids=[
            "one token",
            "one prompt",
            "equal prompts",
            "prompts inside a prompt, that end on the trunk",
            "nothing in common",
            "a question of one token",
            "rows of very different length",
        ],
    )
    def test_odd_trees_are_answered_as_plain(self, prompts, compute, plain_ids):
        model = tiny_model("qwen3")
        candidates = [[(7, 8), (9,)] for _ in prompts]

        outcome = compute(model, prompts)
        ranked = compute(model, prompts, candidates=candidates)

        for number, prompt in enumerate(prompts):
            assert outcome.results[number].tokens == plain_ids(model).tokens(prompt)
            expected = plain_ids(model).scores(prompt, candidates[number])
            for own, plain in zip(ranked.results[number].scores, expected, strict=True):
                assert own == pytest.approx(plain, abs=1e-5)
        assert outcome.counters.recomputed_tokens == ranked.counters.recomputed_tokens == 0
        assert exact(outcome.counters)

    def test_forks_that_are_near_share_a_group_and_forget_nothing(self, compute, forked, plain_ids):
        model, prompts = tiny_model("qwen2"), forked(range(30, 60), 1)

        answers = tokens(compute(model, prompts))

        assert answers == {n: plain_ids(model).tokens(prompt) for n, prompt in enumerate(prompts)}

    @pytest.mark.parametrize("budget", [1, 2, 63, 64, 65, 150])
    def test_answers_longer_than_a_block_of_the_buffer(self, budget, compute, forked, plain_ids):
        model, prompts = tiny_model("qwen2"), forked((5, 20), 2)

        answers = tokens(compute(model, prompts, budget=budget))

        assert answers == {
            n: plain_ids(model).tokens(prompt, budget) for n, prompt in enumerate(prompts)
        }


PROMPTS = st.lists(st.lists(st.integers(3, 5), min_size=1, max_size=12), min_size=1, max_size=7)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "rows": st.integers(1, 4),
        "chunk": st.integers(1, 9),
        "memory_bytes": st.integers(1, 2_000_000),
        "logits_bytes": st.integers(1, 30_000),
    },
)


@given(prompts=PROMPTS, limits=LIMITS, budget=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_any_tree_under_any_limits_is_answered_as_plain(compute, prompts, limits, budget):
    model = tiny_model("qwen3")

    outcome = compute(model, prompts, budget=budget, **limits)

    for number, prompt in enumerate(prompts):
        ids = list(prompt)
        for _ in range(budget):
            with torch.inference_mode():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert outcome.results[number].tokens == tuple(ids[len(prompt) :])
    assert exact(outcome.counters)
    assert outcome.counters.padding_tokens == 0


class TestLongLimbs:
    def test_a_limb_of_over_512_tokens_becomes_a_trunk_of_its_own(self, compute, forked, plain_ids):
        model = tiny_model("qwen3", max_position_embeddings=4096)
        first = forked((20, 60, 700), 2, seed=1)
        branch = forked((530, 620), 2, seed=2)
        deep = forked((560,), 2, seed=3)
        prompts = [
            *first,
            *([*first[0][:20], *prompt] for prompt in branch),
            *([*first[0][:20], *branch[0][:40], *prompt] for prompt in deep),
            *([*first[2][:60], *prompt] for prompt in deep),
        ]

        outcome = compute(model, prompts)

        assert tokens(outcome) == {
            n: plain_ids(model).tokens(prompt) for n, prompt in enumerate(prompts)
        }
        counters = outcome.counters
        assert counters.recomputed_tokens == counters.padding_tokens == 0
        assert counters.forward_tokens == counters.tree_tokens + counters.decoded_tokens

    def test_many_candidates_share_their_question(self, compute, forked, plain_ids):
        model, prompts = tiny_model("qwen2"), forked((30,), 2)
        candidates = [[(n, n + 1, 5) for n in range(3, 403)] for _ in prompts]

        outcome = compute(model, prompts, candidates=candidates)

        for number, prompt in enumerate(prompts):
            some = [0, 200, 399]
            expected = plain_ids(model).scores(prompt, [candidates[number][n] for n in some])
            own = [outcome.results[number].scores[n] for n in some]
            assert own == [pytest.approx(plain, abs=1e-5) for plain in expected]
        assert outcome.counters.recomputed_tokens == 0


class TestNumbers:
    def test_bfloat16_is_as_near_to_plain_bfloat16_as_that_is_to_float32(
        self, compute, forked, plain_ids
    ):
        prompts = forked((10, 100, 400), 8, longest=20)
        candidates = [[(7, 8), (9, 10, 11), (12,)] for _ in prompts]
        model = tiny_model("qwen3")
        exact_scores = [
            plain_ids(model).scores(*pair) for pair in zip(prompts, candidates, strict=True)
        ]
        model = model.to(torch.bfloat16)

        outcome = compute(model, prompts, candidates=candidates)

        own, rounding = [], []
        for number, prompt in enumerate(prompts):
            plain = plain_ids(model).scores(prompt, candidates[number])
            for ids, mine, theirs, true in zip(
                candidates[number],
                outcome.results[number].scores,
                plain,
                exact_scores[number],
                strict=True,
            ):
                own.append(abs(mine[0] - theirs[0]) / len(ids))
                rounding.append(abs(theirs[0] - true[0]) / len(ids))
        assert max(own) < 6e-2
        assert sum(own) / len(own) < 1e-2
        assert sum(own) < sum(rounding)

    def test_processes_with_other_hash_seeds_agree_to_the_byte(self):
        code = """
import json, sys
sys.path.insert(0, sys.argv[1])
from conftest import compute, forked
from qwen_bench.testing import tiny_model
prompts = forked((0, 9, 30), 3)
candidates = [[(7, 8), (9,)] for _ in prompts]
model = tiny_model("qwen3")
written = compute(model, prompts)
ranked = compute(model, prompts, candidates=candidates)
print(json.dumps([
    [number, found.results[number]] for found in (written, ranked) for number in found.results
]))
"""
        folder = os.path.dirname(__file__)  # noqa: PTH120 - handed on as text

        def printed(seed):
            return subprocess.run(
                [sys.executable, "-c", code, folder],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
                text=True,
            ).stdout

        with ThreadPoolExecutor() as pool:
            found = set(pool.map(printed, ("1", "2")))

        assert len(found) == 1
        assert len(json.loads(found.pop())) == 18


class TestMemory:
    def test_keys_and_values_are_those_of_the_longest_prompt_and_the_rows(self, compute, forked):
        model, prompts = tiny_model("qwen3"), forked((32, 64, 128, 256, 512), 8, longest=9)
        each = kv_bytes(model.config, 4)

        counters = compute(model, prompts, budget=8).counters

        longest = max(map(len, prompts))
        rows = sum(9 + 8 for _ in prompts)
        assert longest * each <= counters.peak_kv_bytes <= 1.2 * longest * each + rows * each

    def test_a_large_budget_costs_nothing_until_it_is_used(self, compute, forked, monkeypatch):
        from qwen_bench.engines import decoding

        model, prompts = tiny_model("qwen3"), forked((32,), 20)
        small = compute(model, prompts, budget=4).counters.peak_kv_bytes
        # Every row stops after four tokens, though it may have thousands.
        live = decoding.GeneratedRow.live.fget
        monkeypatch.setattr(
            decoding.GeneratedRow, "live", property(lambda row: live(row) and len(row.tokens) < 4)
        )

        large = compute(model, prompts, budget=4000).counters.peak_kv_bytes

        assert large < 8 * small
        assert large < 20 * 200 * kv_bytes(model.config, 4)

    @pytest.mark.parametrize("limits", [{}, {"logits_bytes": 5 * 512 * 8}])
    def test_ranking_asks_for_logits_only_where_it_reads_them(
        self, limits, compute, forked, options
    ):
        model, prompts = tiny_model("qwen3"), forked((100, 300), 3)
        rows = []

        class Watched:
            def __getattr__(self, name):
                return getattr(model, name)

            def __call__(self, **named):
                output = model(**named)
                rows.append(output.logits.shape[1])
                return output

        compute(Watched(), prompts, candidates=options(prompts), **limits)

        # The end of each prompt and the distinct tokens of its candidates, two of which share one.
        assert sum(rows) >= len(prompts) * (1 + 9)
        assert max(rows) <= (5 if limits else 60)
        if not limits:
            assert sum(rows) == len(prompts) * (1 + 9)

    def test_the_cost_of_a_longer_history_is_its_tokens(self, compute, forked):
        model = tiny_model("qwen3", max_position_embeddings=4096)

        forward = {
            length: compute(model, forked((length // 4, length // 2, length), 4)).counters
            for length in (256, 512, 1024)
        }

        for length, counters in forward.items():
            rows = counters.forward_tokens - counters.decoded_tokens - length
            assert 12 <= rows <= 12 * 9


class TestGate:
    @pytest.mark.parametrize("name", ["softcap", "s_aux", "sliding_window"])
    def test_what_a_layer_wants_beyond_plain_attention_is_refused(self, name):
        one = torch.zeros(1, 1, 1, 8)

        with pytest.raises(ValueError, match=f"does not know {name}"):
            two_part(None, one, one, one, None, sharing=print, **{name: 4})

    def test_a_mask_or_a_missing_pass_is_refused(self):
        one = torch.zeros(1, 1, 1, 8)

        with pytest.raises(ValueError, match="needs a pass"):
            two_part(None, one, one, one, None)
        with pytest.raises(ValueError, match="no mask"):
            two_part(None, one, one, one, one, sharing=print)

    @pytest.mark.parametrize(
        ("config", "model", "changes"),
        [
            ("Gemma2Config", "Gemma2ForCausalLM", {"sliding_window": 4096}),
            ("GptOssConfig", "GptOssForCausalLM", {"num_local_experts": 4}),
            ("Gemma3TextConfig", "Gemma3ForCausalLM", {}),
        ],
        ids=["soft caps", "sinks", "sliding windows"],
    )
    def test_models_with_soft_caps_sinks_or_windows_are_copied(
        self, config, model, changes, monkeypatch
    ):
        import transformers

        from qwen_bench.engines.hf.forward import Forward
        from qwen_bench.record.counters import Counters

        small = getattr(transformers, config)(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            **changes,
        )
        made = getattr(transformers, model)(small).eval()

        def choice():
            forward = Forward(made, made.config, torch.device("cpu"), torch.float32, Counters())
            with torch.inference_mode():
                return selfcheck.choose_strategy(forward, made)

        assert choice().strategy == "copying"
        # Were the configuration silent about it, the layers would tell.
        monkeypatch.setattr(selfcheck, "only_full_attention", lambda _: True)
        assert choice().strategy == "copying"

    def test_between_batches_the_model_is_as_it_came(self, compute, forked):
        model, prompts = tiny_model("qwen2"), forked((5,), 3)
        ids = torch.arange(3, 40)[None]
        seen = []
        with torch.inference_mode():
            before = model(ids).logits
        original = model.config._attn_implementation

        class Watched:
            def __getattr__(self, name):
                return getattr(model, name)

            def __call__(self, **options):
                seen.append(model.config._attn_implementation)
                return model(**options)

        compute(Watched(), prompts)
        with torch.inference_mode():
            after = model(ids).logits

        assert set(seen) == {NAME}
        assert model.config._attn_implementation == original
        assert torch.equal(before, after)

    def test_an_error_brings_the_old_attention_back(self, compute, forked):
        model = tiny_model("qwen2")
        original = model.config._attn_implementation

        class Broken:
            def __getattr__(self, name):
                return getattr(model, name)

            def __call__(self, **_):
                raise RuntimeError("broken")

        with pytest.raises(RuntimeError, match="broken"):
            compute(Broken(), forked((5,), 3))

        assert model.config._attn_implementation == original


class TestNegativeControls:
    def test_a_fork_one_token_too_shallow_is_seen(self, compute, forked, plain_ids, monkeypatch):
        from qwen_bench.engines.hf import row_index as rows

        model, prompts = tiny_model("qwen2"), forked((40,), 6)
        right = tokens(compute(model, prompts))
        segments = rows.segments
        shallow = lambda parts: segments([(n, max(0, depth - 1)) for n, depth in parts])  # noqa: E731
        monkeypatch.setattr(rows, "segments", shallow)

        wrong = tokens(compute(model, prompts))

        expected = {n: plain_ids(model).tokens(prompt) for n, prompt in enumerate(prompts)}
        assert right == expected
        assert wrong != expected

    def test_a_log_sum_exp_that_is_a_little_wrong_is_seen(
        self, compute, forked, plain_ids, monkeypatch, options
    ):
        from qwen_bench.engines.hf import kernels

        model, prompts = tiny_model("qwen2"), forked((40,), 2)
        candidates = options(prompts)
        expected = plain_ids(model).scores(prompts[0], candidates[0])

        def skewed(*args, **named):
            found = kernels.flash_cpu(*args, **named)
            to_trunk = named.get("mask") is None and not named.get("causal")
            return kernels.Attended(found.out, found.lse + 0.01) if to_trunk else found

        def worst(outcome):
            pairs = zip(outcome.results[0].scores, expected, strict=True)
            return max(abs(own[0] - plain[0]) for own, plain in pairs)

        assert worst(compute(model, prompts, candidates=candidates)) < 1e-5
        monkeypatch.setitem(kernels.KERNELS, "flash_cpu", skewed)
        assert worst(compute(model, prompts, candidates=candidates)) > 1e-5
