"""One user: a point on the axes, and everything that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from ..record import HeldOutPair
from .axes import Point, Split, Style, Wordings, cared_for, draw_point, draw_style, flipped, fulfil, mirrored
from .draws import Draws
from .phrases import pool
from .render import draw_plan, render
from .topics import Topic, topics_of

__all__ = ["Choice", "User", "draw_axes", "draw_choice", "draw_user", "gold_of", "held_out_pair", "prompt_for"]

_FLIPS = (1, 1, 1, 1, 2, 2, 2, 3, 3)  # how many axes a pair is about


@dataclass(frozen=True, slots=True)
class User:
    """A user of the world.

    Attributes:
        seed: What all draws of this user depend on.
        wordings: Whose phrasings are used.
        point: What the user wants.
        turns: The axes that the user cares for, in the order in which signals are about them.
        known: Topics of the signals; no held-out pair is about one of them.
        unknown: Topics of the held-out pairs.
    """

    seed: str
    wordings: Wordings
    point: Point
    turns: tuple[str, ...]
    known: tuple[Topic, ...]
    unknown: tuple[Topic, ...]

    def draws(self, *what: str | int) -> Draws:
        """The stream of draws for one thing that is made of the user."""
        return Draws(self.seed, *what)


@dataclass(frozen=True, slots=True)
class Choice:
    """Two styles, the first as the user wants it, and the cared-for axes on which the second is not."""

    wanted: Style
    other: Style
    axes: tuple[str, ...]


def draw_user(population: str, split: Split, index: int, *, wide: bool = False) -> User:
    """Draw a user; half of the topics are for signals, half for pairs.

    Every second user wants the opposite of the one before, so that no taste is more common than its opposite.
    """
    point = draw_point(Draws(population, "point", index // 2))
    if index % 2:
        point = mirrored(point)
    seed = f"{population} {index}"
    draws = Draws(seed, "user")
    topics = draws.shuffled(topics_of(split))
    half = len(topics) // 2
    turns = tuple(draws.shuffled(cared_for(point)))
    return User(seed, "wide" if wide else split, point, turns, tuple(topics[:half]), tuple(topics[half:]))


def draw_axes(draws: Draws, point: Point, first: str | None = None) -> tuple[str, ...]:
    """Draw one to three axes that the user cares for; `first` is among them."""
    cared = draws.shuffled(cared_for(point))
    if first is not None:
        cared = [first, *(axis for axis in cared if axis != first)]
    return tuple(cared[: draws.choice(_FLIPS)])


def draw_choice(draws: Draws, point: Point, axes: tuple[str, ...]) -> Choice:
    """Draw two styles that differ on these axes.

    On the other axes that the user cares for both are as wanted; where the user is indifferent each is drawn.
    """
    wanted, other = (fulfil(point, draw_style(draws)) for _ in range(2))
    return Choice(wanted, flipped(other, axes), axes)


def prompt_for(draws: Draws, topic: Topic, wordings: Wordings) -> str:
    """A question about a topic."""
    template: str = draws.choice(pool(wordings, "frame", "prompt"))
    return template.format(name=topic.name, **{"is": topic.verb, "it": "it" if topic.verb == "is" else "they"})


def held_out_pair(user: User, index: int) -> HeldOutPair:
    """The pair of this index: it does not depend on how many there are."""
    draws = user.draws("pair", index)
    topic = user.unknown[index % len(user.unknown)]
    choice = draw_choice(draws, user.point, draw_axes(draws, user.point))
    chosen, rejected = (
        render(topic, style, draw_plan(draws, user.wordings)) for style in (choice.wanted, choice.other)
    )
    return HeldOutPair(
        prompt=prompt_for(draws, topic, user.wordings),
        chosen=chosen,
        rejected=rejected,
        kind="+".join(sorted(choice.axes)),
        meta={"topic": topic.id, "chosen": dict(choice.wanted), "rejected": dict(choice.other)},
    )


def gold_of(user: User) -> str:
    """What the user wants, in words: sentences, or one that enumerates; what does not matter is not mentioned."""
    draws = user.draws("gold")
    wanted = [(axis, str(user.point[axis])) for axis in draws.shuffled(cared_for(user.point))]
    if draws.chance(0.5):
        return " ".join(draws.choice(pool(user.wordings, "gold", "sentence", *want)) for want in wanted)
    parts = [draws.choice(pool(user.wordings, "gold", "part", *want)) for want in wanted]
    frame: str = draws.choice(pool(user.wordings, "gold", "frame"))
    return frame.format(parts=f"{', '.join(parts[:-1])} and {parts[-1]}")
