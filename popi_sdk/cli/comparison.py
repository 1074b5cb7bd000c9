"""What `popi demo` measures: one prompt, answered plainly and for each of two users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..generators import Generation
from ..personalizer import PersonalizedResponse, Personalizer
from ..prompts import render_plain, render_with_signals, select
from ..signals import Signal
from ..summary import ESTIMATED

__all__ = ["Comparison", "Side", "compare", "words_of"]

_ALL = 2**40  # tokens: more than any signals have, so none is left out


@dataclass(frozen=True, slots=True)
class Side:
    """One user of the comparison.

    Attributes:
        name: What the user is called on the screen.
        signals: What they left behind.
        raw_tokens: What the signals themselves would add to the prompt, in tokens.
        response: The answer with the summary; its `context_tokens` are what the summary added.
    """

    name: str
    signals: tuple[Signal, ...]
    raw_tokens: int
    response: PersonalizedResponse

    @property
    def words(self) -> int:
        """Words of the answer."""
        return words_of(self.response.text)

    @property
    def times_fewer(self) -> float | None:
        """How many times fewer tokens the summary adds; None where it does not add fewer."""
        added = self.response.context_tokens
        return self.raw_tokens / added if 0 < added < self.raw_tokens else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole of it: the plain answer and two sides."""

    prompt: str
    max_tokens: int
    plain: Generation
    sides: tuple[Side, Side]

    @property
    def counted_by(self) -> str:
        """The tokenizer behind all the counts."""
        return self.sides[0].response.counted_by

    @property
    def unit(self) -> str:
        """What was counted: tokens, or bytes where the backend has no tokenizer."""
        return "bytes" if self.counted_by == ESTIMATED else "tokens"

    @property
    def by_words(self) -> tuple[Side, Side]:
        """The side with fewer words, then the one with more."""
        first, second = sorted(self.sides, key=lambda side: side.words)
        return first, second

    @property
    def words_ratio(self) -> float | None:
        """How many times the words of the shorter answer the longer one has."""
        fewer, more = self.by_words
        return more.words / fewer.words if fewer.words else None

    def as_dict(self) -> dict[str, Any]:
        """The comparison as JSON shows it; without times, so the same run gives the same bytes."""
        return {
            "prompt": self.prompt,
            "model": self.plain.model,
            "max_tokens": self.max_tokens,
            "counted_by": self.counted_by,
            "plain": {
                "text": self.plain.text,
                "words": words_of(self.plain.text),
                "finish_reason": self.plain.finish_reason,
            },
            "users": [_side_as_dict(side) for side in self.sides],
            "words_ratio": _rounded(self.words_ratio),
        }


def compare(
    popi: Personalizer,
    prompt: str,
    users: Sequence[tuple[str, tuple[Signal, ...]]],
    tell: Callable[[str], None],
) -> Comparison:
    """Answer a prompt plainly and for two users, under the same options.

    Args:
        popi: What answers; its options hold for all three answers.
        prompt: The prompt.
        users: Name and signals of the two.
        tell: Called with what is being done.
    """
    generator = popi.generator
    messages = render_plain(prompt)
    tell("Answering 1 of 3: without a summary ...")
    plain = generator.generate(messages, popi.options, timeout=popi.timeout, max_retries=popi.max_retries)
    base = generator.count_prompt_tokens(messages)
    sides = []
    for number, (name, signals) in enumerate(users, start=2):
        tell(f"Answering {number} of 3: for {name} ...")
        raw = render_with_signals(prompt, select(signals, _ALL, generator))
        raw_tokens = generator.count_prompt_tokens(raw) - base
        sides.append(Side(name, signals, raw_tokens, popi.personalize(signals, prompt)))
    first, second = sides
    return Comparison(prompt, popi.options.max_tokens, plain, (first, second))


def words_of(text: str) -> int:
    """Words, as white space separates them."""
    return len(text.split())


def _side_as_dict(side: Side) -> dict[str, Any]:
    response = side.response
    return {
        "name": side.name,
        "signals": len(side.signals),
        "kinds": dict(Counter(signal.kind for signal in side.signals)),
        "signals_tokens": side.raw_tokens,
        "summary_tokens": response.context_tokens,
        "times_fewer": _rounded(side.times_fewer),
        "summary": response.summary.model_dump(mode="json"),
        "text": response.text,
        "words": side.words,
        "finish_reason": response.finish_reason,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
