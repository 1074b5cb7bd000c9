"""What a description names, held against the point of a user."""

from __future__ import annotations

import pytest

from popi_sdk.data.styleworld import generate
from popi_sdk.data.styleworld.naming import Naming, named, naming

POINT = {"length": "short", "layout": "prose", "register": None, "vocabulary": None, "order": None, "example": "with"}


@pytest.mark.parametrize("split", ["train", "dev", "test"])
@pytest.mark.parametrize("wide", [False, True])
def test_gold_is_right_in_all_it_says(split: str, wide: bool) -> None:
    if wide and split != "train":
        pytest.skip("wide wordings are for training")
    for user in generate(split, 60, wide=wide):
        cared = sum(value is not None for value in user.meta["point"].values())
        assert naming(user.gold, user.meta["point"]) == Naming(cared, 0, 0, 0), user.gold


def test_the_opposite_of_a_user_is_wrong_in_all() -> None:
    users = list(generate("dev", 20))
    for one, mirrored in zip(users[::2], users[1::2], strict=True):
        found = naming(one.gold, mirrored.meta["point"])
        assert (found.right, found.missing, found.spurious) == (0, 0, 0)
        assert found.wrong >= 2


def test_right_wrong_missing_and_spurious_by_hand() -> None:
    text = "BE  brief; a casual tone, a bulleted layout and a practical example."
    assert named("Be brief.") == {"length": {"short"}}
    assert naming("Be brief.", POINT) == Naming(right=1, wrong=0, missing=2, spurious=0)
    assert naming("", POINT) == Naming(0, 0, 3, 0)
    assert naming(text, POINT) == Naming(right=2, wrong=1, missing=0, spurious=1)


def test_an_axis_named_both_ways_is_wrong() -> None:
    long, short = (
        next(one.gold for one in generate("dev", 50) if one.meta["point"]["length"] == value)
        for value in ("long", "short")
    )
    assert named(long + " " + short)["length"] == {"long", "short"}
    assert naming(long + " " + short, POINT | {"length": "short"}).wrong >= 1


def test_words_that_the_world_does_not_know_are_not_found() -> None:
    assert named("Be briefly, maybe brief") == {}  # nor within a word
    assert named("Likes quantum chromodynamics and cats. " * 50) == {}
