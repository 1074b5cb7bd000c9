"""The objective's arithmetic: margin, losses and credit (arXiv 2510.17881).

All functions take floats or tensors, element by element, and give back what they were given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import UsageError

__all__ = ["TIE", "PairScore", "credit", "dpo_loss", "ipo_loss", "margin"]

TIE = 1e-3
"""Nats: a Delta below this is noise of float32 sums, and no preference."""

Number = TypeVar("Number", float, Any)


@dataclass(frozen=True, slots=True)
class PairScore:
    """log pi of the two responses of a pair, by policy and reference.

    Attributes:
        policy_chosen: log pi_theta(y+|x,z), nats.
        policy_rejected: log pi_theta(y-|x,z).
        reference_chosen: log pi_ref(y+|x): the reference never sees a summary.
        reference_rejected: log pi_ref(y-|x).
    """

    policy_chosen: float
    policy_rejected: float
    reference_chosen: float
    reference_rejected: float

    @property
    def delta(self) -> float:
        """The margin of the objective, nats."""
        delta: float = margin(self.policy_chosen, self.policy_rejected, self.reference_chosen, self.reference_rejected)
        return delta


def margin(policy_chosen: Number, policy_rejected: Number, ref_chosen: Number, ref_rejected: Number) -> Number:
    """Delta = [log pi(y+|x,z) - log pi(y-|x,z)] - [log ref(y+|x) - log ref(y-|x)], in nats.

    It is above 0 where the policy, compared with the reference, leans towards the chosen response.
    """
    delta: Number = (policy_chosen - policy_rejected) - (ref_chosen - ref_rejected)
    return delta


def dpo_loss(delta: Number, beta: float) -> Number:
    """-(1 / beta) log sigmoid(beta Delta): ln 2 / beta at Delta = 0, and its slope is -sigmoid(-beta Delta).

    Args:
        delta: The margin, nats.
        beta: How sharply a margin counts, above 0; 0.01 in the paper's release.

    Raises:
        UsageError: If beta is not above 0.
    """
    _check(beta)
    if isinstance(delta, int | float):
        # log(1 + e^x) without overflow
        return (max(-beta * delta, 0.0) + math.log1p(math.exp(-abs(beta * delta)))) / beta
    from torch.nn.functional import softplus

    loss: Number = softplus(-beta * delta) / beta
    return loss


def ipo_loss(delta: Number, beta: float) -> Number:
    """(beta / 2) (Delta - 1 / (2 beta))^2: lowest at Delta = 1 / (2 beta).

    Args:
        delta: The margin, nats.
        beta: The wanted margin is 1 / (2 beta) nats; above 0.

    Raises:
        UsageError: If beta is not above 0.
    """
    _check(beta)
    return beta / 2 * (delta - 1 / (2 * beta)) ** 2


def credit(delta: float, tie: float = TIE) -> float:
    """What a pair adds to the preference accuracy: 1 right, 0 wrong, 0.5 where |Delta| is below the tie.

    Args:
        delta: The margin, nats.
        tie: Nats.

    Raises:
        UsageError: If delta is not a number: a failure is no tie.
    """
    if math.isnan(delta):
        raise UsageError("A margin that is not a number earns no credit. Look for the log-probability that is NaN.")
    if abs(delta) < tie:
        return 0.5
    return 1.0 if delta > 0 else 0.0


def _check(beta: float) -> None:
    if not beta > 0:
        raise UsageError(f"beta is {beta}, and must be above 0.")
