"""The driver of every HTTP backend, sync and async: build, send, read within limits, parse, retry.

A backend says how a request is sent (`_open`, `_aopen`) and what its library raises (`_foreign`, `_classify`);
everything else is here once. Bodies are read by us, not by an SDK, so that a deadline and a size hold for each.
"""

from __future__ import annotations

import asyncio
import threading
import time
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from ..errors import BackendError, ConfigurationError, PopiError
from ..messages import Prompt, as_messages
from ..settings import get_settings
from ..summary import ESTIMATED
from . import retry
from .base import Generator
from .faults import Origin
from .generation import Generation, GenerationOptions, as_options
from .lanes import Lanes
from .limits import Body, Events, retries_of, seconds_of
from .protocols import Protocol
from .spec import checked_url
from .streams import AsyncGenerationStream, GenerationStream

__all__ = ["ApiGenerator", "AsyncReply", "Reply"]


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
        timeout: Seconds for one try; in a stream, until it begins and from one event to the next. The async verbs keep
            it exactly. The sync ones look at the clock whenever bytes arrive: from a server that falls silent they
            turn away after as long again, from one whose headers trickle when these get too long. None for
            POPI_TIMEOUT.
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
        self.url = None if url is None else checked_url(url)
        self.timeout = seconds_of(settings.timeout if timeout is None else timeout)
        self.max_retries = retries_of(settings.max_retries if max_retries is None else max_retries)
        self.origin = Origin(self.backend, model, self.url)
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
        started = time.perf_counter()

        def once() -> Generation:
            body = Body(self.origin, call.timeout)
            with self._boundary(call.timeout), self._open(call.request, call.timeout) as reply:
                for chunk in reply.chunks:
                    body.add(chunk)
            return self._parse(body, reply.headers)

        return _timed(retry.synchronous(call.max_retries)(once), started)

    async def agenerate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        call = self._call(messages, options, timeout, max_retries, stream=False)
        started = time.perf_counter()

        async def once() -> Generation:
            body = Body(self.origin, call.timeout)
            with self._boundary(call.timeout):
                async with asyncio.timeout(call.timeout), self._aopen(call.request, call.timeout) as reply:
                    async for chunk in reply.chunks:
                        body.add(chunk)
            return self._parse(body, reply.headers)

        return _timed(await retry.asynchronous(call.max_retries)(once), started)

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

        def chunks(reply: Reply) -> Iterator[bytes]:
            with self._boundary(call.timeout):
                yield from reply.chunks

        def pieces() -> Iterator[str | Generation]:
            started = time.perf_counter()
            opened: tuple[AbstractContextManager[Reply], Reply] = retry.synchronous(call.max_retries)(enter)
            manager, reply = opened
            try:
                with _never_again():
                    if _is_whole(reply.headers):
                        body = Body(self.origin, call.timeout)
                        for chunk in chunks(reply):
                            body.add(chunk)
                        yield from _as_pieces(self._parse(body, reply.headers), started)
                        return
                    events = self._events(call, reply.headers)
                    for chunk in chunks(reply):
                        yield from events.feed(chunk)
                        if events.done:
                            break
                    yield from events.finish()
                    yield _timed(events.parser.finish(), started)
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
                async with asyncio.timeout(call.timeout):
                    manager = self._aopen(call.request, call.timeout)
                    return manager, await manager.__aenter__()

        async def chunks(reply: AsyncReply) -> AsyncGenerator[bytes]:
            with self._boundary(call.timeout):
                async for chunk in reply.chunks:
                    yield chunk

        async def pieces() -> AsyncIterator[str | Generation]:
            started = time.perf_counter()
            opened: tuple[AbstractAsyncContextManager[AsyncReply], AsyncReply] = await retry.asynchronous(
                call.max_retries
            )(enter)
            manager, reply = opened
            try:
                with _never_again():
                    async with aclosing(chunks(reply)) as received:
                        if _is_whole(reply.headers):
                            body = Body(self.origin, call.timeout)
                            async for chunk in received:
                                body.add(chunk)
                            for item in _as_pieces(self._parse(body, reply.headers), started):
                                yield item
                            return
                        events = self._events(call, reply.headers)
                        async for chunk in received:
                            for piece in events.feed(chunk):
                                yield piece
                            if events.done:
                                break
                    for piece in events.finish():
                        yield piece
                    yield _timed(events.parser.finish(), started)
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
        return f"{self.backend}:{self.model}{f'@{self.origin.url}' if self.origin.url else ''}"

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
        request = self.protocol.request(self.model, as_messages(messages), as_options(options), stream=stream)
        return _Call(
            request,
            self.timeout if timeout is None else seconds_of(timeout),
            self.max_retries if max_retries is None else retries_of(max_retries),
        )

    def _parse(self, body: Body, headers: Mapping[str, str]) -> Generation:
        return self.protocol.parse(body.json(headers), self.origin, headers)

    def _events(self, call: _Call, headers: Mapping[str, str]) -> Events:
        return Events(self.origin, call.timeout, self.protocol.stream_parser(self.origin, headers))

    @contextmanager
    def _boundary(self, timeout: float) -> Iterator[None]:
        """What a library raises while it sends and reads becomes an error of ours."""
        try:
            yield
        except PopiError:
            raise
        except TimeoutError as error:
            raise self.origin.timeout(timeout) from error
        except self._raised() as error:
            if ours := _popi_cause(error):
                raise ours from ours.__cause__  # not from `error`, which it caused: that would be a circle
            behind = "".join(f"{one}{one!r}" for one in _behind(error))
            shown = error if self.origin.cleaned(behind) == behind else None
            raise self._ours(error, timeout) from shown

    def _raised(self) -> tuple[type[Exception], ...]:
        return (*self._foreign(), OSError, RuntimeError, ValueError, ExceptionGroup)

    def _ours(self, error: Exception, timeout: float) -> PopiError:
        if isinstance(error, self._foreign()):
            return self._classify(error, timeout)
        if isinstance(error, ValueError):  # a host, a header or a text that cannot be encoded
            return self.origin.unsendable(error)
        # A RuntimeError says that the client was closed meanwhile.
        return self.origin.connection(error, retryable=isinstance(error, OSError))

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
        """Close the connections of the sync verbs and of the running loop; another loop has to close its own."""
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


def _timed(generation: Generation, started: float) -> Generation:
    return replace(generation, latency=time.perf_counter() - started)


def _is_whole(headers: Mapping[str, str]) -> bool:
    """Whether a server answers a request for a stream with a whole body: it cannot stream, or reports an error."""
    return headers.get("content-type", "").startswith("application/json")


def _as_pieces(generation: Generation, started: float) -> Iterator[str | Generation]:
    yield generation.text
    yield _timed(generation, started)


@contextmanager
def _never_again() -> Iterator[None]:
    """After a stream began nothing is retried, by nobody: its pieces were given out."""
    try:
        yield
    except BackendError as error:
        error.retryable = False
        raise


def _popi_cause(error: BaseException) -> PopiError | None:
    """An error of ours that a library wrapped: `testing.no_requests` raises inside of it, for example."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PopiError):
            return cause
        # anyio, which tries several addresses at once, puts even a single failure into a group.
        cause = cause.exceptions[0] if isinstance(cause, ExceptionGroup) else cause.__cause__
    return None


def _behind(error: BaseException) -> Iterator[BaseException]:
    """An error and all that a traceback of it would show."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]
