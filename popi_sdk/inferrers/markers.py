"""The words and marks by which texts show their style; all but the marks are read on lower-case text."""

from __future__ import annotations

import re

__all__ = [
    "ACRONYM",
    "ANSWER_OPENS",
    "ASKS",
    "BOLD",
    "BULLET",
    "CJK",
    "CODE",
    "COMMON_CAPITALS",
    "CONCLUDES",
    "CONCLUSION",
    "CONTRACTION",
    "EMOJI",
    "EMOTICON",
    "EVERYDAY",
    "EXAMPLE",
    "FIGURE",
    "FORMAL",
    "HEADING",
    "HEDGE",
    "LETTERS",
    "NUMBERED",
    "PREAMBLE",
    "REASON",
    "REASON_OPENS",
    "SLANG",
    "TABLE",
    "TERM",
    "UNCONTRACTED",
    "UNSPACED",
    "VOWELS",
    "WARM",
]

# Scripts that write no spaces between words.
CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003fffd]")
UNSPACED = re.compile("[\u0e01-\u0e5b\u0e81-\u0edf\u1000-\u109f\u1780-\u17ff]")

EMOJI = re.compile(
    "[\U0001f300-\U0001faff\U0001f1e6-\U0001f1ff\u2600-\u26ff\u2705\u2728\u2753-\u2757\u2763-\u2764\u2b50]"
)
EMOTICON = re.compile(r"(?<!\w)[:;]-?[)DPp(](?!\w)|<3")
BULLET = re.compile(r"(?m)^[ \t]{0,8}(?:[-*+\u2013][ \t]|[\u2022\u25cf\u25aa\u2460-\u2473][ \t]?)\S")
NUMBERED = re.compile(r"(?m)^[ \t]{0,8}(?:\(?\d{1,3}[.)]|[a-hA-H]\)|(?i:step) \d{1,2}[:.])[ \t]+\S")
HEADING = re.compile(r"(?m)^#{1,6} \S|^\*\*[^*\n]{1,80}\*\*:?$")
BOLD = re.compile(r"\*\*[^*\s][^*\n]{0,80}\*\*")
TABLE = re.compile(r"(?m)^[ \t]{0,3}\|?[ \t]{0,3}:?-{2,}:?[ \t]{0,3}\|")
CODE = re.compile(r"(?m)^[ \t]{0,3}(?:```|~~~)")
ASKS = re.compile(r"\b(?:you|your|me|i)\b[^.!?\n]{0,150}\?[\s\"')*]{0,5}$")

LETTERS = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
VOWELS = re.compile("[aeiouy\u00e0-\u00e6\u00e8-\u00ef\u00f2-\u00f6\u00f8-\u00fd]+")
ACRONYM = re.compile(r"\b[A-Z][A-Z0-9]{1,6}s?\b")
TERM = re.compile(
    r"\b[a-z]{1,20}[A-Z]\w{0,30}|\b\w{1,30}_\w{1,30}|\b[A-Za-z]{1,12}\d{1,6}\b|`[^`\n]{1,80}`|[\u0391-\u03c9=<>^]"
)
FIGURE = re.compile(
    r"\d+(?:[.,]\d+)*(?:\s?(?:%|\u00b0|[kKMGT]?(?:Hz|B|W|V|m|g|s|l|L|J|Pa)\b|[mcknu\u00b5]?(?:m|g|s|mol|L)\b))?"
)

_LAYOUT = re.compile(r"\n\s*")


def _phrases(pattern: str) -> re.Pattern[str]:
    """Any of the phrases as whole words, wherever they stand; line ends in the pattern are layout."""
    return re.compile(rf"(?<!\w)(?:{_LAYOUT.sub('', pattern)})(?!\w)")


def _openings(pattern: str) -> re.Pattern[str]:
    """Any of the phrases, to be matched at the start of a sentence."""
    return re.compile(rf"(?:{_LAYOUT.sub('', pattern)})(?!\w)")


