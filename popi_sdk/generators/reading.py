"""A worker's answer as a stream: the caller only waits for a queue, so a time-out or a Ctrl-C reaches it at once."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress

from ..errors import PopiError
from .generation import Generation
from .streams import AsyncGenerationStream, GenerationStream

__all__ = ["Item", "Put", "Start", "read", "read_all", "read_async"]

Item = str | Generation | BaseException | None
"""What a worker puts: None when the model is there and the time begins, pieces, then the generation or an error."""

Put = Callable[[Item], None]
Start = Callable[[Put], threading.Event]
"""Hands the job to the worker, which puts items; returns the event that stops it."""


def read(start: Start, seconds: float, late: Callable[[], PopiError]) -> GenerationStream:
    """The items of a job that starts with the first read.

    Args:
        start: Starts it.
        seconds: Time from the first None to the generation.
        late: Makes the error for taking longer.
    """

    def items() -> Iterator[str | Generation]:
        waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
        stop = start(waiting.put)
        deadline: float | None = None
        try:
            while True:
                try:
                    item = waiting.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
                except queue.Empty:
                    raise late() from None
                if item is None:
                    deadline = time.monotonic() + seconds
                    continue
                yield _raised(item)
                if isinstance(item, Generation):
                    return
        finally:
            stop.set()

    return GenerationStream(items())


def read_all(starts: Sequence[Start], seconds: float, late: Callable[[], PopiError]) -> list[Generation]:
    """The generations of several jobs that start together; the first failure is raised and gives up the others."""
    waiting: queue.SimpleQueue[tuple[int, Item]] = queue.SimpleQueue()
    stops: list[threading.Event] = []
    answers: dict[int, Generation] = {}
    deadline: float | None = None
    try:
        for index, start in enumerate(starts):
            stops.append(start(lambda item, index=index: waiting.put((index, item))))  # type: ignore[misc]
        while len(answers) < len(starts):
            try:
                index, item = waiting.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise late() from None
            if item is None:
                deadline = time.monotonic() + seconds
            elif isinstance(whole := _raised(item), Generation):
                answers[index] = whole
    finally:
        for stop in stops:
            stop.set()
    return [answers[index] for index in range(len(starts))]


def read_async(start: Start, seconds: float, late: Callable[[], PopiError]) -> AsyncGenerationStream:
    """`read`, for `async for`."""

    async def items() -> AsyncIterator[str | Generation]:
        waiting: asyncio.Queue[Item] = asyncio.Queue()
        stop = start(_into(asyncio.get_running_loop(), waiting))
        deadline: float | None = None
        try:
            while True:
                try:
                    async with asyncio.timeout(None if deadline is None else deadline - time.monotonic()):
                        item = await waiting.get()
                except TimeoutError:
                    raise late() from None
                if item is None:
                    deadline = time.monotonic() + seconds
                    continue
                yield _raised(item)
                if isinstance(item, Generation):
                    return
        finally:
            stop.set()

    return AsyncGenerationStream(items())


def _raised(item: str | Generation | BaseException) -> str | Generation:
    if isinstance(item, BaseException):
        raise item
    return item


def _into(loop: asyncio.AbstractEventLoop, waiting: asyncio.Queue[Item]) -> Put:
    def put(item: Item) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(waiting.put_nowait, item)

    return put
