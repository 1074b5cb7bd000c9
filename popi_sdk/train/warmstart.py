"""A supervised start: the inferrer learns to write descriptions before it is rewarded for useful ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from ..errors import TrainingError
from ..scoring import Query, microbatches, score_queries_with_grad
from ..scoring.plan import budget_for
from .checkpoint import Checkpoints
from .config import TrainConfig
from .examples import Encoder, Example, batches
from .networks import Networks
from .processes import Processes

__all__ = ["described", "warm_start"]

_FALL = 0.2  # share of the steps, the last ones, in which the rate falls


def warm_start(
    networks: Networks,
    encoder: Encoder,
    examples: Sequence[Example],
    config: TrainConfig,
    record: Callable[[int, float], object],
    *,
    phase: str,
    checkpoints: Checkpoints,
    processes: Processes,
) -> None:
    """Maximise the likelihood of gold descriptions given the signals, for as many steps as the phase has.

    Args:
        networks: Whose inferrer learns.
        encoder: For the descriptions' tokens; those over the budget are left out.
        examples: Users; those without a description are left out.
        config: Steps, users in a step, rate and clipping.
        record: Told of every step: its number, from 1, and its loss, nats a token.
        phase: Which of `config.phases`, and what it is called in the checkpoints.
        checkpoints: Where it goes on from, and keeps its state.
        processes: Who learns together.

    Raises:
        TrainingError: If no user has a description that fits, or the loss is not finite.
    """
    from transformers import get_wsd_schedule

    queries = [
        Query(one.request_ids, (tuple(encoder.model.encode_response(one.gold or "")),))
        for one in described(encoder, examples)
    ]
    steps = config.phases[phase]
    parameters = [parameter for parameter in networks.inferrer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.warm_start_lr or config.inferrer_lr, weight_decay=0.0)
    rise, fall = math.ceil(config.warmup * steps), math.ceil(_FALL * steps)
    schedule = get_wsd_schedule(optimizer, rise, fall, num_training_steps=steps)
    order = batches(len(queries), config, config.warm_start_users)
    done = 0
    if (found := checkpoints.latest(phase)) is not None:
        _, state = found
        done = state["step"]
        networks.load_state_dict(state["networks"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
    for _ in range(done):
        next(order)
    for step in range(done, steps):
        loss = _learn(networks, [queries[at] for at in next(order)], processes)
        if not math.isfinite(loss):
            raise TrainingError(f"The loss of the warm start is {loss} at step {step + 1}. Lower warm_start_lr.")
        torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        record(step + 1, loss)
        if (step + 1) % checkpoints.every == 0:
            state = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
            checkpoints.save_step(phase, step + 1, {"step": step + 1, "networks": networks.state_dict(), **state})


def described(encoder: Encoder, examples: Sequence[Example]) -> list[Example]:
    """The users with a gold description that fits the budget.

    Raises:
        TrainingError: If there is none.
    """
    room = encoder.budget + 1  # the end token stands outside of the budget
    found = [one for one in examples if one.gold and len(encoder.model.encode_response(one.gold)) <= room]
    if not found:
        raise TrainingError(
            f"A warm start needs users with a gold description of at most {encoder.budget} tokens, and none has one. "
            "Set warm_start=0 and warm_start_generator=0, or a larger budget."
        )
    return found


def _learn(networks: Networks, chosen: Sequence[Query], processes: Processes) -> float:
    """The loss over all processes, nats a token; its gradient is left in the inferrer's parameters."""
    tokens = sum(len(query.continuations[0]) for query in chosen)
    own = processes.share(chosen)
    loss = 0.0
    with processes.together():
        for batch in microbatches(own, budget_for(networks.lm.device)):
            scores = score_queries_with_grad(networks.inferrer, [own[index] for index in batch])
            part = -torch.cat(scores).sum() / tokens * processes.count  # of which the mean is taken
            part.backward()
            loss += part.item()
    processes.average([parameter for parameter in networks.inferrer.parameters() if parameter.requires_grad])
    return processes.mean(loss)
