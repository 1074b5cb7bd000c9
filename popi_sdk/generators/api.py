"""The driver of every HTTP backend, sync and async: build, send, read within limits, parse, retry.

A backend says how a request is sent (`_open`, `_aopen`) and what its library raises (`_foreign`, `_classify`);
everything else is here once. Bodies are read by us, not by an SDK, so that a deadline and a size hold for each.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from ..errors import BackendError, ConfigurationError, PopiError
from ..messages import Prompt, as_messages
from ..settings import get_settings
from ..summary import ESTIMATED
from . import retry
from .base import Generator
from .faults import Origin, request_id_of
from .generation import Generation, GenerationOptions
from .lanes import Lanes
from .protocols import Protocol, SseParser, StreamParser
from .streams import AsyncGenerationStream, GenerationStream

__all__ = ["MAX_BODY", "MAX_ERROR_BODY", "ApiGenerator", "AsyncReply", "Reply"]

MAX_BODY = 32_000_000
"""Bytes of one answer; a longer one is broken or hostile."""

MAX_ERROR_BODY = 100_000
"""Bytes of an error body that are read for the server's words."""

_DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer whose body is still to be read."""

    headers: Mapping[str, str]
    chunks: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class AsyncReply:
    """`Reply`, asynchronous."""

    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class ApiGenerator(Generator):
    """What all HTTP backends share.

    Args:
        model: The model's name, as the server knows it.
        url: Base URL of the server, if it is not the provider's own.
        timeout: Seconds for one try, the whole of it; in a stream, from one event to the next. None for POPI_TIMEOUT.
        max_retries: Further tries after the first. None for POPI_MAX_RETRIES.
        count_tokens: The model's tokenizer, text to number of tokens (for example
            `lambda text: len(tiktoken_encoding.encode(text))`); None for the UTF-8 byte bound.
    """

    protocol: Protocol

    def __init__(
        self,
        model: str,
        *,
        url: str | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        count_tokens: Callable[[str], int] | None = None,
    ) -> None:
        if not model:
            raise ConfigurationError(f"{self.backend} needs a model: '{self.backend}:MODEL'.")
        settings = get_settings()
        self.model = model
        self.url = url
        self.timeout = settings.timeout if timeout is None else timeout
        self.max_retries = settings.max_retries if max_retries is None else max_retries
        self.origin = Origin(self.backend, model, url)
        self._count = count_tokens
        self._lock = threading.Lock()
        self._clients: Lanes[Any] = Lanes(self._create_client)
        self._async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Lanes[Any]] = WeakKeyDictionary()

    # What a backend fills in.

    @abstractmethod
    def _create_client(self) -> Any:
        """The library's client, without retries of its own."""

    @abstractmethod
    def _create_async_client(self) -> Any:
        """`_create_client`, asynchronous."""

    @abstractmethod
    async def _close_async(self, client: Any) -> None:
        """Close what `_create_async_client` made."""

    @abstractmethod
    def _open(self, request: dict[str, Any], timeout: float) -> AbstractContextManager[Reply]:
        """Send a request; raise for a status that is not a success."""

    @abstractmethod
    def _aopen(self, request: dict[str, Any], timeout: float) -> AbstractAsyncContextManager[AsyncReply]:
        """`_open`, asynchronous."""

    @abstractmethod
    def _foreign(self) -> tuple[type[Exception], ...]:
        """What the backend's library raises."""

    @abstractmethod
    def _classify(self, error: Exception, timeout: float) -> PopiError:
        """The error of ours for one of the library's."""

    # The verbs.

    def generate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        call = self._call(messages, options, timeout, max_retries, stream=False)

        def once() -> Generation:
            with self._boundary(call.timeout):
                with self._open(call.request, call.timeout) as reply:
                    body = _Body(self.origin, call.timeout)
                    for chunk in reply.chunks:
                        body.add(chunk)
                return self._parse(body, reply.headers)

        return call.timed(retry.synchronous(call.max_retries)(once))

    async def agenerate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        call = self._call(messages, options, timeout, max_retries, stream=False)

        async def once() -> Generation:
            with self._boundary(call.timeout):
                async with self._aopen(call.request, call.timeout) as reply:
                    body = _Body(self.origin, call.timeout)
                    async for chunk in reply.chunks:
                        body.add(chunk)
                return self._parse(body, reply.headers)

        return call.timed(await retry.asynchronous(call.max_retries)(once))

    def stream(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> GenerationStream:
        call = self._call(messages, options, timeout, max_retries, stream=True)

        def enter() -> tuple[AbstractContextManager[Reply], Reply]:
            with self._boundary(call.timeout):
                manager = self._open(call.request, call.timeout)
                return manager, manager.__enter__()

        def pieces() -> Iterator[str | Generation]:
            opened: tuple[AbstractContextManager[Reply], Reply] = retry.synchronous(call.max_retries)(enter)
            manager, reply = opened
            try:
                with self._boundary(call.timeout, began=True):
                    events = _Events(self.origin, call.timeout, self.protocol.stream_parser(self.origin, reply.headers))
                    for chunk in reply.chunks:
                        yield from events.feed(chunk)
                        if events.done:
                            break
                    yield call.timed(events.parser.finish())
            finally:
                manager.__exit__(None, None, None)

        return GenerationStream(pieces())

    def astream(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> AsyncGenerationStream:
        call = self._call(messages, options, timeout, max_retries, stream=True)

        async def enter() -> tuple[AbstractAsyncContextManager[AsyncReply], AsyncReply]:
            with self._boundary(call.timeout):
                manager = self._aopen(call.request, call.timeout)
                return manager, await manager.__aenter__()

        async def pieces() -> AsyncIterator[str | Generation]:
            opened: tuple[AbstractAsyncContextManager[AsyncReply], AsyncReply] = await retry.asynchronous(
                call.max_retries
            )(enter)
            manager, reply = opened
            try:
                with self._boundary(call.timeout, began=True):
                    events = _Events(self.origin, call.timeout, self.protocol.stream_parser(self.origin, reply.headers))
                    async for chunk in reply.chunks:
                        for piece in events.feed(chunk):
                            yield piece
                        if events.done:
                            break
                    yield call.timed(events.parser.finish())
            finally:
                await manager.__aexit__(None, None, None)

        return AsyncGenerationStream(pieces())

    @property
    def tokenizer(self) -> str:
        return ESTIMATED if self._count is None else f"{self.backend}:{self.model}"

    def count_tokens(self, text: str) -> int:
        return super().count_tokens(text) if self._count is None else self._count(text)

    @property
    def identity(self) -> str:
        return f"{self.backend}:{self.model}{f'@{self.url}' if self.url else ''}"

    # Shared by the verbs.

    def _call(
        self,
        messages: Prompt,
        options: GenerationOptions | None,
        timeout: float | None,
        max_retries: int | None,
        *,
        stream: bool,
    ) -> _Call:
        seconds = self.timeout if timeout is None else timeout
        retries = self.max_retries if max_retries is None else max_retries
        if not 0 < seconds < float("inf"):
            raise ConfigurationError(f"timeout={seconds} must be a positive number of seconds.")
        if retries < 0:
            raise ConfigurationError(f"max_retries={retries} must be 0 or more.")
        request = self.protocol.request(
            self.model, as_messages(messages), options or GenerationOptions(), stream=stream
        )
        return _Call(request, seconds, retries, time.perf_counter())

    def _parse(self, body: _Body, headers: Mapping[str, str]) -> Generation:
        return self.protocol.parse(body.json(headers), self.origin, headers)

    @contextmanager
    def _boundary(self, timeout: float, *, began: bool = False) -> Iterator[None]:
        """Foreign exceptions become ours; after streaming began, none is retryable."""
        try:
            yield
        except self._foreign() as error:
            ours = _popi_cause(error) or self._classify(error, timeout)
            if began and isinstance(ours, BackendError):
                ours.retryable = False
            raise ours from error
        except BackendError as error:
            error.retryable = error.retryable and not began
            raise

    def _sync_client(self) -> AbstractContextManager[Any]:
        return self._clients.use()

    def _async_client(self) -> AbstractContextManager[Any]:
        """A client of the running loop: pooled connections belong to the loop that opened them."""
        loop = asyncio.get_running_loop()
        with self._lock:
            lanes = self._async_clients.get(loop)
            if lanes is None:
                lanes = self._async_clients[loop] = Lanes(self._create_async_client)
        return lanes.use()

    def close(self) -> None:
        for client in self._clients.drain():
            client.close()

    async def aclose(self) -> None:
        self.close()
        with self._lock:
            lanes = self._async_clients.pop(asyncio.get_running_loop(), None)
        for client in lanes.drain() if lanes else ():
            await self._close_async(client)


@dataclass(frozen=True, slots=True)
class _Call:
    request: dict[str, Any]
    timeout: float
    max_retries: int
    started: float

    def timed(self, generation: Generation) -> Generation:
        return replace(generation, latency=time.perf_counter() - self.started)


class _Limits:
    """A deadline and a size for one body."""

    def __init__(self, origin: Origin, timeout: float) -> None:
        self.origin = origin
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        self.size = 0

    def check(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > MAX_BODY:
            raise self.origin.invalid(f"more than {MAX_BODY:,} bytes")
        if time.monotonic() > self.deadline:
            raise self.origin.timeout(self.timeout)


class _Body(_Limits):
    """A whole body."""

    def __init__(self, origin: Origin, timeout: float) -> None:
        super().__init__(origin, timeout)
        self.chunks: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        self.check(chunk)
        self.chunks.append(chunk)

    def json(self, headers: Mapping[str, str]) -> Any:
        try:
            return json.loads(b"".join(self.chunks))
        except (ValueError, RecursionError) as error:
            raise self.origin.invalid(f"not JSON ({error})", request_id=request_id_of(headers)) from error


class _Events(_Limits):
    """A body of server-sent events: the time-out runs from event to event, since a long answer is no failure."""

    def __init__(self, origin: Origin, timeout: float, parser: StreamParser) -> None:
        super().__init__(origin, timeout)
        self.parser = parser
        self.sse = SseParser()
        self.done = False

    def feed(self, chunk: bytes) -> Iterator[str]:
        self.check(chunk)
        for event in self._decode(chunk):
            self.deadline = time.monotonic() + self.timeout
            piece = self.parser.feed(event)
            if piece:
                yield piece

    def _decode(self, chunk: bytes) -> Iterator[Any]:
        try:
            for data in self.sse.feed(chunk):
                if data.strip() == _DONE:
                    self.done = True
                    return
                yield json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self.origin.invalid(f"a broken stream ({error})", request_id=self.parser.request_id) from error


def _popi_cause(error: BaseException) -> PopiError | None:
    """An error of ours that a library wrapped: `testing.no_requests` raises inside of it, for example."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PopiError):
            return cause
        cause = cause.__cause__
    return None
