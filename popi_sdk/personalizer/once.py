"""`personalize`: one call for one prompt."""

from __future__ import annotations

from typing import Any

from ..generators import Generator
from ..inferrers import PreferenceInferrer
from ..messages import Prompt
from ..summary import DEFAULT_BUDGET, PreferenceSummary
from .facade import Options, Personalizer
from .response import PersonalizedResponse

__all__ = ["personalize"]


def personalize(
    signals: Any,
    prompt: Prompt,
    *,
    inferrer: str | PreferenceInferrer | Generator = "local",
    generator: str | Generator = "local",
    budget: int = DEFAULT_BUDGET,
    options: Options = None,
    timeout: float | None = None,
    max_retries: int | None = None,
) -> PersonalizedResponse:
    """Answer one prompt the way this user likes it: `Personalizer` for a single call.

    An embedded engine that this starts keeps running until the process ends, so that the next call is fast. For many
    prompts of one user build a `Personalizer`: it keeps the summary too.

    Args:
        signals: The user's signals (see `as_signals`), or a ready summary.
        prompt: A string, or messages.
        inferrer: See `Personalizer`.
        generator: See `Personalizer`.
        budget: Most tokens of the summary.
        options: How to generate.
        timeout: Seconds for one try of a request.
        max_retries: Further tries after the first.

    Raises:
        UsageError: If the signals, the prompt, a backend or the options cannot be used.
        BackendError: If a backend failed.
    """
    with Personalizer(
        inferrer, generator, budget=budget, options=options, timeout=timeout, max_retries=max_retries
    ) as popi:
        response = popi.personalize(signals, prompt)
        popi._keep_warm(inferred=not isinstance(signals, PreferenceSummary))
        return response
