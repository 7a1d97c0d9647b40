"""Keys and values of a unit: the trunk once, and what each row being decoded has of its own.

Buffers belong to one batch of one unit under one adapter and are never handed on: keys and values
of one adapter are wrong for another. Knows tensors and places only.
"""

from __future__ import annotations

import torch

BLOCK = 64
"""Tokens by which rows grow at least."""


class Trunk:
    """Keys and values of the tokens on the trunk, (1, heads, capacity, head size) in each layer.

    Args:
        capacity: most tokens it will hold.
    """

    def __init__(self, capacity: int) -> None:
        self._keys: dict[int, torch.Tensor] = {}
        self._values: dict[int, torch.Tensor] = {}
        self._capacity = capacity
        self.length = 0

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return sum(held.nbytes for held in (*self._keys.values(), *self._values.values()))

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Put (1, heads, tokens, head size) behind the tokens held, without counters them yet."""
        for held, new in ((self._keys, keys), (self._values, values)):
            if layer not in held:
                held[layer] = new.new_empty((1, new.shape[1], self._capacity, new.shape[3]))
            held[layer][:, :, self.length : self.length + new.shape[2]] = new

    def read(self, layer: int, depth: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Views (1, heads, depth, head size) of the first tokens."""
        return self._keys[layer][:, :, :depth], self._values[layer][:, :, :depth]

    def take(self, layer: int, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Copies (places, heads, head size) of some tokens."""
        return (
            self._keys[layer][0].index_select(1, places).transpose(0, 1),
            self._values[layer][0].index_select(1, places).transpose(0, 1),
        )


class RowBuffer:
    """Keys and values of rows that are decoded side by side.

    Tokens a row has when decoding begins end in the same column for all rows, so that a new token
    of every row is one column. What is free on the left is never seen. Grows by columns as answers
    get longer; a budget of thousands of tokens costs nothing until it is used.

    Args:
        widths: tokens each row has of its own when decoding begins.
        expected: tokens that are expected to be appended to a row.
        most: most tokens that will be.
        device: of the model.
        dtype: of the model, for the mask.

    Attributes:
        rows: number of them.
        filled: columns that hold tokens.
        columns: columns allocated.
    """

    def __init__(
        self,
        widths: list[int],
        *,
        expected: int,
        most: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._keys: dict[int, torch.Tensor] = {}
        self._values: dict[int, torch.Tensor] = {}
        self._device = device
        self.rows = len(widths)
        self.filled = max(widths)
        self._most = self.filled + most
        self.columns = self.filled + min(expected, BLOCK)
        self._mask: torch.Tensor | None = None
        if min(widths) < self.filled:
            free = torch.tensor([self.filled - width for width in widths], device=device)
            columns = torch.arange(self.columns, device=device)
            blank = torch.zeros((self.rows, self.columns), dtype=dtype, device=device)
            self._mask = blank.masked_fill_(columns[None] < free[:, None], float("-inf"))

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return sum(held.nbytes for held in (*self._keys.values(), *self._values.values()))

    def keep(
        self,
        layer: int,
        keys: torch.Tensor,
        values: torch.Tensor,
        places: torch.Tensor,
        sources: torch.Tensor,
    ) -> None:
        """Write tokens that were read before decoding.

        Args:
            layer: number of the layer.
            keys: (tokens, heads, head size).
            values: as `keys`.
            places: (kept,) row * columns + column.
            sources: (kept,) which tokens.
        """
        for held, new in ((self._keys, keys), (self._values, values)):
            buffer = self._allocated(held, layer, new)
            flat = buffer.view(-1, *buffer.shape[2:])
            flat.index_copy_(0, places, new.index_select(0, sources))

    def append(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Write one token of each row, without counters it yet.

        Args:
            layer: number of the layer.
            keys: (rows, heads, head size).
            values: as `keys`.

        Returns:
            Keys and values (rows, heads, tokens, head size) with the new ones, and their mask
            (rows, 1, 1, tokens) if some places are free.
        """
        if self.filled == self.columns:
            self._grow()
        found = []
        for held, new in ((self._keys, keys), (self._values, values)):
            buffer = self._allocated(held, layer, new)
            buffer[:, self.filled] = new
            found.append(buffer[:, : self.filled + 1].transpose(1, 2))
        mask = None
        if self._mask is not None:
            mask = self._mask[:, None, None, : self.filled + 1]
        return found[0], found[1], mask

    def advance(self) -> None:
        """Count the tokens appended."""
        self.filled += 1

    def _grow(self) -> None:
        self.columns = min(self._most, self.columns + max(BLOCK, self.columns // 2))
        for held in (self._keys, self._values):
            for layer, buffer in held.items():
                held[layer] = self._widened(buffer)
        if self._mask is not None:
            self._mask = self._widened(self._mask)

    def select(self, rows: list[int]) -> None:
        """Forget all other rows."""
        self.rows = len(rows)
        index = torch.tensor(rows, dtype=torch.long, device=self._device)
        for held in (self._keys, self._values):
            for layer, buffer in held.items():
                held[layer] = buffer.index_select(0, index)
        if self._mask is not None:
            self._mask = self._mask.index_select(0, index)

    def _widened(self, buffer: torch.Tensor) -> torch.Tensor:
        wider = buffer.new_zeros((self.rows, self.columns, *buffer.shape[2:]))
        wider[:, : self.filled] = buffer
        return wider

    def _allocated(
        self, held: dict[int, torch.Tensor], layer: int, like: torch.Tensor
    ) -> torch.Tensor:
        if layer not in held:
            # Zeros, because what is masked is still multiplied.
            held[layer] = like.new_zeros((self.rows, self.columns, *like.shape[1:]))
        return held[layer]
