"""What a backend is: messages in, text out."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import ClassVar, Self

from ..messages import Message, Prompt, as_messages
from ..summary import ESTIMATED, ByteCounter
from .generation import Generation, GenerationOptions
from .streams import AsyncGenerationStream, GenerationStream

__all__ = ["Generator"]


class Generator(ABC):
    """A backend. Implement `generate`; everything else has a default that a backend may do better.

    A generator may be used from several threads at once. Close it when done (`with` does it); one that you pass to a
    `Personalizer` stays yours to close.

    Attributes:
        backend: Name of the backend in the registry.
        model: The model that is asked.
        max_concurrency: How many requests can run at once; None for no limit of the backend's own.
    """

    backend: ClassVar[str]
    max_concurrency: int | None = None
    model: str

    @abstractmethod
    def generate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        """Answer.

        Args:
            messages: A string, or messages of which the last is to be answered.
            options: How to generate.
            timeout: Seconds for one try; None for the generator's own.
            max_retries: Further tries after the first; None for the generator's own.

        Raises:
            UsageError: If the messages or the options cannot be used.
            BackendError: If the backend failed; never an empty answer.
        """

    async def agenerate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        """`generate`, awaited: by default in a thread."""
        return await asyncio.to_thread(self.generate, messages, options, timeout=timeout, max_retries=max_retries)

    def stream(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> GenerationStream:
        """Answer piece by piece; after the last piece the stream's `result` holds the whole `Generation`."""
        turns = as_messages(messages)  # a mistake of the caller's is raised by the call, not by the first piece

        def pieces() -> Iterator[str | Generation]:
            result = self.generate(turns, options, timeout=timeout, max_retries=max_retries)
            yield result.text
            yield result

        return GenerationStream(pieces())

    def astream(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> AsyncGenerationStream:
        """`stream`, with `async for`."""
        turns = as_messages(messages)

        async def pieces() -> AsyncIterator[str | Generation]:
            result = await self.agenerate(turns, options, timeout=timeout, max_retries=max_retries)
            yield result.text
            yield result

        return AsyncGenerationStream(pieces())

    def generate_batch(
        self,
        prompts: Sequence[Prompt],
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> list[Generation]:
        """Answers to several prompts, in their order: by default one after the other; the first failure is raised.

        A backend that computes several at once does it here. `timeout` and `max_retries` hold for each prompt.
        """
        return [self.generate(prompt, options, timeout=timeout, max_retries=max_retries) for prompt in prompts]

    @property
    def tokenizer(self) -> str:
        """Name of the tokenizer behind `count_tokens`; `estimated` where it is the UTF-8 byte bound."""
        return ESTIMATED

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without any chat template."""
        return ByteCounter().count_tokens(text)

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of messages as the model reads them; without a tokenizer, of their contents."""
        return sum(self.count_tokens(message["content"]) for message in messages)

    @property
    def identity(self) -> str:
        """What decides this generator's answers, for cache keys: the backend, the model, where it runs."""
        return f"{self.backend}:{self.model}"

    def keep_warm(self) -> None:  # noqa: B027 - most backends have nothing that is costly to start
        """Leave what is costly to start running until the process ends, even after `close`."""

    def close(self) -> None:  # noqa: B027 - a backend that holds nothing has nothing to do
        """Give back connections and engines; closing twice is fine."""

    async def aclose(self) -> None:
        """`close`, awaited."""
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
