"""Streams: pieces of an answer, then the whole of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Generic, Self, TypeVar

from ..errors import UsageError
from .generation import Generation

__all__ = ["AsyncGenerationStream", "AsyncStream", "GenerationStream", "Stream"]

Result = TypeVar("Result")

_UNFINISHED = "The stream has no result yet. Read it to its end first, or call read()."


class Stream(Generic[Result]):
    """Iterates over pieces of text; `result` holds the whole after the last one.

    Leave it early with `close()` or by using it in a `with` block: the backend stops working then.
    """

    def __init__(self, source: Iterator[str | Result]) -> None:
        self._source = source
        self._result: Result | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece = next(self._source)
        if isinstance(piece, str):
            return piece
        self._result = piece
        for _ in self._source:  # let the source run to its own end, so that it gives back what it holds
            pass
        raise StopIteration

    @property
    def result(self) -> Result:
        """The whole answer.

        Raises:
            UsageError: If the stream was not read to its end.
        """
        if self._result is None:
            raise UsageError(_UNFINISHED)
        return self._result

    def read(self) -> Result:
        """Read what is left and return the result."""
        for _ in self:
            pass
        return self.result

    def close(self) -> None:
        """Stop the backend and give back what the stream holds."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AsyncStream(Generic[Result]):
    """`Stream`, for `async for` and `async with`."""

    def __init__(self, source: AsyncIterator[str | Result]) -> None:
        self._source = source
        self._result: Result | None = None

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        piece = await anext(self._source)
        if isinstance(piece, str):
            return piece
        self._result = piece
        async for _ in self._source:
            pass
        raise StopAsyncIteration

    @property
    def result(self) -> Result:
        """The whole answer.

        Raises:
            UsageError: If the stream was not read to its end.
        """
        if self._result is None:
            raise UsageError(_UNFINISHED)
        return self._result

    async def read(self) -> Result:
        """Read what is left and return the result."""
        async for _ in self:
            pass
        return self.result

    async def aclose(self) -> None:
        """Stop the backend and give back what the stream holds."""
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


class GenerationStream(Stream[Generation]):
    """A stream that ends in a `Generation`."""


class AsyncGenerationStream(AsyncStream[Generation]):
    """An asynchronous stream that ends in a `Generation`."""
