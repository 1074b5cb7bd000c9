"""The one retry layer: tenacity around one try, sync or async."""

from __future__ import annotations

import tenacity

from ..errors import BackendError

__all__ = ["MAX_RETRY_AFTER", "asynchronous", "synchronous"]

MAX_RETRY_AFTER = 60.0
"""Seconds: a server that asks for a longer wait is not waited for; the error carries `retry_after`."""

_JITTERED = tenacity.wait_random_exponential(multiplier=0.5, max=8.0)


def synchronous(max_retries: int) -> tenacity.Retrying:
    """Call it with a function: retries it where `BackendError.retryable` says so."""
    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(max_retries + 1), wait=_wait, retry=_worth_it, reraise=True
    )


def asynchronous(max_retries: int) -> tenacity.AsyncRetrying:
    """`synchronous`, for coroutine functions."""
    return tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(max_retries + 1), wait=_wait, retry=_worth_it, reraise=True
    )


def _worth_it(state: tenacity.RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    return isinstance(error, BackendError) and error.retryable and (error.retry_after or 0.0) <= MAX_RETRY_AFTER


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, BackendError) and error.retry_after is not None:
        return error.retry_after
    return _JITTERED(state)
