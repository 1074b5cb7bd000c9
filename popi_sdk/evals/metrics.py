"""The figures: accuracies with bootstrap intervals over users (METHOD.md, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError

__all__ = ["FEWEST", "RESAMPLES", "Interval", "bootstrap_mean", "paired_difference", "ratio_over_users"]

RESAMPLES = 10_000
FEWEST = 10
"""Users below which an interval over them is no evidence; it is not shown."""

_LEVEL = 95.0  # per cent
_CHUNK = 2_000_000  # indices drawn at a time: 16 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % percentile bootstrap interval.

    Attributes:
        mean: The figure itself, of the sample as it is.
        low: Lower end.
        high: Upper end.
        users: How many users (or other units) were resampled.
        items: How many items they have together.
    """

    mean: float
    low: float
    high: float
    users: int
    items: int

    def excludes(self, value: float) -> bool:
        """Whether a value lies outside the interval: then the figure differs from it significantly."""
        return not self.low <= value <= self.high

    def percent(self) -> str:
        """As people read a share: `64.2 (61.0-67.5)`."""
        if self.users < FEWEST:
            return f"{100 * self.mean:.1f} ({self.users} user{'s'[: self.users != 1]})"
        return f"{100 * self.mean:.1f} ({100 * self.low:.1f}\N{EN DASH}{100 * self.high:.1f})"

    def points(self) -> str:
        """As people read a difference of shares, in percentage points: `+3.1 (-0.2 to +6.4)`."""
        if self.users < FEWEST:
            return f"{100 * self.mean:+.1f} ({self.users} user{'s'[: self.users != 1]})"
        return f"{100 * self.mean:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f})"


def ratio_over_users(
    sums: Sequence[float], counts: Sequence[int], *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """A mean over items, with an interval from resampling users: items of one user are not independent.

    Args:
        sums: One a user: the sum of its items' values, for example credits.
        counts: One a user: how many items. Users without items count for nothing.
        seed: Of the resampling: the same seed gives the same interval.
        resamples: How many times the users are drawn anew, with replacement.

    Raises:
        UsageError: If there is no item, or a value is not finite.
    """
    totals = np.asarray(sums, dtype=np.float64)
    sizes = np.asarray(counts, dtype=np.float64)
    kept = sizes > 0
    totals, sizes = totals[kept], sizes[kept]
    if not len(totals):
        raise UsageError("There is nothing to take a mean of: no user has an item.")
    if not np.isfinite(totals).all():
        raise UsageError("A value is not finite: its mean would say nothing.")
    rng = np.random.default_rng(seed)
    users = len(totals)
    means = np.empty(resamples)
    step = max(1, _CHUNK // users)
    for start in range(0, resamples, step):
        drawn = rng.integers(0, users, size=(min(step, resamples - start), users))
        means[start : start + len(drawn)] = totals[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = (100 - _LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(totals.sum() / sizes.sum()), float(low), float(high), users, int(sizes.sum()))


def bootstrap_mean(values: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The mean of independent values with its interval."""
    return ratio_over_users(values, [1] * len(values), seed=seed, resamples=resamples)


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    counts: Sequence[int],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """First minus second, both measured on the same items of the same users; see `ratio_over_users`.

    Resampling users with both their sums keeps what the two have in common out of the interval.
    """
    if not len(first) == len(second) == len(counts):
        raise UsageError("A paired difference needs the same users on both sides.")
    differences = [one - other for one, other in zip(first, second, strict=True)]
    return ratio_over_users(differences, counts, seed=seed, resamples=resamples)
