"""Summaries sampled from the inferrer: each user's signals are read once for all of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..generators.hf_decode import decode
from ..models._torch import torch  # noqa: F401 - first: its threads are then set up to share busy cores
from ..summary import digest

if TYPE_CHECKING:
    from .examples import Encoder, Example
    from .networks import Networks

__all__ = ["Sample", "sample_summaries"]


@dataclass(frozen=True, slots=True)
class Sample:
    """A summary as it was sampled.

    Attributes:
        ids: Its tokens, with the one that ended it, if any did.
        text: What a reader gets of it; empty where there is nothing to read.
    """

    ids: tuple[int, ...]
    text: str


class _Row:
    """A summary in the making, as `decode` wants it: ids alone, no text."""

    def __init__(
        self, prompt: Sequence[int], *, room: int, ends: frozenset[int], temperature: float, seed: int
    ) -> None:
        self.prompt = list(prompt)
        self.temperature = temperature
        self.finish_reason: str | None = None
        self.ids: list[int] = []
        self._room = room
        self._ends = ends
        self._random = random.Random(seed)

    def draw(self) -> float:
        return self._random.random()

    def take(self, token: int) -> None:
        self.ids.append(token)
        if token in self._ends:
            self.finish_reason = "stop"
        elif len(self.ids) >= self._room:
            self.finish_reason = "length"


def sample_summaries(
    networks: Networks,
    encoder: Encoder,
    examples: Sequence[Example],
    *,
    count: int,
    temperature: float,
    seed: str,
    turns: Sequence[int] | None = None,
    at_once: int | None = None,
) -> list[list[Sample]]:
    """Sample summaries for each user.

    Args:
        networks: Whose inferrer writes.
        encoder: From tokens to what a reader gets; its budget is where sampling ends.
        examples: The users.
        count: Summaries for each.
        temperature: 0 for the most likely one.
        seed: With the user's id and the summary's number it decides what is drawn: whatever else is in the batch, and
            whichever process computes it.
        turns: For each user, how often the same one stands before it in the step: the summaries are to be others.
        at_once: Most summaries in the making at a time: what was read is kept for each. None for all.

    Returns:
        By user.
    """
    lm = networks.lm
    ends = frozenset(lm.stop_ids)
    rows = [
        _Row(
            example.request_ids,
            room=encoder.budget,
            ends=ends,
            temperature=temperature,
            seed=int(digest(seed, example.user_id, str(number), *([str(turn)] if turn else []))[:16], 16),
        )
        for example, turn in zip(examples, turns or [0] * len(examples), strict=True)
        for number in range(count)
    ]
    most = at_once or max(1, len(rows))
    with networks.inferring() as model:
        for start in range(0, len(rows), most):
            decode(model, rows[start : start + most])
    samples = [Sample(tuple(row.ids), encoder.summary(row.ids)) for row in rows]
    return [samples[start : start + count] for start in range(0, len(samples), count)]
