"""What a user's signals say about each axis of style: texts compared in pairs, and the user's own words."""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple, TypeVar

from ..signals import Dialogue, Edit, PreferencePair, Profile, Rating, Signal, Statement, Survey, Writing
from .cues import Axis, read_answer, read_cues
from .features import READ, Features, measure

__all__ = ["Comparison", "Reading", "Vote", "contrast", "is_opinion", "read"]

_SignalT = TypeVar("_SignalT", PreferencePair, Rating, Edit, Dialogue, Writing, Profile, Survey, Statement)

_MOST_OF_A_KIND = 1_000  # signals of one kind that are read, the newest; more would only repeat them
_MOST_CHARACTERS = 2_000_000  # and of all their texts together, which bounds the time at some seconds
_STYLE_WORDS, _VOTE_STYLE_WORDS = (
    25,
    60,
)  # a rated text, or one voted on, below this is an opinion, not a piece of style

_PLAIN = 0.4  # a difference of this size is seen

_VISIBLE = frozenset({Axis.LISTS, Axis.EMOJI, Axis.WARMTH, Axis.HEADINGS, Axis.TABLES, Axis.CODE, Axis.ASKS})
_AMBIGUOUS = frozenset({Axis.EXAMPLES, Axis.SOURCES, Axis.HEDGES})
_COSTS_WORDS = (Axis.LISTS, Axis.EXAMPLES, Axis.FORMALITY, Axis.LEVEL, Axis.ORDER)

# How much evidence counts. A pair is 1; what the user asked for in words says why, so it counts more.
_PAIR, _RATED_ALIKE, _RATED_APART, _OWN_STYLE = 1.0, 0.8, 0.5, 0.5
_REASON, _FOLLOW_UP, _FIRST_REQUEST, _SURVEY = 2.0, 1.5, 0.7, 2.5


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
    votes += (vote for signal in known for vote in _own_votes(signal))
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
    """A number for each pair: the same where one text, rejected or else chosen again and again, makes them alike."""
    better, worse = Counter(pair.better for pair in pairs), Counter(pair.worse for pair in pairs)
    number: dict[tuple[bool, str], int] = {}
    keys = (
        (again, pair.worse if again else pair.better)
        for pair in pairs
        for again in [worse[pair.worse] >= better[pair.better]]
    )
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


