"""2. The summary: what was inferred of a user, small enough to read and to send along with every prompt."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

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
    model_config = ConfigDict(frozen=True, extra="forbid")


class SummaryStatement(_Frozen):
    """One sentence of a summary and the ids of the signals it rests on (empty where the inferrer gives none)."""

    text: str
    evidence: tuple[str, ...] = ()


class PreferenceSummary(_Frozen):
    """A summary of one user's preferences, with all that is needed to check it.

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
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"This is not a summary of schema version 1{f' (field {field!r}' if field else ' ('}: {first['msg']}). "
                "Infer it again from the signals."
            ) from error


def digest(*parts: str) -> str:
    """SHA-256 over parts, in order, each with its length, so no two lists of parts collide by concatenation."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()


# A sentence ends at its mark, with closing quotes and brackets, before white space or the end; in scripts that write no
# spaces the mark alone is enough; a line end always ends one.
_CLOSING = "[\"'\u2019\u201d\u00bb)\\]\u300d\u300f\u3011\uff09]*"
_SENTENCE_END = re.compile(
    rf"[.!?\u2026\u061f\u06d4\u0964\u0965\u1362\u104b\u17d4\u0e2f]+{_CLOSING}(?=\s|$)\s*"
    rf"|[\u3002\uff01\uff1f\uff61]+{_CLOSING}\s*"
    r"|\s*\n\s*"
)


def split_sentences(text: str) -> list[str]:
    """Split a text at its sentence ends; the pieces joined are the text."""
    pieces: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        pieces.append(text[start : match.end()])
        start = match.end()
    if start < len(text):
        pieces.append(text[start:])
    return [piece for piece in pieces if piece]


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
    """Approximate grapheme clusters: marks, joiners, modifiers and flag pairs stay with what they belong to."""
    clusters: list[str] = []
    for char in text:
        if clusters and (_extends(char) or clusters[-1].endswith("\u200d") or _completes_flag(clusters[-1], char)):
            clusters[-1] += char
        else:
            clusters.append(char)
    return clusters


def _extends(char: str) -> bool:
    return (
        unicodedata.category(char) in {"Mn", "Mc", "Me"}
        or char in "\u200c\u200d"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
    )


def _completes_flag(cluster: str, char: str) -> bool:
    return len(cluster) == 1 and all("\U0001f1e6" <= part <= "\U0001f1ff" for part in (cluster, char))
