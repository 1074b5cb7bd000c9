"""What a user leaves behind: a signal of each kind, which tells of some axes and not always truly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from ...signals import (
    Dialogue,
    DialogueMessage,
    Edit,
    PreferencePair,
    Profile,
    Rating,
    Signal,
    Statement,
    Survey,
    Writing,
)
from .axes import AXES, draw_style, flipped, fulfil
from .draws import Draws
from .phrases import pool
from .render import draw_plan, render, render_note
from .topics import Topic
from .users import User, draw_axes, draw_choice, prompt_for

__all__ = ["KINDS", "signal_of"]

_DECK = (
    *("preference", "preference", "preference", "rating", "rating"),
    *("vote", "edit", "dialogue", "writing", "profile", "survey", "statement"),
)
_SCALES = ((1.0, 5.0), (1.0, 10.0), (0.0, 10.0), (1.0, 7.0), (0.0, 100.0))
_MISTAKE = 0.08  # how often a user chooses, votes or is described against their own taste
_ASIDE = 0.15  # how often a question is about something that does not matter to the user
_REASON = 0.35


class _Trace:
    """What makers of signals work with: the draws of one signal, its topic, and the axes that it is about."""

    def __init__(self, user: User, index: int) -> None:
        self.user, self.wordings, self.point = user, user.wordings, user.point
        self.draws: Draws = user.draws("signal", index)
        self.topic: Topic = user.known[index % len(user.known)]
        # Each axis comes first in its turn, so that few signals already touch all that matters to the user.
        self.axes = draw_axes(self.draws, user.point, user.turns[index % len(user.turns)])

    def prompt(self) -> str:
        return prompt_for(self.draws, self.topic, self.wordings)

    def phrase(self, kind: str, *path: str) -> Any:
        return self.draws.choice(pool(self.wordings, kind, *path))

    def phrases(self, kind: str, most: int) -> str:
        """What the user says about the first axes, a sentence each."""
        return " ".join(str(self.phrase(kind, axis, self.wanted(axis))) for axis in self.axes[:most])

    def wanted(self, axis: str) -> str:
        return str(self.point[axis])

    def indifferent(self) -> str | None:
        """An axis that does not matter, if there is one and it is time for it."""
        axes = [axis for axis, value in self.point.items() if value is None]
        return self.draws.choice(axes) if axes and self.draws.chance(_ASIDE) else None


def _preference(trace: _Trace) -> PreferencePair:
    choice = draw_choice(trace.draws, trace.point, trace.axes)
    chosen, rejected = (
        render(trace.topic, style, draw_plan(trace.draws, trace.wordings)) for style in (choice.wanted, choice.other)
    )
    reason = trace.phrases("reason", 2) if trace.draws.chance(_REASON) else None
    if trace.draws.chance(_MISTAKE):
        chosen, rejected, reason = rejected, chosen, None
    return PreferencePair(prompt=trace.prompt(), chosen=chosen, rejected=rejected, reason=reason)


def _rating(trace: _Trace) -> Rating:
    """A text as wanted is rated high; each axis on which it is not costs."""
    choice = draw_choice(trace.draws, trace.point, trace.axes)
    liked = trace.draws.chance(0.5)
    worth = 0.92 if liked else 0.55 - 0.2 * len(trace.axes)
    text = render(trace.topic, choice.wanted if liked else choice.other, draw_plan(trace.draws, trace.wordings))
    low, high = trace.draws.choice(_SCALES)
    share = min(1.0, max(0.0, worth + trace.draws.between(-0.15, 0.15)))
    score = low + int(share * (high - low) + 0.5)
    return Rating(text=text, score=score, scale=(low, high), prompt=trace.prompt())


def _vote(trace: _Trace) -> Rating:
    """Agrees with what praises the wanted value; passes where it does not matter, and sometimes where it does."""
    aside = trace.indifferent()
    axis = aside or trace.axes[0]
    value = trace.draws.choice(AXES[axis])
    agrees = (value == trace.point[axis]) != trace.draws.chance(_MISTAKE)
    score = "pass" if aside or trace.draws.chance(_MISTAKE) else "agree" if agrees else "disagree"
    return Rating(text=trace.phrase("vote", axis, value), score=score)


def _edit(trace: _Trace) -> Edit:
    """The user mends what is not as wanted and leaves the rest."""
    other = draw_choice(trace.draws, trace.point, trace.axes).other
    plan = draw_plan(trace.draws, trace.wordings)
    before, after = (render(trace.topic, style, plan) for style in (other, flipped(other, trace.axes)))
    return Edit(before=before, after=after, prompt=trace.prompt())


def _dialogue(trace: _Trace) -> Dialogue:
    """The user complains and gets a better answer, or is content at once."""
    choice = draw_choice(trace.draws, trace.point, trace.axes[:2])
    plan = draw_plan(trace.draws, trace.wordings)
    turns = [("user", trace.prompt())]
    if trace.draws.chance(0.3):
        turns += [("assistant", render(trace.topic, choice.wanted, plan)), ("user", trace.phrases("praise", 2))]
    else:
        turns += [("assistant", render(trace.topic, choice.other, plan)), ("user", trace.phrases("complaint", 2))]
        turns += [("assistant", render(trace.topic, flipped(choice.other, choice.axes), plan))]
        if trace.draws.chance(0.6):
            turns += [("user", trace.phrase("frame", "thanks"))]
    return Dialogue(messages=tuple(DialogueMessage(role=role, content=content) for role, content in turns))


def _writing(trace: _Trace) -> Writing:
    """People write much like they want to read, but not on every axis."""
    any_style = draw_style(trace.draws)
    style = {
        axis: value if axis in trace.axes or trace.draws.chance(0.7) else any_style[axis]
        for axis, value in fulfil(trace.point, any_style).items()
    }
    text = render_note(trace.topic, style, draw_plan(trace.draws, trace.wordings))
    return Writing(text=text, context=trace.phrase("frame", "context"))


def _profile(trace: _Trace) -> Profile:
    """One or two hints among facts that tell nothing; a hint may mislead."""
    pairs = [trace.phrase("profile", "other") for _ in range(2)]
    for axis in trace.axes[:2]:
        wanted = trace.wanted(axis)
        misleads = trace.draws.chance(_MISTAKE)
        pairs.append(trace.phrase("profile", axis, next(v for v in AXES[axis] if (v == wanted) != misleads)))
    return Profile(attributes=dict(map(tuple, trace.draws.shuffled(pairs))))


def _survey(trace: _Trace) -> Survey:
    if trace.draws.chance(_MISTAKE):
        question, answer = (trace.phrase("survey", "other", part) for part in ("question", "answer"))
        return Survey(question=question, answer=answer)
    aside = trace.indifferent()
    axis = aside or trace.axes[0]
    answer = trace.phrase("survey", "either") if aside else trace.phrase("survey", "answer", axis, trace.wanted(axis))
    return Survey(question=trace.phrase("survey", "question", axis), answer=answer)


def _statement(trace: _Trace) -> Statement:
    return Statement(text=trace.phrases("statement", 2))


_MAKERS: Mapping[str, Callable[[_Trace], Signal]] = MappingProxyType(
    {
        "preference": _preference,
        "rating": _rating,
        "vote": _vote,
        "edit": _edit,
        "dialogue": _dialogue,
        "writing": _writing,
        "profile": _profile,
        "survey": _survey,
        "statement": _statement,
    }
)

KINDS = tuple(_MAKERS)
"""What kinds of signals users leave behind."""


def signal_of(user: User, index: int) -> Signal:
    """The signal of this index: it does not depend on how many there are."""
    kind = _deck(user.seed, index // len(_DECK))[index % len(_DECK)]
    return _MAKERS[kind](_Trace(user, index))


@lru_cache(maxsize=16)
def _deck(seed: str, turn: int) -> list[str]:
    return Draws(seed, "deck", turn).shuffled(_DECK)
