"""One joint step: summaries are sampled, judged, learnt from by theta, and given their reward."""

from __future__ import annotations

import math
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
        """TRL's `rollout_func`: prompts, here a user's number and turn in the step, come for each summary anew."""
        group = self.config.group_size
        who, turns = zip(*(map(int, prompt.split()) for prompt in prompts[::group]), strict=True)
        examples = [self.examples[number] for number in who]
        with self.processes.together():
            found = sample_summaries(
                self.networks,
                self.learner.encoder,
                examples,
                count=group,
                temperature=self.config.temperature,
                seed=f"{self.config.seed}/{trainer.state.global_step}",
                turns=turns,
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
        others = self._of_the_next_user() if self.config.generator_contrast else [None] * len(self._samples)
        judged = [
            Judged(
                sample.text,
                rotated(
                    self.examples[number].pairs, step * self.config.pairs_per_summary, self.config.pairs_per_summary
                ),
                learn=at % group < learners,
                other=others[at],
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
        firsts = self._firsts()
        with self.processes.together():
            rewards = [
                _short(
                    objective.reward(
                        current[firsts[at]],
                        frozen[firsts[at]] if frozen else None,
                        empty=self._empty(current[len(judged) + at // group], mixed=bool(mixed)) if plain else 0.0,
                        filled=len(sample.ids) / self.config.budget,
                        quoted=quoted[at],
                    )
                )
                for at, sample in enumerate(self._samples)
            ]
        self.metrics = self._measured(current[: len(judged)], quoted)
        return rewards

    def _firsts(self) -> list[int]:
        """For each summary the first of the user's with the same text: what rounding sets apart is no merit."""
        seen: dict[tuple[int, str], int] = {}
        return [
            seen.setdefault((at // self.config.group_size, sample.text), at) for at, sample in enumerate(self._samples)
        ]

    def _of_the_next_user(self) -> list[str]:
        """For each summary here, that of the next user with the same number; the next may be in another process."""
        parts = self.processes.gather([sample.text for sample in self._samples])
        texts = [text for part in parts for text in part]
        start = sum(map(len, parts[: self.processes.index])) + self.config.group_size
        return [texts[(start + at) % len(texts)] for at in range(len(self._samples))]

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


def _short(reward: float) -> float:
    """To 18 binary digits, so that in float32 the mean of up to 64 equal rewards is that reward.

    Else an advantage is left that is nothing but rounding, and AdamW, which divides by its size, makes a step of it.
    """
    mantissa, exponent = math.frexp(reward)
    return math.ldexp(round(mantissa * 2**18) / 2**18, exponent)
