"""A look at users that nothing is learnt from."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

from ..evals.donors import assign_donors
from ..scoring import credit
from .config import TrainConfig
from .examples import Example
from .learner import GeneratorLearner, Judged
from .networks import Networks
from .objective import overlap
from .rollout import sample_summaries

__all__ = ["DevScores", "look_at_dev"]


@dataclass(frozen=True, slots=True)
class DevScores:
    """Preference accuracies on dev users, each user counting the same; ties count half.

    Attributes:
        own: The trained generator with the user's own summary.
        shuffled: The same with another user's summary.
        frozen: The untouched base with the user's own summary: transfer.
        frozen_shuffled: The same with another user's summary.
        tokens: Mean tokens of a summary.
        distinct: Share of summaries that no other user has.
        quoted: Mean share of 4-grams that stand in the signals.
        samples: Some summaries.
    """

    own: float
    shuffled: float
    frozen: float
    frozen_shuffled: float
    tokens: float
    distinct: float
    quoted: float
    samples: tuple[str, ...]

    def as_metrics(self) -> dict[str, float | list[str]]:
        """The figures, under the names of the curves, and the summaries."""
        return {f"dev/{name}": value for name, value in (asdict(self) | {"samples": [*self.samples]}).items()}


def look_at_dev(
    networks: Networks, learner: GeneratorLearner, examples: Sequence[Example], config: TrainConfig
) -> DevScores:
    """Measure with the most likely summary of each user; for all processes."""
    if config.reads != "summary":
        return _look_without_summaries(learner, examples, config)
    spread = learner.processes.spread
    rows = spread(
        examples, lambda part: sample_summaries(networks, learner.encoder, part, count=1, temperature=0.0, seed="dev")
    )
    summaries = {one.user_id: row[0] for one, row in zip(examples, rows, strict=True)}
    donors = assign_donors([(one.user_id, one.groups) for one in examples], seed=config.seed).of
    texts = {user: sample.text for user, sample in summaries.items()}
    own = [Judged(texts[one.user_id], one.pairs) for one in examples]
    other = [Judged(texts[donors.get(one.user_id, one.user_id)], one.pairs) for one in examples]
    every = list(texts.values())
    frozen = partial(learner.margins, frozen=True)
    return DevScores(
        own=_accuracy(spread(own, learner.margins)),
        shuffled=_accuracy(spread(other, learner.margins)),
        frozen=_accuracy(spread(own, frozen)),
        frozen_shuffled=_accuracy(spread(other, frozen)),
        tokens=statistics.fmean(len(sample.ids) for sample in summaries.values()),
        distinct=sum(every.count(text) == 1 for text in every) / len(every),
        quoted=statistics.fmean(overlap(texts[one.user_id], one.selection.text) for one in examples),
        samples=tuple(every[:3]),
    )


def _look_without_summaries(learner: GeneratorLearner, examples: Sequence[Example], config: TrainConfig) -> DevScores:
    """The rivals: their generator reads the bare prompt, or the signals."""
    spread = learner.processes.spread
    signals = config.reads == "signals"
    contexts = {one.user_id: one.selection if signals else "" for one in examples}
    donors = assign_donors([(one.user_id, one.groups) for one in examples], seed=config.seed).of
    own = [Judged(contexts[one.user_id], one.pairs) for one in examples]
    other = [Judged(contexts[donors.get(one.user_id, one.user_id)], one.pairs) for one in examples]
    frozen = partial(learner.margins, frozen=True)
    return DevScores(
        own=_accuracy(spread(own, learner.margins)),
        shuffled=_accuracy(spread(other, learner.margins)),
        frozen=_accuracy(spread(own, frozen)),
        frozen_shuffled=_accuracy(spread(other, frozen)),
        tokens=0.0,
        distinct=0.0,
        quoted=0.0,
        samples=(),
    )


def _accuracy(deltas: Sequence[Sequence[float]]) -> float:
    return statistics.fmean(statistics.fmean(credit(delta) for delta in row) for row in deltas)
