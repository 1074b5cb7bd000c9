"""One joint step: summaries are sampled, judged, learnt from by theta, and given their reward."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from ..evals.quoting import overlap
from .config import TrainConfig
from .examples import Example, rotated
from .learner import GeneratorLearner, Judged
from .networks import Networks
from .rollout import Sample, sample_summaries

__all__ = ["Step"]


class Step:
    """What TRL calls in each step: `rollout` for summaries, `reward` for what they are worth.

    Args:
        networks: Who computes.
        learner: Judges, and if it learns, trains the generator with the same pass.
        examples: The users, by the number that stands in the trainer's rows.
        config: Weights and numbers.
        learn: Whether theta learns; else the generator stays as it is.

    Attributes:
        trainer: Set once it is there: it knows the step.
        metrics: What was measured in the last step.
    """

    def __init__(
        self,
        networks: Networks,
        learner: GeneratorLearner,
        examples: Sequence[Example],
        config: TrainConfig,
        *,
        learn: bool,
    ) -> None:
        self.networks = networks
        self.learner = learner
        self.examples = examples
        self.config = config
        self.trainer: Any = None
        self.metrics: dict[str, float] = {}
        self.processes = learner.processes
        self._learn = learn
        self._is_base = not learn and learner.untouched
        self._samples: list[Sample] = []

    def rollout(self, prompts: Sequence[Any], trainer: Any) -> dict[str, list[list[int]] | None]:
        """TRL's `rollout_func`: prompts, here the users' numbers, come once for each summary of the group."""
        group = self.config.group_size
        examples = [self.examples[int(number)] for number in prompts[::group]]
        with self.processes.together():
            found = sample_summaries(
                self.networks,
                self.learner.encoder,
                examples,
                count=group,
                temperature=self.config.temperature,
                seed=f"{self.config.seed}/{trainer.state.global_step}",
            )
        self._samples = [sample for row in found for sample in row]
        return {
            "prompt_ids": [list(example.request_ids) for example in examples for _ in range(group)],
            "completion_ids": [list(sample.ids) for sample in self._samples],
            "logprobs": None,
        }

    def reward(
        self, *, prompts: Sequence[Any], completions: Sequence[Any], example: Sequence[int], **_: Any
    ) -> list[float]:
        """TRL's reward function: R of each summary, after theta has learnt from the same pass."""
        step = self.trainer.state.global_step
        group = self.config.group_size
        learners = self.config.summaries_for_generator or group
        judged = [
            Judged(
                sample.text,
                rotated(
                    self.examples[number].pairs, step * self.config.pairs_per_summary, self.config.pairs_per_summary
                ),
                learn=at % group < learners,
                other=self._samples[(at + group) % len(self._samples)].text,  # of the next user
            )
            for at, (sample, number) in enumerate(zip(self._samples, example, strict=True))
        ]
        mixed = self.config.reward_frozen and not self._is_base
        frozen = self.learner.margins(judged, frozen=True) if mixed else None
        # One plain prompt a user, in the same pass; nothing is learnt from it.
        plain = [Judged("", one.pairs, learn=False) for one in judged[::group]] if self.config.reward_over_empty else []
        current = (self.learner.learn if self._learn else self.learner.margins)(judged + plain)
        quoted = [
            overlap(sample.text, self.examples[number].selection.text)
            for sample, number in zip(self._samples, example, strict=True)
        ]
        objective = self.learner.objective
        with self.processes.together():
            rewards = [
                objective.reward(
                    current[at],
                    frozen[at] if frozen else None,
                    empty=self._empty(current[len(judged) + at // group], mixed=bool(mixed)) if plain else 0.0,
                    filled=len(sample.ids) / self.config.budget,
                    quoted=quoted[at],
                )
                for at, sample in enumerate(self._samples)
            ]
        self.metrics = self._measured(current[: len(judged)], quoted)
        return rewards

    def _empty(self, current: Sequence[float], *, mixed: bool) -> float:
        """What the plain prompt earns; the frozen base behind it is the reference itself, so its margins are 0."""
        return self.learner.objective.reward(current, [0.0] * len(current) if mixed else None)

    def _measured(self, current: Sequence[Sequence[float]], quoted: Sequence[float]) -> dict[str, float]:
        """Figures of the summaries of all processes."""
        texts = [sample.text for sample in self._samples]
        rows = [row for part in self.processes.gather([*zip(texts, current, quoted, strict=True)]) for row in part]
        deltas = [delta for _, row, _ in rows for delta in row]
        return {
            "accuracy/sampled": statistics.fmean((delta > 0) + 0.5 * (delta == 0) for delta in deltas),
            "summaries/empty": statistics.fmean(not text for text, _, _ in rows),
            "summaries/distinct": len({text for text, _, _ in rows}) / len(rows),
            "summaries/quoted": statistics.fmean(share for _, _, share in rows),
        }
