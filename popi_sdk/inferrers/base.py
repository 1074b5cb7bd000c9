"""What an inferrer is: a user's signals in, a summary out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

from ..errors import ConfigurationError, PopiError, UsageError
from ..signals import Signal, sanitise
from ..summary import (
    DEFAULT_BUDGET,
    ByteCounter,
    PreferenceSummary,
    SummaryStatement,
    TokenCounter,
    digest,
    fit_to_budget,
)

__all__ = ["PreferenceInferrer", "build_summary", "evidence_digest"]

_GIVE_UP = 25  # statements in a row that do not fit: the budget is as good as full
_LONGEST_TOKEN = 128  # characters


class PreferenceInferrer(ABC):
    """The inference model pi_phi(z | s) of POPI (arXiv 2510.17881): it reads signals s and writes a summary z.

    Implement `infer`. An inferrer may be used from several threads at once; the summary never depends on a prompt.

    Attributes:
        name: Name of the inferrer in the registry.
    """

    name: ClassVar[str]

    @abstractmethod
    def infer(
        self,
        signals: Any,
        *,
        budget: int = DEFAULT_BUDGET,
        counter: TokenCounter | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> PreferenceSummary:
        """Summarise a user's preferences.

        Args:
            signals: Anything that `as_signals` takes.
            budget: Most tokens of the summary.
            counter: Who counts them: the generator that will read the summary. None for the UTF-8 byte bound, and for
                the own tokenizer of an inferrer that was trained.
            timeout: Seconds for one try, where a model is asked.
            max_retries: Further tries after the first, where a model is asked.

        Raises:
            SignalError: If the signals are empty or malformed.
            BackendError: If a model was asked and failed.
        """

    async def ainfer(
        self,
        signals: Any,
        *,
        budget: int = DEFAULT_BUDGET,
        counter: TokenCounter | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> PreferenceSummary:
        """`infer`, awaited: by default in a thread."""
        import asyncio

        return await asyncio.to_thread(
            self.infer, signals, budget=budget, counter=counter, timeout=timeout, max_retries=max_retries
        )

    def infer_batch(
        self, users: Iterable[Any], *, budget: int = DEFAULT_BUDGET, counter: TokenCounter | None = None
    ) -> list[PreferenceSummary | PopiError]:
        """Summaries of several users, in their order; a user's failure stands in its place.

        Args:
            users: One user's signals each, as for `infer`.
            budget: Most tokens of each summary.
            counter: Who counts them.
        """
        results: list[PreferenceSummary | PopiError] = []
        for signals in users:
            try:
                results.append(self.infer(signals, budget=budget, counter=counter))
            except PopiError as error:
                results.append(error)
        return results

    @property
    def identity(self) -> str:
        """What decides this inferrer's summaries beside the signals, for cache keys: template, model, options."""
        return self.name

    def close(self) -> None:  # noqa: B027 - an inferrer that holds nothing has nothing to do
        """Give back what the inferrer holds; closing twice is fine."""

    async def aclose(self) -> None:
        """`close`, awaited."""
        import asyncio

        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.identity}>"


def evidence_digest(signals: Sequence[Signal]) -> str:
    """SHA-256 over the ids and times of signals, in order: what a summary may depend on."""
    return digest(*(f"{signal.id} {signal.time.isoformat() if signal.time else ''}" for signal in signals))


def build_summary(
    statements: Sequence[SummaryStatement],
    *,
    budget: int,
    counter: TokenCounter | None,
    inferrer: str,
    signals: Sequence[Signal],
    used: int | None = None,
    shortened: int = 0,
) -> PreferenceSummary:
    """Put statements together into a summary that keeps its budget.

    Statements stay whole and in order while they fit; where the next does not, a shorter one behind it may. If not even
    the first fits, it is cut at a sentence end, between words, or between graphemes.

    Args:
        statements: Sentences in order of importance.
        budget: Most tokens.
        counter: Who counts; None for the byte bound.
        inferrer: Name to put into the summary.
        signals: All signals of the user.
        used: How many of them the inferrer saw; None for all.
        shortened: How many of those it saw cut.

    Raises:
        ConfigurationError: If the budget is not positive or too small for a single grapheme.
        UsageError: If there is nothing to read in the statements.
    """
    counter = counter or ByteCounter()
    if budget < 1:
        raise ConfigurationError(f"A budget of {budget} tokens leaves no room for a summary. Use 32 or more.")
    clean = [
        SummaryStatement(text=text, evidence=statement.evidence)
        for statement in statements
        if (text := " ".join(sanitise(statement.text).split()))
    ]
    if not clean:
        raise UsageError("A summary needs at least one statement with something to read in it.")
    kept = _keep_within(clean, budget, counter)
    if not kept:
        raise ConfigurationError(f"Nothing of the summary fits into {budget} tokens. Use a budget of 32 or more.")
    text = _join(kept)
    return PreferenceSummary(
        text=text,
        statements=tuple(kept),
        tokens=counter.count_tokens(text),
        tokenizer=counter.tokenizer,
        budget=budget,
        inferrer=inferrer,
        evidence_digest=evidence_digest(signals),
        signals_used=len(signals) if used is None else used,
        signals_total=len(signals),
        signals_shortened=shortened,
    )


def _keep_within(statements: Sequence[SummaryStatement], budget: int, counter: TokenCounter) -> list[SummaryStatement]:
    if _fits(statements, budget, counter):
        return list(statements)
    kept: list[SummaryStatement] = []
    misses = 0
    for statement in statements:
        if _fits([*kept, statement], budget, counter):
            kept.append(statement)
            misses = 0
        elif (misses := misses + 1) >= _GIVE_UP:
            break
    if kept:
        return kept
    for statement in statements[:_GIVE_UP]:
        if text := fit_to_budget(statement.text, budget, counter):
            return [SummaryStatement(text=text, evidence=statement.evidence)]
    return []


def _fits(statements: Sequence[SummaryStatement], budget: int, counter: TokenCounter) -> bool:
    """Whether they keep the budget; what is longer than any vocabulary's tokens is not worth counting."""
    text = _join(statements)
    return len(text) <= budget * _LONGEST_TOKEN and counter.count_tokens(text) <= budget


def _join(statements: Sequence[SummaryStatement]) -> str:
    return " ".join(statement.text for statement in statements)
