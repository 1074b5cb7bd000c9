"""A supervised start: the inferrer learns to write descriptions before it is rewarded for useful ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch

from ..errors import TrainingError
from ..scoring import Query, microbatches, score_queries_with_grad
from ..scoring.plan import budget_for
from .config import TrainConfig
from .examples import Encoder, Example
from .networks import Networks
from .processes import Processes

__all__ = ["warm_start"]


def warm_start(
    networks: Networks,
    encoder: Encoder,
    examples: Sequence[Example],
    config: TrainConfig,
    progress: Callable[[int, float], object] = lambda *_: None,
    *,
    processes: Processes | None = None,
) -> float:
    """Maximise the likelihood of gold descriptions given the signals, for `config.warm_start` steps.

    Args:
        networks: Whose inferrer learns.
        encoder: For the descriptions' tokens; those over the budget are left out.
        examples: Users; those without a description are left out.
        config: Steps, users in a step, rate and clipping.
        progress: Called after each step with its number, from 1, and its loss, nats a token.
        processes: Who learns together.

    Returns:
        The last step's loss, nats a token.

    Raises:
        TrainingError: If no user has a description that fits.
    """
    queries = [
        Query(one.request_ids, (ids,))
        for one in examples
        if one.gold is not None and len(ids := tuple(encoder.model.encode_response(one.gold))) <= encoder.budget + 1
    ]
    if not queries:
        raise TrainingError(
            f"warm_start needs users with a gold description of at most {encoder.budget} tokens, and none has one. "
            "Set warm_start=0, or a larger budget."
        )
    parameters = [parameter for parameter in networks.inferrer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.inferrer_lr, weight_decay=0.0)
    draws = random.Random(f"{config.seed}/warm start")
    team = processes or Processes()
    budget = budget_for(networks.lm.device)
    loss = 0.0
    for step in range(config.warm_start):
        chosen = draws.sample(queries, min(config.users_per_step, len(queries)))
        tokens = sum(len(query.continuations[0]) for query in chosen)
        own = chosen[team.index :: team.count]
        optimizer.zero_grad(set_to_none=True)
        loss = 0.0
        with team.together():
            for batch in microbatches(own, budget):
                scores = score_queries_with_grad(networks.inferrer, [own[index] for index in batch])
                part = -torch.cat(scores).sum() / tokens * team.count  # of which the mean is taken
                part.backward()
                loss += part.item()
        loss = team.mean(loss)
        team.average(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
        optimizer.step()
        progress(step + 1, loss)
    optimizer.zero_grad(set_to_none=True)
    return loss
