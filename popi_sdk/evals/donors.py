"""Who lends a summary to whom in the shuffled rows."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Donors", "assign_donors"]

_LARGE = 512  # members of a group


@dataclass(frozen=True, slots=True)
class Donors:
    """Another user for each user.

    Attributes:
        of: User id to the id of the donor.
        outside: How many users got a donor that shares no group with them, for want of one.
    """

    of: Mapping[str, str]
    outside: int


def assign_donors(users: Sequence[tuple[str, Sequence[str]]], *, seed: int = 0) -> Donors:
    """Draw a donor for each user among those who share the most groups with them.

    Of a user with several groups, at most 512 members of each are looked at.
    A donor from another conversation, debate or category would make the control measure the topic, not the person.
    Which donor a user gets depends on the seed, the user and the other users, not on their order.

    Args:
        users: User ids with their groups, for example a conversation.
        seed: Of the draw.

    Returns:
        The donors; none at all where there is only one user.
    """
    if len(users) < 2:
        return Donors({}, 0)
    everyone = sorted(user for user, _ in users)
    members: dict[str, list[str]] = defaultdict(list)
    for user, groups in sorted(users):
        for group in set(groups):
            members[group].append(user)
    of: dict[str, str] = {}
    outside = 0
    for user, groups in users:
        nearest = _nearest(user, [members[group] for group in set(groups)])
        outside += bool(groups) and not nearest
        of[user] = _draw(nearest or everyone, user, seed)
    return Donors(of, outside)


def _nearest(user: str, groups: Sequence[Sequence[str]]) -> Sequence[str]:
    """Those who share the most groups with a user (the user may be among them); empty if nobody else shares one."""
    if len(groups) == 1:
        return groups[0] if len(groups[0]) > 1 else ()
    shared = Counter(member for members in groups for member in _around(user, members) if member != user)
    most = max(shared.values(), default=0)
    return sorted(member for member, count in shared.items() if count == most)


def _around(user: str, members: Sequence[str]) -> Sequence[str]:
    """The members of a group to look at: of a large one those who stand next to the user, so that time stays linear."""
    if len(members) <= _LARGE:
        return members
    at = bisect_left(members, user)
    first = min(max(at - _LARGE // 2, 0), len(members) - _LARGE)
    return members[first : first + _LARGE]


def _draw(candidates: Sequence[str], user: str, seed: int) -> str:
    rng = random.Random(f"{seed}/{user}")
    while (donor := candidates[int(rng.random() * len(candidates))]) == user:
        pass
    return donor
