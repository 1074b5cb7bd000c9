"""The generator alone, by the same loss: on stored summaries, on raw signals, or on bare prompts."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..prompts import Selection
from .config import TrainConfig
from .examples import Example, rotated
from .learner import GeneratorLearner, Judged

__all__ = ["teach"]


def teach(
    learner: GeneratorLearner,
    examples: Sequence[Example],
    contexts: Sequence[str | Selection],
    config: TrainConfig,
    record: Callable[[int, dict[str, Any]], None],
) -> None:
    """Train the generator for `config.steps` steps.

    Args:
        learner: Owns the generator.
        examples: The users.
        contexts: What the generator reads of each.
        config: Steps, users in a step, pairs of a user in a step.
        record: Told of every step.

    Raises:
        TrainingError: If the loss is not finite.
    """
    batches = _batches(len(examples), config)
    for step in range(config.steps):
        judged = [
            Judged(contexts[at], rotated(examples[at].pairs, step * config.pairs_per_summary, config.pairs_per_summary))
            for at in next(batches)
        ]
        deltas = [delta for row in learner.learn(judged) for delta in row]
        accuracy = statistics.fmean((delta > 0) + 0.5 * (delta == 0) for delta in deltas)
        record(step + 1, {"generator/accuracy": accuracy, **learner.metrics})


def _batches(users: int, config: TrainConfig) -> Iterator[list[int]]:
    """Everyone once, in another order, before anyone again."""
    draws = random.Random(f"{config.seed}/teach")
    waiting: list[int] = []
    while True:
        while len(waiting) < config.users_per_step:
            waiting += draws.sample(range(users), users)
        yield waiting[: config.users_per_step]
        del waiting[: config.users_per_step]
