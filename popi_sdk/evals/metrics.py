"""The figures: accuracies with bootstrap intervals over users (METHOD.md, section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import UsageError

__all__ = ["FEWEST", "RESAMPLES", "Interval", "bootstrap_mean", "paired_difference", "ratio_over_users"]

RESAMPLES = 10_000
FEWEST = 10
"""Users below which an interval over them is no evidence; it is not shown."""

_LEVEL = 95.0  # per cent
_CHUNK = 2_000_000  # weights drawn at a time: 16 MB
_KEPT = 10_000_000  # weights that are kept: 80 MB


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

    @property
    def few(self) -> bool:
        """Whether there are too few users for an interval to mean anything."""
        return self.users < FEWEST

    def percent(self) -> str:
        """As people read a share: `64.2 (61.0-67.5)`."""
        if self.few:
            return f"{100 * self.mean:.1f} ({self.users} user{'s'[: self.users != 1]})"
        return f"{100 * self.mean:.1f} ({100 * self.low:.1f}\N{EN DASH}{100 * self.high:.1f})"

    def points(self) -> str:
        """As people read a difference of shares, in percentage points: `+3.1 (-0.2 to +6.4)`."""
        if self.few:
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
    users = len(totals)
    columns = np.stack([totals, sizes], axis=1)
    drawn = np.concatenate([weights @ columns for weights in _weights(users, seed, resamples)])
    means = drawn[:, 0] / drawn[:, 1]
    tail = (100 - _LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(totals.sum() / sizes.sum()), float(low), float(high), users, int(sizes.sum()))


def _weights(users: int, seed: int, resamples: int) -> Iterable[np.ndarray]:
    """How often each user is drawn in each resample, some resamples at a time.

    All figures of a report resample the same users with the same seed: where it fits, that is drawn once.
    """
    if users * resamples <= _KEPT:
        return [_kept(users, seed, resamples)]
    step = max(1, _CHUNK // users)
    rng = np.random.default_rng(seed)
    return (_draw(rng, users, min(step, resamples - start)) for start in range(0, resamples, step))


@lru_cache(maxsize=2)
def _kept(users: int, seed: int, resamples: int) -> np.ndarray:
    return _draw(np.random.default_rng(seed), users, resamples)


def _draw(rng: np.random.Generator, users: int, resamples: int) -> np.ndarray:
    drawn = rng.integers(0, users, size=(resamples, users)) + users * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * users).reshape(resamples, users).astype(np.float64)


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
