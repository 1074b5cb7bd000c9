"""Intervals over users: checked against arithmetic, against simulation, and for what they must not do."""

from __future__ import annotations

import numpy as np
import pytest

from popi_sdk import UsageError
from popi_sdk.evals import Interval, bootstrap_mean, paired_difference, ratio_over_users


def test_the_mean_is_over_items_and_users_without_items_count_for_nothing() -> None:
    interval = ratio_over_users([3, 1, 0], [4, 1, 0])
    assert interval.mean == 4 / 5
    assert (interval.users, interval.items) == (2, 5)
    assert 0.75 == interval.low <= interval.mean <= interval.high == 1.0  # only the one user, only the other


def test_equal_users_leave_nothing_open_and_the_seed_decides_the_rest() -> None:
    assert ratio_over_users([1, 1, 1], [2, 2, 2]) == Interval(0.5, 0.5, 0.5, 3, 6)
    values = list(np.random.default_rng(1).random(40))
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for sample in range(200):
        tastes = rng.beta(6, 4, size=60)  # users differ: the truth over users is 0.6
        counts = rng.integers(4, 12, size=60)
        interval = ratio_over_users(list(rng.binomial(counts, tastes)), list(counts), seed=sample, resamples=500)
        covered += interval.low <= 0.6 <= interval.high
    assert 178 <= covered <= 199  # 95 % of 200 is 190


def test_items_of_one_user_are_not_taken_for_independent() -> None:
    by_user = ratio_over_users([10, 0] * 10, [10] * 20)
    by_item = bootstrap_mean([1.0, 0.0] * 100)
    assert by_user.high - by_user.low > 2.5 * (by_item.high - by_item.low)


def test_a_paired_difference_keeps_out_what_both_have_in_common() -> None:
    hard = [1, 9] * 20
    better = [value + 1 for value in hard]
    difference = paired_difference(better, hard, [10] * 40)
    assert difference.mean == pytest.approx(0.1)
    assert (difference.low, difference.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert difference.excludes(0.0)
    assert not paired_difference([1, 0], [0, 1], [1, 1]).excludes(0.0)


@pytest.mark.parametrize(("sums", "counts"), [([], []), ([0.0], [0]), ([float("nan")], [1]), ([float("inf")], [2])])
def test_nothing_to_measure_and_what_is_not_finite_are_refused(sums: list[float], counts: list[int]) -> None:
    with pytest.raises(UsageError, match=r"nothing to take a mean of|not finite"):
        ratio_over_users(sums, counts)
    with pytest.raises(UsageError, match="same users"):
        paired_difference([1.0], [1.0, 2.0], [1])


def test_people_read_percent_and_points() -> None:
    interval = Interval(0.642, 0.61, 0.6749, 50, 500)
    assert interval.percent() == "64.2 (61.0\N{EN DASH}67.5)"
    assert Interval(-0.01, -0.021, 0.002, 50, 500).points() == "-1.0 (-2.1 to +0.2)"


def test_an_interval_over_a_handful_of_users_is_not_shown() -> None:
    assert Interval(1.0, 1.0, 1.0, 1, 6).percent() == "100.0 (1 user)"
    assert Interval(-0.5, -1.0, 0.2, 9, 6).points() == "-50.0 (9 users)"


def test_many_users_are_resampled_in_pieces_to_the_same_figures() -> None:
    rng = np.random.default_rng(5)
    values = list(rng.random(3_000))
    interval = bootstrap_mean(values, resamples=2_000)
    error = float(np.std(values)) / np.sqrt(3_000)
    assert interval.low == pytest.approx(np.mean(values) - 1.96 * error, abs=0.15 * error)
    assert interval.high == pytest.approx(np.mean(values) + 1.96 * error, abs=0.15 * error)
