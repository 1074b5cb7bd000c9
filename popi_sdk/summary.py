"""2. The summary: what was inferred of a user, small enough to read and to send along with every prompt."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from .errors import UsageError

__all__ = [
    "DEFAULT_BUDGET",
    "ESTIMATED",
    "ByteCounter",
    "PreferenceSummary",
    "SummaryStatement",
    "TokenCounter",
    "digest",
    "fit_to_budget",
    "split_sentences",
]

DEFAULT_BUDGET = 128
"""Tokens of a summary, unless the caller says otherwise."""

ESTIMATED = "estimated"
"""The tokenizer's name where there is none: the UTF-8 byte count, which no byte-level tokenizer exceeds."""


class TokenCounter(Protocol):
    """Anything that counts tokens: every generator does."""

    @property
    def tokenizer(self) -> str:
        """Name of what counts; `estimated` for the byte bound."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without any chat template."""
        ...


class ByteCounter:
    """The bound for models whose tokenizer is not at hand: one token per UTF-8 byte at most."""

    tokenizer = ESTIMATED

    def count_tokens(self, text: str) -> int:
        """The UTF-8 bytes of a text: never fewer than a byte-level tokenizer's tokens."""
        return len(text.encode("utf-8", "replace"))


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class SummaryStatement(_Frozen):
    """One sentence of a summary and the ids of the signals it rests on (empty where the inferrer gives none)."""

    text: str
    evidence: tuple[str, ...] = ()


class PreferenceSummary(_Frozen):
    """A summary of one user's preferences, with all that is needed to check it; what does not add up is refused.

    Attributes:
        text: The summary itself, at most `budget` tokens.
        statements: Its sentences with their evidence; joined by spaces they are `text`.
        tokens: Tokens of `text`.
        tokenizer: Which tokenizer counted; `estimated` for the UTF-8 byte bound.
        budget: The limit that was kept.
        inferrer: Who wrote it.
        evidence_digest: SHA-256 over the signals it was inferred from.
        signals_used: How many signals the inferrer saw, of `signals_total`.
        signals_shortened: How many of the used ones were cut to fit.
        schema_version: Version of this form.
    """

    text: Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
    statements: tuple[SummaryStatement, ...] = ()
    tokens: Annotated[int, Field(ge=0)]
    tokenizer: str = ESTIMATED
    budget: Annotated[int, Field(gt=0)] = DEFAULT_BUDGET
    inferrer: str
    evidence_digest: str
    signals_used: Annotated[int, Field(ge=0)]
    signals_total: Annotated[int, Field(ge=0)]
    signals_shortened: Annotated[int, Field(ge=0)] = 0
    schema_version: Literal[1] = 1

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.tokens > self.budget:
            raise ValueError(f"{self.tokens} tokens are more than the budget of {self.budget}")
        if self.signals_used > self.signals_total or self.signals_shortened > self.signals_used:
            raise ValueError("more signals were used than there were, or more shortened than used")
        if self.statements and " ".join(statement.text for statement in self.statements) != self.text:
            raise ValueError("the statements, joined by spaces, are not the text: change both, or leave statements out")
        return self

    def __str__(self) -> str:
        return self.text

    @property
    def estimated(self) -> bool:
        """Whether `tokens` is the byte bound and not an exact count."""
        return self.tokenizer == ESTIMATED

    def to_json(self, *, indent: int | None = None) -> str:
        """The summary as JSON; `from_json` reads it back unchanged."""
        return self.model_dump_json(indent=indent)

    @classmethod
    def from_json(cls, data: str | bytes) -> PreferenceSummary:
        """Read a summary that `to_json` wrote.

        Raises:
            UsageError: If it is not one, or of a schema version that this release does not read.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise UsageError(f"{_why_unreadable(error)} Infer the summary again from the signals.") from error


def _why_unreadable(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False)
    for problem in problems:
        if problem["loc"] == ("schema_version",):
            return f"The summary is of schema version {problem['input']!r:.20}, and this release reads version 1."
    first = problems[0]
    field = ".".join(str(part) for part in first["loc"])
    return (
        f"This is not a summary{f' (field {field!r})' if field else ''}: {first['msg'].removeprefix('Value error, ')}."
    )


def digest(*parts: str) -> str:
    """SHA-256 over parts, in order, each with its length, so no two lists of parts collide by concatenation."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()


