"""What a summary earns: how much of it is the summary's."""

from __future__ import annotations

import random

import numpy as np
import pytest

from benchmarks.reward_noise import REWARDS, named_best, picked, reliability, spread


def test_reliability_by_hand() -> None:
    rewards = np.array([[1.0, 2.0], [3.0, 6.0]])  # the rest is +-0.5: its mean square is 1, that of the summaries 9
    assert reliability([rewards], 1) == pytest.approx(4 / 5)
    assert reliability([rewards], 2) == pytest.approx(4 / 4.5)


def test_what_is_the_pairs_alone_tells_no_summaries_apart() -> None:
    of_pairs = np.tile([1.0, 5.0, 2.0], (4, 1))
    assert reliability([of_pairs, of_pairs + 1], 8) == 0
    of_summaries = of_pairs.T
    assert reliability([of_summaries], 1) == pytest.approx(1)
    assert spread([of_summaries, of_summaries], 1) == "1.00 (1.00-1.00)"
    assert spread([of_pairs, of_summaries], 1) == "1.00 (0.00-1.00)"  # whoever is drawn


def test_noise_has_no_reliability_and_more_pairs_find_what_there_is() -> None:
    draws = np.random.default_rng(0)
    noise = [draws.normal(size=(8, 12)) for _ in range(400)]
    assert reliability(noise, 4) < 0.05
    mixed = [rewards + draws.normal(size=(8, 1)) for rewards in noise]  # as much of the one as of the other
    assert reliability(mixed, 1) == pytest.approx(0.5, abs=0.05)
    assert reliability(mixed, 4) == pytest.approx(0.8, abs=0.05)


def test_picked_by_pairs_and_judged_by_the_others() -> None:
    good, bad = [1.0, 1.0, 1.0, 1.0], [-1.0, -1.0, -1.0, -1.0]
    user = {"margins": [bad, good, bad], "names": [1, 3, 3]}
    assert picked([user], REWARDS["preferred or not"], 2, random.Random(0)) == [1.0]
    assert picked([user], lambda delta: -delta, 2, random.Random(0)) == [0.0]
    assert named_best(user) == 0.5


def test_the_reward_is_the_negative_loss() -> None:
    assert REWARDS["DPO, beta 0.5"](0.0) == pytest.approx(-np.log(2) / 0.5)
    assert REWARDS["DPO, beta 0.1"](3.0) == pytest.approx(np.log(1 / (1 + np.exp(-0.3))) / 0.1)
    assert REWARDS["DPO, beta 0.01"](-1e6) == pytest.approx(-1e6)
