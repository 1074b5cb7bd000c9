"""What both models are trained for: the loss of a pair, and the reward of a summary (arXiv 2510.17881)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import TrainingError
from ..scoring import dpo_loss, ipo_loss, margin
from .config import TrainConfig
from .examples import Pair

__all__ = ["Objective"]


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss over margins, and what is added to its negative for a summary's reward.

    Args:
        config: Names the loss, beta, and the weights of the reward's parts.
    """

    config: TrainConfig

    def loss(self, delta: Any) -> Any:
        """DPO: -(1 / beta) log sigmoid(beta Delta); IPO: (beta / 2) (Delta - 1 / (2 beta))^2. Floats or tensors."""
        return (dpo_loss if self.config.objective == "dpo" else ipo_loss)(delta, self.config.beta)

    def delta(self, pair: Pair, policy: Any, reference: Sequence[float]) -> Any:
        """The margin of a pair, nats; per token of each response if the configuration says so.

        Args:
            pair: Whose lengths count.
            policy: log pi_theta of chosen and rejected, given prompt and summary; floats or a tensor, (2,).
            reference: log pi_ref of the same, given the prompt alone.
        """
        tokens = self._lengths(pair)
        chosen, rejected = policy[0] / tokens[0], policy[1] / tokens[1]
        return margin(chosen, rejected, reference[0] / tokens[0], reference[1] / tokens[1])

    def deltas(self, pairs: Sequence[Pair], policy: Any, references: Sequence[Sequence[float]]) -> Any:
        """`delta` of many pairs in a few operations, which is what a GPU waits for; policy and result: (N, 2), (N,)."""
        tokens = [self._lengths(pair) for pair in pairs]
        known = [ref[0] / size[0] - ref[1] / size[1] for ref, size in zip(references, tokens, strict=True)]
        chosen, rejected = (policy / policy.new_tensor(tokens)).unbind(1)
        return margin(chosen, rejected, policy.new_tensor(known), 0.0)

    def _lengths(self, pair: Pair) -> tuple[int, int]:
        return (len(pair.chosen), len(pair.rejected)) if self.config.length_normalised else (1, 1)

    def reward(
        self,
        current: Sequence[float],
        frozen: Sequence[float] | None,
        *,
        empty: float = 0.0,
        filled: float = 0.0,
        quoted: float = 0.0,
    ) -> float:
        """R(z) = -[(1 - lambda) loss(current) + lambda loss(frozen)] - R(empty) - length and overlap penalties.

        Args:
            current: Margins of the pairs under the generator as it is.
            frozen: The same under the untouched base model; None where the generator is still that model,
                or lambda is 0.
            empty: What the plain prompt earns, if it is to be subtracted.
            filled: Share of the budget that the summary takes.
            quoted: Share of its 4-grams that stand in the signals.

        Raises:
            TrainingError: If it is not a finite number: a failed reward is never 0.
        """
        loss = self._mean(current)
        if frozen is not None:
            share = self.config.reward_frozen
            loss = (1 - share) * loss + share * self._mean(frozen)
        reward = -loss - empty - self.config.length_penalty * filled - self.config.overlap_penalty * quoted
        if not math.isfinite(reward):
            raise TrainingError(
                f"A summary's reward is {reward}: margins {list(current)}, frozen {list(frozen or ())}. "
                "Lower generator_lr, or train in float32."
            )
        return reward

    def _mean(self, deltas: Sequence[float]) -> float:
        return math.fsum(self.loss(delta) for delta in deltas) / len(deltas)
