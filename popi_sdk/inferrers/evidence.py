"""What a user's signals say about each axis of style: texts compared in pairs, and the user's own words."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple, TypeVar

from ..signals import Dialogue, Edit, PreferencePair, Profile, Rating, Signal, Statement, Survey, Writing
from .contrast import contrast, scaled
from .cues import read_answer, read_cues
from .features import READ, Features, measure
from .phrases import Axis

__all__ = ["Comparison", "Reading", "Vote", "is_opinion", "read"]

_SignalT = TypeVar("_SignalT", PreferencePair, Rating, Edit, Dialogue, Writing, Profile, Survey, Statement)

_MOST_OF_A_KIND = 300  # signals of one kind that are read, the newest; more would only repeat them
_MOST_CHARACTERS = 1_500_000  # and of all their texts together, which bounds the time at some seconds
_MOST_TURNS = 2_000  # of the user in all dialogues together, the newest of each
_OWN_READ = 2_000  # characters of what the user wrote

# A rated text with fewer words, or one voted on, is an opinion and not a piece of style.
_STYLE_WORDS, _VOTE_STYLE_WORDS = 25, 60

# How much evidence counts. A pair is 1; what the user asked for in words says why, so it counts more.
_PAIR, _RATED_ALIKE, _RATED_APART, _OWN_STYLE = 1.0, 0.8, 0.5, 0.5
_REASON, _FOLLOW_UP, _FIRST_REQUEST, _SURVEY = 2.0, 1.5, 0.7, 2.5
_PLAIN = 0.4  # a difference of this size is seen

# Reasons: what is visible must be there to be praised, and "no example" may praise the one text or blame the other.
_VISIBLE = frozenset({Axis.LISTS, Axis.EMOJI, Axis.WARMTH, Axis.HEADINGS, Axis.TABLES, Axis.CODE, Axis.ASKS})
_AMBIGUOUS = frozenset({Axis.EXAMPLES, Axis.SOURCES, Axis.HEDGES})

# Dialogues: requests about code, tables or facts are mostly about the task, and so are long messages and questions.
_TASK = frozenset({Axis.HEADINGS, Axis.TABLES, Axis.CODE, Axis.ASKS, Axis.SOURCES, Axis.HUMOUR, Axis.HEDGES})
_QUESTION = re.compile(r"\s*(?:how|what|why|when|who|where|which|is|are|does|do|did|was|were|has|have)\b")
_REQUEST = 200  # characters


@dataclass(frozen=True, slots=True)
class Comparison:
    """A text that the user prefers to another one.

    Attributes:
        better, worse: What was measured on the two.
        signals: The signals that say so.
        weight: How much it counts; comparisons with one and the same text share the weight of one.
        group: Comparisons with one and the same text have the same group: together they are one observation.
    """

    better: Features
    worse: Features
    signals: tuple[Signal, ...]
    weight: float
    group: int


@dataclass(frozen=True, slots=True)
class Vote:
    """Evidence for one direction of an axis.

    Attributes:
        axis: The axis.
        strength: Signed: the direction, and how much the evidence counts (about 1 for a clear pair).
        said: Whether the user said it in words; else it was measured on texts.
        signals: Where it was read.
        group: That of the comparison; negative if it was not read from one.
        alone: Whether nothing else differs in the comparison: then it can only be this that the user preferred.
    """

    axis: Axis
    strength: float
    said: bool
    signals: tuple[Signal, ...]
    group: int = -1
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a user's signals.

    Attributes:
        signals: The signals that were read, newest first.
        comparisons: What was preferred to what.
        votes: Evidence on the axes of style.
        attributes: The newest value of each attribute of the profile, and its signal.
        spoken: How many of the signals hold the user's words about texts: reasons and dialogues.
        shortened: How many of the signals have a text of which only the beginning was measured.
    """

    signals: tuple[Signal, ...]
    comparisons: tuple[Comparison, ...]
    votes: tuple[Vote, ...]
    attributes: Mapping[str, tuple[str | bool | int | float, Signal]]
    spoken: int
    shortened: int

    def of(self, kind: type[_SignalT]) -> Iterator[_SignalT]:
        """The signals of one kind, newest first."""
        return (signal for signal in self.signals if isinstance(signal, kind))


