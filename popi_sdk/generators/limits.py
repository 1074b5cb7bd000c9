"""What one answer may take: seconds, tries, bytes. A server that sends for ever is given up, whatever it sends."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ConfigurationError, InvalidResponseError
from .faults import Origin, request_id_of
from .protocols import SseParser, StreamParser

__all__ = ["MAX_BODY", "MAX_ERROR_BODY", "MAX_TIMEOUT", "Body", "ErrorBody", "Events", "retries_of", "seconds_of"]

MAX_BODY = 32_000_000
"""Bytes of one answer; a longer one is broken or hostile."""

MAX_ERROR_BODY = 100_000
"""Bytes of an error body that are read for the server's words."""

MAX_TIMEOUT = 1_000_000.0
"""Seconds, some eleven days; more does not fit into what the operating system takes."""

_DONE = b"[DONE]"


def seconds_of(timeout: Any) -> float:
    """A time-out that can be kept.

    Raises:
        ConfigurationError: If it is not a positive number of seconds, or too large.
    """
    number = timeout if isinstance(timeout, int | float) and not isinstance(timeout, bool) else math.nan
    if not 0 < number <= MAX_TIMEOUT:
        raise ConfigurationError(f"timeout={timeout!r} must be a positive number of seconds, at most {MAX_TIMEOUT:g}.")
    return float(number)


def retries_of(max_retries: Any) -> int:
    """A number of retries.

    Raises:
        ConfigurationError: If it is not a whole number of at least 0.
    """
    if not isinstance(max_retries, int) or isinstance(max_retries, bool) or max_retries < 0:
        raise ConfigurationError(f"max_retries={max_retries!r} must be a whole number, 0 or more.")
    return max_retries


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


class Body(_Limits):
    """A whole body."""

    def __init__(self, origin: Origin, timeout: float) -> None:
        super().__init__(origin, timeout)
        self.chunks: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        """Take a chunk in.

        Raises:
            BackendTimeoutError: If the whole takes too long.
            InvalidResponseError: If it is too large.
        """
        self.check(chunk)
        self.chunks.append(chunk)

    def json(self, headers: Mapping[str, str]) -> Any:
        """The body, parsed.

        Raises:
            InvalidResponseError: If it is not JSON.
        """
        try:
            return json.loads(b"".join(self.chunks))
        except (ValueError, RecursionError) as error:
            raise self.origin.invalid(f"not JSON ({error})", request_id=request_id_of(headers)) from error


class ErrorBody:
    """The start of an error body; the status says enough, so nothing about the body is an error of its own."""

    def __init__(self, timeout: float) -> None:
        self.patience = timeout / 2  # of the try's own: it must not run out over the server's words
        self.deadline = time.monotonic() + self.patience
        self.data = b""

    def add(self, chunk: bytes) -> bool:
        """Take a chunk in; returns whether to go on reading."""
        self.data += chunk[: MAX_ERROR_BODY - len(self.data)]
        return len(self.data) < MAX_ERROR_BODY and time.monotonic() < self.deadline

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


class Events(_Limits):
    """A body of server-sent events: the time-out runs from event to event, since a long answer is no failure."""

    def __init__(self, origin: Origin, timeout: float, parser: StreamParser) -> None:
        super().__init__(origin, timeout)
        self.parser = parser
        self.sse = SseParser()
        self.done = False

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The pieces of text in a chunk.

        Raises:
            PopiError: As `StreamParser.feed`, and if the stream is broken, too large or too slow.
        """
        self.check(chunk)
        try:
            events = self.sse.feed(chunk)
        except ValueError as error:
            raise self._broken(error) from error
        yield from self._pieces(events)

    def finish(self) -> Iterator[str]:
        """The pieces of text in what the server left without the blank line that ends an event."""
        if not self.done:
            yield from self._pieces(self.sse.finish())

    def _pieces(self, events: list[bytes]) -> Iterator[str]:
        for data in events:
            if data.strip() == _DONE:
                self.done = True
                return
            if not data.strip():
                continue  # it keeps a connection alive, as a comment does
            piece = self.parser.feed(self._parsed(data))
            if piece:
                yield piece
            self.done = self.parser.ended
            # From here on, not from before the piece was given out: the reader's time is not the server's.
            self.deadline = time.monotonic() + self.timeout

    def _parsed(self, data: bytes) -> Any:
        try:
            return json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> InvalidResponseError:
        return self.origin.invalid(f"a broken stream ({error})", request_id=self.parser.request_id)