CONTRACTION = _phrases(
    r"""
    [a-z]{2,8}n't|(?:i|you|we|they|he|she|it|that|what|who|there|here|where|how|why|this)'(?:s|re|ve|ll|d|m)|let's
    """
)
SLANG = _phrases(
    r"""
    gonna|wanna|gotta|kinda|sorta|lemme|gimme|dunno|yeah|yep|yup|nope|nah|hey|lol|lmao|btw|tbh|imo|imho|fyi|dude|
    bro|guys|folks|stuff|awesome|cool|ok|okay|y'all|ain't|dont|cant|wont|doesnt|isnt|im|ive|ur|u|thx|pls|plz|omg|
    haha|heh|heck|pretty much|a bunch|tons|no worries|no biggie|you bet|big deal|sounds good|cheers|a ton|super|
    crazy|gotcha|hang on|chill|legit|buddy|pal|mate|thingy?|whatever|anyway|grab|toss|mess with|screw up|a lot of|
    lots of|boom|voila
    """
)
FORMAL = _phrases(
    r"""
    furthermore|moreover|consequently|nevertheless|nonetheless|notwithstanding|whereas|whereby|therein|thereof|
    thereby|herein|hereby|regarding|concerning|pursuant|accordingly|additionally|subsequently|commenc(?:e|es|ing)|
    utili[sz](?:e|es|ed|ing)|endeavou?r|obtain(?:ed)?|ascertain|facilitate[sd]?|individuals?|
    one (?:may|should|must|can)|
    it is (?:recommended|advisable|advised|essential|imperative|necessary|worth|important)|it should be noted|
    in order to|with (?:respect|regard) to|prior to|in addition|please note|kindly|shall|upon|dear (?:sir|madam)|
    sincerely|yours faithfully|(?:we|i) (?:would )?recommend|ensure|sufficient|require[sd]?|provide[sd]?|assistance|
    numerous|approximately|inquir(?:e|y|ies)|in accordance|henceforth|albeit|may be|constitutes?|undertake|
    appropriate|is advised|are advised|purchase[sd]?|residence|remain[s]?|optimal|beneficial|adequate
    """
)
# What a casual text would contract.
UNCONTRACTED = _phrases(
    r"""
    (?:do|does|did|is|are|was|were|will|would|should|could|can|have|has) not|cannot|i am|it is|you are|we are|
    they are|that is|there is|you will|it will|i have|you have|i would
    """
)
EXAMPLE = _phrases(
    r"""
    for (?:example|instance)|e\.g\.?|eg|such as|imagine|suppose|picture|say you|let's say|
    think of (?:it|a|an|how|your)|(?:an?|one|quick|concrete|simple|another) examples?|examples?:|example|like when|
    like if|as if|just like|it's like|is like|works like|z\. ?b\.|par exemple|por ejemplo|ad esempio|zum beispiel
    """
)
HEDGE = _phrases(
    r"""
    perhaps|maybe|possibly|might|it depends|depends on|could be|may (?:be|have|not|also|vary)|seems?|arguably|
    in (?:some|many|certain) cases|generally|typically|usually|to some extent|i think|i believe|i guess|not sure|
    varies|vary|some (?:people|experts|would)|there is no (?:one|single|simple|right)|tends? to|somewhat|presumably|
    likely|not necessarily|on the other hand
    """
)
WARM = _phrases(
    r"""
    hope (?:this|that|it) helps|(?:great|good|excellent|wonderful|lovely) (?:question|job|choice|idea)|happy to|
    glad|feel free|let me know|you(?:'ve| have)? got this|don't worry|no worries|wonderful|amazing|congratulations|
    congrats|thanks?|thank you|you're welcome|so sorry|i understand how|i'm here|take care|be proud|so proud|
    well done|good luck|have fun|enjoy|you'll do great|love that|my friend|rooting for you|excited|delighted
    """
)
REASON = _phrases(
    r"""
    because|since|(?:the|one|main|my) reasons?|this is because|that's because|that is because|due to|why:|as it|
    here's why|for one thing|the logic
    """
)
# How a text opens that does not answer yet.
PREAMBLE = _openings(
    r"""
    (?:(?:that's|what|this is) an? )?(?:great|good|excellent|interesting|wonderful|common|complex) (?:question|topic)|
    (?:sure|certainly|of course)|(?:thank you|thanks) for|i'?(?:d be| would be|m| am) (?:happy|glad)|as an ai|
    let me|let's (?:start|look|begin|explore|dive|take|break)|it(?:'s| is) (?:important|worth|useful|essential) to|
    when it comes to|in today's|in this (?:answer|article|response)|the (?:topic|subject|question) of|hello|hi|
    hey|dear|first of all|before (?:we|i|diving|answering|getting)|to begin|in order to (?:answer|understand)|
    to (?:answer|understand)|
    there (?:are|is) (?:many|several|a number|a lot|various|no (?:simple|single|one)|a few|multiple|quite)|
    understanding|many people|people often|have you ever|this (?:really )?depends|it (?:really )?depends|ah|
    well,|oh|so, you
    """
)
# How a text opens that gives its reasons first.
REASON_OPENS = _openings(
    r"""
    because|since|given|as|considering|to see why|to understand|to decide|to answer|consider|think about|start with|
    starting with|first,? (?:consider|note|think|look|let)|let's (?:start|look|think|consider|first|reason|weigh)|
    there (?:are|is) (?:many|several|two|three|a few|a number)|several|before|looking at|
    when you (?:compare|look|weigh)
    """
)
# How a sentence opens that draws a conclusion.
CONCLUSION = _openings(
    r"""
    (?:and )?so(?:,| (?:use|you|it's|i'd|go|the (?:best|answer)|don't|do|yes|no|buy|choose|pick|take|get))|
    (?:and )?(?:therefore|thus|hence|consequently|accordingly)|as a result|
    for (?:these|this|that|all these|those) reasons?|(?:that|this|which)(?:'s| is) why|in conclusion|in short|
    all in all|overall|to sum up|in sum|taken together|putting|
    (?:my|the|short) (?:answer|conclusion|verdict|recommendation)|
    (?:that|this|all of (?:this|that)|which) (?:means|points|suggests|leads)|given (?:this|that|these|all|those)|
    on balance|the bottom line|with (?:this|that|all that|these)|because of (?:this|that|these|all)
    """
)
# How a text opens that answers at once.
ANSWER_OPENS = _openings(
    r"""
    yes|no|nope|yep|yeah|not really|short answer|in short|tl;?dr|the answer (?:is|:)|answer:|definitely|absolutely|
    correct|wrong|true|false|bottom line|go with|use|choose|pick|buy|take|get|do|don't|never|always
    """
)
CONCLUDES = re.compile(r"[,;:] (?:so|therefore|thus|hence|which is why|it follows) ")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Long words that everybody uses: they tell nothing of the level.
EVERYDAY = _set(
    """
    absolutely activity actually adventure afternoon against already altogether amazing american animals another
    anybody anything basically battery beautiful beginning business butterfly calendar capital carefully category
    celebrate character chocolate colorful comfortable communicate community company completely computer condition
    continue conversation correctly customer customers dangerous december decision definitely delicious different
    difficult dinosaur directions discover easiest education electric elephant emergency enormous environment
    especially evening everyone everything example exciting experience explanation explanations factory favorite
    favourite favourites february finally following general government grandfather grandmother happening happier
    happiest healthier history holiday hospital however however's hundred identify imagine immediately important
    including individual industry information instrument interesting internet invented invisible january journey
    language library luckily magazine material medicine messages million minimum minister morning mountains musical
    natural necessary newspaper november obviously october officer opinion opposite ordinary original otherwise
    overnight particular passengers perfectly personal photograph physical policeman pollution popular population
    position possible powerful practice president privacy probably problem problems protected protection quality
    questions quickly quietest quietly realize reasonable recognize regular remember restaurant saturday science
    separate september serious settings several similar simplest situation society somebody somebody's someone
    something somewhere special success suddenly supposed surprise telephone television temperature terrible
    themselves tiniest together tomorrow traveler umbrella understand unexpected unhappy uniform university unusual
    usually vacation various vegetable vegetables visitor weather website websites wonderful yesterday yourself
    """
)
COMMON_CAPITALS = _set(
    "AD AM AND ASAP BC BTW CEO DIY DR EU FAQ FYI ID LOL NO NOT OK OMG PM THE TL TLDR TV UK US VS YES"
)