# A sentence ends at its mark, with closing quotes and brackets, before white space or the end; in scripts that write no
# spaces the mark alone is enough; a line end always ends one. Possessive, and only from the first of several marks, so
# that a million of them take no longer than a million letters.
_MARKS = ".!?\u2026\u0589\u061f\u06d4\u0964\u0965\u1362\u104b\u17d4"
_CLOSING = "[\"'\u2019\u201d\u00bb)\\]\u300d\u300f\u3011\uff09]*+"
_SENTENCE_END = re.compile(
    rf"(?<![{_MARKS}])[{_MARKS}]++{_CLOSING}(?=\s|\Z)\s*" rf"|[\u3002\uff01\uff1f\uff61]++{_CLOSING}\s*" r"|\n\s*"
)
_ABBREVIATION = re.compile(r"(?<!\w)(?:e\.g|i\.e|cf|vs|approx|ca|mr|mrs|ms|dr|prof)\.\Z", re.IGNORECASE)


def split_sentences(text: str) -> list[str]:
    """Split a text at its sentence ends; the pieces joined are the text."""
    pieces: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        mark, end = match.start(), match.end()
        if end < len(text) and (_extends(text[end]) or _ABBREVIATION.search(text, max(start, mark - 8), mark + 1)):
            continue
        pieces.append(text[start:end])
        start = end
    if start < len(text):
        pieces.append(text[start:])
    return pieces


def fit_to_budget(text: str, budget: int, counter: TokenCounter) -> str:
    """The longest beginning of a text that a budget allows, cut at a sentence end.

    Where not even the first sentence fits, it is cut between words, and where no word fits, between grapheme clusters.

    Args:
        text: Any text in any script.
        budget: Most tokens of the result.
        counter: Who counts them.

    Returns:
        A stripped prefix of the text; empty only if not one grapheme fits.
    """
    text = text.strip()
    if not text or counter.count_tokens(text) <= budget:
        return text
    sentences = split_sentences(text)
    fitted = _longest(sentences, budget, counter)
    if fitted:
        return fitted
    words = re.findall(r"\S+\s*", sentences[0])
    return _longest(words, budget, counter) or _longest(_graphemes(words[0]), budget, counter)


def _longest(pieces: Sequence[str], budget: int, counter: TokenCounter) -> str:
    """The longest prefix of pieces within the budget. Counts grow almost, not strictly, so the end is checked."""
    low, high = 0, len(pieces)
    while low < high:
        middle = (low + high + 1) // 2
        if counter.count_tokens("".join(pieces[:middle]).strip()) <= budget:
            low = middle
        else:
            high = middle - 1
    return "".join(pieces[:low]).strip()


def _graphemes(text: str) -> list[str]:
    """Grapheme clusters (UAX 29), rather too large than too small: no table of Unicode's is at hand."""
    starts = [0]
    for at in range(1, len(text)):
        if not _continues(text, at, starts[-1]):
            starts.append(at)
    return [text[start:end] for start, end in pairwise([*starts, len(text)])]


def _continues(text: str, at: int, start: int) -> bool:
    """Whether the character at a position belongs to the cluster that began at `start`."""
    before, char = text[at - 1], text[at]
    if _extends(char) or before == "\u200d" or before in _PREPENDED:
        return True
    if _is_flag_half(before) and _is_flag_half(char):
        return at - start == 1
    if unicodedata.combining(before) == 9:  # a virama: conjuncts of Indic scripts
        return unicodedata.category(char) == "Lo"
    return _is_hangul(before) and (_is_jamo(char) or (_is_leading(before) and _is_leading(char)))


_PREPENDED = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2"
_SPACING = "\u200c\u200d\u0e33\u0eb3\uff9e\uff9f"  # joiners; Thai and Lao am; half-width voicing marks


def _extends(char: str) -> bool:
    return (
        unicodedata.category(char) in {"Mn", "Mc", "Me"}
        or char in _SPACING
        or "\U0001f3fb" <= char <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= char <= "\U000e007f"  # tags: the flag of Scotland
    )


def _is_flag_half(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _is_leading(char: str) -> bool:
    return "\u1100" <= char <= "\u115f" or "\ua960" <= char <= "\ua97c"


def _is_jamo(char: str) -> bool:
    """A vowel or final of Hangul, which follows what it belongs to."""
    return "\u1160" <= char <= "\u11ff" or "\ud7b0" <= char <= "\ud7fb"


def _is_hangul(char: str) -> bool:
    return _is_leading(char) or _is_jamo(char) or "\uac00" <= char <= "\ud7a3"
