"""Whom a run learns from, and whom it is looked at with."""

from __future__ import annotations

from pathlib import Path

from ..data import UserRecord, open_data
from ..data.open import draw
from ..errors import DataError

__all__ = ["HELD_OUT", "training_users"]

HELD_OUT = 10
"""Of a file that names no splits, one user in so many is kept for the looks."""


def training_users(
    data: str | Path, dev: str | Path | None = None, *, limit: int | None = None, seed: int = 0
) -> tuple[list[UserRecord], list[UserRecord]]:
    """The users of both sides; no user is on both.

    Args:
        data: As for `open_data`: its split `train`; of a file without splits, all users but one in ten.
        dev: Other data, of which the split `dev` is taken; None for that of `data`, if it has one, or the tenth.
        limit: Most users to learn from, drawn with the seed.
        seed: For the draws.

    Raises:
        DataError: If there is no such data, or none of a split that is asked for.
    """
    train = open_data(data, split="train", limit=limit, seed=seed)
    records = list(train)
    if dev is not None:
        return records, list(open_data(dev, split="dev", seed=seed))
    if train.split != "all":
        try:
            return records, list(open_data(data, split="dev", seed=seed))
        except DataError:
            return records, []
    held = set(draw([record.user_id for record in records], len(records) // HELD_OUT, seed))
    return [one for one in records if one.user_id not in held], [one for one in records if one.user_id in held]
