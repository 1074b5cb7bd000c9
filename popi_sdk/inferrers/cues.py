# ruff: noqa: E501 - a pattern of phrases is searched, not read from end to end; breaking it hides its parts
"""What a user asks for in words: phrases such as "too long", "no emojis", "in plain English" and their direction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from .features import flat

__all__ = ["Axis", "read_answer", "read_cues"]

_READ = 600  # characters


class Axis(StrEnum):
    """What a style is measured on; the direction +1 is the one named second."""

    LENGTH = "short or long"
    LISTS = "prose or lists"
    FORMALITY = "casual or formal"
    LEVEL = "plain or technical"
    ORDER = "reasons first or answer first"
    EXAMPLES = "without or with examples"
    EMOJI = "without or with emoji"
    WARMTH = "neutral or warm"
    HEDGES = "decisive or cautious"
    HEADINGS = "without or with headings"
    TABLES = "without or with tables"
    CODE = "without or with code"
    ASKS = "without or with a question back"
    STEPS = "at once or step by step"
    SOURCES = "without or with facts and sources"
    HUMOUR = "serious or funny"


_ANSWERS = "answers?|responses?|explanations?|repl(?:y|ies)|texts?|sentences?|paragraphs?|messages?|versions?|ones?"

# Words for a quality: negation turns them round ("not too formal").
_QUALITIES: tuple[tuple[Axis, int, str], ...] = (
    (
        Axis.LENGTH,
        -1,
        r"(?<!in )(?:short|brief)(?! (?:story|stories|term|time|circuit|cut|film))|shorter|shortest|shorten|briefly|briefer|"
        r"concise|concisely|succinct|succinctly|terse|condensed?|crisp|snappy|compact|(?:one|two|1|2|a|a few|few|couple of) "
        r"(?:sentences?|lines?|words)|one-liners?|few words|less (?:text|words|detail|details|info)|fewer words|cut it down|"
        r"trim it|keep it (?:small|tight)|brevity|summari[sz]e it|tl;?dr|"
        r"(?:under|at most|max(?:imum)?|no more than|within|fewer than|less than|up to|only|in|below) \d{1,3} words",
    ),
    (
        Axis.LENGTH,
        1,
        rf"(?<!no )(?<!any )longer(?! (?:works|than|lasting|term))|long (?:{_ANSWERS})|(?<=too )long|(?<=be )long(?= |$)|"
        r"detailed|in[- ]depth|in detail|more (?:details?|depth|in-depth|info|information|thorough|context|explanation)|"
        r"(?:lots|plenty|a lot|level) of details?|(?<=too much )details?|(?<=enough )(?:details?|depth|information)|thorough|"
        r"thoroughly|comprehensive|exhaustive|extensive|elaborate|expand|go deeper|tell me more|full explanations?|"
        r"the (?:full|whole) (?:story|picture)|(?:several|many|multiple) paragraphs|depth|well[- ]developed|"
        r"(?:at least|minimum(?: of)?|more than|over) \d{2,4} words",
    ),
    (
        Axis.LISTS,
        -1,
        r"prose|(?:in|full|plain|flowing|normal) paragraphs|(?:flowing|running|continuous) text|(?:full|complete) sentences",
    ),
    (
        Axis.FORMALITY,
        -1,
        r"casual|casually|informal|informally|chatty|conversational|laid[- ]back|relaxed|colloquial|like a (?:friend|buddy|mate)|"
        r"talk normally|normal language|less formal|down[- ]to[- ]earth",
    ),
    (
        Axis.FORMALITY,
        1,
        r"(?<!less )(?<!in)formal|formally|professional(?!s)|professionally|business[- ]like|academic (?:tone|style|language|register)|"
        r"polite and distant|proper english",
    ),
    (
        Axis.LEVEL,
        -1,
        r"plain (?:english|words|language|terms)|(?:simple|clear and simple) (?:words|terms|language|english|answers?|explanations?|sentences|ones?)|(?:it|things|them|more|very|be|was|is|keep) simple|^simple$|simpler|(?:explain|explained|put|more|very|it|things|say|said|written) simply|simply (?:please|put)|simplify|simplified|lay(?:man|person)(?:'?s)?(?: terms)?|"
        r"lay terms|eli5|like i(?:'?m| am|'?m a) (?:5|five|ten|10|a child|twelve|12)|a (?:five|5|ten|10|12|twelve)[- ]year[- ]old|"
        r"eas(?:y|ier) (?:to understand|words|language|terms)|beginner(?:'s|s)?|non[- ]technical|"
        r"everyday (?:words|language|terms)|dumb (?:it|this|that|things)? ?down|without the jargon|novice",
    ),
    (
        Axis.LEVEL,
        1,
        r"(?<!non-)(?<!non )technical(?! support)|technically|precise terms|(?:correct|proper|exact) term(?:s|inology)|expert(?:'s|s)?[- ]?"
        r"(?:level|answers?|terms)?|advanced|more scientific|scientific (?:terms|language|detail|vocabulary)|rigorous|rigor|rigour|nerdy|sophisticated",
    ),
    (
        Axis.ORDER,
        1,
        r"(?:get|gets|getting|go|come|cut|straight|right|stick|keep|sticks) (?:straight |right )?to the (?:point|chase)|to the point|"
        r"answers? first|the answer up ?front|(?:start|open|begin|lead) with (?:the |your )?(?:answer|conclusion|result)|bottom line|"
        r"(?:be|more|very|and|was|is|so) direct|direct (?:answers?|replies)|answers? directly|straight answers?|up ?front|conclusion first|"
        r"straightforward|the answer (?:at once|immediately|right away)|just (?:the|give me the|tell me the) answer",
    ),
    (
        Axis.ORDER,
        -1,
        r"(?:reasons?|reasoning|context|background|logic|the why|why) (?:first|before (?:the |your )?(?:answer|conclusion|result))|"
        r"explain (?:why|the reasons?|your reasoning) (?:first|before)|(?:start|begin|open|lead) with (?:the |your |some )?(?:reason(?:s|ing)?|background|context|why)|"
        r"build(?:s|ing)? up to|(?:conclusion|answer) (?:last|at the end)|before (?:the answer|you answer|concluding)",
    ),
    (
        Axis.WARMTH,
        1,
        r"friendly|friendlier|warmer|warmth|(?:be|more) warm|warm tone|encouraging|(?:be|more) (?:supportive|enthusiastic)|upbeat|"
        r"cheerful|empath(?:y|etic|ic)|kind (?:tone|words)|gentle|compassionate",
    ),
    (
        Axis.WARMTH,
        -1,
        r"neutral tone|(?:be|more) (?:neutral|blunt)|matter[- ]of[- ]fact|no[- ]nonsense|businesslike|dry tone|impersonal",
    ),
    (Axis.HEDGES, -1, r"decisive|assertive|confident(?:ly)?|take a stand|commit to an answer|clear recommendation"),
    (
        Axis.STEPS,
        1,
        r"step[- ]by[- ]step|one step at a time|in steps|numbered steps|walk me through",
    ),
    (Axis.HUMOUR, 1, r"funny|funnier|humou?r|humou?rous|witty|playful|a joke or two|hilarious"),
    (Axis.HUMOUR, -1, r"serious tone|be serious|more serious"),
)

# Words for a thing: wanted unless negated ("no emojis", "too many examples").
_THINGS: tuple[tuple[Axis, int, str], ...] = (
    (
        Axis.LISTS,
        1,
        r"bullets?|bullet[- ]?(?:points?|lists?|form)|bulleted|point form|(?:as|in|into|use|using|want|numbered) (?:a )?lists?|(?<=no )lists?|(?:(?<=hate )|(?<=dislike )|(?<=like )|(?<=prefer )|(?<=use )|(?<=using )|(?<=no )|(?<=of )|(?<=and )|(?<=or ))lists|"
        r"list (?:form|format)|lists?(?= (?:please|instead|format))|itemi[sz]ed",
    ),
    (
        Axis.EXAMPLES,
        1,
        r"examples?|for instance|e\.g\.|illustrations?|illustrated?|real[- ]life (?:cases?|situations?)|analog(?:y|ies)|concrete (?:cases?|instances?)",
    ),
    (Axis.EMOJI, 1, r"emojis?|emoticons?|smile?ys?|smileys|smilies"),
    (Axis.WARMTH, 1, r"exclamation (?:marks?|points?)|compliments?|pleasantries|flattery|praise"),
    (Axis.HEDGES, 1, r"caveats?|disclaimers?|hedg(?:e|es|ing)|qualifiers|uncertainty|warnings?"),
    (Axis.HEADINGS, 1, r"headings?|headers?|section titles|bold(?:ed)?(?: text| terms)?|markdown"),
    (Axis.TABLES, 1, r"(?:in|as|into|use|using|with) (?:a )?tables?|(?<=no )tables?|tables? (?:please|instead)"),
    (Axis.CODE, 1, r"code (?:examples?|snippets?|samples?|blocks?)|(?:show|with|see|the) (?:me )?(?:the |some )?code"),
    (Axis.ASKS, 1, r"(?:clarifying|follow[- ]?up) questions?|ask(?:ing)? (?:me )?(?:\w+ )?questions?|questions? back"),
    (
        Axis.SOURCES,
        1,
        r"sources|citations?|cite[sd]?|references|evidence|statistics|facts|factual|(?:backed|back it|backs) (?:it |this )?up|data to (?:support|back)",
    ),
)

# Words that always complain, whatever stands before them ("so wordy", "cut the fluff").
_COMPLAINTS: tuple[tuple[Axis, int, str], ...] = (
    (
        Axis.LENGTH,
        -1,
        r"wordy|verbose|long[- ]winded|lengthy|rambl(?:es?|ing|y)|walls? of text|drags on|goes on and on|essays?(?= please| when)|"
        r"bloated|tedious|too much (?:text|information|info|detail|to read)|repetitive",
    ),
    (
        Axis.LENGTH,
        1,
        r"too (?:short|brief|terse|vague|thin|superficial)|not enough detail|more fleshed out|superficial|shallow",
    ),
    (Axis.FORMALITY, -1, r"stiff|stuffy|robotic|corporate|stilted|pompous|too formal"),
    (Axis.FORMALITY, 1, r"unprofessional|sloppy|too (?:casual|chummy|informal|familiar)|slang"),
    (
        Axis.LEVEL,
        -1,
        r"jargon|buzzwords?|(?:big|fancy|difficult|technical|long) words|complicated|over my head|too (?:technical|complex|advanced|hard)|"
        r"gibberish|acronyms|abbreviations",
    ),
    (
        Axis.LEVEL,
        1,
        r"too (?:simple|basic|simplistic|childish)|dumbed down|over-?simplified|patroni[sz]ing|condescending",
    ),
    (
        Axis.ORDER,
        1,
        r"preambles?|fluff|filler|beat(?:ing)? around the bush|waffl(?:e|es|ing)|small talk|(?:skip|no|without|cut|drop) (?:the |long )?"
        r"(?:intro|introductions?|introduction|greetings?)|burie[sd]|dances around",
    ),
    (Axis.HEDGES, -1, r"wishy[- ]washy|on the fence|non-?committal|evasive"),
    (
        Axis.WARMTH,
        -1,
        r"gushing|sycophan(?:t|tic|cy)|over-?enthusiastic|too (?:cheerful|friendly|enthusiastic)|sugar-?coat(?:ing)?",
    ),
)

# Questions about how to answer: what they are about, and the answers that take a side (low, high) where read_cues knows none.
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
    r"(?:yes|yeah|yep|sure|always|often|definitely|absolutely|a lot|i (?:love|like|do)|love|please|true|agree|strongly agree)\b"
)
_NO = re.compile(
    r"(?:no|nope|never|rarely|none|not|false|disagree|i (?:hate|don't|dislike)|hate|don't|avoid|seldom|strongly disagree)\b"
)

_NEGATORS = frozenset(
    [
        "no",
        "not",
        "dont",
        "never",
        "without",
        "avoid",
        "avoids",
        "avoiding",
        "stop",
        "stops",
        "skip",
        "less",
        "fewer",
        "drop",
        "remove",
        "cut",
        "hate",
        "hates",
        "dislike",
        "dislikes",
        "lose",
        "ditch",
        "omit",
        "leave",
        "over",
        "than",
        "minus",
        "nor",
        "too",
        "overly",
        "excessive",
        "unnecessary",
        "useless",
        "zero",
        "cannot",
        "forget",
    ]
)
_TURN_BACK = frozenset(
    ["stop", "skip", "avoid", "omit", "drop", "remove", "cut", "leave", "without", "forget", "ditch"]
)
_CLAUSE = re.compile(
    r", so|[;:.!?()\n\u2014]|(?<=\s)(?:but|because|although|unless|while|please|just|and (?:use|give|add|show|keep|more)|it was|it is|it's)(?=\s)"
)
_PART = re.compile(r",|(?<=\s)and(?=\s)")
_LISTED = re.compile(r",? (?:or|nor)\b")
_LIKED = re.compile(r"(?:use|with|love|like|enjoy|want) (?:the |some )?$")
_REACH = 5  # words before a phrase within which a negation turns it round


def _compiled(*tables: tuple[tuple[Axis, int, str], ...]) -> tuple[tuple[Axis, int, re.Pattern[str]], ...]:
    return tuple(
        (axis, sign, re.compile(rf"(?<![\w'])(?:{words})(?![\w'])")) for table in tables for axis, sign, words in table
    )


_TURNING, _FIXED = _compiled(_QUALITIES, _THINGS), _compiled(_COMPLAINTS)
_NAMES_THINGS = frozenset(axis for axis, _, _ in _THINGS)


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
    for axis, sign, pattern in _FIXED:
        for match in pattern.finditer(lower):
            taken.append(match.span())
            liked = axis is Axis.LEVEL and _LIKED.search(lower, max(0, match.start() - 20), match.start())
            _note(found, axis, -sign if liked else sign)
    for axis, sign, pattern in _TURNING:
        for match in pattern.finditer(lower):
            if not any(start <= match.start() < end for start, end in taken):
                _note(found, axis, -sign if _is_negated(lower, match, axis in _NAMES_THINGS) else sign)
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
    after = text[match.end() : match.end() + 12]
    clause = _CLAUSE.split(text[max(0, match.start() - 80) : match.start()])[-1]
    before = clause.split()
    if not thing or not (_LISTED.match(after) or before[-1:] in (["or"], ["nor"], ["and"])):
        before = _PART.split(clause)[-1].split()
    words = before[-_REACH:]
    hard = [word for word in words if word in _NEGATORS or word.endswith("n't")]
    if "instead of" in " ".join(words):
        hard.append("instead")
    if not hard or "enough" in words or after.startswith(" enough"):
        return False
    # "don't skip the examples" wants them
    turned_back = (
        len(hard) > 1 and hard[-1] in _TURN_BACK and (hard[-2] in ("not", "never") or hard[-2].endswith("n't"))
    )
    return not turned_back


def _excerpt(text: str) -> str:
    """A request is short: of a longer text its beginning and its end are read."""
    if len(text) > _READ:
        text = f"{text[: _READ // 2]}\n{text[-_READ // 2 :]}"
    return flat(text).lower()
