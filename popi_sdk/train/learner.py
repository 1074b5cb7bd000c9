"""The generator's side of a step: the forward pass that judges summaries is the one that theta learns from."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ScoringError, TrainingError
from ..prompts import Selection
from ..scoring import Query, score_queries, score_queries_with_grad
from ..scoring.plan import budget_for
from ..scoring.query import bucketed
from .config import TrainConfig
from .examples import Encoder, Pair
from .networks import Networks
from .objective import Objective
from .processes import Processes
from .reference import References

__all__ = ["GeneratorLearner", "Judged", "scored"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a generator reads beside a prompt, and the pairs that judge it.

    Attributes:
        context: A summary z, or the signals themselves; empty for the plain prompt.
        pairs: Held-out pairs of the user.
        learn: Whether theta learns from them.
        other: What was written of another user, for `generator_contrast`; None if there is nobody.
    """

    context: str | Selection
    pairs: tuple[Pair, ...]
    learn: bool = True
    other: str | Selection | None = None


@contextmanager
def scored() -> Iterator[None]:
    """A block in which what cannot be scored ends the training.

    Raises:
        TrainingError: Instead of `ScoringError`.
    """
    try:
        yield
    except ScoringError as error:
        raise TrainingError(f"A step cannot be computed: {error}") from error


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

        Each summary weighs the same, and within it each pair; all processes have the same number to learn from. With
        `generator_contrast` c and a summary z' of another user the loss of a pair is

            loss(Delta(z)) + c * loss(Delta(z) - Delta(z'))

        In the second term the reference cancels out, and with it how likely the two answers are whatever is read: what
        is left is what the summary does. `generator_likelihood` adds, times itself, the chosen answer's own
        -log pi(y+ | x, z) / tokens (arXiv 2404.19733): a margin grows as well where both answers become unlikely.

        Returns:
            Delta of every pair, nats, by summary.

        Raises:
            TrainingError: If the loss or its gradient is not finite; theta is as before.
        """
        queries, others, pairs = self._queries(judged), self._others(judged), self._pairs(judged)
        learners = sum(one.learn for one in judged)
        weights = [1 / len(one.pairs) / learners if one.learn else 0.0 for one in judged for _ in one.pairs]
        with self.networks.generating() as model:
            self.optimizer.zero_grad(set_to_none=True)
            with self.processes.together():
                loss, deltas, told = self._backward(model, queries, others, pairs, weights)
            self._step(self.processes.mean(loss))
        if self.config.generator_contrast:
            self.metrics["generator/matched"] = self.processes.mean(statistics.fmean(told) if told else 0.5)
        return self._by_summary(judged, deltas)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside the weights."""
        return {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])

    def _backward(
        self,
        model: Any,
        queries: Sequence[Query],
        others: Sequence[Query | None],
        pairs: Sequence[Pair],
        weights: Sequence[float],
    ) -> tuple[float, list[float], list[bool]]:
        """The loss, its gradient added up in theta, the margins, and which pairs tell the two contexts apart.

        What weighs nothing is scored alone.
        """
        deltas: list[float] = [0.0] * len(queries)
        told: list[bool] = []
        total = 0.0
        sizes = [one.tokens + (other.tokens if other else 0) for one, other in zip(queries, others, strict=True)]
        for batch in bucketed(sizes, self._budget):
            graded = [index for index in batch if weights[index]]
            scored = [index for index in batch if not weights[index]]
            if scored:
                values = score_queries(model, [queries[index] for index in scored], token_budget=self._budget)
                for index, pi in zip(scored, values, strict=True):
                    deltas[index] = self._delta(pairs[index], pi)
            if graded:
                margins, gaps, which, chosen = self._margins(
                    model,
                    [queries[index] for index in graded],
                    [others[index] for index in graded],
                    [pairs[index] for index in graded],
                )
                weighed = margins.new_tensor([weights[index] for index in graded])
                loss = (weighed * self.objective.loss(margins)).sum()
                if which:
                    apart = (weighed[which] * self.objective.loss(gaps)).sum()
                    loss = loss + self.config.generator_contrast * apart
                    told += (gaps > 0).tolist()
                if self.config.generator_likelihood:
                    loss = loss - self.config.generator_likelihood * (weighed * chosen).sum()
                loss.backward()
                total += loss.item()
                for index, delta in zip(graded, margins.tolist(), strict=True):
                    deltas[index] = delta
        return total, deltas, told

    def _margins(
        self, model: Any, queries: Sequence[Query], others: Sequence[Query | None], pairs: Sequence[Pair]
    ) -> tuple[torch.Tensor, torch.Tensor, list[int], torch.Tensor]:
        """Of each pair Delta, how far it is above that behind the other context, and log pi of the chosen answer.

        The second is of those pairs alone that have another context; the third says which. The last is a token's mean.
        """
        which = [at for at, other in enumerate(others) if other is not None]
        rivals = [other for other in others if other is not None]
        rows = torch.stack(score_queries_with_grad(model, [*queries, *rivals], token_budget=self._budget))
        both = [*pairs, *(pairs[at] for at in which)]
        deltas = self.objective.deltas(both, rows, [self.references[pair] for pair in both])
        margins = deltas[: len(pairs)]
        chosen = rows[: len(pairs), 0] / rows.new_tensor([len(pair.chosen) for pair in pairs])
        return margins, margins[which] - deltas[len(pairs) :], which, chosen

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

    def _others(self, judged: Sequence[Judged]) -> list[Query | None]:
        """The same pairs behind what was written of another user, where theta is to tell the two apart."""
        wanted = [
            bool(self.config.generator_contrast) and one.learn and one.other is not None and one.other != one.context
            for one in judged
        ]
        return [
            self.encoder.reading(one.other or "", pair) if apart else None
            for one, apart in zip(judged, wanted, strict=True)
            for pair in one.pairs
        ]

    def _delta(self, pair: Pair, policy: Any) -> Any:
        return self.objective.delta(pair, policy, self.references[pair])

    @staticmethod
    def _pairs(judged: Sequence[Judged]) -> list[Pair]:
        return [pair for one in judged for pair in one.pairs]

    @staticmethod
    def _by_summary(judged: Sequence[Judged], deltas: Sequence[float]) -> list[list[float]]:
        values = iter(deltas)
        return [[next(values) for _ in one.pairs] for one in judged]
