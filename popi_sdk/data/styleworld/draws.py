"""Draws that are the same on every machine, in every process and Python version."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["Draws"]

T = TypeVar("T")


class Draws:
    """A stream of draws.

    Only `random.Random.random` with a text as its seed is used: Python promises that its sequence does not change,
    which it does not promise of `choice`, `shuffle` or `sample`.

    Args:
        *seed: What the stream depends on; other seeds give independent streams.
    """

    def __init__(self, *seed: str | int) -> None:
        self._random = random.Random("\x1f".join(map(str, seed))).random

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random() < probability

    def below(self, bound: int) -> int:
        """A whole number from 0 to `bound` - 1."""
        return int(self._random() * bound)

    def between(self, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        return low + (high - low) * self._random()

    def choice(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All items in a drawn order."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items, or all if there are fewer, in a drawn order."""
        return self.shuffled(items)[:count]