def contrast(better: Features, worse: Features) -> dict[Axis, float]:
    """What one text has that the other has not.

    Longer texts have more of everything, so what the longer one has more of counts less; and where a casual tone
    explains the shorter words, or the other way round, the weaker of the two counts less.

    Returns:
        For each axis that differs visibly the direction and size of the difference, from -1 to 1.
    """
    longer = _log_ratio(better, worse)
    found = {Axis.LENGTH: _length(better, worse, longer)}
    present = {
        Axis.LISTS: _more(better.items, worse.items, 2),
        Axis.EXAMPLES: _more(better.examples + better.code, worse.examples + worse.code, 1),
        Axis.EMOJI: _more(better.emoji, worse.emoji, 1),
        Axis.HEADINGS: _more(better.headings + better.bold // 2, worse.headings + worse.bold // 2, 1),
        Axis.TABLES: _more(better.tables, worse.tables, 1),
        Axis.CODE: _more(better.code, worse.code, 1),
        Axis.ASKS: float(better.asks) - float(worse.asks),
        Axis.HEDGES: float(better.hedged) - float(worse.hedged),
    }
    for axis, size in present.items():
        found[axis] = size * (_discount(longer) if size * longer > 0 and axis is not Axis.EMOJI else 1.0)
    found[Axis.FORMALITY] = _scaled(better.formality - worse.formality, 0.06, 0.15)
    found[Axis.WARMTH] = _scaled(better.warmth - worse.warmth, 0.3, 0.8)
    found[Axis.ORDER] = _order(better, worse)
    if better.level is not None and worse.level is not None:
        found[Axis.LEVEL] = _scaled(better.level - worse.level, 0.1, 0.22) * _trust(better, worse)
    if abs(longer) < 2 and any(abs(found.get(axis, 0.0)) >= 0.7 for axis in _COSTS_WORDS):
        found[Axis.LENGTH] *= 0.4 if abs(longer) < 1 else 0.7  # another style explains that it is somewhat longer
    _explain_away(found, Axis.FORMALITY, Axis.LEVEL)
    _explain_away(found, Axis.FORMALITY, Axis.WARMTH, sign=-1)
    return {axis: size for axis, size in found.items() if abs(size) >= 0.15}


def _log_ratio(better: Features, worse: Features) -> float:
    return math.log2((better.words + 1) / (worse.words + 1))


def _length(better: Features, worse: Features, longer: float) -> float:
    """A quarter more is noticed; twice as long, and by a sentence, is plain."""
    if abs(longer) < 0.32:
        return 0.0
    return math.copysign(min(1.0, abs(longer)) * min(1.0, max(0.0, abs(better.words - worse.words) - 5) / 10), longer)


def _more(better: int, worse: int, least: int) -> float:
    """Presence against absence counts in full, much against little by half."""
    if (better >= least) != (worse >= least):
        return 1.0 if better > worse else -1.0
    if max(better, worse) >= 3 * max(min(better, worse), least):
        return 0.5 if better > worse else -0.5
    return 0.0


def _discount(longer: float) -> float:
    return 1.0 / (1.0 + max(0.0, abs(longer) - 0.5))


def _scaled(difference: float, least: float, full: float) -> float:
    return 0.0 if abs(difference) < least else max(-1.0, min(1.0, difference / full))


def _trust(better: Features, worse: Features) -> float:
    """Rates of a few words jump."""
    return min(1.0, min(better.words, worse.words) / 16)


def _order(better: Features, worse: Features) -> float:
    """The same answer at the other end of the text is the plainest sign; filler counts only against itself."""
    moved_up, moved_down = _shared(better.opening, worse.closing), _shared(better.closing, worse.opening)
    stayed = max(_shared(better.opening, worse.opening), _shared(better.closing, worse.closing))
    if max(moved_up, moved_down) >= 0.4 and abs(moved_up - moved_down) > 0.2 and max(moved_up, moved_down) > stayed:
        return 1.0 if moved_up > moved_down else -1.0
    if worse.preamble and not better.preamble:
        return 0.7
    if better.order == -worse.order:
        return 0.8 * better.order
    # A conclusion at the end is plain to see; that a text opens with its answer is half guessed.
    return (0.45 if -1 in (better.order, worse.order) else 0.25) * (better.order - worse.order)


def _shared(left: frozenset[str], right: frozenset[str]) -> float:
    """The overlap of two sentences, of the shorter one's words; too few words share by chance."""
    smaller = min(len(left), len(right))
    return len(left & right) / smaller if smaller >= 2 else 0.0


def _explain_away(found: dict[Axis, float], one: Axis, other: Axis, sign: int = 1) -> None:
    first, second = found.get(one, 0.0), found.get(other, 0.0)
    if first * second * sign > 0:
        weaker = one if abs(first) < abs(second) else other
        found[weaker] *= 0.4


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


def _own_votes(signal: Signal) -> Iterator[Vote]:
    if isinstance(signal, Dialogue):
        yield from _dialogue_votes(signal)
    elif isinstance(signal, Writing):
        yield from _style_votes(signal.text, signal)
    elif isinstance(signal, Survey):
        yield from _said(read_answer(signal.question, signal.answer), _SURVEY, signal)


def _dialogue_votes(signal: Dialogue) -> Iterator[Vote]:
    """A request after an answer is a correction; in the first message it may be about the task."""
    answered, own = False, []
    for message in signal.messages:
        if message.role == "user":
            own.append(message.content[:READ])
            yield from _said(read_cues(message.content), _FOLLOW_UP if answered else _FIRST_REQUEST, signal)
        answered = answered or message.role == "assistant"
    yield from _style_votes("\n".join(own), signal)


def _said(cues: dict[Axis, int], weight: float, signal: Signal) -> Iterator[Vote]:
    for axis, sign in cues.items():
        if sign:
            yield Vote(axis, sign * weight, True, (signal,))


def _style_votes(text: str, signal: Signal) -> Iterator[Vote]:
    """How the user writes: weak evidence for the register of what they like to read, none for its length."""
    own = measure(text, read=2_000)
    sizes = {Axis.FORMALITY: _scaled(own.formality, 0.05, 0.1), Axis.EMOJI: 1.0 if own.emoji else 0.0}
    if own.level is not None and own.words >= 30:
        sizes[Axis.LEVEL] = _scaled(own.level - 0.18, 0.1, 0.14)
    for axis, size in sizes.items():
        if size:
            yield Vote(axis, _OWN_STYLE * size, False, (signal,))
