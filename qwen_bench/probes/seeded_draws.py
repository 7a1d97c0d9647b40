"""Seeded draws that are the same on every machine and in every language.

A seed is the first 8 bytes of a SHA-256 over names, never `hash()`. Only
`random.Random.random()` is used, because that stream is documented as stable across Python
versions; shuffles and choices
are our own. English and Chinese renderings of a cluster make the same draws, because draws return
indices and the word lists of both languages have equal lengths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import TypeVar

T = TypeVar("T")


def seed_of(*parts: object) -> int:
    """Seed from names: first 8 bytes of SHA-256 over the parts joined by ``|``."""
    digest = hashlib.sha256("|".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big")


class Stream:
    """A stream of draws from one seed."""

    def __init__(self, *parts: object) -> None:
        self._random = Random(seed_of(*parts))  # noqa: S311  (reproducible, not secret)

    def index(self, n: int) -> int:
        """Uniform integer in [0, n)."""
        return min(int(self._random.random() * n), n - 1)

    def sample(self, n: int, k: int) -> list[int]:
        """`k` different integers of [0, n) in random order.

        Raises:
            ValueError: k > n.
        """
        if k > n:
            raise ValueError(f"{k} different items wanted, there are {n}")
        pool = list(range(n))
        for i in range(k):
            j = i + self.index(n - i)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:k]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order."""
        return [items[i] for i in self.sample(len(items), len(items))]


@lru_cache(maxsize=1 << 16)
def _random_order(seed: tuple[object, ...], n: int) -> list[int]:
    """The integers of [0, n) in random order; the clusters of a suite ask for few of them."""
    return Stream(*seed).sample(n, n)


@dataclass(frozen=True, slots=True)
class Draw:
    """All draws of one instance: free ones and counterbalanced factors.

    A factor of n values is a Latin design over slots and rotations: value = (a(slot) + b(rotation))
    mod n, with a and b random orders of the n values, block after block. So its counts differ by at
    most one over the rotations of one slot, and over the first slots of one rotation; and since a
    rotation has one level of memory load, also within a level.

    Attributes:
        scope: names that identify the suite seed and split.
        group: name of the instance's family group.
        slot: slot of the turn plan the instance stands in.
        rotation: number of the rotation, from 0.
        forced: values to use instead of the design's.
        factors: values drawn, in their order.
    """

    scope: tuple[object, ...]
    group: str
    slot: int
    rotation: int
    forced: Mapping[str, int] = field(default_factory=dict)
    factors: dict[str, str] = field(default_factory=dict)

    def stream(self, purpose: str) -> Stream:
        """A stream for one purpose, so that a new draw elsewhere changes nothing here."""
        return Stream(*self.scope, self.group, self.slot, self.rotation, purpose)

    def counted(self, factor: str, n: int) -> int:
        """Counterbalanced value, in [0, n), of a factor with `n` values; recorded in `factors`."""
        by_slot = self._order(factor, "slots", self.slot, n)
        by_rotation = self._order(factor, "rotations", self.rotation, n)
        value = self.forced.get(factor, by_slot + by_rotation) % n
        self.factors[factor] = str(value)
        return value

    def _order(self, factor: str, axis: str, number: int, n: int) -> int:
        """What one axis adds: random orders of range(n), one after the other."""
        block, place = divmod(number, n)
        return _random_order((*self.scope, self.group, "factor", factor, axis, block), n)[place]

    def one(self, purpose: str, items: Sequence[T]) -> T:
        """A random item."""
        return items[self.stream(purpose).index(len(items))]

    def some(self, purpose: str, items: Sequence[T], k: int) -> list[T]:
        """`k` different random items in random order.

        Raises:
            ValueError: there are fewer.
        """
        return [items[i] for i in self.stream(purpose).sample(len(items), k)]

    def balanced(self, factor: str, items: Sequence[T]) -> T:
        """The item of a counterbalanced factor."""
        return items[self.counted(factor, len(items))]

    def listed(self, options: Sequence[T]) -> tuple[T, ...]:
        """Options, the answer of variant A given first, with it at a counterbalanced place."""
        return tuple(with_first_at(options, self.counted("gold place", len(options))))


def rotated(items: Sequence[T], places: int) -> list[T]:
    """The items with the first `places` moved to the end.

    >>> rotated("abcd", 1)
    ['b', 'c', 'd', 'a']
    """
    places %= len(items)
    return [*items[places:], *items[:places]]


def with_first_at(items: Sequence[T], place: int) -> list[T]:
    """The items rotated so that the first one stands at `place`.

    >>> with_first_at("abcd", 3)
    ['b', 'c', 'd', 'a']
    """
    return rotated(items, -place)
