"""Small grammar: contractions, the words of a register, and a sentence that goes on after an opener."""

from __future__ import annotations

import re
from functools import cache

__all__ = ["casual", "contract", "formal", "go_on", "lower_first"]


def _words(text: str) -> list[str]:
    return text.split()


def _not_after(words: str) -> str:
    return "".join(rf"(?<!\b{word} )" for word in _words(words))


# Where a verb is stressed, nobody contracts: "than it is at sea level", "what it is", "how old they are". And what
# stands after a preposition may be no subject: "the yeast in it will die".
_STRESSED = _not_after("than as what where who how why which in on of with from to for at by behind under")
_GOES_ON = r"(?= [a-z0-9])(?! (?:by|in|at|on|to|for|of|and|or|but|before|after|because|when|if|not)\b)"
_NOT = re.compile(
    r"\b(do|does|did|is|are|was|were|has|have|had|could|would|should|need|must) not\b(?! only\b)", re.IGNORECASE
)
_IRREGULAR = (
    (re.compile(r"\b([Cc])annot\b(?! only\b)"), r"\1an't"),
    (re.compile(r"\b([Ww])ill not\b"), r"\1on't"),
)
_PRONOUN = (
    (re.compile(rf"{_STRESSED}\b([Ii]t|[Tt]hat|[Tt]here|[Hh]e|[Ss]he) is{_GOES_ON}"), r"\1's"),
    (re.compile(rf"{_STRESSED}\b([Ww]ho|[Ww]hat) is{_GOES_ON}"), r"\1's"),
    (re.compile(rf"{_STRESSED}\b([Tt]hey) are{_GOES_ON}"), r"\1're"),
    (re.compile(rf"{_STRESSED}\b([Ii]t|[Tt]hat|[Tt]hey|[Tt]here|[Hh]e|[Ss]he) will(?= [a-z])(?! not\b)"), r"\1'll"),
    (re.compile(r"\b([Tt]hey) have(?= (?:been|become|grown|learned|had|lost|made|seen|got|passed|left)\b)"), r"\1've"),
    (re.compile(r"\b([Ii]t) has(?= (?:been|become|grown|had|lost|made|got|passed|left)\b)"), r"\1's"),
)
_NO_NOUN = (
    "of more a an in do does did are were was is as times can could will would may might have had has hundreds "
    "thousands millions billions centuries millennia years hours amounts orders forms cases at on for"
)
_COUNTED = rf"(?= [a-z])(?! (?:{'|'.join(_words(_NO_NOUN))})\b)"
_NOT_COUNTED = _not_after("as how so too very not the its their of these those")
_CASUAL = (
    (re.compile(rf"{_NOT_COUNTED}\bmany{_COUNTED}"), "lots of"),
    (re.compile(rf"\AMany{_COUNTED}"), "Lots of"),
    (re.compile(r"(?<!\bthe )(?<!\bthis )(?<!\bthat )\bvery(?= [a-z])(?! same\b)"), "really"),
    (re.compile(r"\bsuch as\b"), "like"),
    (re.compile(r"\bwhereas\b"), "while"),
)
_AMOUNT = r"(?!(?:1\d|20)\d\d\b)(?:\d|(?:half|one|two|three|four|five|six|ten)\b)"  # and no year
_FORMAL = (
    (re.compile(rf"(?<!\b[Oo]nly )\b(A|a)bout(?= {_AMOUNT})"), r"\1pproximately"),
    (re.compile(r"\b([Oo])ften\b"), lambda match: "Frequently" if match[1] == "O" else "frequently"),
)

# First words of the topics' sentences that are names and keep their capital in the middle of a sentence.
_NAMES = frozenset(
    _words(
        """
        Alberti American Baddeley Buddhism Champollion Charles Christian Christopher Cuban David East English Euclid
        French Giacomo Gradus Haitian Hanseatic Henri Ivan Jean Jupiter Korean Lactobacillus Leon Masaoka Minoan
        Montesquieu Nelson Newtonian Peter Philippa Ricardo Shakespeare Singer Socrates Thomas Wayne
        """
    )
)
_FIRST = re.compile(r"(?!Silk Road)[A-Z](?:[a-z]+)?(?![A-Za-z]*[A-Z0-9])")


@cache
def casual(sentence: str) -> str:
    """The sentence as people say it: contracted, with relaxed words."""
    for pattern, replacement in _CASUAL:
        sentence = pattern.sub(replacement, sentence)
    return contract(sentence)


@cache
def formal(sentence: str) -> str:
    """The sentence in careful words."""
    for pattern, replacement in _FORMAL:
        sentence = pattern.sub(replacement, sentence)
    return sentence


def contract(sentence: str) -> str:
    """Contract what can be contracted: "does not" -> "doesn't", "it is" -> "it's"."""
    sentence = _NOT.sub(r"\1n't", sentence)
    for pattern, replacement in (*_IRREGULAR, *_PRONOUN):
        sentence = pattern.sub(replacement, sentence)
    return sentence


def go_on(opener: str, sentence: str) -> str:
    """The sentence after an opener, which may be empty; after a colon or a full stop it begins anew."""
    if not opener:
        return sentence
    return f"{opener} {sentence if opener.endswith((':', '.', '!', '?')) else lower_first(sentence)}"


@cache
def lower_first(sentence: str) -> str:
    """The sentence with a small first letter, unless it begins with a name, an acronym or "I"."""
    match = _FIRST.match(sentence)
    if not match or match.group() in _NAMES:
        return sentence
    return sentence[0].lower() + sentence[1:]
