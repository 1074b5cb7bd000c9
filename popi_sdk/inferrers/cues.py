"""What a user asks for in words: phrases such as "too long", "no emojis", "in plain English" and their direction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from .features import flat
from .phrases import COMPLAINTS, QUALITIES, THINGS, Axis, Rows

__all__ = ["Axis", "read_answer", "read_cues"]

_READ = 600  # characters
_REACH = 5  # words before a phrase within which a negation turns it round

# Questions about how to answer: what they are about, and the answers that take a side (low, high) beside the cues.
_ASKED: Mapping[Axis | None, re.Pattern[str]] = MappingProxyType(
    {
        None: re.compile(
            r"\b(?:answers?|responses?|explanations?|repl(?:y|ies)|tone|style|format|formatted|assistant|writing)\b"
        ),
        Axis.LENGTH: re.compile(
            r"\b(?:lengthy?|how long|brevity|verbosity|(?:how|how much|level of) detail(?:ed)?|conciseness)\b"
        ),
        Axis.LISTS: re.compile(r"\b(?:bullets?|bullet points|lists or|or lists?|prose)\b"),
        Axis.FORMALITY: re.compile(r"\b(?:formal|formality|tone|register|casual)\b"),
        Axis.LEVEL: re.compile(
            r"\b(?:technical(?:ity)?|jargon|reading level|complexity|(?:language|expertise) level)\b"
        ),
        Axis.EXAMPLES: re.compile(r"\bexamples?\b"),
        Axis.EMOJI: re.compile(r"\b(?:emojis?|emoticons?)\b"),
        Axis.ORDER: re.compile(r"\b(?:answer|conclusion|reasons?|reasoning) (?:first|last)\b"),
    }
)
_ANSWERED: Mapping[Axis, tuple[re.Pattern[str], re.Pattern[str]]] = MappingProxyType(
    {
        Axis.LENGTH: (
            re.compile(r"\b(?:short|brief|concise|few|sentences?|low|minimal|little|less|tiny|quick)\b"),
            re.compile(r"\b(?:long|detailed|full|pages?|high|thorough|paragraphs|as much as|lots?|maximum|more)\b"),
        ),
        Axis.FORMALITY: (
            re.compile(r"\b(?:low|relaxed|friendly|like a friend)\b"),
            re.compile(r"\b(?:high|very|polite|business)\b"),
        ),
        Axis.LEVEL: (
            re.compile(r"\b(?:low|basic|beginner|none|little|plain|simple)\b"),
            re.compile(r"\b(?:high|expert|advanced|full|professional|deep)\b"),
        ),
    }
)
_YES = re.compile(
    r"(?:yes|yeah|yep|sure|always|often|definitely|absolutely|a lot|(?:i )?(?:love|like)|i do|please|true|"
    r"(?:strongly )?agree)\b"
)
_NO = re.compile(
    r"(?:no|nope|never|rarely|none|not|false|(?:strongly )?disagree|i (?:hate|don't|dislike)|hate|don't|avoid|seldom)\b"
)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NEGATIONS = _set(
    "no not dont never without avoid avoids avoiding stop stops skip less fewer drop remove cut hate hates dislike "
    "dislikes lose ditch omit leave over than minus nor too overly excessive unnecessary useless zero cannot forget"
)
_TURN_BACK = _set("stop skip avoid omit drop remove cut leave without forget ditch")
_CLAUSE = re.compile(
    r", so|[;:.!?()\n\u2014]|(?<=\s)(?:but|because|although|unless|while|please|just|"
    r"and (?:use|give|add|show|keep|more)|it was|it is|it's)(?=\s)"
)
_PART = re.compile(r",|(?<=\s)and(?=\s)")
_LISTED = re.compile(r",? (?:or|nor)\b")
_LIKED = re.compile(r"(?:use|with|love|like|enjoy|want) (?:the |some )?$")


def _compiled(rows: Rows) -> tuple[tuple[Axis, int, re.Pattern[str]], ...]:
    layout = re.compile(r"\n\s*")
    return tuple(
        (axis, sign, re.compile(rf"(?<![\w'])(?:{layout.sub('', phrases)})(?![\w'])")) for axis, sign, phrases in rows
    )


_QUALITIES, _THINGS, _COMPLAINTS = (_compiled(QUALITIES), _compiled(THINGS), _compiled(COMPLAINTS))


def read_cues(text: str) -> dict[Axis, int]:
    """What a text asks for, on which axes.

    Args:
        text: The user's own words.

    Returns:
        The direction (-1 or 1) on each axis that the words speak of; 0 where they say both.
    """
    lower = _excerpt(text)
    found: dict[Axis, int] = {}
    taken: list[tuple[int, int]] = []
    for axis, sign, pattern in _COMPLAINTS:
        for match in pattern.finditer(lower):
            taken.append(match.span())
            liked = axis is Axis.LEVEL and _LIKED.search(lower, max(0, match.start() - 20), match.start())
            _note(found, axis, -sign if liked else sign)
    for rows in (_QUALITIES, _THINGS):
        for axis, sign, pattern in rows:
            for match in pattern.finditer(lower):
                if not any(start <= match.start() < end for start, end in taken):
                    _note(found, axis, -sign if _is_negated(lower, match, rows is _THINGS) else sign)
    return found


def read_answer(question: str, answer: str) -> dict[Axis, int]:
    """What the answer to a question asks for: "How long should answers be?" - "short".

    Args:
        question: What was asked, or the name of an attribute.
        answer: What the user answered.

    Returns:
        As `read_cues`; empty where the question is not about how to answer, or the answer takes no side.
    """
    asked, said = _excerpt(question), _excerpt(answer)
    about = [axis for axis, pattern in _ASKED.items() if pattern.search(asked)]
    found = read_cues(answer) if about else {}
    for axis in about:
        if axis and axis not in found and (sign := _side(axis, asked, said)):
            found[axis] = sign
    return found


def _side(axis: Axis, asked: str, said: str) -> int:
    low, high = _ANSWERED.get(axis, (None, None))
    if low and low.search(said):
        return -1
    if high and high.search(said):
        return 1
    named = read_cues(asked).get(axis, 0)
    if _YES.match(said):
        return named
    return -named if _NO.match(said) else 0


def _note(found: dict[Axis, int], axis: Axis, sign: int) -> None:
    found[axis] = sign if found.get(axis, sign) == sign else 0


def _is_negated(text: str, match: re.Match[str], thing: bool) -> bool:
    """Whether a negation before a phrase reaches it: over "and", "or" and commas only in an enumeration of things."""
    after = text[match.end() : match.end() + 12]
    before = _CLAUSE.split(text[max(0, match.start() - 80) : match.start()])[-1]
    if not thing or not (_LISTED.match(after) or before.endswith((" or ", " nor ", " and "))):
        before = _PART.split(before)[-1]
    words = before.split()[-_REACH:]
    negations = [word for word in words if _is_negation(word) or (word == "of" and "instead of" in before)]
    if not negations or "enough" in words or after.startswith(" enough"):
        return False
    # "don't skip the examples" wants them
    return not (len(negations) > 1 and negations[-1] in _TURN_BACK and negations[-2].endswith(("n't", "not", "never")))


def _is_negation(word: str) -> bool:
    return word in _NEGATIONS or word.endswith("n't")


def _excerpt(text: str) -> str:
    """A request is short: of a longer text its beginning and its end are read."""
    if len(text) > _READ:
        text = f"{text[: _READ // 2]}\n{text[-_READ // 2 :]}"
    return flat(text).lower()
