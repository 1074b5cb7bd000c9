"""`PromptedInferrer`: a template, a generator, a parser. A trained inferrer is the same over trained weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..errors import InvalidResponseError
from ..generators import Generation, GenerationOptions, Generator, as_options
from ..prompts import Selection, render_infer, select, template_digest
from ..signals import Signal, as_signals
from ..summary import DEFAULT_BUDGET, ByteCounter, PreferenceSummary, SummaryStatement, TokenCounter, split_sentences
from .base import PreferenceInferrer, build_summary

__all__ = ["PromptedInferrer", "parse_summary"]

INPUT_BUDGET = 1_024
"""Tokens of signals that the model reads, unless the caller says otherwise (METHOD.md, row `prompted`)."""

_BYTES_PER_TOKEN = 4  # English text; where only bytes can be counted, the input budget is this many of them per token

_THINKING = re.compile(r"<(think|thinking)>.*?(</\1>|$)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^```\w*\n(.*?)\n?```$", re.DOTALL)
_LABEL = re.compile(
    r"^\s*(sure|certainly|of course|okay|here)?[,!.:]?\s*(here('s| is)[^:\n]{0,60}:|"
    r"(user |preference |the )?(summary|description|preferences)( of [^:\n]{0,40})?:)\s*",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^\s*(?:[-*•>]|\d{1,2}[.)])\s+")


class PromptedInferrer(PreferenceInferrer):
    """Asks a generator for the summary: the row `prompted`, and with trained weights the inference model of POPI.

    Args:
        generator: Who writes the summary; it stays the caller's to close.
        input_budget: Most tokens of signals that it reads; where not all fit, they are chosen and the summary says how
            many were. Counted by the generator's tokenizer, or as four UTF-8 bytes a token where it has none.
        options: How to generate; None for greedy where the backend takes a temperature by default.
    """

    name = "prompted"

    def __init__(
        self,
        generator: Generator,
        *,
        input_budget: int = INPUT_BUDGET,
        options: GenerationOptions | dict[str, Any] | None = None,
    ) -> None:
        self.generator = generator
        self.input_budget = input_budget
        self.options = None if options is None else as_options(options)

    def infer(
        self,
        signals: Any,
        *,
        budget: int = DEFAULT_BUDGET,
        counter: TokenCounter | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> PreferenceSummary:
        known = as_signals(signals)
        counter = counter or ByteCounter()
        selection = self._select(known)
        generation = self.generator.generate(
            render_infer(selection, words=_words(budget, counter)),
            self._options(budget, counter),
            timeout=timeout,
            max_retries=max_retries,
        )
        return self._summary(generation, selection, known, budget, counter)

    async def ainfer(
        self,
        signals: Any,
        *,
        budget: int = DEFAULT_BUDGET,
        counter: TokenCounter | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> PreferenceSummary:
        known = as_signals(signals)
        counter = counter or ByteCounter()
        selection = self._select(known)
        generation = await self.generator.agenerate(
            render_infer(selection, words=_words(budget, counter)),
            self._options(budget, counter),
            timeout=timeout,
            max_retries=max_retries,
        )
        return self._summary(generation, selection, known, budget, counter)

    @property
    def identity(self) -> str:
        options = self.options.model_dump_json() if self.options else ""
        return f"{self.name}:{self.generator.identity}:{template_digest('infer')}:{self.input_budget}:{options}"

    def _select(self, signals: Sequence[Signal]) -> Selection:
        unit = _BYTES_PER_TOKEN if _estimates(self.generator) else 1
        return select(signals, self.input_budget * unit, self.generator)

    def _options(self, budget: int, counter: TokenCounter) -> GenerationOptions:
        """Room for a little more than the budget: what is over is cut at a sentence end, not in mid-word."""
        if self.options is not None:
            return self.options
        room = budget // _BYTES_PER_TOKEN if _estimates(counter) else budget
        return GenerationOptions(max_tokens=room + 64)

    def _summary(
        self,
        generation: Generation,
        selection: Selection,
        signals: Sequence[Signal],
        budget: int,
        counter: TokenCounter,
    ) -> PreferenceSummary:
        sentences = parse_summary(generation.text)
        if not sentences:
            raise InvalidResponseError(
                f"{self.generator!r} wrote no summary: {generation.text!r:.120}",
                backend=self.generator.backend,
                model=self.generator.model,
                request_id=generation.request_id,
            )
        return build_summary(
            [SummaryStatement(text=sentence) for sentence in sentences],
            budget=budget,
            counter=counter,
            inferrer=f"{self.name}:{self.generator.backend}:{self.generator.model}",
            signals=signals,
            used=selection.used,
            shortened=selection.shortened,
        )


def parse_summary(text: str) -> list[str]:
    """The sentences of a summary in a model's answer: without thinking, code fences, labels, bullets and quotes.

    The last sentence is dropped if it was cut off in the middle and is not the only one.
    """
    text = _THINKING.sub("", text).strip()
    fence = _FENCE.match(text)
    text = _LABEL.sub("", fence.group(1) if fence else text, count=1).strip().strip('"“”').strip()
    sentences: list[str] = []
    for line in text.splitlines():
        line = _BULLET.sub("", line).replace("**", "").strip()
        sentences += [piece.strip() for piece in split_sentences(line) if piece.strip()]
    unique = list(dict.fromkeys(sentences))
    if len(unique) > 1 and unique[-1][-1].isalnum():
        unique.pop()
    return unique


def _words(budget: int, counter: TokenCounter) -> int:
    """Words to ask for: about three quarters of the tokens; an English word has six bytes with its space."""
    return max(8, budget // 6 if _estimates(counter) else budget * 3 // 5)


def _estimates(counter: TokenCounter) -> bool:
    return counter.tokenizer == ByteCounter.tokenizer
