"""The rival that POPI calls prohibitive: an adapter for each user, tuned on that user's own signal pairs."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import TrainingError, needs_extra
from ..evals.metrics import Interval, bootstrap_mean
from ..scoring import credit
from ..signals import PreferencePair
from .config import TrainConfig
from .examples import Encoder, Pair, rotated
from .learner import GeneratorLearner, Judged
from .networks import Networks, build_networks
from .reference import References

if TYPE_CHECKING:
    from ..data.record import UserRecord
    from ..models.causal_lm import CausalLM

__all__ = ["PerUserScores", "UserScore", "train_per_user"]


@dataclass(frozen=True, slots=True)
class UserScore:
    """What a user's own adapter reached.

    Attributes:
        user_id: Who.
        accuracy: Share of the user's held-out pairs with Delta > 0; ties count half.
        learnt_from: Pairs among the user's signals.
        seconds: Of training.
    """

    user_id: str
    accuracy: float
    learnt_from: int
    seconds: float


@dataclass(frozen=True, slots=True)
class PerUserScores:
    """All of them.

    Attributes:
        accuracy: Mean over users with its 95 % bootstrap interval over users.
        seconds: Median of training for a user.
        megabytes: Of the weights that have to be kept for each user, 10^6 bytes.
        users: One by one.
        left_out: Users without a pair among their signals, or without one that fits.
    """

    accuracy: Interval
    seconds: float
    megabytes: float
    users: tuple[UserScore, ...]
    left_out: int


def train_per_user(
    config: TrainConfig,
    users: Iterable[UserRecord],
    *,
    model: CausalLM | None = None,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> PerUserScores:
    """Tune a fresh generator for each user by the preference loss on bare prompts, and measure it on held-out pairs.

    Args:
        config: `steps` for each user, `users_per_step` pairs in a step, objective, beta, `generator_lr`, adapters.
        users: Who; 20 are enough for a row of the table.
        model: A base model that is loaded, instead of `config.base_model`.
        progress: Called with the users done and their number.

    Raises:
        TrainingError: If no user has a pair among the signals, or a loss is not finite.
    """
    with needs_extra("train"):
        from ..models.causal_lm import load_causal_lm

    lm = model or load_causal_lm(config.base_model, dtype=config.dtype, device=config.device)
    encoder = Encoder(lm, budget=config.budget, input_budget=config.input_budget)
    networks = build_networks(lm, config)
    start = copy.deepcopy(networks.state_dict())
    references = References(lm.identity)
    records = list(users)
    scores = []
    for done, record in enumerate(records):
        progress(done, len(records))
        own, held = _pairs(encoder, record)
        if not (own and held):
            continue
        networks.load_state_dict(start)
        learner = GeneratorLearner(
            networks, config, encoder, references, steps=config.steps, token_budget=config.token_budget
        )
        scores.append(_score(learner, record.user_id, own, held, config))
    if not scores:
        raise TrainingError(
            f"None of {len(records)} users has a chosen and rejected response among the signals and a held-out pair "
            "that fits the model: there is nothing to tune an adapter with."
        )
    return PerUserScores(
        accuracy=bootstrap_mean([one.accuracy for one in scores], seed=config.seed),
        seconds=statistics.median(one.seconds for one in scores),
        megabytes=_bytes(networks) / 1e6,
        users=tuple(scores),
        left_out=len(records) - len(scores),
    )


def _score(
    learner: GeneratorLearner, user_id: str, own: tuple[Pair, ...], held: tuple[Pair, ...], config: TrainConfig
) -> UserScore:
    started = time.perf_counter()
    for step in range(config.steps):
        learner.learn([Judged("", rotated(own, step * config.users_per_step, config.users_per_step))])
    seconds = time.perf_counter() - started
    [deltas] = learner.margins([Judged("", held)])
    return UserScore(user_id, statistics.fmean(map(credit, deltas)), len(own), seconds)


def _pairs(encoder: Encoder, record: UserRecord) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Those among the signals, and those held out; what does not fit the model is left out."""
    shown = [one for one in record.signals if isinstance(one, PreferencePair) and one.prompt]
    both = ([(one.prompt or "", one.chosen, one.rejected) for one in found] for found in (shown, record.pairs))
    own, held = (tuple(pair for texts in found if (pair := encoder.pair(*texts))) for found in both)
    return own, held


def _bytes(networks: Networks) -> int:
    return sum(one.numel() * one.element_size() for one in networks.generator_parameters())
