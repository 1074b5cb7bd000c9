"""The generator alone, by the same loss: on summaries, gold descriptions, raw signals, or bare prompts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from ..prompts import Selection
from .checkpoint import Checkpoints
from .config import TrainConfig
from .examples import Example, batches, rotated
from .learner import GeneratorLearner, Judged

__all__ = ["drawn_in", "teach"]


def drawn_in(phase: str, count: int, config: TrainConfig) -> list[int]:
    """The numbers of the examples that `teach` draws in all steps of a phase, each once, in ascending order.

    Args:
        phase: Which of `config.phases`.
        count: How many examples there are.
        config: Steps of the phases, users in a step.
    """
    steps = islice(batches(count, config), config.phases[phase])
    return sorted({at for step in steps for at in step})


def teach(
    learner: GeneratorLearner,
    examples: Sequence[Example],
    contexts: Sequence[str | Selection],
    config: TrainConfig,
    record: Callable[[int, dict[str, Any]], object],
    *,
    phase: str,
    users: int | None = None,
    checkpoints: Checkpoints | None = None,
) -> None:
    """Train the generator for as many steps as the phase has.

    Args:
        learner: Owns the generator.
        examples: The users.
        contexts: What the generator reads of each.
        config: Steps of the phases, users in a step, pairs of a user in a step.
        record: Told of every step; training ends with the one for which it returns True.
        phase: Which of `config.phases`, and what it is called in the checkpoints.
        users: In a step, over all processes; None for `config.users_per_step`.
        checkpoints: Where it goes on from, and keeps its state.

    Raises:
        TrainingError: If the loss is not finite.
    """
    order = batches(len(examples), config, users)
    done = 0
    if checkpoints is not None and (found := checkpoints.latest(phase)) is not None:
        _, state = found
        done = state["step"]
        learner.networks.load_state_dict(state["networks"])
        learner.load_state_dict(state["learner"])
    for _ in range(done):
        next(order)
    for step in range(done, config.phases[phase]):
        drawn = next(order)
        judged = [
            Judged(
                contexts[at],
                rotated(examples[at].pairs, step * config.pairs_per_summary, config.pairs_per_summary),
                other=contexts[other],
            )
            for at, other in learner.processes.share([*zip(drawn, [*drawn[1:], *drawn[:1]], strict=True)])
        ]
        deltas = [delta for rows in learner.processes.gather(learner.learn(judged)) for row in rows for delta in row]
        accuracy = statistics.fmean((delta > 0) + 0.5 * (delta == 0) for delta in deltas)
        if record(step + 1, {"generator/accuracy": accuracy, **learner.metrics}) is True:
            break
        if checkpoints is not None and (step + 1) % checkpoints.every == 0:
            state = {"networks": learner.networks.state_dict(), "learner": learner.state_dict()}
            checkpoints.save_step(phase, step + 1, {"step": step + 1, **state})
