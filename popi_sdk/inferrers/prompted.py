"""`PromptedInferrer`: a template, a generator, a parser. A trained inferrer is the same over trained weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import ConfigurationError, InvalidResponseError, PopiError
from ..generators import Generation, GenerationOptions, Generator, as_options
from ..prompts import Selection, render_infer, select, template_digest
from ..signals import Signal, as_signals
from ..summary import DEFAULT_BUDGET, ByteCounter, PreferenceSummary, SummaryStatement, TokenCounter, split_sentences
from .base import PreferenceInferrer, build_summary

__all__ = ["PromptedInferrer", "parse_summary", "words_for"]

INPUT_BUDGET = 1_024
"""Tokens of signals that the model reads, unless the caller says otherwise (METHOD.md, row `prompted`)."""

_BYTES_PER_TOKEN = 4  # English text; where only bytes can be counted, the input budget is this many of them per token

# What models wrap a summary in. A closing tag alone: the opening one stood in the chat template.
_THINKING = re.compile(r"<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_TOKEN = re.compile(r"<\|[^|<>\s]{1,40}\|>|</?s>|<end_of_turn>")
_OPENER = r"(?:sure(?: thing)?|certainly|absolutely|of course|okay|ok)\b[\s,!.:]*+"
_LABEL = re.compile(
    rf"(?:{_OPENER})?(?:here(?:['\u2019]s| is| are)\b[^:\n]{{0,80}}:"
    r"|(?:the |this )?(?:user(?:['\u2019]s)? |preference |style )?(?:summary|description|preferences|notes)"
    r"(?: (?:of|for|about|on) [^:.\n]{0,40})?:)\s*",
    re.IGNORECASE,
)
_SMALL_TALK = re.compile(rf"{_OPENER}|(?:let me know|i hope (?:this|that)|feel free to ask)\b.*", re.IGNORECASE)
_EMPHASIS = re.compile(r"(?<!\w)(\*\*|__|\*|_)(?=\S)([^*_\n]{1,200})(?<=\S)\1(?!\w)")
_LINE_START = re.compile(r"\A(?:[-*\u2022\u25cf\u2013\u00b7>+]|\(?\d{1,2}[.)\u3001])\s+")
_NUMBER = re.compile(r"\(?\d{1,2}[.)]")
_QUOTES = '"\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f'
_ENDS = ".!?\u2026\u3002\uff01\uff1f\u061f\u06d4\u0964\u0965"


class PromptedInferrer(PreferenceInferrer):
    """Asks a generator for the summary: the row `prompted`, and with trained weights the inference model of POPI.

    Args:
        generator: Who writes the summary; it stays the caller's to close.
        input_budget: Most tokens of signals that it reads; where not all fit, they are chosen and the summary says how
            many were. Counted by the generator's tokenizer, or as four UTF-8 bytes a token where it has none.
        options: How to generate; None for the backend's own sampling, with room for the budget.

    Attributes:
        counter: Who counts a summary's tokens where the caller names nobody: the UTF-8 byte bound.
        words: How many words are asked for; None for what suits the budget.

    Raises:
        ConfigurationError: If the input budget is not positive.
    """

    name = "prompted"
    counter: TokenCounter = ByteCounter()
    words: int | None = None

    def __init__(
        self,
        generator: Generator,
        *,
        input_budget: int = INPUT_BUDGET,
        options: GenerationOptions | dict[str, Any] | None = None,
    ) -> None:
        if input_budget < 1:
            raise ConfigurationError(f"input_budget={input_budget} must be at least 1.")
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
        counter = self._who_counts(counter)
        selection = self._select(known)
        generation = self.generator.generate(
            render_infer(selection, words=self._words(budget, counter)),
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
        import asyncio

        known = as_signals(signals)
        counter = self._who_counts(counter)
        selection = await asyncio.to_thread(self._select, known)  # counting may ask an engine, or take long
        generation = await self.generator.agenerate(
            render_infer(selection, words=self._words(budget, counter)),
            self._options(budget, counter),
            timeout=timeout,
            max_retries=max_retries,
        )
        return await asyncio.to_thread(self._summary, generation, selection, known, budget, counter)

    def infer_batch(
        self, users: Iterable[Any], *, budget: int = DEFAULT_BUDGET, counter: TokenCounter | None = None
    ) -> list[PreferenceSummary | PopiError]:
        """`PreferenceInferrer.infer_batch`, with one call of the generator: some compute several answers at once.

        Raises:
            PopiError: If the generator failed; a user without readable signals or summary is an item.
        """
        counter = self._who_counts(counter)
        results: dict[int, PreferenceSummary | PopiError] = {}
        asked: list[tuple[int, Selection, tuple[Signal, ...]]] = []
        for place, signals in enumerate(users):
            try:
                known = as_signals(signals)
                asked.append((place, self._select(known), known))
            except PopiError as error:
                results[place] = error
        words = self._words(budget, counter)
        requests = [render_infer(selection, words=words) for _, selection, _ in asked]
        generations = self.generator.generate_batch(requests, self._options(budget, counter)) if asked else []
        for (place, selection, known), generation in zip(asked, generations, strict=True):
            try:
                results[place] = self._summary(generation, selection, known, budget, counter)
            except PopiError as error:
                results[place] = error
        return [results[place] for place in sorted(results)]

    @property
    def identity(self) -> str:
        options = self.options.model_dump_json() if self.options else ""
        return f"{self.name}:{self.generator.identity}:{template_digest('infer')}:{self.input_budget}:{options}"

    def _who_counts(self, asked: TokenCounter | None) -> TokenCounter:
        return asked or self.counter

    def _words(self, budget: int, counter: TokenCounter) -> int:
        """Words to ask for; an English word has six bytes with its space."""
        if self.words is not None:
            return self.words
        return max(8, budget // 6) if _estimates(counter) else words_for(budget)

    def _select(self, signals: Sequence[Signal]) -> Selection:
        unit = _BYTES_PER_TOKEN if _estimates(self.generator) else 1
        selection = select(signals, self.input_budget * unit, self.generator)
        if not selection.used:
            raise ConfigurationError(f"No signal fits into input_budget={self.input_budget}. Use 256 or more.")
        return selection

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
        sentences = parse_summary(generation.text, cut_off=generation.finish_reason == "length")
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


def parse_summary(text: str, *, cut_off: bool = False) -> list[str]:
    """The sentences of a summary in a model's answer: without thinking, code fences, labels, bullets and quotes.

    Args:
        text: What the model wrote.
        cut_off: Whether it was stopped by a limit: then a last sentence without an end is dropped, if not the only one.

    Returns:
        Each sentence once, in order; none if there is nothing to read.
    """
    text = _THINKING.sub("", text)
    text = _EMPHASIS.sub(r"\2", _TOKEN.sub("", _THOUGHT.split(text)[-1]))
    lines = [line.strip() for line in _unquoted(text.strip()).splitlines()]
    lines = [line for line in lines if line and not line.startswith(("```", "~~~", "#"))]
    lines = [line for line in lines if not _SMALL_TALK.fullmatch(line)]
    if len(lines) > 1 and _introduces(lines[0]):
        lines.pop(0)
    if lines:
        lines[0] = _unlabelled(lines[0])
    sentences: list[str] = []
    for line in lines:
        bare = _unquoted(_LINE_START.sub("", line).strip("*_ "))
        sentences += [piece.strip() for piece in split_sentences(bare)]
    unique = [sentence for sentence in dict.fromkeys(sentences) if _says_something(sentence)]
    if cut_off and len(unique) > 1 and not _ends(unique[-1]):
        unique.pop()
    return unique if len(unique) < 2 else [_ended(sentence) for sentence in unique]


def _introduces(line: str) -> bool:
    """Whether it only says that a summary follows, in whatever language. One that says more may lead to a list."""
    if not line.endswith((":", "\uff1a")):
        return False
    *before, last = split_sentences(line)
    return not before or _LABEL.fullmatch(last.strip()) is not None


def _ends(sentence: str) -> bool:
    return sentence.rstrip(_QUOTES + ")'").endswith(tuple(_ENDS))


def _ended(sentence: str) -> str:
    """Items of a list often have no full stop, and stand in one paragraph with others now."""
    if _ends(sentence):
        return sentence
    return sentence.rstrip(",;:") + ("\u3002" if "\u3040" <= sentence[-1] <= "\u9fff" else ".")


def _unlabelled(line: str) -> str:
    label = _LABEL.match(line.lstrip(_QUOTES))
    return line if label is None else line.lstrip(_QUOTES)[label.end() :]


def _unquoted(text: str) -> str:
    """Without the quotes around the whole of it."""
    inner = text[1:-1]
    around = len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES and not any(mark in inner for mark in _QUOTES)
    return inner.strip() if around else text


def _says_something(sentence: str) -> bool:
    return any(char.isalnum() for char in sentence) and not _NUMBER.fullmatch(sentence)


def words_for(budget: int) -> int:
    """Words to ask for where the budget is counted in a model's tokens: some are needed for what goes beyond."""
    return max(8, budget * 3 // 5)


def _estimates(counter: TokenCounter) -> bool:
    return counter.tokenizer == ByteCounter.tokenizer
