"""Streams: pieces, the result behind the last one, and that leaving early stops the backend."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from support.doubles import Pieces, SlowInferrer

from popi_sdk import BackendError, PersonalizedResponse, Personalizer, Statement, UsageError
from popi_sdk.personalizer import AsyncPersonalizedStream, PersonalizedStream
from popi_sdk.testing import FixedInferrer

SIGNALS = [Statement(text="Short, please.")]
LONG = " ".join(str(number) for number in range(50))


def build(generator: Any, inferrer: Any = None) -> Personalizer:
    return Personalizer(inferrer or FixedInferrer("Keep it short."), generator)


def test_pieces_then_the_result() -> None:
    generator = Pieces()
    stream = build(generator).stream(SIGNALS, "Q")
    assert isinstance(stream, PersonalizedStream)
    assert stream.summary.text == "Keep it short."
    assert list(stream) == ["one", " two", " three"]
    assert isinstance(stream.result, PersonalizedResponse)
    assert (stream.result.text, stream.result.summary) == ("one two three", stream.summary)
    assert stream.result.context_tokens > 0
    assert stream.result.latency > 0
    assert list(stream) == []
    assert stream.read() is stream.result
    assert generator.streams_closed == 1


async def test_pieces_then_the_result_async() -> None:
    generator = Pieces()
    stream = build(generator).astream(SIGNALS, "Q")
    assert isinstance(stream, AsyncPersonalizedStream)
    with pytest.raises(UsageError, match=r"The summary is not there yet\. Read the first piece"):
        _ = stream.summary
    pieces = []
    async for piece in stream:
        pieces.append(piece)
        assert stream.summary.text == "Keep it short."
    assert pieces == ["one", " two", " three"]
    assert (stream.result.text, stream.result.summary) == ("one two three", stream.summary)
    assert await stream.read() is stream.result
    assert generator.streams_closed == 1


async def test_the_result_before_the_end_is_a_mistake() -> None:
    stream = build(Pieces()).stream(SIGNALS, "Q")
    next(stream)
    with pytest.raises(UsageError, match="The stream has no result yet"):
        _ = stream.result
    twin = build(Pieces()).astream(SIGNALS, "Q")
    await anext(twin)
    with pytest.raises(UsageError, match="The stream has no result yet"):
        _ = twin.result
    await twin.aclose()
    stream.close()


def test_closing_early_stops_the_backend() -> None:
    generator = Pieces(LONG)
    with build(generator).stream(SIGNALS, "Q") as stream:
        assert next(stream) == "0"
    assert generator.given == 1
    assert generator.streams_closed >= 1
    assert list(stream) == []
    with pytest.raises(UsageError, match="no result yet"):
        stream.read()
    stream.close()


def test_closing_before_the_first_piece_stops_the_backend_too() -> None:
    generator = Pieces(LONG)
    build(generator).stream(SIGNALS, "Q").close()
    assert (generator.given, generator.streams_closed) == (0, 1)


async def test_closing_early_stops_the_backend_async() -> None:
    generator = Pieces(LONG)
    async with build(generator).astream(SIGNALS, "Q") as stream:
        async for piece in stream:
            assert piece == "0"
            break
    assert (generator.given, generator.streams_closed) == (1, 1)
    await stream.aclose()
    unread = build(generator).astream(SIGNALS, "Q")
    await unread.aclose()
    assert len(generator.asked) == 1


async def test_a_stream_that_is_dropped_stops_the_backend() -> None:
    generator = Pieces(LONG)
    stream = build(generator).astream(SIGNALS, "Q")
    await anext(stream)
    del stream
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)
    assert generator.streams_closed == 1


async def test_cancelling_the_reader_stops_the_backend() -> None:
    generator = Pieces(LONG, delay=0.01)
    seen: list[str] = []

    async def read() -> None:
        async for piece in build(generator).astream(SIGNALS, "Q"):
            seen.append(piece)  # noqa: PERF401 - what was seen before the cancellation counts

    task = asyncio.create_task(read())
    await asyncio.sleep(0.06)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)
    assert 0 < len(seen) < 50
    assert generator.given == len(seen) + 1  # the one whose delay was interrupted
    assert generator.streams_closed == 1


async def test_an_error_in_the_middle() -> None:
    failure = BackendError("reset", backend="pieces")
    generator = Pieces(error=failure, fail_after=2)
    stream = build(generator).stream(SIGNALS, "Q")
    seen = []
    with pytest.raises(BackendError) as caught:
        seen.extend(stream)
    assert caught.value is failure
    assert generator.streams_closed == 1
    with pytest.raises(UsageError, match="no result yet"):
        _ = stream.result
    twin = build(generator).astream(SIGNALS, "Q")
    with pytest.raises(BackendError):
        await twin.read()
    assert generator.streams_closed == 2
    assert twin.summary.text == "Keep it short."


async def test_an_error_of_the_inferrer_comes_before_the_backend_is_asked() -> None:
    failure = BackendError("down", backend="slow")
    generator = Pieces()
    popi = build(generator, SlowInferrer(failures=[failure, failure]))
    with pytest.raises(BackendError):
        popi.stream(SIGNALS, "Q")
    stream = popi.astream(SIGNALS, "Q")
    with pytest.raises(BackendError):
        await anext(stream)
    assert generator.asked == []


async def test_a_mistake_in_the_prompt_is_told_at_once() -> None:
    popi = build(Pieces())
    with pytest.raises(UsageError, match="empty"):
        popi.stream(SIGNALS, "")
    with pytest.raises(UsageError, match="empty"):
        popi.astream(SIGNALS, "")
