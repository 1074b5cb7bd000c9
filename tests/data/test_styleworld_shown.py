"""Descriptions that show what they say: of every point there is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from popi_sdk.data import open_data
from popi_sdk.data.styleworld.axes import AXES, Point, cared_for
from popi_sdk.data.styleworld.naming import naming
from popi_sdk.data.styleworld.phrases import KINDS, load
from popi_sdk.data.styleworld.shown import shown
from popi_sdk.data.styleworld.topics import load_topics

POINTS: list[Point] = [
    point
    for values in product(*((None, *values) for values in AXES.values()))
    if len(cared_for(point := dict(zip(AXES, values, strict=True)))) >= 2
]


def test_every_wish_is_said_and_nothing_else() -> None:
    for point in POINTS:
        found = naming(shown(point), point)
        assert (found.right, found.wrong, found.missing, found.spurious) == (len(cared_for(point)), 0, 0, 0), point


@pytest.mark.parametrize("axis", [axis for axis in AXES if axis != "length"])
def test_what_is_said_is_shown(axis: str) -> None:
    for point in POINTS:
        if point[axis] is None:
            continue
        first, second = (shown({**point, axis: value}).partition(" Like this: ")[2] for value in AXES[axis])
        assert first != second
        assert min(len(first), len(second)) > 60


def test_nothing_of_it_stands_in_dev_or_test() -> None:
    def phrases(node: object, split: str) -> Iterator[str]:
        if isinstance(node, dict):
            for name, inner in node.items():
                if name in ("train", "dev", "test", "more"):
                    yield from (str(one) for one in inner if name == split)
                else:
                    yield from phrases(inner, split)

    held_out = [
        text
        for kind in KINDS
        for split in ("dev", "test")
        for text in phrases(load(kind), split)
        if len(text.split()) > 1
    ]
    told = [sentence for topic in load_topics() for sentence in topic.sentences()]
    assert len(held_out) > 100
    for point in POINTS:
        text = shown(point)
        assert not [one for one in held_out if one in text]
        assert not [one for one in told if one in text]


def test_as_a_data_set() -> None:
    for split, other in (("train", "styleworld-wide"), ("dev", "styleworld")):
        users = list(open_data("styleworld-shown", split=split, limit=6))
        assert [one.gold for one in users] == [shown(one.meta["point"]) for one in users]
        same = [one.model_copy(update={"gold": None}) for one in open_data(other, split=split, limit=6)]
        assert [one.model_copy(update={"gold": None}) for one in users] == same
