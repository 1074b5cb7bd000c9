"""`FunctionGenerator`: any callable as a backend."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from ..errors import BackendError, ConfigurationError, PopiError
from ..messages import Message, Prompt, as_messages
from .base import Generator
from .faults import Origin
from .generation import Generation, GenerationOptions, as_options

__all__ = ["FunctionGenerator"]

Answer = str | Generation
Function = Callable[[list[Message], GenerationOptions], Answer | Awaitable[Answer]]


class FunctionGenerator(Generator):
    """Wraps a callable (messages, options) -> text, sync or async.

    `timeout` and `max_retries` are the function's own affair: it is called once and waited for.

    Args:
        function: Gets a list of `{"role", "content"}` and the options; returns a text or a `Generation`.
        model: A name for it.
        count_tokens: Its tokenizer, if it has one.

    Raises:
        ConfigurationError: If it is not callable.
    """

    backend = "function"

    def __init__(
        self, function: Function, *, model: str | None = None, count_tokens: Callable[[str], int] | None = None
    ) -> None:
        if not callable(function):
            raise ConfigurationError(f"function wants a callable (messages, options) -> text, not {function!r:.80}.")
        self.function = function
        self.model = model or str(getattr(function, "__name__", type(function).__name__))
        self.origin = Origin(self.backend, self.model)
        self._count = count_tokens
        self._awaits = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is async is called like one
        )

    def generate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        started = time.perf_counter()
        turns = as_messages(messages)
        with self._boundary():
            answer = self.function(turns, as_options(options))
            if inspect.isawaitable(answer):
                answer = self._run(answer)
        return self._finish(answer, started)

    async def agenerate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        if not self._awaits:
            return await super().agenerate(messages, options, timeout=timeout, max_retries=max_retries)
        started = time.perf_counter()
        turns = as_messages(messages)
        with self._boundary():
            answer = await cast(Awaitable[Answer], self.function(turns, as_options(options)))
        return self._finish(answer, started)

    @property
    def tokenizer(self) -> str:
        return super().tokenizer if self._count is None else self.identity

    def count_tokens(self, text: str) -> int:
        return super().count_tokens(text) if self._count is None else self._count(text)

    def _run(self, answer: Awaitable[Answer]) -> Answer:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(_await(answer))
        if inspect.iscoroutine(answer):
            answer.close()
        raise ConfigurationError(f"{self.origin}: the function is async and a loop is running. Use the async verb.")

    @contextmanager
    def _boundary(self) -> Iterator[None]:
        try:
            yield
        except PopiError:
            raise
        except Exception as error:
            raise BackendError(
                f"{self.origin}: the function raised {type(error).__name__}: {error} "
                "(it is called with messages and options)",
                backend=self.backend,
                model=self.model,
            ) from error

    def _finish(self, answer: Any, started: float) -> Generation:
        text = answer.text if isinstance(answer, Generation) else answer
        if not isinstance(text, str) or not text.strip():
            raise self.origin.invalid(f"the function returned {answer!r:.80} instead of a text", status=None)
        if isinstance(answer, Generation):
            return answer
        return Generation(text=answer, model=self.model, latency=time.perf_counter() - started)


async def _await(answer: Awaitable[Answer]) -> Answer:
    return await answer
