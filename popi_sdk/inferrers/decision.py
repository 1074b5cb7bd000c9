"""Which axes the evidence decides: enough of it, agreeing, and not what chance would show as well."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ..signals import Profile, Signal, Survey
from .cues import Axis
from .evidence import Comparison, Reading, Vote
from .features import Features

__all__ = ["Preference", "TypicalLength", "decide", "typical_length"]

_LEAST = 1.0  # evidence that one clear comparison brings, at full weight
_LEAST_ALONE = 0.8  # where the user left only one comparison, it must be about as clear
_AGREEMENT = 0.6  # four to one
_EFFECT = 0.4  # the mean of the votes: many faint differences are no preference
_COVERAGE = 0.25  # of the comparisons must show the axis at all
_SURPRISE = 1.9  # standard deviations from tossing a coin for each vote, asked for from four votes on
_REPEATED = 0.1  # of what the user said in words must speak of the axis


@dataclass(frozen=True, slots=True)
class Preference:
    """A decided axis: its direction (-1 or 1), how much evidence there is, and the signals behind it."""

    axis: Axis
    direction: int
    strength: float
    signals: tuple[Signal, ...]


@dataclass(frozen=True, slots=True)
class TypicalLength:
    """The length of the texts that a user prefers; `steady` if most lie within a factor of two."""

    words: float
    sentences: float
    steady: bool


# Differences of degree, which texts of different content show by chance: among many comparisons two or three say nothing.
_GRADED = frozenset({Axis.LEVEL, Axis.WARMTH, Axis.HEDGES, Axis.ASKS})

# What a preferred text must mostly have before it is asked for, and mostly lack before it is asked to be left out.
_PRESENT: Mapping[Axis, Callable[[Features], bool]] = MappingProxyType(
    {
        Axis.LISTS: lambda text: text.items > 0,
        Axis.EXAMPLES: lambda text: text.examples + text.code > 0,
        Axis.EMOJI: lambda text: text.emoji > 0,
        Axis.HEADINGS: lambda text: text.headings + text.bold > 0,
        Axis.TABLES: lambda text: text.tables > 0,
        Axis.CODE: lambda text: text.code > 0,
        Axis.ASKS: lambda text: text.asks,
    }
)


def decide(reading: Reading) -> list[Preference]:
    """The axes that the evidence decides, length first, then by strength; where it disagrees it decides nothing."""
    by_axis: dict[Axis, list[Vote]] = defaultdict(list)
    for vote in reading.votes:
        by_axis[vote.axis].append(vote)
    found = [preference for axis, votes in by_axis.items() if (preference := _decide(axis, votes, reading))]
    return sorted(found, key=lambda one: (one.axis is not Axis.LENGTH, -round(one.strength, 6), one.axis))


def _decide(axis: Axis, votes: Sequence[Vote], reading: Reading) -> Preference | None:
    balance = math.fsum(vote.strength for vote in votes)
    total = math.fsum(abs(vote.strength) for vote in votes)
    if not balance or abs(balance) < _AGREEMENT * total:
        return None
    direction = 1 if balance > 0 else -1
    supporters = [vote for vote in votes if vote.strength * direction > 0]
    said = abs(balance) >= _LEAST and _is_said([vote for vote in supporters if vote.said], reading.spoken)
    if not said and not _is_measured(axis, votes, reading.comparisons, direction):
        return None
    signals = {id(signal): signal for vote in supporters for signal in vote.signals}
    return Preference(axis, direction, abs(balance), tuple(signals.values()))


def _is_said(supporters: Sequence[Vote], spoken: int) -> bool:
    """Whether words decide it: an answer when asked, or what is said often enough among all that is said."""
    if any(isinstance(vote.signals[0], Survey | Profile) for vote in supporters):
        return True
    weight = math.fsum(abs(vote.strength) for vote in supporters)
    return weight >= _LEAST and len(supporters) >= _REPEATED * spoken


def _is_measured(axis: Axis, votes: Sequence[Vote], comparisons: Sequence[Comparison], direction: int) -> bool:
    """Whether texts alone decide it."""
    by_group: dict[int, float] = defaultdict(float)
    for index, vote in enumerate(vote for vote in votes if not vote.said):
        by_group[vote.group if vote.group >= 0 else -1 - index] += vote.strength * direction
    strengths, groups = list(by_group.values()), len({comparison.group for comparison in comparisons})
    balance, supporting, alone = math.fsum(strengths), sum(size > 0 for size in strengths), groups == 1
    if balance < max(_LEAST_ALONE if alone else _LEAST, _EFFECT * len(strengths)) or (supporting < 2 and not alone):
        return False
    tested = len(strengths) >= 4 or (groups >= 8 and axis in _GRADED)
    if tested and balance < _SURPRISE * math.hypot(*strengths):
        return False
    return len(strengths) >= _COVERAGE * groups and _is_usual(axis, comparisons, direction)


def _is_usual(axis: Axis, comparisons: Sequence[Comparison], direction: int) -> bool:
    has = _PRESENT.get(axis)
    if has is None or not comparisons:
        return True
    share = sum(has(comparison.better) for comparison in comparisons) / len(comparisons)
    return share >= 0.5 if direction > 0 else share <= 0.34


def typical_length(comparisons: Sequence[Comparison]) -> TypicalLength | None:
    """How long the preferred texts of comparisons are; None without any."""
    if not comparisons:
        return None
    words = sorted(comparison.better.words for comparison in comparisons)
    low, high = words[len(words) // 4], words[(3 * len(words)) // 4 if len(words) > 3 else -1]
    return TypicalLength(
        words=statistics.median(words),
        sentences=statistics.median(comparison.better.sentences for comparison in comparisons),
        steady=high <= 2 * low + 5,
    )
