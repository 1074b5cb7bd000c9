"""The phrases by which users say how they want to be answered, and the axes of style that they speak of."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

__all__ = ["COMPLAINTS", "QUALITIES", "THINGS", "Axis", "Rows"]


class Axis(StrEnum):
    """What a style is measured on; the direction -1 is the one named first, 1 the second."""

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


Rows: TypeAlias = tuple[tuple[Axis, int, str], ...]
"""An axis, a direction and the pattern of its phrases; a line end in a pattern is layout."""

# Words for a quality: negation turns them round ("not too formal").
QUALITIES: Rows = (
    (
        Axis.LENGTH,
        -1,
        r"""
        (?<!in )(?:short|brief)(?! (?:story|stories|term|time|circuit|cut|film))|shorter|shortest|shorten|briefly|
        briefer|concise|concisely|succinct|succinctly|terse|condensed?|crisp|snappy|compact|
        (?:one|two|1|2|a|a few|few|couple of) (?:sentences?|lines?|words)|one-liners?|few words|
        less (?:text|words|detail|details|info)|fewer words|cut it down|trim it|keep it (?:small|tight)|brevity|
        summari[sz]e it|tl;?dr|
        (?:under|at most|max(?:imum)?|no more than|within|fewer than|less than|up to|only|in|below) \d{1,3} words
        """,
    ),
    (
        Axis.LENGTH,
        1,
        r"""
        (?<!no )(?<!any )longer(?! (?:works|than|lasting|term))|
        long (?:answers?|responses?|explanations?|replies|texts?|sentences|paragraphs?|messages|versions?|ones?)|
        (?<=too )long|(?<=be )long(?= |$)|detailed|in[- ]depth|in detail|at length|(?:all|every) (?:the )?details?|
        as much detail|more (?:details?|depth|in-depth|info|information|thorough|context|explanation)|
        (?:lots|plenty|a lot|level) of details?|(?<=too much )details?|(?<=enough )(?:details?|depth|information)|
        thorough|thoroughly|comprehensive|exhaustive|extensive|elaborate|expand|go deeper|tell me more|
        full explanations?|the (?:full|whole) (?:story|picture)|(?:several|many|multiple) paragraphs|depth|
        well[- ]developed|(?:at least|minimum(?: of)?|more than|over) \d{2,4} words
        """,
    ),
    (
        Axis.LISTS,
        -1,
        r"""
        prose|(?:in|full|plain|flowing|normal) paragraphs|(?:flowing|running|continuous) text|
        (?:full|complete) sentences
        """,
    ),
    (
        Axis.FORMALITY,
        -1,
        r"""
        casual|casually|informal|informally|chatty|conversational|laid[- ]back|relaxed|colloquial|
        like a (?:friend|buddy|mate)|talk normally|normal language|less formal|down[- ]to[- ]earth
        """,
    ),
    (
        Axis.FORMALITY,
        1,
        r"""
        (?<!less )(?<!in)formal|formally|professional(?!s)|professionally|business[- ]like|
        academic (?:tone|style|language|register)|polite and distant|proper english
        """,
    ),
    (
        Axis.LEVEL,
        -1,
        r"""
        plain (?:english|words|language|terms)|
        (?:simple|clear and simple) (?:words|terms|language|english|answers?|explanations?|sentences|ones?)|
        (?:it|things|them|more|very|be|was|is|keep) simple|^simple$|simpler|
        (?:explain|explained|put|more|very|it|things|say|said|written) simply|simply (?:please|put)|simplify|
        simplified|lay(?:man|person)(?:'?s)?(?: terms)?|lay terms|eli5|
        like i(?:'?m| am|'?m a) (?:5|five|ten|10|a child|twelve|12)|a (?:five|5|ten|10|12|twelve)[- ]year[- ]old|
        eas(?:y|ier) (?:to understand|words|language|terms)|beginner(?:'s|s)?|non[- ]technical|
        everyday (?:words|language|terms)|dumb (?:it|this|that|things)? ?down|without the jargon|novice
        """,
    ),
    (
        Axis.LEVEL,
        1,
        r"""
        (?<!non-)(?<!non )technical(?! support)|technically|precise terms|
        (?:correct|proper|exact) term(?:s|inology)|expert(?:'s|s)?[- ]?(?:level|answers?|terms)?|advanced|
        more scientific|scientific (?:terms|language|detail|vocabulary)|rigorous|rigor|rigour|nerdy|sophisticated
        """,
    ),
    (
        Axis.ORDER,
        1,
        r"""
        (?:cut|straight|right|stick|keep) to the (?:point|chase)|
        to the point|answers? first|the answer up ?front|
        (?:start|open|begin|lead) with (?:the |your )?(?:answer|conclusion|result)|bottom line|
        (?:be|more|very|and|was|is|so) direct|direct (?:answers?|replies)|answers? directly|straight answers?|
        up ?front|conclusion first|straightforward|the answer (?:at once|immediately|right away)|
        just (?:the|give me the|tell me the) answer
        """,
    ),
    (
        Axis.ORDER,
        -1,
        r"""
        (?:reasons?|reasoning|context|background|logic|why) first|
        (?:reasons?|reasoning|context|background|logic|why) before (?:the |your )?(?:answer|conclusion|result)|
        explain (?:why|the reasons?|your reasoning) (?:first|before)|
        (?:start|begin|open|lead) with (?:the |your |some )?(?:reason(?:s|ing)?|background|context|why)|
        build(?:s|ing)? up to|(?:conclusion|answer) (?:last|at the end)|before (?:the answer|you answer|concluding)
        """,
    ),
    (
        Axis.WARMTH,
        1,
        r"""
        friendly|friendlier|warmer|warmth|(?:be|more) warm|warm tone|encouraging|
        (?:be|more) (?:supportive|enthusiastic)|upbeat|cheerful|empath(?:y|etic|ic)|kind (?:tone|words)|gentle|
        compassionate
        """,
    ),
    (
        Axis.WARMTH,
        -1,
        r"""
        neutral tone|(?:be|more) (?:neutral|blunt)|matter[- ]of[- ]fact|no[- ]nonsense|businesslike|dry tone|
        impersonal
        """,
    ),
    (Axis.HEDGES, -1, r"decisive|assertive|confident(?:ly)?|take a stand|commit to an answer|clear recommendation"),
    (Axis.STEPS, 1, r"step[- ]by[- ]step|one step at a time|in steps|numbered steps|walk me through"),
    (Axis.HUMOUR, 1, r"funny|funnier|humou?r|humou?rous|witty|playful|a joke or two|hilarious"),
    (Axis.HUMOUR, -1, r"serious tone|be serious|more serious"),
)

# Words for a thing: wanted unless negated ("no emojis", "too many examples").
THINGS: Rows = (
    (
        Axis.LISTS,
        1,
        r"""
        bullets?|bullet[- ]?(?:points?|lists?|form)|bulleted|point form|
        (?:as|in|into|use|using|want|numbered) (?:a )?lists?|(?<=no )lists?|
        (?:(?<=hate )|(?<=like )|(?<=prefer )|(?<=use )|(?<=using )|(?<=no )|(?<=of )|(?<=and )|(?<=or ))lists|
        list (?:form|format)|lists?(?= (?:please|instead|format))|itemi[sz]ed
        """,
    ),
    (
        Axis.EXAMPLES,
        1,
        r"""
        examples?|for instance|e\.g\.|illustrations?|illustrated?|real[- ]life (?:cases?|situations?)|
        analog(?:y|ies)|concrete (?:cases?|instances?)
        """,
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
        r"""
        sources|citations?|cite[sd]?|references|evidence|statistics|facts|factual|
        (?:backed|back it|backs) (?:it |this )?up|data to (?:support|back)
        """,
    ),
)

# Words that always complain, whatever stands before them ("so wordy", "cut the fluff").
COMPLAINTS: Rows = (
    (
        Axis.LENGTH,
        -1,
        r"""
        wordy|verbose|long[- ]winded|lengthy|rambl(?:es?|ing|y)|walls? of text|drags on|goes on and on|
        essays?(?= please| when)|bloated|tedious|too much (?:text|information|info|detail|to read)|repetitive
        """,
    ),
    (
        Axis.LENGTH,
        1,
        r"""
        too (?:short|brief|terse|vague|thin|superficial)|not enough detail|more fleshed out|superficial|shallow
        """,
    ),
    (Axis.FORMALITY, -1, r"stiff|stuffy|robotic|corporate|stilted|pompous|too formal"),
    (Axis.FORMALITY, 1, r"unprofessional|sloppy|too (?:casual|chummy|informal|familiar)|slang"),
    (
        Axis.LEVEL,
        -1,
        r"""
        jargon|buzzwords?|(?:big|fancy|difficult|technical|long) words|complicated|over my head|
        too (?:technical|complex|advanced|hard)|gibberish|acronyms|abbreviations
        """,
    ),
    (
        Axis.LEVEL,
        1,
        r"""
        too (?:simple|basic|simplistic|childish)|dumbed down|over-?simplified|patroni[sz]ing|condescending
        """,
    ),
    (
        Axis.ORDER,
        1,
        r"""
        preambles?|fluff|filler|beat(?:ing)? around the bush|waffl(?:e|es|ing)|small talk|
        (?:skip|no|without|cut|drop) (?:the |long )?(?:intro|introductions?|introduction|greetings?)|burie[sd]|
        dances around
        """,
    ),
    (Axis.HEDGES, -1, r"wishy[- ]washy|on the fence|non-?committal|evasive"),
    (
        Axis.WARMTH,
        -1,
        r"""
        gushing|sycophan(?:t|tic|cy)|over-?enthusiastic|too (?:cheerful|friendly|enthusiastic)|sugar-?coat(?:ing)?
        """,
    ),
)
