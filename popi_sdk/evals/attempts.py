"""Many requests to a generator of which some may fail: a failure stands in its place, and is never an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import AuthenticationError, BackendError
from ..generators import Generation, GenerationOptions, Generator
from ..messages import Prompt

__all__ = ["Attempt", "attempt_batch"]

Attempt = Generation | BackendError
"""What became of one request."""

_TOGETHER = 32  # requests in one call: how much is asked again one by one if one of them fails


def attempt_batch(
    generator: Generator,
    prompts: Sequence[Prompt],
    options: GenerationOptions,
    *,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[Attempt]:
    """Ask a generator, through `generate_batch`.

    Args:
        generator: Who answers.
        prompts: The requests.
        options: How to generate.
        progress: Called with how many are done, and how many there are.

    Returns:
        For each request its answer, or the error that it ended with.

    Raises:
        UsageError: If the requests or the options cannot be used.
        BackendError: If the key was refused, or nothing but failures came back: then the backend does not work.
    """
    attempts: list[Attempt] = []
    for start in range(0, len(prompts), _TOGETHER):
        attempts += _attempt(generator, prompts[start : start + _TOGETHER], options)
        if not any(isinstance(attempt, Generation) for attempt in attempts):
            raise next(attempt for attempt in attempts if isinstance(attempt, BackendError))
        progress(len(attempts), len(prompts))
    return attempts


def _attempt(generator: Generator, prompts: Sequence[Prompt], options: GenerationOptions) -> list[Attempt]:
    try:
        return list(generator.generate_batch(prompts, options))
    except AuthenticationError:
        raise
    except BackendError as error:
        if len(prompts) == 1:
            return [error]
    return [attempt for prompt in prompts for attempt in _attempt(generator, [prompt], options)]
