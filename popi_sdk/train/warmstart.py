"""A supervised start: the inferrer learns to write descriptions before it is rewarded for useful ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import torch

from ..errors import ConfigurationError, TrainingError
from ..scoring import Query, score_queries_with_grad
from ..scoring.plan import budget_for
from ..scoring.query import bucketed
from .checkpoint import Checkpoints
from .config import TrainConfig
from .examples import Encoder, Example, batches
from .networks import Networks
from .processes import Processes

__all__ = ["described", "warm_start"]


def warm_start(
    networks: Networks,
    encoder: Encoder,
    examples: Sequence[Example],
    config: TrainConfig,
    record: Callable[[int, dict[str, float]], object],
    *,
    phase: str,
    checkpoints: Checkpoints,
    processes: Processes,
) -> None:
    """Teach the inferrer gold descriptions, for as many steps as the phase has.

    With log p(g | s) of a description g given a user's signals s, in sum over its tokens, and two users a and b:

        loss = - log p(g_a | s_a) / tokens  +  contrast * - log sigmoid( log p(g_a | s_a) - log p(g_a | s_b) )

    the mean over users. In the second term the same text stands on both sides, so that what is likely in any
    description cancels out: what is left is what it says of the user.

    Args:
        networks: Whose inferrer learns.
        encoder: For the descriptions' tokens; those over the budget are left out.
        examples: Users; those without a description are left out.
        config: Steps, users in a step, rate, clipping, `warm_start_contrast`.
        record: Told of every step: its number, from 1; its likelihood part, nats a token (`warm/loss`), and the share
            of descriptions that are likelier given the user's own signals than given the other's (`warm/matched`).
        phase: Which of `config.phases`, and what it is called in the checkpoints.
        checkpoints: Where it goes on from, and keeps its state.
        processes: Who learns together.

    Raises:
        TrainingError: If no user has a description that fits, or the loss is not finite.
        ConfigurationError: If users are told apart, and a process has an odd number of them.
    """
    learners = [
        (one.request_ids, tuple(encoder.model.encode_response(one.gold or ""))) for one in described(encoder, examples)
    ]
    steps = config.phases[phase]
    parameters = [parameter for parameter in networks.inferrer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.warm_start_lr or config.inferrer_lr, weight_decay=0.0)
    schedule = _schedule(optimizer, steps, config)
    done = _restored(checkpoints, phase, networks, optimizer, schedule)
    order = islice(batches(len(learners), config, config.warm_start_users), done, None)
    for step in range(done, steps):
        some = [learners[at] for at in next(order)]
        rate = schedule.get_last_lr()[0]
        figures = _learn(networks, some, config.warm_start_contrast, processes, config.token_budget)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm))
        if not (math.isfinite(figures["warm/loss"]) and math.isfinite(norm)):
            raise TrainingError(f"The loss of the warm start is not finite at step {step + 1}. Lower warm_start_lr.")
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        record(step + 1, figures | {"warm/learning_rate": rate})
        if (step + 1) % checkpoints.every == 0:
            state = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
            checkpoints.save_step(phase, step + 1, {"step": step + 1, "networks": networks.state_dict(), **state})


def _schedule(optimizer: Any, steps: int, config: TrainConfig) -> Any:
    """The rate rises, stays, and falls in the last steps if it is to; where there is no room for both, it falls."""
    from transformers import get_wsd_schedule

    falling = round(config.warm_start_decay * steps)
    return get_wsd_schedule(
        optimizer,
        num_warmup_steps=min(math.ceil(config.warmup * steps), steps - falling),
        num_decay_steps=falling,
        num_training_steps=steps,
        decay_type="linear",
    )


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


def _restored(checkpoints: Checkpoints, phase: str, networks: Networks, optimizer: Any, schedule: Any) -> int:
    """Take over the newest checkpoint; how many steps it has behind it."""
    found = checkpoints.latest(phase)
    if found is None:
        return 0
    _, state = found
    networks.load_state_dict(state["networks"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return int(state["step"])


_Learner = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids of a user's request, and of the description."""


def _learn(
    networks: Networks,
    chosen: Sequence[_Learner],
    contrast: float,
    processes: Processes,
    token_budget: int | None = None,
) -> dict[str, float]:
    """The figures over all processes; the gradient is left in the inferrer's parameters."""
    tokens = sum(len(gold) for _, gold in chosen)
    own = processes.share(chosen)
    pairs = [own[at : at + 2] for at in range(0, len(own), 2)]  # neighbours in the draw; the last may be alone
    told = contrast > 0 and len(own) > 1
    if contrast and processes.count > 1 and len(own) % 2:
        raise ConfigurationError(
            f"{len(own)} users in each process cannot be told apart two by two. Set warm_start_users to a multiple of "
            f"{2 * processes.count}, or warm_start_contrast=0."
        )
    loss, matched = 0.0, 0.0
    budget = budget_for(networks.lm.device, token_budget)
    sizes = [sum(query.tokens for query in _queries(pair, contrast)) for pair in pairs]
    with processes.together():
        for batch in bucketed(sizes, budget):
            some = [pairs[at] for at in batch]
            part, likelihood, right = _of_pairs(networks.inferrer, some, contrast, tokens, len(chosen), budget)
            (part * processes.count).backward()  # of which the mean over the processes is taken
            loss += likelihood * processes.count
            matched += right / (len(own) // 2 * 2) if told else 0.0
    processes.average([parameter for parameter in networks.inferrer.parameters() if parameter.requires_grad])
    figures = {"warm/loss": processes.mean(loss)}
    return figures | ({"warm/matched": processes.mean(matched)} if told else {})


def _queries(pair: Sequence[_Learner], contrast: float) -> list[Query]:
    """Each user's request with its own description, or with both of the two where they are told apart."""
    if contrast > 0 and len(pair) == 2:
        return [Query(request, tuple(gold for _, gold in pair)) for request, _ in pair]
    return [Query(request, (gold,)) for request, gold in pair]


def _of_pairs(  # noqa: PLR0917 - private, called once
    model: Any, pairs: Sequence[Sequence[_Learner]], contrast: float, tokens: int, users: int, budget: int
) -> tuple[torch.Tensor, float, float]:
    """Of users two by two, or one alone: their part of the loss, its likelihood, and how many descriptions match."""
    queries = [_queries(pair, contrast) for pair in pairs]
    found = iter(score_queries_with_grad(model, [one for both in queries for one in both], token_budget=budget))
    own, margins = [], []
    for both in queries:
        scores = [next(found) for _ in both]
        if len(both[0].continuations) == 1:
            own += [score[0] for score in scores]
            continue
        own += [scores[0][0], scores[1][1]]
        margins += [scores[0][0] - scores[1][0], scores[1][1] - scores[0][1]]
    likelihood = -torch.stack(own).sum() / tokens
    if not margins:
        return likelihood, likelihood.item(), 0.0
    apart = torch.stack(margins)
    part = likelihood - contrast * torch.nn.functional.logsigmoid(apart).sum() / users
    return part, likelihood.item(), float((apart > 0).sum())
