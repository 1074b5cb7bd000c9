"""The generator's side of a step: the forward pass that judges summaries is the one that theta learns from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import TrainingError
from ..prompts import Selection
from ..scoring import Query, microbatches, score_queries, score_queries_with_grad
from ..scoring.plan import budget_for
from .config import TrainConfig
from .examples import Encoder, Pair
from .networks import Networks
from .objective import Objective
from .processes import Processes
from .reference import References

__all__ = ["GeneratorLearner", "Judged"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a generator reads beside a prompt, and the pairs that judge it.

    Attributes:
        context: A summary z, or the signals themselves; empty for the plain prompt.
        pairs: Held-out pairs of the user.
        learn: Whether theta learns from them.
    """

    context: str | Selection
    pairs: tuple[Pair, ...]
    learn: bool = True


class GeneratorLearner:
    """Scores pairs behind summaries, and owns the generator's optimizer.

    Args:
        networks: Who computes.
        config: Rates, clipping and loss.
        encoder: From summaries and pairs to token ids.
        references: log pi_ref of each pair, given the prompt alone.
        steps: How many steps there will be, for the schedule of the rate.
        processes: Who learns together: `margins` and `learn` are for all of them, each with its own users.
        token_budget: Most positions of one forward pass; None for what suits the device.
    """

    def __init__(
        self,
        networks: Networks,
        config: TrainConfig,
        encoder: Encoder,
        references: References,
        *,
        steps: int,
        processes: Processes | None = None,
        token_budget: int | None = None,
    ) -> None:
        from transformers import get_cosine_schedule_with_warmup

        self.networks = networks
        self.config = config
        self.encoder = encoder
        self.objective = Objective(config)
        self.references = references
        self.parameters = networks.generator_parameters()
        self.optimizer = torch.optim.AdamW(self.parameters, lr=config.generator_lr, weight_decay=0.0)
        self.schedule = get_cosine_schedule_with_warmup(self.optimizer, math.ceil(config.warmup * steps), steps)
        self.metrics: dict[str, float] = {}
        self.untouched = networks.untouched
        self.processes = processes or Processes()
        self._budget = budget_for(networks.lm.device, token_budget)

    def margins(self, judged: Sequence[Judged], *, frozen: bool = False) -> list[list[float]]:
        """Delta of every pair, nats, without learning; by the frozen base instead of the generator if asked for."""
        queries = self._queries(judged)
        network = self.networks.frozen() if frozen else self.networks.generating()
        with self.processes.together(), network as model:
            scores = score_queries(model, queries, token_budget=self._budget)
        return self._by_summary(
            judged, [self._delta(pair, pi) for pair, pi in zip(self._pairs(judged), scores, strict=True)]
        )

    def learn(self, judged: Sequence[Judged]) -> list[list[float]]:
        """One optimizer step of theta on the mean loss; the margins are those of before the step.

        Each summary weighs the same, and within it each pair; all processes have the same number to learn from.

        Returns:
            Delta of every pair, nats, by summary.

        Raises:
            TrainingError: If the loss or its gradient is not finite; theta is as before.
        """
        queries, pairs = self._queries(judged), self._pairs(judged)
        learners = sum(one.learn for one in judged)
        weights = [1 / len(one.pairs) / learners if one.learn else 0.0 for one in judged for _ in one.pairs]
        with self.networks.generating() as model:
            self.optimizer.zero_grad(set_to_none=True)
            with self.processes.together():
                loss, deltas = self._backward(model, queries, pairs, weights)
            self._step(self.processes.mean(loss))
        return self._by_summary(judged, deltas)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside the weights."""
        return {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])

    def _backward(
        self, model: Any, queries: Sequence[Query], pairs: Sequence[Pair], weights: Sequence[float]
    ) -> tuple[float, list[float]]:
        """The loss, its gradient added up in theta, and the margins; what weighs nothing is scored alone."""
        deltas: list[float] = [0.0] * len(queries)
        total = 0.0
        for batch in microbatches(queries, self._budget):
            graded = [index for index in batch if weights[index]]
            scored = [index for index in batch if not weights[index]]
            if scored:
                values = score_queries(model, [queries[index] for index in scored], token_budget=self._budget)
                for index, pi in zip(scored, values, strict=True):
                    deltas[index] = self._delta(pairs[index], pi)
            if graded:
                rows = score_queries_with_grad(model, [queries[index] for index in graded], token_budget=self._budget)
                some = [pairs[index] for index in graded]
                margins = self.objective.deltas(some, torch.stack(rows), [self.references[pair] for pair in some])
                weighed = margins.new_tensor([weights[index] for index in graded])
                loss = (weighed * self.objective.loss(margins)).sum()
                loss.backward()
                total += loss.item()
                for index, delta in zip(graded, margins.tolist(), strict=True):
                    deltas[index] = delta
        return total, deltas

    def _step(self, loss: float) -> None:
        """Finished here: the trainer of the inferrer would clip all parameters together."""
        self.processes.average(self.parameters)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.optimizer.zero_grad(set_to_none=True)
            raise TrainingError(
                f"The generator's loss is {loss}, its gradient's norm {norm}. Lower generator_lr, or use float32."
            )
        self.metrics = {
            "generator/loss": loss,
            "generator/grad_norm": norm,
            "generator/learning_rate": self.schedule.get_last_lr()[0],
        }
        self.optimizer.step()
        self.networks.untouched = self.untouched = False
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _queries(self, judged: Sequence[Judged]) -> list[Query]:
        missing = self.references.missing(self._pairs(judged))
        if any(self.processes.gather(bool(missing))):
            with self.networks.frozen() as model:
                self.references.compute(model, missing)
        return [self.encoder.reading(one.context, pair) for one in judged for pair in one.pairs]

    def _delta(self, pair: Pair, policy: Any) -> Any:
        return self.objective.delta(pair, policy, self.references[pair])

    @staticmethod
    def _pairs(judged: Sequence[Judged]) -> list[Pair]:
        return [pair for one in judged for pair in one.pairs]

    @staticmethod
    def _by_summary(judged: Sequence[Judged], deltas: Sequence[float]) -> list[list[float]]:
        values = iter(deltas)
        return [[next(values) for _ in one.pairs] for one in judged]
