"""Who lends a summary to whom: never to oneself, from the same group where there is one, whatever the order."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from popi_sdk.evals.donors import assign_donors

USERS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4), st.lists(st.sampled_from("xyz"), max_size=3, unique=True), min_size=2
)


@given(USERS, st.integers(0, 5))
def test_a_donor_is_somebody_else_and_shares_as_much_as_anybody(users: dict[str, list[str]], seed: int) -> None:
    donors = assign_donors(list(users.items()), seed=seed)
    assert set(donors.of) == set(users)
    outside = 0
    for user, donor in donors.of.items():
        assert donor != user
        most = max(len(set(users[user]) & set(groups)) for other, groups in users.items() if other != user)
        assert len(set(users[user]) & set(users[donor])) == most
        outside += bool(users[user]) and most == 0
    assert donors.outside == outside
    assert assign_donors(list(reversed(users.items())), seed=seed) == donors


def test_one_user_alone_has_no_donor() -> None:
    assert dict(assign_donors([("a", ["x"])]).of) == {}


def test_the_seed_draws_and_all_of_a_group_are_drawn() -> None:
    users = [(f"u{number}", ["debate"]) for number in range(40)]
    first, second = assign_donors(users, seed=0), assign_donors(users, seed=1)
    assert first.of != second.of
    drawn = Counter(donor for seed in range(50) for donor in assign_donors(users, seed=seed).of.values())
    assert len(drawn) == 40
    assert max(drawn.values()) < 2 * 50
