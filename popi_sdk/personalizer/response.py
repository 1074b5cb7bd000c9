"""What comes back from the facade."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

from ..errors import UsageError
from ..generators import AsyncStream, Generation, Stream, Usage
from ..summary import PreferenceSummary

__all__ = ["AsyncPersonalizedStream", "PersonalizedResponse", "PersonalizedStream"]


@dataclass(frozen=True, slots=True)
class PersonalizedResponse:
    """One personalised answer.

    Attributes:
        text: The answer.
        summary: What was known of the user when it was written.
        context_tokens: What personalisation cost: tokens of the prompt with summary minus those of the plain one.
        counted_by: The tokenizer that counted them; `estimated` for the UTF-8 byte bound.
        latency: Seconds from the call to the end of the answer, inference of the summary included.
        generation: The backend's answer, with its model, request id and raw form.
    """

    text: str
    summary: PreferenceSummary
    context_tokens: int
    counted_by: str
    latency: float
    generation: Generation = field(repr=False)

    def __str__(self) -> str:
        return self.text

    @property
    def usage(self) -> Usage:
        """Tokens in and out, as the backend counted them."""
        return self.generation.usage

    @property
    def finish_reason(self) -> str:
        """Why the answer ended: `stop`, `length`, ..."""
        return self.generation.finish_reason

    @property
    def model(self) -> str:
        """The model that answered."""
        return self.generation.model


class PersonalizedStream(Stream[PersonalizedResponse]):
    """Pieces of a personalised answer; `summary` is known before the first one, `result` after the last."""

    def __init__(
        self, source: Iterator[str | PersonalizedResponse], summary: PreferenceSummary, backend: Stream[Generation]
    ) -> None:
        super().__init__(source)
        self.summary = summary
        self._backend = backend

    def close(self) -> None:
        super().close()
        self._backend.close()  # nothing of the source runs before the first piece: it cannot do this itself then


class AsyncPersonalizedStream(AsyncStream[PersonalizedResponse]):
    """`PersonalizedStream`, for `async for`; `summary` is known from the first piece on."""

    def __init__(self, source: AsyncGenerator[str | PreferenceSummary | PersonalizedResponse]) -> None:
        self._summary: PreferenceSummary | None = None
        super().__init__(self._pieces(source))

    @property
    def summary(self) -> PreferenceSummary:
        """What is known of the user.

        Raises:
            UsageError: Before the first piece.
        """
        if self._summary is None:
            raise UsageError("The summary is not there yet. Read the first piece of the stream.")
        return self._summary

    async def _pieces(
        self, source: AsyncGenerator[str | PreferenceSummary | PersonalizedResponse]
    ) -> AsyncIterator[str | PersonalizedResponse]:
        async with aclosing(source):
            async for item in source:
                if isinstance(item, PreferenceSummary):
                    self._summary = item
                else:
                    yield item
