"""Rows are packed until a limit is met; what is too big alone is split, nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.engines.hf.packing import (
    FREE,
    SLACK,
    Room,
    Wish,
    align,
    alike,
    chunks,
    pack,
    width_class,
)
from qwen_bench.engines.prefix_tree import PrefixTree, Stem, lay_out

AMPLE = Room(rows=1000, kv_tokens=10**6, positions=10**6, tokens=10**6)
PROMPTS = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=8).map(tuple), min_size=1, max_size=8
)


def planned(prompts, room, tokens=4):
    """Tree, wishes by node, and the batches of the only stem."""
    tree = PrefixTree()
    ends = [tree.insert(prompt) for prompt in prompts]
    wishes = {}
    for number, end in enumerate(ends):
        wishes.setdefault(end, []).append(Wish(number, tokens, tokens))
    (stem,) = lay_out(tree, ends, ends)
    return tree, ends, stem, pack(tree, stem, wishes, dict.fromkeys(ends), room)


FIVE = [(1, 2, 3, 4, 5, 6, 7), (1, 8), (1, 2, 8), (1, 2, 3, 8), (1, 2, 3)]


def numbers(batches):
    return [sorted(leaf.wish.number for leaf in batch.leaves) for batch in batches]


class TestPack:
    def test_everything_goes_together_where_there_is_room(self):
        *_, batches = planned(FIVE, AMPLE)

        assert numbers(batches) == [[0, 1, 2, 3, 4]]
        assert batches[0].rows == 5

    def test_leaves_come_by_fork(self):
        *_, batches = planned(FIVE, AMPLE)

        assert [leaf.fork for leaf in batches[0].leaves] == [1, 2, 3, 3, 7]

    @pytest.mark.parametrize("rows", [1, 2, 3])
    def test_no_batch_has_more_rows_than_allowed(self, rows):
        *_, batches = planned(FIVE, AMPLE._replace(rows=rows))

        assert max(batch.rows for batch in batches) == rows
        assert sorted(number for batch in numbers(batches) for number in batch) == [0, 1, 2, 3, 4]

    def test_no_batch_holds_more_keys_than_allowed_unless_one_row_does(self):
        *_, two = planned(FIVE, AMPLE._replace(kv_tokens=2 * (SLACK + 1 + 4)))
        *_, one = planned(FIVE, AMPLE._replace(kv_tokens=0))

        assert max(len(batch.leaves) for batch in two) == 2
        assert {len(batch.leaves) for batch in one} == {1}

    def test_no_more_answers_are_decoded_together_than_logits_are_allowed(self):
        *_, batches = planned(FIVE, AMPLE._replace(positions=2))

        assert max(len(batch.leaves) for batch in batches) == 2

    @pytest.mark.parametrize(("limit", "most"), [("tokens", 6), ("positions", 3)])
    def test_no_forward_has_more_tokens_or_logits_than_allowed(self, limit, most):
        prompts = [(1, 1, 1, 1), (1,), *((2, n) for n in range(3)), *((n, 9) for n in range(5, 9))]
        tree = PrefixTree()
        ends = [tree.insert(prompt) for prompt in prompts]
        (stem,) = lay_out(tree, ends, ends)

        (batch,) = pack(tree, stem, {}, dict.fromkeys(ends), AMPLE._replace(**{limit: most}))

        count = {
            "tokens": [sum(len(limb.nodes) for limb in limbs) for limbs in batch.passes],
            "positions": [
                sum(n in ends for limb in limbs for n in limb.nodes) for limbs in batch.passes
            ],
        }
        assert max(count[limit]) <= most
        assert len(batch.passes) > 1

    def test_a_limb_with_too_many_leaves_is_split_and_its_stem_read_again(self):
        prompts = [(1, 1, 1, 1), *((2, 3, n) for n in range(6))]
        *_, batches = planned(prompts, AMPLE._replace(positions=2))

        read = [
            node
            for batch in batches
            for limbs in batch.passes
            for limb in limbs
            for node in limb.nodes
        ]

        assert sorted(number for batch in numbers(batches) for number in batch) == list(range(7))
        assert len(read) == 2 * 3 + 6
        assert len(set(read)) == 2 + 6

    @given(PROMPTS, st.integers(1, 3), st.integers(0, 60), st.integers(1, 4), st.integers(1, 9))
    def test_every_node_is_read_and_every_answer_given_once(
        self, prompts, rows, kv_tokens, positions, tokens
    ):
        room = Room(rows, kv_tokens, positions, tokens)
        tree, _, stem, batches = planned(prompts, room)

        read = {
            n for batch in batches for limbs in batch.passes for limb in limbs for n in limb.nodes
        }
        given_ = [leaf.wish.number for batch in batches for leaf in batch.leaves]
        assert read | set(stem.nodes) == set(range(1, len(tree) + 1))
        assert sorted(given_) == list(range(len(prompts)))

    @given(PROMPTS)
    def test_a_leaf_is_its_prompt_behind_the_fork(self, prompts):
        tree, ends, _, batches = planned(prompts, AMPLE)

        for leaf in (leaf for batch in batches for leaf in batch.leaves):
            assert leaf.path == tree.path(ends[leaf.wish.number])[leaf.fork :]


class TestChunks:
    @given(st.integers(1, 40), st.sets(st.integers(1, 40)), st.integers(1, 9), st.integers(1, 4))
    def test_chunks_are_the_stem_and_keep_the_limits(self, size, wanted, tokens, positions):
        nodes = tuple(range(1, size + 1))
        room = AMPLE._replace(tokens=tokens, positions=positions)

        found = list(chunks(Stem(0, nodes, ()), dict.fromkeys(wanted), room))

        assert tuple(node for chunk in found for node in chunk) == nodes
        assert all(0 < len(chunk) <= tokens for chunk in found)
        assert all(sum(node in wanted for node in chunk) <= positions for chunk in found)


class TestAlign:
    @given(st.lists(st.integers(0, 300), max_size=30).map(sorted))
    def test_a_depth_is_at_most_the_slack_below_its_fork(self, forks):
        depths = align(forks)

        assert all(0 <= fork - depth <= SLACK for fork, depth in zip(forks, depths, strict=True))
        assert depths == sorted(depths)
        assert set(depths) <= set(forks)

    @given(st.lists(st.integers(0, 600), min_size=1, max_size=60), st.integers(1, 64))
    def test_buffers_hold_every_row_once_and_leave_few_places_free(self, widths, expected):
        groups = alike(widths, expected)

        assert sorted(place for group in groups for place in group) == list(range(len(widths)))
        places = sum(len(g) * (max(widths[n] for n in g) + expected) for g in groups)
        assert places <= (1 + FREE) * (sum(widths) + len(widths) * expected)

    @given(st.integers(1, 5000))
    def test_rows_of_a_class_are_less_than_twice_as_long_as_one_another(self, tokens):
        assert width_class(tokens) == width_class(max(tokens, 32))
        if tokens > 32:
            assert width_class(2 * tokens) == width_class(tokens) + 1
