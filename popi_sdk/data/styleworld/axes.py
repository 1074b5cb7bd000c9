"""The six axes of answering style, and a user's point on them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from .draws import Draws

__all__ = [
    "AXES",
    "SPLITS",
    "Point",
    "Split",
    "Style",
    "Wordings",
    "cared_for",
    "draw_point",
    "draw_style",
    "flipped",
    "fulfil",
    "mirrored",
]

Split: TypeAlias = Literal["train", "dev", "test"]

SPLITS: tuple[Split, ...] = ("train", "dev", "test")

Wordings: TypeAlias = Split | Literal["wide"]
"""Whose phrasings are used: those of a split, or `wide`, those of train and many more."""

AXES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "length": ("short", "long"),
        "layout": ("prose", "bullets"),
        "register": ("casual", "formal"),
        "vocabulary": ("plain", "technical"),
        "order": ("reasons-first", "answer-first"),
        "example": ("without", "with"),
    }
)
"""Each axis with its two values."""

Style: TypeAlias = Mapping[str, str]
"""How a text is written: a value on every axis."""

Point: TypeAlias = Mapping[str, str | None]
"""What a user wants: a value on every axis, or None where the user is indifferent."""

_INDIFFERENT = 1 / 3
_LEAST_CARED = 2


def draw_point(draws: Draws) -> Point:
    """A user: each axis indifferent with probability 1/3, at least two are not, both values equally likely."""
    while True:
        point = {axis: None if draws.chance(_INDIFFERENT) else draws.choice(values) for axis, values in AXES.items()}
        if len(cared_for(point)) >= _LEAST_CARED:
            return point


def draw_style(draws: Draws) -> Style:
    """Any style."""
    return {axis: draws.choice(values) for axis, values in AXES.items()}


def cared_for(point: Point) -> tuple[str, ...]:
    """The axes on which a user is not indifferent."""
    return tuple(axis for axis, value in point.items() if value is not None)


def fulfil(point: Point, other: Style) -> Style:
    """The style as the user wants it, and as `other` where the user is indifferent."""
    return {axis: value or other[axis] for axis, value in point.items()}


def flipped(style: Style, axes: tuple[str, ...]) -> Style:
    """The style with the other value on some axes."""
    return {axis: _other(axis, value) if axis in axes else value for axis, value in style.items()}


def mirrored(point: Point) -> Point:
    """The user who wants the opposite on every axis that matters."""
    return {axis: value and _other(axis, value) for axis, value in point.items()}


def _other(axis: str, value: str) -> str:
    first, second = AXES[axis]
    return second if value == first else first
