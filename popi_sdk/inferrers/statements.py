"""Evidence to statements: what was read from a user's signals, said plainly and in order of importance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ..signals import PreferencePair, Rating, Signal, Statement, Survey
from ..summary import SummaryStatement, split_sentences
from .cues import read_answer, read_cues
from .decision import decide
from .evidence import Comparison, Reading, is_opinion, read
from .phrases import Axis
from .wording import NOTHING, quote, shorten, verbatim, word

__all__ = ["read_statements", "statements_of"]

_STATEMENT, _QUOTE, _SIDE, _ANSWER = 200, 90, 50, 60  # characters
_MOST_STATEMENTS, _MOST_QUOTES = 30, 20  # far more than any budget holds

_FACT = re.compile(r"(?:i am|i'm|i work|i live|i have|i was|my)\b")
_WISH = re.compile(r"\b(?:use|please|prefer\w*|like|want|need|love|hate|keep|avoid|no|not|don't|answers?|tired|fan)\b")
_VERBS = (("Rates low", "Rates high"), ("Disagrees with", "Agrees with"))

# A wish with a condition contradicts no other: "long for code", "short in chat".
_SCOPE = re.compile(
    r"\b(?:when|whenever|if|unless|except|only|at work|for (?!me\b|example|instance)|about (?!\d)|"
    r"in (?:chat|e?mail|code))"
)


def read_statements(signals: Sequence[Signal]) -> list[SummaryStatement]:
    """What can be read from a user's signals, in the order of importance, so that a budget cuts from the end.

    Args:
        signals: The user's signals; where they have no time, the later is the newer.

    Returns:
        Statements with the ids of the signals that support them: the user's own first, then style (length first),
        then who the user is, answers to surveys, opinions. One that says so where nothing is found.
    """
    return statements_of(read(signals))


@dataclass(slots=True)
class _Told:
    """One thing to say and what it rests on."""

    text: str
    signals: list[Signal]
    axes: dict[Axis, int] = field(default_factory=dict)

    def statement(self) -> SummaryStatement:
        return SummaryStatement(text=self.text, evidence=tuple(dict.fromkeys(signal.id for signal in self.signals)))


def statements_of(reading: Reading) -> list[SummaryStatement]:
    """`read_statements`, of signals that were read already."""
    told = _own_words(reading)
    told += list(_style(reading, told))
    told += _profile(reading)
    told += _answers(reading)
    told += _opinions(reading)
    told += _contents(reading.comparisons)
    return [one.statement() for one in told] or [SummaryStatement(text=NOTHING)]


def _own_words(reading: Reading) -> list[_Told]:
    """Statements, newest first, sentence by sentence; of two that contradict each other the newer stays."""
    told: list[_Told] = []
    seen: set[str] = set()
    wished: dict[Axis, int] = {}
    for signal in reading.of(Statement):
        kept, axes = [], {}
        for sentence in split_sentences(verbatim(signal.text, _STATEMENT)):
            cues = {} if _is_fact(sentence) else read_cues(sentence)
            scoped = _SCOPE.search(sentence.lower())
            if not scoped and any(sign and wished.get(axis) == -sign for axis, sign in cues.items()):
                continue
            kept.append(sentence)
            axes.update({axis: 0 if scoped else sign for axis, sign in cues.items()})
        text = "".join(kept).strip()
        if text and text.casefold() not in seen and len(told) < _MOST_STATEMENTS:
            seen.add(text.casefold())
            told.append(_Told(text, [signal], axes))
            wished = {**{axis: sign for axis, sign in axes.items() if sign}, **wished}
    return told


def _is_fact(sentence: str) -> bool:
    """Whether a sentence says who the user is and not what they want."""
    lower = sentence.lower()
    return bool(_FACT.match(lower)) and not _WISH.search(lower)


def _style(reading: Reading, told: Sequence[_Told]) -> Iterator[_Told]:
    """Decided axes that the user did not speak of; where words and measure agree, the measure supports the words."""
    said: dict[Axis, _Told] = {}
    for one in reversed(told):  # the newest last, so it stays; one with a condition does not hide one without
        said.update({axis: one for axis, sign in one.axes.items() if sign or axis not in said})
    for preference in decide(reading):
        text = word(preference)
        statement = said.get(preference.axis)
        wish = statement.axes[preference.axis] if statement else 0
        if statement and wish == preference.direction:
            statement.signals.extend(preference.signals)
            if _names_figure(text) and not _names_figure(statement.text):
                yield _Told(text, list(preference.signals))
        elif wish == 0:
            yield _Told(text, list(preference.signals))


def _names_figure(text: str) -> bool:
    return any(char.isdigit() for char in text)


def _profile(reading: Reading) -> Iterator[_Told]:
    """Who the user is, in one sentence; attributes that say how to answer were read as such."""
    facts = [
        (f"{shorten(name, _ANSWER)} {shorten(_plain(value), _ANSWER)}", signal)
        for name, (value, signal) in reading.attributes.items()
        if not any(read_answer(name, str(value)).values())
    ][:_MOST_QUOTES]
    if facts:
        yield _Told(f"About the user: {'; '.join(text for text, _ in facts)}.", [signal for _, signal in facts])


def _plain(value: str | bool | int | float) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _answers(reading: Reading) -> Iterator[_Told]:
    """Answers to questions about something else than how to answer."""
    others = (survey for survey in reading.of(Survey) if not any(read_answer(survey.question, survey.answer).values()))
    for survey in islice(others, _MOST_QUOTES):
        yield _Told(f"Asked {quote(survey.question, _QUOTE)}: answers {quote(survey.answer, _QUOTE)}.", [survey])


def _opinions(reading: Reading) -> Iterator[_Told]:
    """Short statements that the user agreed or disagreed with, or rated high or low."""
    opinions = (rating for rating in reading.of(Rating) if abs(rating.value) >= 0.5 and is_opinion(rating))
    for rating in islice(opinions, _MOST_QUOTES):
        verb = _VERBS[isinstance(rating.score, str)][rating.value > 0]
        yield _Told(f"{verb}: {quote(rating.text, _QUOTE)}.", [rating])


def _contents(comparisons: Sequence[Comparison]) -> Iterator[_Told]:
    """Short answers to one and the same prompt: it is their content that was chosen, so it is shown."""
    pairs = [signal for one in comparisons for signal in one.signals if isinstance(signal, PreferencePair)]
    if len({pair.prompt for pair in pairs}) != 1 or len(pairs) < 2:
        return
    short = [pair for pair in pairs if max(len(pair.chosen), len(pair.rejected)) <= 2 * _QUOTE]
    if 2 * len(short) < len(pairs):
        return
    for pair in sorted(short, key=lambda pair: (len(pair.chosen) + len(pair.rejected), pair.chosen))[:_MOST_QUOTES]:
        yield _Told(f"Prefers {quote(pair.chosen, _SIDE)} to {quote(pair.rejected, _SIDE)}.", [pair])