def read(signals: Sequence[Signal]) -> Reading:
    """Read all that can be read of a user's signals without a model.

    Args:
        signals: Of one user; where they have no time, the later is the newer.
    """
    known = _newest_first(signals)
    limit = _limit(known)
    comparisons = _compare_texts(known, limit)
    attributes = _attributes(known)
    votes = [vote for comparison in comparisons for vote in _comparison_votes(comparison)]
    turns = max(4, _MOST_TURNS // max(1, sum(isinstance(signal, Dialogue) for signal in known)))
    votes += (vote for signal in known for vote in _own_votes(signal, turns))
    for name, (value, signal) in attributes.items():
        votes += _said(read_answer(name, str(value)), _SURVEY, signal)
    shortened = sum(any(len(text) > limit for text in _texts(signal)) for signal in known)
    spoken = sum(isinstance(signal, Dialogue) or bool(getattr(signal, "reason", None)) for signal in known)
    return Reading(tuple(known), tuple(comparisons), tuple(votes), attributes, spoken, shortened)


def _newest_first(signals: Sequence[Signal]) -> list[Signal]:
    """By time; signals without one by position, and as older than any that has one."""
    order = sorted(range(len(signals)), key=lambda index: (_when(signals[index]), index), reverse=True)
    count: Counter[str] = Counter()
    asked: set[str] = set()
    kept: list[Signal] = []
    for signal in (signals[index] for index in order):
        count[signal.kind] += 1
        if count[signal.kind] > _MOST_OF_A_KIND:
            continue
        if isinstance(signal, Survey):
            if signal.question in asked:
                continue  # asked again later: the newer answer holds
            asked.add(signal.question)
        kept.append(signal)
    return kept


def _when(signal: Signal) -> datetime:
    time = signal.time or datetime.min
    return time if time.tzinfo else time.replace(tzinfo=UTC)


class _Pair(NamedTuple):
    better: str
    worse: str
    signals: tuple[Signal, ...]
    weight: float


def is_opinion(rating: Rating) -> bool:
    """Whether a rated text is a short statement, of which the content was rated and not the style."""
    voted = isinstance(rating.score, str)
    if rating.prompt and not voted:
        return False
    head = rating.text[:1_000]
    return "\n" not in head.strip() and measure(head).words < (_VOTE_STYLE_WORDS if voted else _STYLE_WORDS)


def _texts(signal: Signal) -> tuple[str, ...]:
    """The texts of a signal that are measured."""
    match signal:
        case PreferencePair():
            return signal.chosen, signal.rejected
        case Edit():
            return signal.after, signal.before
        case Rating() | Writing():
            return (signal.text,)
    return ()


def _limit(signals: Sequence[Signal]) -> int:
    """Characters to read of each text, so that all together stay within bounds."""
    texts = sum(len(_texts(signal)) for signal in signals)
    return max(500, min(READ, _MOST_CHARACTERS // max(texts, 1)))


def _compare_texts(signals: Iterable[Signal], limit: int) -> list[Comparison]:
    """Every "rather this than that" of the signals: pairs, edits, and texts that were rated high against low."""
    pairs: list[_Pair] = []
    rated: list[Rating] = []
    for signal in signals:
        if isinstance(signal, PreferencePair):
            pairs.append(_Pair(signal.chosen, signal.rejected, (signal,), _PAIR))
        elif isinstance(signal, Edit):
            pairs.append(_Pair(signal.after, signal.before, (signal,), _PAIR))
        elif isinstance(signal, Rating) and not is_opinion(signal):
            rated.append(signal)
    pairs += _pair_up(rated)
    features = cache(lambda text: measure(text, read=limit))
    groups = _groups(pairs)
    size = Counter(groups)
    return [
        Comparison(features(pair.better), features(pair.worse), pair.signals, pair.weight / size[group], group)
        for pair, group in zip(pairs, groups, strict=True)
    ]


def _groups(pairs: Sequence[_Pair]) -> list[int]:
    """A number for each pair: the same where one text is rejected, or else chosen, again and again."""
    better, worse = Counter(pair.better for pair in pairs), Counter(pair.worse for pair in pairs)
    keys = [("-", pair.worse) if worse[pair.worse] >= better[pair.better] else ("+", pair.better) for pair in pairs]
    number: dict[tuple[str, str], int] = {}
    return [number.setdefault(key, len(number)) for key in keys]


def _attributes(signals: Iterable[Signal]) -> dict[str, tuple[str | bool | int | float, Signal]]:
    found: dict[str, tuple[str | bool | int | float, Signal]] = {}
    for signal in signals:
        if isinstance(signal, Profile):
            for name, value in signal.attributes.items():
                found.setdefault(name, (value, signal))
    return found


def _pair_up(rated: Iterable[Rating]) -> Iterator[_Pair]:
    """High against low: first among answers to the same prompt, then what is left."""
    groups: dict[str, list[Rating]] = defaultdict(list)
    for rating in rated:
        groups[rating.prompt or ""].append(rating)
    rest = groups.pop("", [])
    for group in groups.values():
        yield from _match(group, rest, _RATED_ALIKE)
    yield from _match(rest, [], _RATED_APART)


def _match(ratings: Iterable[Rating], rest: list[Rating], weight: float) -> Iterator[_Pair]:
    """The best with the worst, the second with the last but one, while a quarter of the scale lies between them."""
    left = deque(sorted(ratings, key=lambda rating: (rating.value, rating.text)))
    while len(left) > 1 and left[-1].value - left[0].value >= 0.5:
        high, low = left.pop(), left.popleft()
        yield _Pair(high.text, low.text, (high, low), weight)
    rest.extend(left)


def _comparison_votes(comparison: Comparison) -> Iterator[Vote]:
    sizes = contrast(comparison.better, comparison.worse)
    plain = {axis for axis, size in sizes.items() if abs(size) >= _PLAIN}
    for axis, size in sizes.items():
        alone = plain == {axis}
        yield Vote(axis, comparison.weight * size, False, comparison.signals, comparison.group, alone)
    yield from _reason_votes(comparison, sizes)


def _reason_votes(comparison: Comparison, sizes: dict[Axis, float]) -> Iterator[Vote]:
    """Cues of a reason, unless the pair shows the contrary: then the words were about something else.

    "No example" may praise the chosen text or blame the rejected one, and what is visible must be there to be praised:
    only the pair tells.
    """
    signal = comparison.signals[0]
    if not isinstance(signal, PreferencePair) or not signal.reason:
        return
    for axis, sign in read_cues(signal.reason).items():
        shown = sizes.get(axis, 0.0) * sign
        if shown > 0 or (shown == 0 and axis not in _VISIBLE and (sign > 0 or axis not in _AMBIGUOUS)):
            yield Vote(axis, sign * _REASON, True, (signal,))


def _own_votes(signal: Signal, turns: int) -> Iterator[Vote]:
    if isinstance(signal, Dialogue):
        yield from _dialogue_votes(signal, turns)
    elif isinstance(signal, Writing):
        yield from _style_votes(signal.text, signal)
    elif isinstance(signal, Survey):
        yield from _said(read_answer(signal.question, signal.answer), _SURVEY, signal)


def _dialogue_votes(signal: Dialogue, turns: int) -> Iterator[Vote]:
    """A request after an answer is a correction; in the first message it may be about the task."""
    answered, own = False, deque[tuple[str, float]](maxlen=turns)
    for message in signal.messages:
        if message.role == "user":
            own.append((message.content, _FOLLOW_UP if answered else _FIRST_REQUEST))
        answered = answered or message.role == "assistant"
    for text, weight in own:
        yield from _requests(text, weight, signal)
    yield from _style_votes("\n".join(text[:_OWN_READ] for text, _ in own), signal)


def _requests(text: str, weight: float, signal: Signal) -> Iterator[Vote]:
    """A long message, or a question, or one about code and facts, may well be about the task: that counts less."""
    about_task = len(text) > _REQUEST or _QUESTION.match(text.lower())
    for axis, sign in read_cues(text).items():
        likely = not about_task and axis not in _TASK
        yield from _said({axis: sign}, weight if likely else min(weight, _FIRST_REQUEST), signal)


def _said(cues: dict[Axis, int], weight: float, signal: Signal) -> Iterator[Vote]:
    for axis, sign in cues.items():
        if sign:
            yield Vote(axis, sign * weight, True, (signal,))


def _style_votes(text: str, signal: Signal) -> Iterator[Vote]:
    """How the user writes: weak evidence for the register of what they like to read, none for its length."""
    own = measure(text, read=_OWN_READ)
    sizes = {Axis.FORMALITY: scaled(own.formality, 0.05, 0.1), Axis.EMOJI: 1.0 if own.emoji else 0.0}
    if own.level is not None and own.words >= 30:
        sizes[Axis.LEVEL] = max(0.0, scaled(own.level - 0.18, 0.1, 0.14))  # everyday words in a mail say nothing
    for axis, size in sizes.items():
        if size:
            yield Vote(axis, _OWN_STYLE * size, False, (signal,))
