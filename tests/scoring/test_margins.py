"""The objective's formulas against arithmetic done by hand."""

from __future__ import annotations

import math

import pytest
import torch

from popi_sdk.errors import UsageError
from popi_sdk.scoring import TIE, PairScore, credit, dpo_loss, ipo_loss, margin


def test_margin_by_hand() -> None:
    # Policy: -10 against -12, so +2. Reference: -11 against -11.5, so +0.5. Delta = 1.5.
    assert margin(-10.0, -12.0, -11.0, -11.5) == 1.5
    assert PairScore(-10.0, -12.0, -11.0, -11.5).delta == 1.5


def test_a_policy_that_is_its_reference_has_no_margin() -> None:
    delta = margin(-37.25, -41.5, -37.25, -41.5)
    assert delta == 0
    assert dpo_loss(delta, 0.1) == pytest.approx(6.931471805599453)  # ln 2 / 0.1
    assert dpo_loss(delta, 0.01) == pytest.approx(math.log(2) / 0.01)
    assert credit(delta) == 0.5


def test_swapping_the_responses_flips_the_sign() -> None:
    assert margin(-10.0, -12.0, -11.0, -11.5) == -margin(-12.0, -10.0, -11.5, -11.0)


def test_dpo_loss_by_hand() -> None:
    # beta Delta = ln 3: sigmoid is 3/4, so the loss is ln(4/3) / beta = 0.287682 / 0.5; and with -ln 3, ln 4 / 0.5.
    assert dpo_loss(2 * math.log(3), 0.5) == pytest.approx(0.5753641449035618)
    assert dpo_loss(-2 * math.log(3), 0.5) == pytest.approx(2.772588722239781)


def test_dpo_loss_of_huge_margins() -> None:
    assert dpo_loss(-1e6, 0.01) == pytest.approx(1e6)
    assert dpo_loss(1e6, 0.01) == 0
    assert dpo_loss(torch.tensor([-1e6, 1e6]), 0.01).tolist() == pytest.approx([1e6, 0])


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("delta", [-30.0, -1.0, 0.0, 0.5, 20.0])
def test_slope_of_the_reward(delta: float, beta: float) -> None:
    """R = -loss rises by sigmoid(-beta Delta): the surer the model is already, the less it gains."""
    tensor = torch.tensor(delta, dtype=torch.float64, requires_grad=True)
    (-dpo_loss(tensor, beta)).backward()
    slope = 1 / (1 + math.exp(beta * delta))
    assert tensor.grad is not None
    assert tensor.grad.item() == pytest.approx(slope)
    step = 1e-4
    assert (dpo_loss(delta - step, beta) - dpo_loss(delta + step, beta)) / (2 * step) == pytest.approx(slope, rel=1e-5)


def test_ipo_loss_by_hand() -> None:
    # beta = 0.5: the wanted margin is 1. At 0 the loss is 0.25 * 1, at 3 it is 0.25 * 4.
    assert [ipo_loss(delta, 0.5) for delta in (0.0, 1.0, 3.0)] == [0.25, 0.0, 1.0]


@pytest.mark.parametrize("beta", [0.01, 0.1, 2.0])
def test_ipo_loss_is_lowest_at_its_margin(beta: float) -> None:
    wanted = torch.tensor(1 / (2 * beta), dtype=torch.float64, requires_grad=True)
    loss = ipo_loss(wanted, beta)
    loss.backward()
    assert loss.item() == 0
    assert wanted.grad is not None
    assert wanted.grad.item() == 0
    assert ipo_loss(1 / (2 * beta) + 0.1, beta) == pytest.approx(ipo_loss(1 / (2 * beta) - 0.1, beta))


def test_tensors_give_what_floats_give() -> None:
    deltas = [-3.0, 0.0, 0.25, 7.0]
    for loss in (dpo_loss, ipo_loss):
        values = loss(torch.tensor(deltas, dtype=torch.float64), 0.3)
        assert values.tolist() == pytest.approx([loss(delta, 0.3) for delta in deltas])


@pytest.mark.parametrize(
    ("delta", "expected"),
    [(2.0, 1.0), (-2.0, 0.0), (0.0, 0.5), (0.00099, 0.5), (-0.00099, 0.5), (0.001, 1.0), (-0.001, 0.0)],
)
def test_credit(delta: float, expected: float) -> None:
    assert TIE == 1e-3
    assert credit(delta) == expected
    assert credit(delta, tie=5.0) == 0.5


def test_credit_of_no_number() -> None:
    with pytest.raises(UsageError, match="not a number"):
        credit(math.nan)


@pytest.mark.parametrize("loss", [dpo_loss, ipo_loss])
@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_beta_is_positive(loss: object, beta: float) -> None:
    with pytest.raises(UsageError, match="beta"):
        loss(1.0, beta)  # type: ignore[operator]
