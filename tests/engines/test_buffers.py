"""Rows grow by blocks, hide what is free, and forget those that are done."""

import torch

from qwen_bench.engines.hf.buffers import BLOCK, RowBuffer, Trunk

CPU, FP32 = torch.device("cpu"), torch.float32


def rows_of(widths, most, expected=None):
    expected = most if expected is None else expected
    return RowBuffer(widths, expected=expected, most=most, device=CPU, dtype=FP32)


def token(rows, value):
    return torch.full((rows, 1, 2), float(value))


def test_the_trunk_is_written_in_place_and_read_up_to_a_depth():
    trunk = Trunk(5)
    first, more = torch.ones(1, 1, 3, 2), torch.full((1, 1, 2, 2), 2.0)
    trunk.write(0, first, first)
    trunk.length = 3
    trunk.write(0, more, more)

    keys, values = trunk.read(0, 4)

    assert keys[0, 0, :, 0].tolist() == values[0, 0, :, 0].tolist() == [1, 1, 1, 2]
    assert keys.data_ptr() == trunk.read(0, 1)[0].data_ptr()
    assert trunk.nbytes == 2 * 5 * 2 * 4


def test_a_trunk_that_is_cut_back_goes_on_from_there():
    trunk = Trunk(4)
    for value in (1.0, 2.0):
        trunk.length = 1 if value == 2.0 else 0
        part = torch.full((1, 1, 3, 2), value)
        trunk.write(0, part, part)

    assert trunk.read(0, 4)[0][0, 0, :, 0].tolist() == [1, 2, 2, 2]


def test_rows_end_in_the_same_column_and_hide_what_is_free():
    buffer = rows_of([1, 3], 10)
    places = torch.tensor([2, buffer.columns, buffer.columns + 1, buffer.columns + 2])
    kept = torch.arange(1.0, 5)[:, None, None].expand(4, 1, 2)
    buffer.keep(0, kept, kept, places, torch.arange(4))

    keys, _, mask = buffer.append(0, token(2, 9), token(2, 9))

    assert keys[:, 0, :, 0].tolist() == [[0, 0, 1, 9], [2, 3, 4, 9]]
    assert (mask[:, 0, 0] == 0).tolist() == [[False, False, True, True], [True] * 4]


def test_rows_of_one_width_need_no_mask():
    buffer = rows_of([2, 2], 10)

    assert buffer.append(0, token(2, 1), token(2, 1))[2] is None


def test_rows_grow_by_blocks_up_to_their_budget():
    buffer = rows_of([1, 0], 5000)
    seen = []
    for step in range(200):
        keys, _, mask = buffer.append(0, token(2, step), token(2, step))
        seen.append(buffer.nbytes)
        buffer.advance()

    assert keys[0, 0, 1:, 0].tolist() == list(range(200))
    assert mask[1, 0, 0, 0] == float("-inf")
    assert torch.equal(mask[1, 0, 0, 1:], torch.zeros(200))
    assert seen[0] == 2 * 2 * (1 + BLOCK) * 2 * 4
    assert len(set(seen)) <= 4
    assert buffer.columns < 400


def test_no_row_has_more_places_than_its_budget():
    buffer = rows_of([4], 3)
    for step in range(3):
        buffer.append(0, token(1, step), token(1, step))
        buffer.advance()

    assert buffer.columns == 7


def test_rows_that_are_done_are_forgotten():
    buffer = rows_of([0, 1, 0], 10)
    values = torch.tensor([1.0, 2.0, 3.0])[:, None, None].expand(3, 1, 2)
    buffer.append(0, values, values)
    buffer.advance()
    before = buffer.nbytes

    buffer.select([1, 2])

    keys, _, mask = buffer.append(0, token(2, 9), token(2, 9))
    assert keys[:, 0, 1:, 0].tolist() == [[2, 9], [3, 9]]
    assert (mask[:, 0, 0, 0] == 0).tolist() == [True, False]
    assert buffer.nbytes * 3 == before * 2


def test_tokens_that_nobody_expects_have_no_place_until_they_come():
    buffer = rows_of([4], 5000, expected=8)
    for step in range(9):
        buffer.append(0, token(1, step), token(1, step))
        assert (buffer.columns > 12) is (step > 7)
        buffer.advance()

    assert buffer.append(0, token(1, 9), token(1, 9))[0][0, 0, 4:, 0].tolist() == list(range(10))
