"""When a run has gone far enough, and which of its weights are kept: decided by the looks at dev users."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["StopSettings", "Watch"]

_RECENT = 10  # steps over which the entropy is averaged: a single step has few summaries


class StopSettings(BaseModel):
    """What ends a phase of a run before its steps are done; None switches a rule off.

    Attributes:
        patience: Looks at dev in a row without a better score than the best.
        min_entropy: Mean entropy of a summary's token, nats, over the last 10 steps: below it all users get one text.
        transfer_drop: How far the frozen base's accuracy may fall below its best while the generator's own is above
            what it was then: the two are on the way to a private code. Counts where `reward_frozen` is above 0, and
            where the fall is above two standard errors too: on 6 pairs a single one that flips is 0.17.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patience: Annotated[int, Field(gt=0)] | None = 6
    min_entropy: Annotated[float, Field(gt=0)] | None = 0.01
    transfer_drop: Annotated[float, Field(gt=0, le=1)] | None = 0.1


class Watch:
    """Follows the history of one phase.

    Args:
        rules: What ends it; None for nothing.
        frozen_share: Weight of the frozen base's accuracy in the score, as in the reward.
        pairs: Which a look judges; None for so many that they make no noise.

    Attributes:
        best: The entry of the best look, the earliest of equals; None before the first.
    """

    def __init__(self, rules: StopSettings | None, frozen_share: float, pairs: int | None = None) -> None:
        self.best: Mapping[str, Any] | None = None
        self._rules = rules or StopSettings(patience=None, min_entropy=None, transfer_drop=None)
        self._share = frozen_share
        self._noise = 2 * math.sqrt(2 * 0.25 / pairs) if pairs else 0.0  # of the difference of two shares near a half
        self._since_best = 0
        self._best_transfer: Mapping[str, Any] | None = None
        self._entropies: deque[float] = deque(maxlen=_RECENT)

    def score(self, entry: Mapping[str, Any]) -> float:
        """(1 - lambda) own + lambda frozen: accuracy on dev, mixed as the reward is."""
        return float((1 - self._share) * entry["dev/own"] + self._share * entry["dev/frozen"])

    def replay(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Take over what an earlier process has seen."""
        for entry in entries:
            self.see(entry)

    def see(self, entry: Mapping[str, Any]) -> str | None:
        """Take note of a step.

        Returns:
            Why the phase ends here; None if it goes on.
        """
        reasons = [self._collapsed(entry)]
        if "dev/own" in entry:
            reasons += [self._no_better(entry), self._private(entry)]
        return next((reason for reason in reasons if reason), None)

    def _collapsed(self, entry: Mapping[str, Any]) -> str | None:
        if "inferrer/entropy" not in entry:
            return None
        self._entropies.append(entry["inferrer/entropy"])
        floor, mean = self._rules.min_entropy, statistics.fmean(self._entropies)
        if floor is None or len(self._entropies) < _RECENT or mean >= floor:
            return None
        return f"the entropy of the summaries is {mean:.3g} nats a token, below {floor:g}: raise entropy_bonus or kl"

    def _no_better(self, entry: Mapping[str, Any]) -> str | None:
        if self.best is None or self.score(entry) > self.score(self.best):
            self.best, self._since_best = entry, 0
            return None
        self._since_best += 1
        if self._rules.patience is None or self._since_best < self._rules.patience:
            return None
        return f"{self._since_best} looks at dev without a better one than at step {self.best['step']}"

    def _private(self, entry: Mapping[str, Any]) -> str | None:
        then = self._best_transfer
        if then is None or entry["dev/frozen"] > then["dev/frozen"]:
            self._best_transfer = entry
            return None
        drop = self._rules.transfer_drop
        if drop is None or not self._share:
            return None
        if then["dev/frozen"] - entry["dev/frozen"] < max(drop, self._noise) or entry["dev/own"] <= then["dev/own"]:
            return None
        return (
            f"the frozen base's accuracy fell from {then['dev/frozen']:.2f} to {entry['dev/frozen']:.2f} while the "
            "generator's rose: raise reward_frozen or kl"
        )
