"""What a free answer finally says: the number, the label, the order or the JSON in it. By code only, no model.

People and models wrap a short answer in a lot of text. What is refused or taken back ("not 42"), and what is only one
of several offers ("41 or 42"), does not count as said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Answer",
    "Mention",
    "announced",
    "find_json",
    "is_denied",
    "is_offer",
    "mentions",
    "read_answer",
    "said_last",
]

_LONGEST = 20_000  # characters that are read, from the end: what comes last counts

_THINKING = re.compile(r"<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n`]*$", re.MULTILINE)
_FENCED = re.compile(r"^[ \t]*(```|~~~)[^\n`]*\n(.*?)^[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE)
_REWRITES = (
    (re.compile("[\x02\x03]"), ""),  # they mark bold below
    (re.compile(r"[\u2010-\u2012\u2212]"), "-"),
    (re.compile("[\u2018\u2019]"), "'"),
    (re.compile("[\u201c\u201d]"), '"'),
    (re.compile(r"\\boxed\{([^{}]*)\}"), r"\nanswer: \1\n"),
    (re.compile(r"^[ \t]*#{4}[ \t]*(?=\S)", re.MULTILINE), "answer: "),  # GSM8K's mark of the final answer
    (re.compile(r"\\(?:text|mathrm|mathbf)\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\(?:times|cdot)\b"), "\u00d7"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[()\[\],;! ]"), " "),
    (_FENCE, ""),
    (re.compile(r"</?(?:sub|sup|b|strong|i|em|code|p)>|<br ?/?>", re.IGNORECASE), ""),
    (re.compile(r"\*\*(?=\S)([^*\n]{1,300})\*\*"), "\x02\\1\x03"),
    (re.compile(r"(?<!\w)__(?=\S)([^_\n]{1,300})__(?!\w)"), "\x02\\1\x03"),
    (re.compile(r"(?<!\w)_(?=\S)([^_\n]{1,300})_(?!\w)"), r"\1"),
    (re.compile(r"(?<![\w)])\*+(?=\S)|(?<=\S)\*+(?![\w(])|`|^[ \t]*(?:#{1,6}|>)[ \t]+", re.MULTILINE), ""),
)
_NUMBERED = re.compile(r"^[ \t]*\(?\d{1,2}[.)][ \t]+(?=\S)", re.MULTILINE)

_MARKER = re.compile(
    r"\b(?:answer|result|solution|output|label|category|classification|sentiment|verdict|conclusion)\s*"
    r"(?:is|was|(?:would|should|must) be|becomes|[:=])",
    re.IGNORECASE,
)
_REACH = 160  # characters behind such a marker in which the answer stands

# What may stand between a negation and what it denies: "not in Oslo", "isn't equal to 42", "not written by Ann", "I
# don't think that it is 42"; but not "what is not shown is 42".
_SMALL = (
    r"(?:a|an|the|be|is|it|was|in|at|on|of|to|by|from|with|as|for|make|equal|give|called|just|simply|really|exactly)"
)
_DENIED = re.compile(
    r"(?:\b(?:not|never|neither|nor|than|cannot|except|unlike|without|instead of)|n't)\b(?:"
    rf"(?:\s+{_SMALL})*|(?:\s+(?:be|been|being))?\s+[a-z]+\s+(?:by|in|at|on|to|from|with)"
    r"|\s+(?:think|believe|say|said|know|mean|sure|certain|clear)(?:\s+(?!(?:but|so|because|and)\b)[a-z']+){0,5}"
    r")[\s\"'($]*\Z",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"[\"')\s]*(?:(?:is|was|are)(?: not|n't) (?:the|a|an|correct|right|it|true)\b"
    r"|(?:is|was|are|seems) (?:wrong|incorrect|false)\b)",
    re.IGNORECASE,
)
_OR_BEFORE = re.compile(r"\b(?:or|either)(?:\s+(?:the|an?))?[\s\"'($]*\Z", re.IGNORECASE)
_OR_AFTER = re.compile(r"[\"')%]*(?:\s*\?|,?\s*\b(?:or|and/or)\b\s*(?!so\b)\S)", re.IGNORECASE)
_JOINED = re.compile(r"\W*(?:\b(?:or|and|as well as)\b|[/|])\W*", re.IGNORECASE)
_LISTED = re.compile(r"[^\w?]*")
_ALONE = re.compile(r"[\"')\]]*\s*(?:[.,;!?|/]|\b(?:or|and)\b|\n|\Z)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?=\s|\Z)|\n")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer without thinking, LaTeX and Markdown.

    Attributes:
        text: What is left.
        bold: Where in it something stood in bold, as (start, end).
    """

    text: str
    bold: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Mention:
    """A phrase found in an answer: which of the labels it stands for, and where."""

    label: int
    start: int
    end: int


def read_answer(answer: str, *, prompt: str = "", numbered: bool = False) -> Answer:
    """Take off what wraps an answer.

    Args:
        answer: What a model wrote.
        prompt: What it was asked: a model that says it again has not answered with it.
        numbered: Whether the numbers of a numbered list are to go too.
    """
    text = _without_thinking(answer)
    if prompt.strip():
        text = text.replace(prompt.strip(), "\n")
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    if numbered and len(_NUMBERED.findall(text)) > 1:
        text = _NUMBERED.sub("", text)
    return _split_bold(text.strip())


