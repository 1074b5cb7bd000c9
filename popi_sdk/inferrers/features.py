# ruff: noqa: E501 - a pattern of phrases is searched, not read from end to end; breaking it hides its parts
"""What can be counted in one text without a model: length, structure, register, level, order, warmth."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..summary import split_sentences

__all__ = ["READ", "Features", "flat", "measure"]

READ = 20_000
"""Characters of one text that are measured. Style shows long before, and it bounds the time; length is extrapolated."""

# A sequence that a pattern could be made to try again from each of its characters is shortened first, so that reading
# stays linear in the text.
_MARKS = re.compile(r"[.!?\u2026\u061f\u06d4\u0964\u0965]{4,}")
_SPACES = re.compile(r"[^\S\n]{2,}")
_CURLY = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"'})

# Scripts that write no spaces between words, and how many words a character is worth.
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003fffd]")
_UNSPACED = re.compile("[\u0e01-\u0e5b\u0e81-\u0edf\u1000-\u109f\u1780-\u17ff]")
_CJK_WORD, _UNSPACED_WORD = 0.6, 0.2

_EMOJI = re.compile(
    "[\U0001f300-\U0001faff\U0001f1e6-\U0001f1ff\u2600-\u26ff\u2705\u2728\u2753-\u2757\u2763-\u2764\u2b50]"
)
_BULLET = re.compile(r"(?m)^[ \t]{0,8}(?:[-*+\u2013][ \t]|[\u2022\u25cf\u25aa\u2460-\u2473][ \t]?)\S")
_NUMBERED = re.compile(r"(?m)^[ \t]{0,8}(?:\(?\d{1,3}[.)]|[a-hA-H]\)|(?i:step) \d{1,2}[:.])[ \t]+\S")
_HEADING = re.compile(r"(?m)^#{1,6} \S|^\*\*[^*\n]{1,80}\*\*:?$")
_BOLD = re.compile(r"\*\*[^*\s][^*\n]{0,80}\*\*")
_TABLE = re.compile(r"(?m)^[ \t]{0,3}\|?[ \t]{0,3}:?-{2,}:?[ \t]{0,3}\|")
_CODE = re.compile(r"(?m)^[ \t]{0,3}(?:```|~~~)")
_LETTERS = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_VOWELS = re.compile("[aeiouy\u00e0-\u00e6\u00e8-\u00ef\u00f2-\u00f6\u00f8-\u00fd]+")
_ACRONYM = re.compile(r"\b[A-Z][A-Z0-9]{1,6}s?\b")
_TERM = re.compile(
    r"\b[a-z]{1,20}[A-Z]\w{0,30}|\b\w{1,30}_\w{1,30}|\b[A-Za-z]{1,12}\d{1,6}\b|`[^`\n]{1,80}`|[\u0391-\u03c9=<>^]"
)
_FIGURE = re.compile(
    r"\d+(?:[.,]\d+)*(?:\s?(?:%|\u00b0|[kKMGT]?(?:Hz|B|W|V|m|g|s|l|L|J|Pa)\b|[mcknu\u00b5]?(?:m|g|s|mol|L)\b))?"
)


def _words(phrases: str) -> re.Pattern[str]:
    """A pattern for any of the phrases (`|` between them) as whole words of lower-case text."""
    return re.compile(rf"(?<!\w)(?:{phrases})(?!\w)")


_CONTRACTION = _words(
    r"[a-z]{2,8}n't|(?:i|you|we|they|he|she|it|that|what|who|there|here|where|how|why|this)'(?:s|re|ve|ll|d|m)|let's"
)
_SLANG = _words(
    "gonna|wanna|gotta|kinda|sorta|lemme|gimme|dunno|yeah|yep|yup|nope|nah|hey|lol|lmao|btw|tbh|imo|imho|fyi|dude|bro|"
    "guys|folks|stuff|awesome|cool|ok|okay|y'all|ain't|dont|cant|wont|doesnt|isnt|im|ive|ur|u|thx|pls|plz|omg|haha|heh|"
    "heck|pretty much|a bunch|tons|no worries|no biggie|you bet|big deal|sounds good|cheers|a ton|super|crazy|gotcha|"
    "hang on|chill|legit|buddy|pal|mate|thingy?|whatever|anyway|grab|toss|mess with|screw up|a lot of|lots of|boom|voila"
)
_FORMAL = _words(
    "furthermore|moreover|consequently|nevertheless|nonetheless|notwithstanding|whereas|whereby|therein|thereof|thereby|"
    "herein|hereby|regarding|concerning|pursuant|accordingly|additionally|subsequently|commenc(?:e|es|ing)|"
    "utili[sz](?:e|es|ed|ing)|endeavou?r|obtain(?:ed)?|ascertain|facilitate[sd]?|individuals?|one (?:may|should|must|can)|"
    "it is (?:recommended|advisable|advised|essential|imperative|necessary|worth|important)|it should be noted|"
    "in order to|with (?:respect|regard) to|prior to|in addition|please note|kindly|shall|upon|dear (?:sir|madam)|"
    "sincerely|yours faithfully|(?:we|i) (?:would )?recommend|ensure|sufficient|require[sd]?|provide[sd]?|assistance|"
    "numerous|approximately|inquir(?:e|y|ies)|in accordance|henceforth|albeit|may be|constitutes?|undertake|"
    "appropriate|is advised|are advised|purchase[sd]?|residence|remain[s]?|optimal|beneficial|adequate"
)
_UNCONTRACTED = _words(
    r"(?:do|does|did|is|are|was|were|will|would|should|could|can|have|has) not|cannot|"
    r"(?:i am|it is|you are|we are|they are|that is|there is|you will|it will|i have|you have|i would)"
)
_EXAMPLE = _words(
    r"for (?:example|instance)|e\.g\.?|eg|such as|(?:imagine|suppose|picture|say you|let's say|think of (?:it|a|an|how|your))|"
    r"(?:an?|one|quick|concrete|simple|another) examples?|examples?:|example|like when|like if|as if|just like|"
    r"it's like|is like|works like|z\. ?b\.|par exemple|por ejemplo|ad esempio|zum beispiel"
)
_HEDGE = _words(
    "perhaps|maybe|possibly|might|it depends|depends on|could be|may (?:be|have|not|also|vary)|seems?|arguably|in (?:some|many|certain) cases|"
    "generally|typically|usually|to some extent|i think|i believe|i guess|not sure|varies|vary|some (?:people|experts|would)|"
    "there is no (?:one|single|simple|right)|tends? to|somewhat|presumably|likely|not necessarily|on the other hand"
)
_WARM = _words(
    "hope (?:this|that|it) helps|(?:great|good|excellent|wonderful|lovely) (?:question|job|choice|idea)|happy to|glad|feel free|"
    "let me know|you(?:'ve| have)? got this|don't worry|no worries|wonderful|amazing|congratulations|congrats|thanks?|thank you|"
    "you're welcome|so sorry|i understand how|i'm here|take care|be proud|so proud|well done|good luck|have fun|enjoy|"
    "you'll do great|love that|my friend|rooting for you|excited|delighted"
)
_PREAMBLE = re.compile(
    r"(?:that's an? |what an? |this is an? )?(?:great|good|excellent|interesting|fantastic|wonderful|common|complex) "
    r"(?:question|point|topic)|(?:sure|certainly|of course)\b|(?:thank you|thanks) for|i'?(?:d be| would be|m| am) (?:happy|glad)|"
    r"as an ai|let me|let's (?:start|look|begin|explore|dive|take|break)|it(?:'s| is) (?:important|worth|useful|essential) to|"
    r"when it comes to|in today's|in this (?:answer|article|response)|the (?:topic|subject|question) of|hello\b|hi\b|hey\b|dear\b|"
    r"first of all|before (?:we|i|diving|answering|getting)|to begin|in order to (?:answer|understand)|to (?:answer|understand)|"
    r"there (?:are|is) (?:many|several|a number|a lot|various|no (?:simple|single|one)|a few|multiple|quite)|understanding\b|"
    r"many people|people often|have you ever|this (?:really )?depends|it (?:really )?depends|ah\b|well,|oh\b|so, you"
)
_REASON_OPENS = re.compile(
    r"(?:because|since|given|as|considering|to see why|to understand|to decide|to answer|consider|think about|start with|"
    r"starting with|first,? (?:consider|note|think|look|let)|let's (?:start|look|think|consider|first|reason|weigh)|"
    r"there (?:are|is) (?:many|several|two|three|a few|a number)|several|before|looking at|when you (?:compare|look|weigh))\b"
)
_REASON = _words(
    r"because|since|(?:the|one|main|my) reasons?|this is because|that's because|that is because|due to|why:|as it|"
    r"here's why|for one thing|the logic"
)
_CONCLUSION = re.compile(
    r"(?:and )?so(?:,| (?:use|you|it's|i'd|go|the (?:best|answer)|don't|do|yes|no|buy|choose|pick|take|get)\b)|(?:and )?(?:therefore|thus|hence|consequently|accordingly)\b|as a result|for (?:these|this|that|all these|those) reasons?|"
    r"(?:that|this|which)(?:'s| is) why|in conclusion|in short|all in all|overall|to sum up|in sum\b|taken together|putting|"
    r"(?:my|the|short) (?:answer|conclusion|verdict|recommendation)|(?:that|this|all of (?:this|that)|which) (?:means|points|suggests|leads)|"
    r"given (?:this|that|these|all|those)|on balance|the bottom line|with (?:this|that|all that|these)|because of (?:this|that|these|all)"
)
_CONCLUDES = re.compile(r"[,;:] (?:so|therefore|thus|hence|which is why|it follows) ")
_ANSWER_OPENS = re.compile(
    r"(?:yes|no|nope|yep|yeah|not really|short answer|in short|tl;?dr|the answer (?:is|:)|answer:|definitely|absolutely|"
    r"correct|wrong|true|false|bottom line|go with|use|choose|pick|buy|take|get|do|don't|never|always)\b"
)
_ASKS = re.compile(r"\b(?:you|your|me|i)\b[^.!?\n]{0,150}\?[\s\"')*]{0,5}$")
_EMOTICON = re.compile(r"(?<!\w)[:;]-?[)DPp(](?!\w)|<3")
_SMALL_START = re.compile(r"\s*[a-z]")

# Long words that everybody uses: they tell nothing of the level.
_EVERYDAY = frozenset(
    """
    important different example another family everything however remember computer energy already actually idea
    area usually probably several company government together understand information internet people something
    anything everyone somebody anybody someone tomorrow yesterday beautiful favorite favourite interesting
    especially absolutely definitely basically difficult evening morning afternoon animal animals banana tomato
    potato december november october september january february saturday holiday hospital telephone television
    medicine library factory musical vegetable vegetables calendar camera capital character communicate
    community completely continue customer customers dangerous decision discover education electric elephant
    enemy exciting finally following general grandmother grandfather happening history hundred imagine
    immediately including industry instrument invented language luckily material memory million minister natural
    necessary officer opinion opposite ordinary original particular perfectly personal piano policeman popular
    population position possible practice president problem problems quality quickly quietly radio realize
    really recipe recognize regular remain restaurant science serious similar simplest simply situation society
    somewhere special success suddenly supposed surprise terrible themselves yourself traveler umbrella uncle
    unhappy uniform united university unusual usual various video visitor weather yellow activity adult
    adventure against altogether amazing american battery beginning business butterfly carefully category
    celebrate chocolate cinema colorful comfortable condition conversation correctly delicious dinosaur
    directions easier easily easiest emergency enormous entire environment experience explanation explanations
    favourites happier happiest healthier however's identify individual invisible journey liquid magazine
    messages minimum mountains newspaper obviously otherwise overnight passengers photograph physical planet
    pollution powerful privacy protected protection questions quietest reasonable separate settings somebody's
    temperature tiniest unexpected vacation website websites wonderful
    """.split()  # noqa: SIM905 - a list of this many words reads better as text
)
_COMMON_CAPITALS = frozenset(
    """
    OK TV AM PM US UK EU AD BC ID CEO DIY FAQ ASAP FYI BTW LOL OMG TL DR TLDR NO YES NOT AND THE VS
    """.split()  # noqa: SIM905 - a list of this many words reads better as text
)


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
    letters = _LETTERS.findall(lower)
    words = _count_words(part) * max(1.0, len(text) / read)
    first, last = (sentences[0], sentences[-1]) if len(sentences) > 1 else ("", "")
    return Features(
        words=words,
        sentences=len(sentences),
        bullets=len(_BULLET.findall(part)),
        numbered=len(_NUMBERED.findall(part)),
        headings=len(_HEADING.findall(part)),
        bold=len(_BOLD.findall(part)),
        tables=len(_TABLE.findall(part)),
        code=len(_CODE.findall(part)) // 2,
        formality=_formality(part, lower, len(letters)),
        level=_level(part, letters),
        examples=len(_EXAMPLE.findall(lower)),
        hedges=len(_HEDGE.findall(lower)),
        emoji=len(_EMOJI.findall(part)),
        warmth=(len(_WARM.findall(lower)) + 0.3 * min(3, part.count("!"))) / max(3, len(sentences)),
        preamble=bool(sentences) and bool(_PREAMBLE.match(sentences[0])),
        order=_order(sentences),
        asks=bool(_ASKS.search(lower, max(0, len(lower) - 200))),
        opening=_content(first),
        closing=_content(last),
    )


def _has_word(text: str) -> bool:
    return any(char.isalnum() for char in text)


def _count_words(text: str) -> float:
    unspaced = len(_CJK.findall(text)) * _CJK_WORD + len(_UNSPACED.findall(text)) * _UNSPACED_WORD
    if unspaced:
        text = _UNSPACED.sub(" ", _CJK.sub(" ", text))
    return unspaced + sum(1 for token in text.split() if _has_word(token))


def _formality(text: str, lower: str, words: int) -> float:
    casual = (
        len(_CONTRACTION.findall(lower))
        + 1.5 * len(_SLANG.findall(lower))
        + len(_EMOTICON.findall(text))
        + 0.25 * text.count("!")
    )
    if lower == text and _SMALL_START.match(text):
        casual += 1.0  # all in small letters
    formal = len(_FORMAL.findall(lower)) + 0.4 * len(_UNCONTRACTED.findall(lower))
    return (formal - casual) / (words + 12)


def _level(text: str, letters: list[str]) -> float | None:
    """Rare words stand out by their length and syllables; terms, acronyms and figures by their form."""
    latin = [word for word in letters if word[0] < "\u0250"]
    if len(latin) < 4 or len(latin) < 0.7 * len(letters):
        return None
    hard = sum(_is_hard(word) for word in latin)
    capitals = [word for word in _ACRONYM.findall(text) if word not in _COMMON_CAPITALS]
    if len(capitals) > 0.3 * len(latin):
        capitals = []  # shouting is not jargon
    terms = len(_TERM.findall(text)) + 0.3 * len(_FIGURE.findall(text))
    return (hard + len(capitals) + terms) / (len(latin) + 6)


def _is_hard(word: str) -> bool:
    if len(word) < 7 or word in _EVERYDAY or _FORMAL.fullmatch(word):
        return False
    stem = _stem(word)
    return len(word) > 11 or (len(stem) > 5 and len(_VOWELS.findall(stem)) > 2)


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
    answers = bool(_ANSWER_OPENS.match(first)) and not _CONCLUDES.search(first)
    concludes = any(_CONCLUSION.match(sentence) or _CONCLUDES.search(sentence) for sentence in rest[-2:])
    if answers and rest:
        return 1
    if concludes or (_REASON_OPENS.match(first) and ", " in first) or (not rest and _CONCLUDES.search(first)):
        return -1
    short = len(first.split()) <= 8 and not _PREAMBLE.match(first) and not first.endswith("?")
    return 1 if short and any(_REASON.search(sentence) for sentence in rest[:2]) else 0


def _content(sentence: str) -> frozenset[str]:
    """The words of a sentence that carry its content, as far as length tells."""
    return frozenset(_long(_LETTERS.findall(sentence[:600])))


def _long(words: Iterable[str]) -> Iterable[str]:
    return (word for word in words if len(word) > 3)
