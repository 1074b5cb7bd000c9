"""What one text has that another has not, on each axis of style."""

from __future__ import annotations

import math

from .features import Features
from .phrases import Axis

__all__ = ["contrast", "scaled"]

_VISIBLE = 0.15  # a smaller difference is left out
_COSTS_WORDS = (Axis.LISTS, Axis.EXAMPLES, Axis.FORMALITY, Axis.LEVEL, Axis.ORDER)


def contrast(better: Features, worse: Features) -> dict[Axis, float]:
    """What one text has that the other has not.

    Longer texts have more of everything, so what the longer one has more of counts less. Where one difference may be
    there only because of another one (short words because of a casual tone), the weaker of the two counts less.

    Returns:
        For each axis that differs visibly the direction and size of the difference, from -1 to 1.
    """
    longer = math.log2((better.words + 1) / (worse.words + 1))
    found = {axis: size * _discount(longer if size > 0 else -longer) for axis, size in _present(better, worse).items()}
    found[Axis.EMOJI] = _more(better.emoji, worse.emoji, 1)
    found[Axis.LENGTH] = _length(better, worse, longer)
    found[Axis.ORDER] = _order(better, worse)
    # The least of each stands above what nine in ten pairs of real arguments and jokes differ by for other reasons.
    found[Axis.FORMALITY] = scaled(better.formality - worse.formality, 0.06, 0.15)
    found[Axis.WARMTH] = scaled(better.warmth - worse.warmth, 0.3, 0.8)
    if better.level is not None and worse.level is not None:
        found[Axis.LEVEL] = scaled(better.level - worse.level, 0.1, 0.22) * _trust(better, worse)
    if abs(longer) < 2 and any(abs(found.get(axis, 0.0)) >= 0.7 for axis in _COSTS_WORDS):
        found[Axis.LENGTH] *= 0.4 if abs(longer) < 1 else 0.7
    _explain_away(found, Axis.FORMALITY, Axis.LEVEL)
    _explain_away(found, Axis.FORMALITY, Axis.WARMTH, sign=-1)
    return {axis: size for axis, size in found.items() if abs(size) >= _VISIBLE}


def _present(better: Features, worse: Features) -> dict[Axis, float]:
    """What stands in one text and not in the other."""
    return {
        Axis.LISTS: _more(better.items, worse.items, 2),
        Axis.EXAMPLES: _more(better.examples, worse.examples, 1),
        Axis.HEADINGS: _more(better.headings + better.bold // 2, worse.headings + worse.bold // 2, 1),
        Axis.TABLES: _more(better.tables, worse.tables, 1),
        Axis.CODE: _more(better.code, worse.code, 1),
        Axis.ASKS: float(better.asks) - float(worse.asks),
        Axis.HEDGES: float(better.hedged) - float(worse.hedged),
    }


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
    """`longer` is positive where it is the longer text that has more."""
    return 1.0 / (1.0 + max(0.0, longer - 0.5))


def scaled(difference: float, least: float, full: float) -> float:
    """A difference on the scale from -1 to 1, where `full` is 1; below `least` it is none."""
    return 0.0 if abs(difference) < least else max(-1.0, min(1.0, difference / full))


def _trust(better: Features, worse: Features) -> float:
    """Rates of a few words jump."""
    return min(1.0, min(better.words, worse.words) / 16)


def _order(better: Features, worse: Features) -> float:
    """The same answer at the other end of the text is the plainest sign; filler counts only against itself.

    In a text of two sentences both change places: then only the words by which they open tell which is the answer.
    """
    up, down = _shared(better.opening, worse.closing), _shared(better.closing, worse.opening)
    stayed = max(_shared(better.opening, worse.opening), _shared(better.closing, worse.closing))
    moved, marked = max(up, down) >= 0.4 and max(up, down) > stayed, better.order - worse.order
    if moved and (marked or abs(up - down) > 0.2):
        return math.copysign(1.0, marked or up - down)
    if worse.preamble and not better.preamble:
        return 0.7
    if better.order == -worse.order:
        return 0.8 * better.order
    # A conclusion at the end is plain to see; that a text opens with its answer is half guessed.
    return (0.45 if -1 in (better.order, worse.order) else 0.25) * marked


def _shared(left: frozenset[str], right: frozenset[str]) -> float:
    """The overlap of two sentences, of the shorter one's words; too few words share by chance."""
    smaller = min(len(left), len(right))
    return len(left & right) / smaller if smaller >= 2 else 0.0


def _explain_away(found: dict[Axis, float], one: Axis, other: Axis, sign: int = 1) -> None:
    first, second = found.get(one, 0.0), found.get(other, 0.0)
    if first * second * sign > 0:
        weaker = one if abs(first) < abs(second) else other
        found[weaker] *= 0.4
