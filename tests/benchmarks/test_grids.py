"""What is asked is a function of its name, and its sizes are known."""

from pathlib import Path

import pytest

from benchmarks import grids

NOWHERE = Path("nowhere")


@pytest.mark.parametrize(
    ("name", "naive", "tree"),
    [("G140", 83_545, 4_313), ("G180", 329_896, 11_048), ("growth-256", 200_704, 5_632)],
)
def test_a_grid_has_the_tokens_that_are_quoted(name, naive, tree):
    grid = grids.load(name, NOWHERE)

    assert (grids.naive_tokens(grid), grids.tree_tokens(grid)) == (naive, tree)


@pytest.mark.parametrize("name", ["control-1", "control-0"])
def test_controls_share_nothing(name):
    grid = grids.load(name, NOWHERE)

    assert grids.naive_tokens(grid) == grids.tree_tokens(grid)


def test_a_grid_is_the_same_every_time():
    assert grids.load("probes-5", NOWHERE) == grids.load("probes-5", NOWHERE)


def test_growing_grids_share_a_history_of_exactly_their_turns():
    for turns in grids.GROWTH:
        grid = grids.load(f"growth-{turns}", NOWHERE)
        questions = len(grid.flat) * grids.TURN
        assert len(grid.flat) == 96
        assert grids.tree_tokens(grid) - questions == turns * grids.TURN


def test_dialogues_of_a_longer_suite_have_the_shape_of_those_of_a_shorter_one():
    few, many = (grids.load(f"dialogues-{count}", NOWHERE) for count in grids.MANY)

    shapes = {tuple(map(len, dialogue)) for grid in (few, many) for dialogue in grid.prompts}
    assert len(shapes) == 1
    assert many.prompts[: len(few.prompts)] == few.prompts


def test_batches_hold_every_prompt_once_and_similar_lengths_only():
    grid = grids.load("G140", NOWHERE)

    assert sorted(place for batch in grid.batches for place in batch) == list(range(140))
    for batch in grid.batches:
        lengths = [len(grid.flat[place]) for place in batch]
        assert max(lengths) - min(lengths) <= 16


@pytest.mark.parametrize("name", ["G140", "growth-32", "dialogues-3", "control-1"])
def test_one_slot_that_keeps_the_last_prompt_computes_each_token_once_in_tree_order(name):
    grid = grids.load(name, NOWHERE)

    before, computed = (), 0
    for place in grid.tree_order:
        ids = grid.flat[place]
        computed += len(ids) - len(commonprefix([before, ids]))
        before = ids

    assert sorted(grid.tree_order) == list(range(len(grid.flat)))
    assert computed == grids.tree_tokens(grid)


def commonprefix(pair):
    one, other = pair
    same = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    return one[: min(len(one), len(other)) if same is None else same]


def test_an_unknown_grid_is_refused():
    with pytest.raises(ValueError, match="G14"):
        grids.load("G14", NOWHERE)
