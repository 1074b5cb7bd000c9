"""Users on demand: `generate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ...errors import DataError
from ..record import UserRecord
from .axes import SPLITS, Split
from .traces import signal_of
from .users import draw_user, gold_of, held_out_pair

__all__ = ["DEFAULT_USERS", "TEST_DIGEST", "VERSION", "generate"]

VERSION = "1"
"""Of the world: what is generated changes with this and with nothing else."""

TEST_DIGEST = "a024276d37d7d26090fa037916c18a777b9989ff2d88630aba646ff0118dce5e"
"""SHA-256 of the default test users of this version; frozen before any training."""

DEFAULT_USERS: Mapping[str, int] = MappingProxyType({"train": 2000, "dev": 100, "test": 300})
"""Users of each split, unless the caller says otherwise."""


def generate(
    split: str, users: int | None = None, *, seed: int = 0, signals: int = 8, pairs: int = 8, wide: bool = False
) -> Iterator[UserRecord]:
    """Generate users one by one; the same arguments give the same bytes on every machine and Python version.

    A user of a split does not depend on how many are generated, nor its first signals and pairs on how many it has.

    Args:
        split: `train`, `dev` or `test`. They share no user, no topic and no phrasing.
        users: How many; None for as many as `DEFAULT_USERS` says.
        seed: Another seed gives other users.
        signals: How many signals each user has.
        pairs: How many held-out pairs each user has.
        wide: Other users of train, who have many more wordings at hand. VERSION does not cover those wordings.

    Returns:
        The users; `meta` holds the point (`point`, None where the user is indifferent) and the version of the world,
        `meta` of a pair its topic and both styles.

    Raises:
        DataError: If the split is unknown or has no wide users, or a number is too small.
    """
    if split not in SPLITS:
        raise DataError(f"StyleWorld has no split {split!r:.80}. Use one of: {', '.join(SPLITS)}.", field="split")
    if wide and split != "train":
        raise DataError(f"wide=True is for training alone: the split {split!r} has no further wordings.", field="wide")
    users = DEFAULT_USERS[split] if users is None else users
    for field, count, least in (("users", users, 0), ("signals", signals, 1), ("pairs", pairs, 1)):
        if count < least:
            raise DataError(f"{field}={count} must be at least {least}.", field=field)
    return (_record(split, index, seed, signals, pairs, wide=wide) for index in range(users))


def _record(split: Split, index: int, seed: int, signals: int, pairs: int, *, wide: bool) -> UserRecord:
    name = f"{split}-wide" if wide else split
    user = draw_user(f"{VERSION} {name} {seed}", split, index, wide=wide)
    return UserRecord(
        user_id=f"styleworld-{name}-{seed}-{index:05d}",
        signals=tuple(signal_of(user, at) for at in range(signals)),
        pairs=tuple(held_out_pair(user, at) for at in range(pairs)),
        gold=gold_of(user),
        split=split,
        meta={"world": f"styleworld {VERSION}", "point": dict(user.point)},
    )