def mentions(text: str, labels: Sequence[Iterable[str]], *, case: bool = False) -> list[Mention]:
    """Where a text has one of the labels as whole words; the longest wins where several begin.

    Args:
        text: The text.
        labels: Each with the forms in which it may stand.
        case: Whether capital letters matter.
    """
    forms = sorted(((form, at) for at, label in enumerate(labels) for form in label), key=lambda one: -len(one[0]))
    pattern = re.compile("|".join(f"({_whole_words(form)})" for form, _ in forms), 0 if case else re.IGNORECASE)
    return [
        Mention(forms[(match.lastindex or 0) - 1][1], match.start(), match.end()) for match in pattern.finditer(text)
    ]


def said_last(answer: Answer, found: Sequence[Mention]) -> int | None:
    """The label that an answer settles on; None if it settles on none.

    It is what stands behind "the answer is", what the answer begins with, the only one left when those are gone that
    are denied or among several offers, the only one in bold, or the only one in the last sentence that has any.
    """
    kept = _not_listed(answer.text, [mention for mention in found if not is_denied(answer.text, mention)])
    kept = [mention for mention in kept if not is_offer(answer.text, mention)]
    if not kept:
        return None
    for start, end in announced(answer.text):
        for mention in kept:
            if start <= mention.start <= end:
                return mention.label
    if not re.search(r"\w", answer.text[: kept[0].start]):
        return kept[0].label
    bold = [mention for mention in kept if any(start <= mention.start < end for start, end in answer.bold)]
    last = [mention for mention in kept if not _SENTENCE_END.search(answer.text, mention.end, kept[-1].start)]
    for some in (kept, bold, last):
        if len({mention.label for mention in some}) == 1:
            return some[0].label
    return None


def is_denied(text: str, mention: Mention) -> bool:
    """Whether what is mentioned is refused ("not 42") or taken back ("42 is wrong")."""
    before = text[max(mention.start - 60, 0) : mention.start]
    return bool(_DENIED.search(before) or _TAKEN_BACK.match(text, mention.end))


def is_offer(text: str, mention: Mention) -> bool:
    """Whether what is mentioned is one of several offers ("41 or 42"), or asked ("42?")."""
    before = text[max(mention.start - 20, 0) : mention.start]
    return bool(_OR_BEFORE.search(before) or _OR_AFTER.match(text, mention.end))


def announced(text: str) -> list[tuple[int, int]]:
    """Where an answer is announced ("the answer is", "Result:"), the last first: (from, to) of what follows."""
    return [(match.end(), match.end() + _REACH) for match in reversed(list(_MARKER.finditer(text)))]


def find_json(answer: str, *, alone: bool = False) -> Iterator[Any]:
    """The JSON objects and arrays of an answer, the last first.

    Args:
        answer: What a model wrote; JSON in a code fence goes before other JSON.
        alone: Whether nothing else may stand beside it but a code fence.
    """
    text = _without_thinking(answer).strip()
    fenced = [match.group(2) for match in _FENCED.finditer(text)]
    if alone:
        whole = _FENCED.fullmatch(text)
        yield from _decoded([whole.group(2) if whole else text])
        return
    found = list(_decoded(fenced)) or _embedded(text)
    yield from reversed(found)


def _decoded(texts: Iterable[str]) -> Iterator[Any]:
    for text in texts:
        try:
            yield json.loads(text)
        except (ValueError, RecursionError):
            continue


def _embedded(text: str) -> list[Any]:
    """JSON amid other text; nothing if the last is only an alternative to the one before it."""
    decoder = json.JSONDecoder()
    found: list[Any] = []
    end, tries = 0, 0
    for opening in re.finditer(r"[\[{]", text):
        if opening.start() < end:
            continue
        tries += 1
        if tries > 200:
            break
        try:
            value, after = decoder.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            continue
        if found and re.fullmatch(r"\W*or\W*", text[end : opening.start()], re.IGNORECASE):
            return []
        found.append(value)
        end = after
    return found


def _not_listed(text: str, found: Sequence[Mention]) -> list[Mention]:
    """Without those that stand in a list of several labels: who names all has chosen none."""
    listed: set[int] = set()
    for at in range(1, len(found)):
        one, other = found[at - 1], found[at]
        if one.label != other.label and _are_joined(text, one, other):
            listed |= {at - 1, at}
    return [mention for at, mention in enumerate(found) if at not in listed]


def _are_joined(text: str, one: Mention, other: Mention) -> bool:
    gap = text[one.end : other.start]
    return bool(_JOINED.fullmatch(gap) or (_LISTED.fullmatch(gap) and _ALONE.match(text, other.end)))


def _without_thinking(answer: str) -> str:
    return _THOUGHT.split(_THINKING.sub("", answer[-_LONGEST:]))[-1]


def _split_bold(text: str) -> Answer:
    pieces: list[str] = []
    bold: list[tuple[int, int]] = []
    start = length = 0
    for piece in re.split("([\x02\x03])", text):
        if piece == "\x02":
            start = length
        elif piece == "\x03":
            bold.append((start, length))
        else:
            pieces.append(piece)
            length += len(piece)
    return Answer("".join(pieces), tuple(bold))


def _whole_words(form: str) -> str:
    body = r"\s+".join(map(re.escape, form.split()))
    before = r"(?<!\S)"
    if form[0].isdigit():
        before = r"(?<![\w.-])(?<!\d:)" + (r"(?<!\d,)" if re.match(r"\d{3}(?!\d)", form) else "")
    elif form[0].isalpha():
        before = r"(?<![\w-])"
    after = r"(?!\w|-\w|[.:]\d|,\d{3}(?!\d))" if form[-1].isalnum() else ""
    return f"{before}{body}{after}"
