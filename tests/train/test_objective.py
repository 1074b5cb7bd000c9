"""The reward and the overlap, by hand arithmetic."""

from __future__ import annotations

import math

import pytest

from popi_sdk import TrainingError
from popi_sdk.train.config import as_train_config
from popi_sdk.train.examples import Pair
from popi_sdk.train.objective import Objective

PAIR = Pair("x", (1,), (5, 6, 7, 2), (8, 2))


def objective(**options) -> Objective:
    return Objective(as_train_config(**options))


def test_delta_is_the_policys_margin_less_the_references() -> None:
    # (-4 - -7) - (-6 - -5) = 3 + 1
    assert objective().delta(PAIR, (-4.0, -7.0), (-6.0, -5.0)) == 4.0


def test_delta_of_tokens() -> None:
    # (-4 / 4 - -7 / 2) - (-6 / 4 - -5 / 2) = 2.5 - 1
    assert objective(length_normalised=True).delta(PAIR, (-4.0, -7.0), (-6.0, -5.0)) == 1.5


def test_an_untrained_generator_earns_ln_2_over_beta_less() -> None:
    assert objective(beta=0.5).reward([0.0, 0.0], None) == pytest.approx(-2 * math.log(2))


def test_current_and_frozen_are_mixed() -> None:
    mixed = objective(beta=1.0, reward_frozen=0.25)
    own, frozen = math.log1p(math.exp(-2.0)), math.log1p(math.exp(1.0))
    assert mixed.reward([2.0], [-1.0]) == pytest.approx(-(0.75 * own + 0.25 * frozen))
    # Where the generator is still the base, there is one model, and it is asked once.
    assert mixed.reward([2.0], None) == pytest.approx(-own)


def test_pairs_count_the_same() -> None:
    both = objective(objective="ipo", beta=0.5)  # 0.25 (Delta - 1) ^ 2
    assert both.reward([1.0, 3.0], None) == pytest.approx(-(0 + 1) / 2)


def test_what_is_subtracted() -> None:
    strict = objective(objective="ipo", beta=0.5, length_penalty=0.2, overlap_penalty=2.0)
    assert strict.reward([1.0], None, filled=0.5, quoted=0.25) == pytest.approx(-0.1 - 0.5)
    assert strict.reward([1.0], None, empty=-3.0) == pytest.approx(3.0)


@pytest.mark.parametrize("delta", [math.nan, math.inf])
def test_a_reward_that_is_not_a_number_is_an_error(delta: float) -> None:
    with pytest.raises(TrainingError, match="reward is"):
        objective(objective="ipo").reward([delta], None)


def test_many_margins_at_once_are_those_of_each() -> None:
    import torch

    pairs = [PAIR, Pair("y", (1,), (5, 2), (8, 9, 2))]
    policy = torch.tensor([[-4.0, -7.0], [-3.0, -1.5]])
    references = [(-6.0, -5.0), (-2.0, -2.5)]
    for options in ({}, {"length_normalised": True}):
        made = objective(**options)
        alone = [made.delta(*one) for one in zip(pairs, policy.tolist(), references, strict=True)]
        assert made.deltas(pairs, policy, references).tolist() == pytest.approx(alone)
