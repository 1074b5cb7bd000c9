"""The number that an answer comes to, past the numbers on the way there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from .answers import Answer, Mention, announced, is_denied, is_offer

__all__ = ["final_number", "numbers_in"]

_DIGITS = re.compile(
    r"(?<![A-Za-z_\d])(?<!\d\.)"
    r"(?:\d{1,3}(?:[,'\u00a0\u2009\u202f]\d{3})+(?!\d|[,']\d)|\d+|(?=\.\d))(?:\.\d+)?(?!\d)(?!(?:st|nd|rd|th)\b)"
)
_SEPARATORS = str.maketrans("", "", ",'\u00a0\u2009\u202f")
_OPERATOR = re.compile(
    r"[ \t]*[A-Za-z°%]{0,8}[ \t)]*"
    r"(?:[-+*/\u00d7\u00f7\u00b7^\u2013]|\b(?:x|times|plus|minus|divided by|multiplied by|to)\b)[ \t($€£]*"
)
_EQUALS = re.compile(r"[^=\d\n.]{0,20}(?:=|≈|\bequals\b|\bmakes\b)[^\w\n]{0,6}")
_NEGATIVE = re.compile(r"(?:-[ \t]?|\b(?:minus|negative)[ \t]+)[$€£]?\Z", re.IGNORECASE)

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_LARGER = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES = {word: value for value, word in enumerate(_SMALL.split())}
_VALUES |= {word: 20 + 10 * at for at, word in enumerate(_LARGER.split())}
_TENS, _UNITS, _ALL = ("|".join(words) for words in (_LARGER.split(), _SMALL.split()[1:10], _SMALL.split()))
_WORDS = re.compile(
    rf"(?<![\w-])(?:(?P<tens>{_TENS})(?:[- ](?P<unit>{_UNITS}))?|(?P<small>{_ALL}))(?![\w-])", re.IGNORECASE
)
_LARGE = re.compile(r"\b(?:hundred|thousand|million)\b", re.IGNORECASE)  # not read: half of one would be another number


@dataclass(frozen=True, slots=True)
class _Number:
    value: Decimal
    start: int
    end: int


def final_number(answer: Answer, prompt: str = "") -> Decimal | None:
    """The number that an answer comes to; None if there is none, or if it leaves several open.

    It is what stands behind "the answer is", the last one in bold, the only one that the prompt does not have, what the
    last equation comes to, or the last one. Numbers may have separators, a unit, or be words ("forty-two").

    Args:
        answer: Read by `read_answer`.
        prompt: What was asked.
    """
    text = answer.text
    numbers = [number for number in _numbers(text) if _is_said(text, number)]
    for start, end in announced(text):
        for at, number in enumerate(numbers):
            if start <= number.start <= end:
                return _outcome(text, numbers, at)
    for begin, close in reversed(answer.bold):
        for at, number in enumerate(numbers):
            if begin <= number.start < close and (value := _outcome(text, numbers, at)) is not None:
                return value
    given = numbers_in(prompt)
    new = [at for at, number in enumerate(numbers) if number.value not in given]
    if len({numbers[at].value for at in new}) == 1:
        return _outcome(text, numbers, new[-1])
    for at in range(len(numbers) - 1, 0, -1):
        if _EQUALS.fullmatch(text[numbers[at - 1].end : numbers[at].start]):
            return _outcome(text, numbers, at)
    return _outcome(text, numbers, len(numbers) - 1) if numbers else None


def numbers_in(text: str) -> set[Decimal]:
    """All numbers of a text; those in words only if there are no others."""
    return {number.value for number in _numbers(text)}


def _numbers(text: str) -> list[_Number]:
    found = [
        _signed(text, match, Decimal(match.group().translate(_SEPARATORS)))
        for match in _DIGITS.finditer(text)
        if match.group()
    ]
    if found or _LARGE.search(text):
        return found
    return [_signed(text, match, _word_value(match)) for match in _WORDS.finditer(text)]


def _word_value(match: re.Match[str]) -> Decimal:
    parts = [match[name] for name in ("tens", "unit", "small") if match[name]]
    return Decimal(sum(_VALUES[part.lower()] for part in parts))


def _signed(text: str, match: re.Match[str], value: Decimal) -> _Number:
    """With its sign: a minus behind a number or a bracket is an operator, one behind a letter a hyphen."""
    start, end = match.span()
    before = text[max(start - 12, 0) : start]
    sign = _NEGATIVE.search(before)
    if sign is None:
        return _Number(value, start, end)
    ahead = before[: sign.start()]
    last = ahead.rstrip()[-1:]
    operator = last.isdigit() or last == ")" or (ahead[-1:].isalpha() and sign[0].startswith("-"))
    dash = sign[0].startswith("- ") and last not in ("=", ":", "(")  # of a list, or of a thought
    if operator or dash:
        return _Number(value, start, end)
    return _Number(-value, start - len(sign[0]), end)


def _is_said(text: str, number: _Number) -> bool:
    mention = Mention(0, number.start, number.end)
    return not is_denied(text, mention) and not is_offer(text, mention)


def _outcome(text: str, numbers: Sequence[_Number], at: int) -> Decimal | None:
    """What the calculation that begins at a number comes to; None if it is left undone (also "41-42")."""
    done = True
    while at + 1 < len(numbers):
        gap = text[numbers[at].end : numbers[at + 1].start]
        if _EQUALS.fullmatch(gap):
            done = True
        elif _OPERATOR.fullmatch(gap):
            done = False
        else:
            break
        at += 1
    return numbers[at].value if done else None
