"""What can be counted in one text without a model: length, structure, register, level, order, warmth."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from ..summary import split_sentences
from . import markers

__all__ = ["READ", "Features", "flat", "measure"]

READ = 20_000
"""Characters of one text that are measured. Style shows long before, and it bounds the time; length is extrapolated."""

# A sequence that a pattern could be made to try again from each of its characters is shortened first, so that reading
# stays linear in the text.
_MARKS = re.compile(r"[.!?\u2026\u061f\u06d4\u0964\u0965]{4,}")
_SPACES = re.compile(r"[^\S\n]{2,}")
_CURLY = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"'})

# Words that a character is worth in scripts that write no spaces between words.
_CJK_WORD, _UNSPACED_WORD = 0.6, 0.2


@dataclass(frozen=True, slots=True)
class Features:
    """Countable traits of one text. Rates are per word and smoothed, so that a short text makes no wild rate.

    Attributes:
        words: Words, extrapolated where the text was longer than what was read; CJK characters count 0.6.
        sentences: Sentences of what was read.
        bullets, numbered, headings, bold, tables, code: Lines or spans of markdown structure.
        formality: Formal markers less casual ones, per word; 0 where neither shows.
        level: Share of long words, acronyms, terms and figures; None where too few Latin words were read to say.
        examples, hedges, emoji: How often each occurs.
        warmth: Warm phrases and exclamation marks per sentence.
        preamble: Whether it opens with filler before the answer.
        order: 1 if the answer stands before its reasons, -1 if after, 0 if it does not show.
        asks: Whether it ends by asking the reader something.
        opening, closing: Words of the first and of the last sentence (empty if there is only one).
    """

    words: float = 0.0
    sentences: int = 0
    bullets: int = 0
    numbered: int = 0
    headings: int = 0
    bold: int = 0
    tables: int = 0
    code: int = 0
    formality: float = 0.0
    level: float | None = None
    examples: int = 0
    hedges: int = 0
    emoji: int = 0
    warmth: float = 0.0
    preamble: bool = False
    order: int = 0
    asks: bool = False
    opening: frozenset[str] = frozenset()
    closing: frozenset[str] = frozenset()

    @property
    def hedged(self) -> bool:
        """Whether it hedges all the time, and not just once."""
        return self.hedges > 1 and self.hedges > 0.03 * self.words

    @property
    def items(self) -> int:
        """Lines of lists; a single one is no list."""
        lines = self.bullets + self.numbered
        return lines if lines > 1 else 0


def flat(text: str) -> str:
    """The text with straight quotes and without long runs of marks and blanks: what all patterns here are read on."""
    return _SPACES.sub(" ", _MARKS.sub("...", text.translate(_CURLY)))


def measure(text: str, *, read: int = READ) -> Features:
    """Count the features of a text.

    Args:
        text: Any text in any script.
        read: Characters to read; of a longer text the beginning is read and its length extrapolated.

    Returns:
        Its features: the same for the same text, in time linear in `read`.
    """
    part = flat(text[:read])
    lower = part.lower()
    sentences = [piece.strip() for piece in split_sentences(lower) if _has_word(piece)]
    letters = markers.LETTERS.findall(lower)
    words = _count_words(part) * max(1.0, len(text) / read)
    first, last = (sentences[0], sentences[-1]) if len(sentences) > 1 else ("", "")
    return Features(
        words=words,
        sentences=len(sentences),
        bullets=len(markers.BULLET.findall(part)),
        numbered=len(markers.NUMBERED.findall(part)),
        headings=len(markers.HEADING.findall(part)),
        bold=len(markers.BOLD.findall(part)),
        tables=len(markers.TABLE.findall(part)),
        code=len(markers.CODE.findall(part)) // 2,
        formality=_formality(part, lower, len(letters)),
        level=_level(part, letters),
        examples=len(markers.EXAMPLE.findall(lower)),
        hedges=len(markers.HEDGE.findall(lower)),
        emoji=len(markers.EMOJI.findall(part)),
        warmth=(len(markers.WARM.findall(lower)) + 0.3 * min(3, part.count("!"))) / max(3, len(sentences)),
        preamble=bool(sentences) and bool(markers.PREAMBLE.match(sentences[0])),
        order=_order(sentences),
        asks=bool(markers.ASKS.search(lower, max(0, len(lower) - 200))),
        opening=_content(first),
        closing=_content(last),
    )


def _has_word(text: str) -> bool:
    return any(char.isalnum() for char in text)


def _count_words(text: str) -> float:
    unspaced = len(markers.CJK.findall(text)) * _CJK_WORD + len(markers.UNSPACED.findall(text)) * _UNSPACED_WORD
    if unspaced:
        text = markers.UNSPACED.sub(" ", markers.CJK.sub(" ", text))
    return unspaced + sum(1 for token in text.split() if _has_word(token))


def _formality(text: str, lower: str, words: int) -> float:
    casual = (
        len(markers.CONTRACTION.findall(lower))
        + 1.5 * len(markers.SLANG.findall(lower))
        + len(markers.EMOTICON.findall(text))
        + 0.25 * text.count("!")
    )
    if lower == text and "a" <= text.lstrip()[:1] <= "z":
        casual += 1.0  # all in small letters
    formal = len(markers.FORMAL.findall(lower)) + 0.4 * len(markers.UNCONTRACTED.findall(lower))
    return (formal - casual) / (words + 12)


def _level(text: str, letters: list[str]) -> float | None:
    """Rare words stand out by their length and syllables; terms, acronyms and figures by their form."""
    latin = [word for word in letters if word[0] < "\u0250"]
    if len(latin) < 4 or len(latin) < 0.7 * len(letters):
        return None
    hard = sum(times for word, times in Counter(latin).items() if _is_hard(word))
    capitals = [word for word in markers.ACRONYM.findall(text) if word not in markers.COMMON_CAPITALS]
    if len(capitals) > 0.3 * len(latin):
        capitals = []  # shouting is not jargon
    terms = len(markers.TERM.findall(text)) + 0.3 * len(markers.FIGURE.findall(text))
    return (hard + len(capitals) + terms) / (len(latin) + 6)


def _is_hard(word: str) -> bool:
    if len(word) < 7 or word in markers.EVERYDAY or markers.FORMAL.fullmatch(word):
        return False
    stem = _stem(word)
    return len(word) > 11 or (len(stem) > 5 and len(markers.VOWELS.findall(stem)) > 2)


def _stem(word: str) -> str:
    """A word without the endings that add a syllable but no difficulty."""
    for ending in ("ing", "ed", "es", "ly", "er", "est", "e", "s"):
        if word.endswith(ending) and len(word) - len(ending) > 3:
            return word[: -len(ending)]
    return word


def _order(sentences: list[str]) -> int:
    if not sentences:
        return 0
    first, rest = sentences[0], sentences[1:]
    answers = bool(markers.ANSWER_OPENS.match(first)) and not markers.CONCLUDES.search(first)
    if answers and rest:
        return 1
    concludes = any(markers.CONCLUSION.match(sentence) or markers.CONCLUDES.search(sentence) for sentence in rest[-2:])
    gives_reasons = markers.REASON_OPENS.match(first) and ", " in first
    if concludes or gives_reasons or (not rest and markers.CONCLUDES.search(first)):
        return -1
    short = len(first.split()) <= 8 and not markers.PREAMBLE.match(first) and not first.endswith("?")
    return 1 if short and any(markers.REASON.search(sentence) for sentence in rest[:2]) else 0


def _content(sentence: str) -> frozenset[str]:
    """The words of a sentence that carry its content, as far as length tells."""
    return frozenset(word for word in markers.LETTERS.findall(sentence[:600]) if len(word) > 3)
