"""The authored topics: what answers are made of, each fact said in plain and in technical words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache, cached_property
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field

from .axes import Split

__all__ = ["Said", "Topic", "load_topics", "split_of", "topics_of"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Said(_Frozen):
    """One fact, said twice."""

    plain: str
    technical: str

    def in_words(self, vocabulary: str) -> str:
        """The wording that belongs to a value of the axis `vocabulary`."""
        return self.plain if vocabulary == "plain" else self.technical

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # both wordings, not pydantic's fields
        return iter((self.plain, self.technical))


class Topic(_Frozen):
    """One topic; every sentence in it is complete, true and understandable alone.

    Attributes:
        id: Short name, unique over all files; its hash decides the split.
        domain: Field of knowledge.
        name: Noun phrase that fits "What is ...?" (or "What are ...?") and "Explain ...".
        verb: `is` or `are`, after the name.
        answer: What it is, or how it works at its core.
        facts: Four further facts.
        reason: Why it is so, or why it matters.
        example: A concrete case, to follow "For example,".
    """

    id: str
    domain: str
    name: str
    verb: str = Field(alias="is", pattern="^(is|are)$")
    answer: Said
    facts: tuple[Said, Said, Said, Said]
    reason: str
    example: str

    @cached_property
    def longest(self) -> int:
        """Which fact is the longest, both wordings together."""
        lengths = [len(" ".join(fact).split()) for fact in self.facts]
        return lengths.index(max(lengths))

    def sentences(self) -> Iterator[str]:
        """Every sentence of the topic."""
        yield from self.answer
        for fact in self.facts:
            yield from fact
        yield self.reason
        yield self.example


def split_of(topic_id: str) -> Split:
    """The split of a topic, by a hash of its id alone: about 60 % train, 20 % dev, 20 % test."""
    share = int.from_bytes(hashlib.sha256(topic_id.encode()).digest()[:4], "big") / 2**32
    return "train" if share < 0.6 else "dev" if share < 0.8 else "test"


@cache
def load_topics() -> tuple[Topic, ...]:
    """All topics that ship with the package, ordered by id."""
    lines = (
        line for file in (files(__package__) / "topics").iterdir() for line in file.read_text("utf-8").splitlines()
    )
    return tuple(sorted(map(Topic.model_validate_json, lines), key=lambda topic: topic.id))


@cache
def topics_of(split: Split) -> tuple[Topic, ...]:
    """The topics of one split, ordered by id."""
    return tuple(topic for topic in load_topics() if split_of(topic.id) == split)
