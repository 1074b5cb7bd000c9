"""A look at users that nothing is learnt from."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

from ..evals.donors import assign_donors
from ..evals.quoting import overlap
from ..prompts import Selection
from ..scoring import credit
from .config import TrainConfig
from .examples import Example
from .learner import GeneratorLearner, Judged
from .networks import Networks
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
    """Measure with the most likely summary of each user, or with what a rival reads instead; for all processes."""
    if config.reads != "summary":
        contexts = [one.selection if config.reads == "signals" else "" for one in examples]
        nothing = {"tokens": 0.0, "distinct": 0.0, "quoted": 0.0}
        return DevScores(**_accuracies(learner, examples, contexts, config), **nothing, samples=())
    rows = learner.processes.spread(
        examples, lambda part: sample_summaries(networks, learner.encoder, part, count=1, temperature=0.0, seed="dev")
    )
    summaries = [row[0] for row in rows]
    texts = [sample.text for sample in summaries]
    return DevScores(
        **_accuracies(learner, examples, texts, config),
        tokens=statistics.fmean(len(sample.ids) for sample in summaries),
        distinct=sum(texts.count(text) == 1 for text in texts) / len(texts),
        quoted=statistics.fmean(overlap(text, one.selection.text) for text, one in zip(texts, examples, strict=True)),
        samples=tuple(texts[:3]),
    )


def _accuracies(
    learner: GeneratorLearner, examples: Sequence[Example], contexts: Sequence[str | Selection], config: TrainConfig
) -> dict[str, float]:
    """The trained generator's and the frozen base's, with what is the user's own and with what is another's."""
    donors = assign_donors([(one.user_id, one.groups) for one in examples], seed=config.seed).of
    of = {one.user_id: context for one, context in zip(examples, contexts, strict=True)}
    own = [Judged(of[one.user_id], one.pairs) for one in examples]
    other = [Judged(of[donors[one.user_id]], one.pairs) for one in examples]
    spread, frozen = learner.processes.spread, partial(learner.margins, frozen=True)
    return {
        "own": _accuracy(spread(own, learner.margins)),
        "shuffled": _accuracy(spread(other, learner.margins)),
        "frozen": _accuracy(spread(own, frozen)),
        "frozen_shuffled": _accuracy(spread(other, frozen)),
    }


def _accuracy(deltas: Sequence[Sequence[float]]) -> float:
    return statistics.fmean(statistics.fmean(credit(delta) for delta in row) for row in deltas)
