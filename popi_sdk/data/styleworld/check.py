"""What an authored topic must fulfil, so that the renderers can make any answer of it.

`python -m popi_sdk.data.styleworld.check` reads every topic file and names each fault with its file and line.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from .topics import Said, Topic

__all__ = ["faults", "faults_of_files", "main"]

_WORDS = range(8, 26)
_SPREAD = 0.25  # how much longer the technical wording of a topic may be than the plain one, or shorter
_FORBIDDEN = (
    (re.compile(r"[^\x20-\x7e]"), "not ASCII"),
    (re.compile(r"\b\w+n't\b|\b(?:it|that|there|what|who|he|she|here|let)'s\b|\w'(?:re|ve|ll|d|m)\b"), "a contraction"),
    (re.compile(r"\b(?:I|we|you|our|ours|your|yours|us|my|mine|me)\b", re.IGNORECASE), "first or second person"),
    (re.compile(r"\bfor (?:example|instance)\b", re.IGNORECASE), "'for example', which the renderer adds"),
    (re.compile(r"[;()\[\]\"`*#]"), "a semicolon, parenthesis, quote or mark"),
    (re.compile(r"\bcan not\b"), "'can not', which is one word"),
    (re.compile(r"  "), "two blanks"),
    (re.compile(r"[.!?] [A-Z]"), "more than one sentence"),
)
_DANGLING = re.compile(
    r"(?:This|That|These|Those|They|He|She|It|Its|Their|Such|Here|There it|So|But|And|Then|Also|First,|Another|Next|"
    r"Finally|However|Otherwise|Moreover|Furthermore|Thus|Therefore)\b"
)
_ALONE = re.compile(
    r"(?:It (?:is|was|takes|took) (?:\w+ ){1,4}(?:that|to|for|when)|That (?:\w+ ){1,6}(?:is|means|makes|explains))\b"
)


def faults(topics: Iterable[Topic]) -> Iterator[str]:
    """Each fault of the topics, with the id of the topic."""
    seen: set[str] = set()
    for topic in topics:
        unique = (f"the id {topic.id!r}", f"the name {topic.name.lower()!r}", *sorted({*topic.sentences()}))
        yield from (f"{topic.id}: it is there already: {one}" for one in unique if one in seen)
        seen.update(unique)
        yield from (f"{topic.id}: {fault}" for fault in _faults_of(topic))


def _faults_of(topic: Topic) -> Iterator[str]:
    if not re.fullmatch(r"[a-z0-9]+(?:[-_][a-z0-9]+)*", topic.id):
        yield "the id is not small letters, digits and single - or _"
    if not re.fullmatch(r"[\x20-\x7e]{2,60}", topic.name) or topic.name.endswith((".", "?", " ")):
        yield f"the name {topic.name!r} does not fit into a question"
    sentences = list(topic.sentences())
    if len({sentence.lower() for sentence in sentences}) < len(sentences):
        yield "a sentence is there twice"
    for sentence in sentences:
        yield from (f"{fault}: {sentence}" for fault in _faults_of_sentence(sentence))
    for said in (topic.answer, *topic.facts):
        yield from _faults_of_fact(said)
    wordings = zip(topic.answer, *topic.facts, strict=True)
    plain, technical = (sum(len(text.split()) for text in texts) for texts in wordings)
    if not 1 - _SPREAD <= technical / plain <= 1 + _SPREAD:
        yield f"{technical} words in technical, {plain} in plain wording differ too much"


def _faults_of_sentence(sentence: str) -> Iterator[str]:
    if len(sentence.split()) not in _WORDS:
        yield f"{len(sentence.split())} words"
    if not re.match(r"[A-Z0-9]", sentence) or not sentence.endswith(".") or sentence.endswith(".."):
        yield "no capital first or no full stop last"
    if _DANGLING.match(sentence) and not _ALONE.match(sentence):
        yield "opens with a word that points at another sentence"
    yield from (what for pattern, what in _FORBIDDEN if pattern.search(sentence))


def _faults_of_fact(said: Said) -> Iterator[str]:
    plain, technical = (set(re.findall(r"[a-z]{4,}", text.lower())) for text in said)
    if len(plain & technical) > 0.7 * min(len(plain), len(technical)):
        yield f"plain and technical wording are nearly the same: {said.technical}"


def faults_of_files(folder: Traversable | None = None) -> Iterator[str]:
    """Each fault of the topic files in a folder, those of JSON and of fields with file and line.

    Args:
        folder: None for the files that ship with the package.
    """
    folder = folder or files(__package__) / "topics"
    topics = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                topics.append(Topic.model_validate_json(line))
            except ValueError as error:
                yield f"{file.name}:{number}: {error}"
    yield from faults(topics)


def main() -> int:
    """Print each fault; the exit status is 1 if there are any."""
    found = list(faults_of_files())
    sys.stdout.write("".join(f"{fault}\n" for fault in found) or "All topics are well-formed.\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
