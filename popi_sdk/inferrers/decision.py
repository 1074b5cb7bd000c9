"""Which axes the evidence decides: enough of it, agreeing, and not what chance would show as well."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ..signals import Profile, Signal, Survey
from .evidence import Comparison, Reading, Vote
from .features import Features
from .phrases import Axis

__all__ = ["Preference", "TypicalLength", "decide", "typical_length"]

_LEAST = 1.0  # evidence that one clear comparison brings, at full weight
_LEAST_ONCE = 0.8  # what a single observation must bring,
_FEW = 5  # and only among so few
_AGREEMENT = 0.6  # four to one
_MAJORITY, _PLAIN_SURPRISE = 0.4, 2.2  # seven to three will do where chance would hardly show it
_EFFECT = 0.4  # the mean of the votes: many faint differences are no preference
_MOST_COVERAGE = 0.6  # of the comparisons, see `_coverage`
_SURPRISE = 1.9  # standard deviations from tossing a coin for each vote, asked for from four votes on
_REPEATED = 0.1  # of what the user said in words must speak of the axis


@dataclass(frozen=True, slots=True)
class Preference:
    """A decided axis.

    Attributes:
        axis: The axis.
        direction: -1 or 1, see `Axis`.
        strength: How much evidence there is, all in all.
        signals: The signals that support it.
        comparisons: The comparisons that support it; none where it rests on words alone.
    """

    axis: Axis
    direction: int
    strength: float
    signals: tuple[Signal, ...]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class TypicalLength:
    """The length of the texts that a user prefers; `steady` if most lie within a factor of two."""

    words: float
    sentences: float
    steady: bool


# Differences of degree, which texts of different content show by chance: among many, two or three say nothing.
_GRADED = frozenset({Axis.LEVEL, Axis.WARMTH, Axis.HEDGES, Axis.ASKS})

# What a preferred text must mostly have before it is asked for, and mostly lack before it is asked to be left out.
_PRESENT: Mapping[Axis, Callable[[Features], bool]] = MappingProxyType(
    {
        Axis.LISTS: lambda text: text.items > 0,
        Axis.EXAMPLES: lambda text: text.examples > 0,
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
    coverage = _coverage(reading)
    found = [one for axis, votes in by_axis.items() if (one := _decide(axis, votes, reading, coverage))]
    return sorted(found, key=lambda one: (one.axis is not Axis.LENGTH, -round(one.strength, 6), one.axis))


def _coverage(reading: Reading) -> float:
    """The share of comparisons that must show an axis.

    Where texts differ in one thing at a time, each difference is telling. Where they differ in everything, an axis that
    only some of them show is there by chance.
    """
    differences = len({(vote.group, vote.axis) for vote in reading.votes if vote.group >= 0})
    groups = len({comparison.group for comparison in reading.comparisons})
    return min(_MOST_COVERAGE, 0.15 * differences / max(groups, 1))


def _decide(axis: Axis, votes: Sequence[Vote], reading: Reading, coverage: float) -> Preference | None:
    balance = math.fsum(vote.strength for vote in votes)
    direction = 1 if balance > 0 else -1
    if not balance or not _agree([vote.strength * direction for vote in votes]):
        return None
    supporters = [vote for vote in votes if vote.strength * direction > 0]
    said = abs(balance) >= _LEAST and _is_said([vote for vote in supporters if vote.said], reading.spoken)
    if not said and not (
        _is_measured(axis, [vote for vote in votes if not vote.said], direction, reading.comparisons, coverage)
        and _is_usual(axis, direction, reading.comparisons)
    ):
        return None
    signals = {id(signal): signal for vote in supporters for signal in vote.signals}
    groups = {vote.group for vote in supporters}
    texts = tuple(comparison for comparison in reading.comparisons if comparison.group in groups)
    return Preference(axis, direction, abs(balance), tuple(signals.values()), texts)


def _agree(strengths: Sequence[float]) -> bool:
    """Four to one, or a majority that is too large for chance."""
    balance, total = math.fsum(strengths), math.fsum(abs(size) for size in strengths)
    return balance >= _AGREEMENT * total or (
        balance >= _MAJORITY * total and balance >= _PLAIN_SURPRISE * _spread(strengths)
    )


def _spread(strengths: Sequence[float]) -> float:
    """The standard deviation of the balance, if each vote were a coin tossed; its sum is exact, so in any order."""
    return math.sqrt(math.fsum(size * size for size in strengths))


def _is_said(supporters: Sequence[Vote], spoken: int) -> bool:
    """Whether words decide it: an answer when asked, or what is said often enough among all that is said."""
    if any(isinstance(vote.signals[0], Survey | Profile) for vote in supporters):
        return True
    weight = math.fsum(abs(vote.strength) for vote in supporters)
    return weight >= _LEAST and len(supporters) >= _REPEATED * spoken


def _is_measured(
    axis: Axis, votes: Sequence[Vote], direction: int, comparisons: Sequence[Comparison], coverage: float
) -> bool:
    """Whether texts alone decide it."""
    observed: dict[int, float] = defaultdict(float)
    for index, vote in enumerate(votes):
        observed[vote.group if vote.group >= 0 else -1 - index] += vote.strength * direction
    strengths, groups = list(observed.values()), len({comparison.group for comparison in comparisons})
    balance, supporting = math.fsum(strengths), sum(size > 0 for size in strengths)
    if supporting < 2 and (groups == 1 or any(vote.alone for vote in votes)):
        return balance >= _LEAST_ONCE and groups <= _FEW
    if supporting < 2 or balance < max(_LEAST, _EFFECT * len(strengths)) or len(strengths) < coverage * groups:
        return False
    tested = len(strengths) >= 4 or (groups >= 8 and axis in _GRADED)
    return not tested or balance >= _SURPRISE * _spread(strengths)


def _is_usual(axis: Axis, direction: int, comparisons: Sequence[Comparison]) -> bool:
    """Whether the preferred texts themselves are mostly like that."""
    has = _PRESENT.get(axis)
    if not comparisons or (has is None and axis is not Axis.LENGTH):
        return True
    if has is not None:
        share = sum(has(comparison.better) for comparison in comparisons) / len(comparisons)
        return share >= 0.5 if direction > 0 else share <= 0.34
    better = statistics.median(comparison.better.words for comparison in comparisons)
    worse = statistics.median(comparison.worse.words for comparison in comparisons)
    short, long = min(better, worse), max(better, worse)
    return long >= max(25, 1.3 * short) or long >= 2 * short + 5


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
