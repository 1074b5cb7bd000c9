"""How a preference is said: short imperative sentences that a small model follows, and what is quoted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from ..signals import sanitise
from ..summary import split_sentences
from .decision import Preference, TypicalLength, typical_length
from .phrases import Axis

__all__ = ["NOTHING", "quote", "shorten", "verbatim", "word"]

NOTHING = "No clear style preference can be read from these signals."

_WORDING: Mapping[Axis, tuple[str, str]] = MappingProxyType(
    {
        Axis.LENGTH: ("Keep answers short.", "Give long, detailed answers."),
        Axis.LISTS: ("Write in prose, without lists.", "Use bullet points."),
        Axis.FORMALITY: ("Be casual and friendly.", "Be formal."),
        Axis.LEVEL: ("Use everyday words and avoid jargon.", "Use precise technical terms."),
        Axis.ORDER: ("Explain the reasons before the answer.", "Start with the answer."),
        Axis.EXAMPLES: ("Leave out examples.", "Give a concrete example."),
        Axis.EMOJI: ("Do not use emoji.", "Use emoji."),
        Axis.WARMTH: ("Keep a neutral tone.", "Be warm and encouraging."),
        Axis.HEDGES: ("Be decisive, without hedging.", "Say what is uncertain."),
        Axis.HEADINGS: ("Do without headings and bold text.", "Use headings and bold key terms."),
        Axis.TABLES: ("Do not use tables.", "Use tables where they fit."),
        Axis.CODE: ("Leave out code.", "Show code."),
        Axis.ASKS: ("Do not end with a question.", "End with a question back."),
        Axis.STEPS: ("Answer at once, not in steps.", "Explain step by step."),
        Axis.SOURCES: ("Leave out sources.", "Back claims with facts and evidence."),
        Axis.HUMOUR: ("Be serious.", "Use humour."),
    }
)
_ENDS = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f", "\u061f", "\u06d4", "\u0964")
_CJK_END = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]$")


def word(preference: Preference) -> str:
    """The sentence that asks for a preference; a length is named where texts show one."""
    length = typical_length(preference.comparisons)
    if preference.axis is Axis.LENGTH and length is not None:
        return _short(length) if preference.direction < 0 else _long(length)
    return _WORDING[preference.axis][preference.direction > 0]


def _short(length: TypicalLength) -> str:
    if length.words <= 12 and length.sentences <= 1:
        return "Keep answers very short: one sentence."
    if length.words <= 35 and length.sentences <= 2:
        return "Keep answers short: one or two sentences."
    return f"Keep answers short: about {_round(length.words)} words." if length.steady else "Keep answers short."


def _long(length: TypicalLength) -> str:
    if length.words >= 200:
        return "Give long, detailed answers of several paragraphs."
    if length.words < 30:
        return "Answer in full sentences, not in a few words."
    if length.steady:
        return f"Give detailed answers: about {_round(length.words)} words."
    return "Give detailed answers of several sentences."


def _round(words: float) -> int:
    step = 5 if words < 50 else 10 if words < 100 else 50
    return max(step, round(words / step) * step)


def verbatim(text: str, limit: int) -> str:
    """A text as the user wrote it: on one line, cut at a sentence end if it is long, closed by a full stop."""
    line = _line(text, 4 * limit)
    kept = ""
    for sentence in split_sentences(line):
        if kept and len(kept) + len(sentence.rstrip()) > limit:
            break
        kept += sentence
    line = _cut(kept.strip(), limit)
    if line.endswith(_ENDS):
        return line
    return f"{line}\u3002" if _CJK_END.search(line) else f"{line}."


def quote(text: str, limit: int) -> str:
    """A text in quotation marks, on one line, cut between words if it is long."""
    inner = shorten(text, limit).replace('"', "'")
    return f'"{inner}"'


def shorten(text: str, limit: int) -> str:
    """A text on one line without its full stop, cut between words if it is long."""
    return _cut(_line(text, 4 * limit), limit).rstrip(".\u3002 ")


def _line(text: str, limit: int) -> str:
    return " ".join(sanitise(text[:limit]).split())


def _cut(line: str, limit: int) -> str:
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    space = cut.rfind(" ")
    return (cut[:space] if space > limit // 2 else cut).rstrip(" ,;:-") + "\u2026"
