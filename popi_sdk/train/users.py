"""Whom a run learns from, and whom it is looked at with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..data import UserRecord, open_data
from ..data.open import draw
from ..errors import DataError

__all__ = ["HELD_OUT", "training_users"]

HELD_OUT = 10
"""Of a file that names no splits, one user in so many is kept for the looks, but two at least: one is the other's
control. Of fewer users than this nobody is."""


def training_users(
    data: str | Path | Sequence[str | Path],
    dev: str | Path | Sequence[str | Path] | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
) -> tuple[list[UserRecord], list[UserRecord]]:
    """The users of both sides; no user is on both.

    Args:
        data: As for `open_data`, one or several: the split `train`; of a file without splits, all users but one in ten.
        dev: Other data, of which the split `dev` is taken; None for that of `data`, if it has one, or the tenth.
        limit: Most users of each data set to learn from, drawn with the seed.
        seed: For the draws.

    Raises:
        DataError: If there is no such data, or none of a split that is asked for, or a user is in two data sets.
    """
    train, held = [], []
    for one in _several(data):
        own, other = _divided(one, limit=limit, seed=seed, hold=dev is None)
        train.append(own)
        held.append(other)
    if dev is not None:
        held = [list(open_data(one, split="dev", seed=seed)) for one in _several(dev)]
    return _together(train), _together(held)


def _several(data: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    return [data] if isinstance(data, str | Path) else data


def _divided(
    data: str | Path, *, limit: int | None, seed: int, hold: bool
) -> tuple[list[UserRecord], list[UserRecord]]:
    """The users of one data set to learn from, and those that are held out."""
    train = open_data(data, split="train", limit=limit, seed=seed)
    records = list(train)
    if not hold:
        return records, []
    if train.split != "all":
        try:
            return records, list(open_data(data, split="dev", seed=seed))
        except DataError as error:
            if error.field != "split":
                raise
            return records, []
    count = max(2, len(records) // HELD_OUT) if len(records) >= HELD_OUT else 0
    held = set(draw([record.user_id for record in records], count, seed))
    return [one for one in records if one.user_id not in held], [one for one in records if one.user_id in held]


def _together(sets: Sequence[Sequence[UserRecord]]) -> list[UserRecord]:
    """Users of all sets, in turn, so that the first few are of each; nobody lends a summary to another set.

    Raises:
        DataError: If two sets have a user of the same name.
    """
    if len(sets) == 1:
        return list(sets[0])
    marked = [[_marked(one, f"data set {number}") for one in users] for number, users in enumerate(sets, 1)]
    mixed = [one for _, _, one in sorted(_spread(marked), key=lambda placed: placed[:2])]
    seen: set[str] = set()
    for one in mixed:
        if one.user_id in seen:
            raise DataError(f"User {one.user_id!r} is in two of the data sets. Give the users of one other ids.")
        seen.add(one.user_id)
    return mixed


def _marked(one: UserRecord, name: str) -> UserRecord:
    return one if one.groups else one.model_copy(update={"groups": (name,)})


def _spread(sets: Sequence[Sequence[UserRecord]]) -> Iterable[tuple[float, int, UserRecord]]:
    """Each user with a place: those of a set are evenly spread over all."""
    for number, users in enumerate(sets):
        for at, one in enumerate(users):
            yield (at + 0.5) / len(users), number, one
