"""The inferrer without a model: it measures what chosen texts have that rejected ones have not, and says it plainly."""

from __future__ import annotations

from typing import Any, ClassVar

from ..signals import as_signals
from ..summary import DEFAULT_BUDGET, PreferenceSummary, TokenCounter
from .base import PreferenceInferrer, build_summary

__all__ = ["HeuristicInferrer"]


class HeuristicInferrer(PreferenceInferrer):
    """Reads a summary out of signals without a model: the untrained row beside trained inferrers.

    It plays the inference model's part of POPI (arXiv 2510.17881): signals in, a compact summary in plain language
    out. Style is measured on pairs, edits and ratings (length, structure, formality, level, order, examples, emoji);
    statements stand as the user made them. The same signals give the same bytes, offline, in time linear in them.
    """

    name: ClassVar[str] = "heuristic"

    def infer(
        self,
        signals: Any,
        *,
        budget: int = DEFAULT_BUDGET,
        counter: TokenCounter | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> PreferenceSummary:
        """Summarise a user's preferences; see `PreferenceInferrer.infer`."""
        # The tables of phrases take longer to compile than the rest of the package to import.
        from .evidence import read
        from .statements import statements_of

        known = as_signals(signals)
        reading = read(known)
        return build_summary(
            statements_of(reading),
            budget=budget,
            counter=counter,
            inferrer=self.name,
            signals=known,
            used=len(reading.signals),
            shortened=reading.shortened,
        )
