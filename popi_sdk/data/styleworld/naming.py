"""What a description says of a user of the world: which axes it names, and which way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain

from .axes import AXES
from .phrases import load

__all__ = ["Naming", "named", "naming"]

_KINDS = {"gold": ("sentence", "part"), "statement": (), "vote": ()}
"""Whose phrasings name a value outright; the tables of `gold` that do."""


@dataclass(frozen=True, slots=True)
class Naming:
    """A description held against the point of a user.

    Attributes:
        right: Axes that the user cares for, named with the value that is wanted, and not with the other.
        wrong: Those named with the other value, or with both.
        missing: Those not named.
        spurious: Axes that are named, though the user is indifferent.
    """

    right: int
    wrong: int
    missing: int
    spurious: int


def named(text: str) -> dict[str, set[str]]:
    """Each axis that a text names in a phrasing of the world, of any split, with the values it is given.

    A lower bound: what is said in words that the world does not know is not found.
    """
    rest = _plain(text)
    found: dict[str, set[str]] = {}
    for phrasing, axis, value in _phrasings():
        rest, times = phrasing.subn("#", rest)  # a shorter phrasing that stands in a longer one is not meant
        if times:
            found.setdefault(axis, set()).add(value)
    return found


def naming(text: str, point: Mapping[str, str | None]) -> Naming:
    """Hold a description against the point of a user: `meta["point"]` of the record."""
    found = named(text)
    cared = {axis: value for axis, value in point.items() if value is not None}
    right = sum(found.get(axis) == {value} for axis, value in cared.items())
    missing = sum(axis not in found for axis in cared)
    return Naming(right, len(cared) - right - missing, missing, sum(axis not in cared for axis in found))


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w' -]", " ", text.lower()).split())


@cache
def _phrasings() -> tuple[tuple[re.Pattern[str], str, str], ...]:
    """All phrasings with their axis and value; the longest come first."""
    found = [
        (_plain(phrasing), axis, value)
        for kind, tables in _KINDS.items()
        for table in ([load(kind)[name] for name in tables] or [load(kind)])
        for axis, values in AXES.items()
        for value in values
        for phrasing in chain.from_iterable(table[axis][value].values())
    ]
    longest = sorted(found, key=lambda one: (-len(one[0]), one))
    return tuple((re.compile(rf"(?<!\w){re.escape(words)}(?!\w)"), axis, value) for words, axis, value in longest)
