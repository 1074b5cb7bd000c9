"""Streams that break after they began: what came before is delivered, then an error that nobody retries."""

from __future__ import annotations

import time

import pytest
from support import shapes
from support.fault_server import BACKENDS, endless, first_events, stream, succeed
from support.modes import STREAMED, ask

from popi_sdk.errors import (
    BackendConnectionError,
    BackendError,
    BackendTimeoutError,
    ConfigurationError,
    ContextTooLongError,
    InvalidResponseError,
    PopiError,
    RateLimitError,
    UsageError,
)
from popi_sdk.generators import limits

PATHS = {"openai": "/chat/completions", "anthropic": "/messages", "compatible": "/chat/completions"}


def events_until(backend: str, pieces: int) -> int:
    """How many events of a good stream bring that many pieces."""
    return pieces + (2 if backend == "anthropic" else 1)


def broken(generator, mode, kind, **kwargs):
    pieces: list[str] = []
    with pytest.raises(PopiError) as caught:
        ask(generator, mode, pieces=pieces, **kwargs)
    assert type(caught.value) is kind
    assert getattr(caught.value, "retryable", False) is False
    return pieces, caught.value


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reset_after_some_pieces(server, make, backend):
    generator = make(backend, max_retries=2)
    for mode in STREAMED:
        server.requests.clear()
        server.plan(first_events(events_until(backend, 2), "reset"), succeed())
        pieces, error = broken(generator, mode, BackendConnectionError)
        assert pieces == ["Hel", "lo "]
        assert (error.backend, error.model) == (backend, "asked-model")
        assert len(server.requests) == 1
        ask(generator, mode)


@pytest.mark.parametrize("then", ["end", "close"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_end_without_a_finish_reason(server, make, backend, then):
    """`end` is clean HTTP; `close` leaves the chunked body unfinished."""
    generator = make(backend)
    for mode in STREAMED:
        server.plan(first_events(events_until(backend, 3), then))
        kind = InvalidResponseError if then == "end" else BackendConnectionError
        pieces, error = broken(generator, mode, kind)
        assert "".join(pieces) == shapes.TEXT
        if then == "end":
            assert "ended before the answer was complete" in str(error)
            assert error.request_id == "req-1"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_done_mark_does_not_stand_for_a_finish_reason(server, make, backend):
    done = shapes.event({"type": "message_stop"}) if backend == "anthropic" else shapes.event("[DONE]")
    generator = make(backend)
    for mode in STREAMED:
        server.plan(first_events(events_until(backend, 3), "wait", lambda _: done))
        broken(generator, mode, InvalidResponseError)


@pytest.mark.parametrize(
    ("error_type", "kind", "status"),
    [
        ("overloaded_error", BackendError, 529),
        ("api_error", BackendError, 500),
        ("rate_limit_error", RateLimitError, 429),
        ("exceed_context_size_error", ContextTooLongError, 400),
        ("invalid_request_error", ConfigurationError, 400),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_event(server, make, backend, error_type, kind, status):
    generator = make(backend)
    for mode in STREAMED:
        server.requests.clear()
        server.plan(
            first_events(
                events_until(backend, 1), "end", lambda path: shapes.error_event(path, "went wrong", error_type)
            ),
            succeed(),
        )
        pieces, error = broken(generator, mode, kind)
        assert pieces == ["Hel"]
        assert (error.status_code, error.request_id) == (status, "req-1")
        assert "went wrong" in str(error)
        assert len(server.requests) == 1
        ask(generator, mode)


def test_an_error_event_of_anthropic_that_says_nothing(server, make):
    server.plan(first_events(3, "end", lambda _: shapes.event({"type": "error"})))
    broken(make("anthropic"), "stream", BackendError)


@pytest.mark.parametrize(
    "data",
    [b"data: {\n\n", b"data: nonsense\n\n", b"data: 7\n\n", b"data: [1]\n\n", b"data: \xff\xfe\n\n", b"data: null\n\n"],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_event_that_is_none(server, make, backend, data):
    generator = make(backend)
    for mode in STREAMED:
        server.plan(first_events(events_until(backend, 2), "end", lambda _: data))
        pieces, error = broken(generator, mode, InvalidResponseError)
        assert pieces == ["Hel", "lo "]
        assert error.request_id == "req-1"


@pytest.mark.parametrize(
    "event",
    [
        {"choices": None, "usage": 3, "model": 4, "id": 5},
        {"choices": [None]},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": 7}, "finish_reason": 7}]},
        {"type": "message_start", "message": 3},
        {"type": "content_block_delta", "delta": 4},
        {"type": "content_block_delta", "delta": {"text": 4}},
        {"type": "message_delta", "delta": {"stop_reason": 3}, "usage": 4},
        {"type": "message_delta", "delta": None},
        {"type": 9},
        {"type": "ping"},
        {"error": None},
    ],
)
def test_odd_events_neither_break_a_stream_nor_end_it(server, make, event):
    for backend in ("compatible", "anthropic"):
        path = PATHS[backend]
        server.plan(stream(*shapes.events(path)[:3], shapes.event(event), *shapes.events(path)[3:]))
        assert make(backend).stream("hi").read().text == shapes.TEXT
        server.plan(stream(shapes.event(event)))
        broken(make(backend), "stream", InvalidResponseError)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_event_without_end(server, make, backend, monkeypatch):
    monkeypatch.setattr("popi_sdk.generators.protocols.sse.MAX_EVENT", 200_000)
    generator = make(backend)
    for piece in (b"data: " + b"x" * 50_000, b"data: " + b"x" * 50_000 + b"\n"):
        server.always(endless(piece, headers={"content-type": "text/event-stream"}))
        for mode in STREAMED:
            _, error = broken(generator, mode, InvalidResponseError)
            assert "an event of more than 200,000 bytes" in str(error)
    assert all(request.gone.wait(2) for request in server.requests)


@pytest.mark.parametrize("backend", BACKENDS)
def test_events_without_end(server, make, backend, monkeypatch):
    monkeypatch.setattr(limits, "MAX_BODY", 500_000)
    text = {"content": "la " * 1000}
    delta = {"type": "content_block_delta", "delta": {"text": text["content"]}}
    event = shapes.event(delta if backend == "anthropic" else {"choices": [{"delta": text}]})
    server.always(endless(event, headers={"content-type": "text/event-stream"}))
    generator = make(backend)
    for mode in STREAMED:
        pieces, error = broken(generator, mode, InvalidResponseError)
        assert "more than 500,000 bytes" in str(error)
        assert len(pieces) > 100
    assert all(request.gone.wait(2) for request in server.requests)


@pytest.mark.parametrize("piece", [b": still here\n\n", b"data:\n\n", b"event: ping\n\n", b"data: half "])
@pytest.mark.parametrize("backend", BACKENDS)
def test_signs_of_life_are_no_events(server, make, backend, piece):
    server.always(endless(piece, interval=0.02, headers={"content-type": "text/event-stream"}))
    generator = make(backend, timeout=0.15, max_retries=0)
    for mode in STREAMED:
        started = time.monotonic()
        broken(generator, mode, BackendTimeoutError)
        assert 0.15 <= time.monotonic() - started < 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_silence_after_some_pieces(server, make, backend):
    server.always(first_events(events_until(backend, 2), "wait"))
    generator = make(backend, timeout=0.15)
    for mode in STREAMED:
        pieces, _ = broken(generator, mode, BackendTimeoutError)
        assert pieces == ["Hel", "lo "]
    assert all(request.gone.wait(2) for request in server.requests)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_long_stream_may_take_longer_than_the_timeout(server, make, backend):
    events = shapes.events(PATHS[backend], ["a", "b", "c", "d", "e", "f"])
    generator = make(backend, timeout=0.25)
    for mode in STREAMED:
        server.plan(stream(*events, interval=0.05))
        generation = ask(generator, mode)
        assert generation.text == "abcdef"
        assert generation.latency > 0.3


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_readers_time_is_not_the_servers(server, make, backend):
    """The reader is slow, the server was not: there is no time-out."""
    events = shapes.events(PATHS[backend])
    cut = events_until(backend, 1)

    def in_two_parts(exchange):
        exchange.head(200, {"content-type": "text/event-stream"})
        exchange.chunk(b"".join(events[:cut]))
        exchange.pause(0.4)
        exchange.chunk(b"".join(events[cut:]))
        exchange.end()

    server.plan(in_two_parts)
    with make(backend, timeout=0.2).stream("hi") as pieces:
        assert next(pieces) == "Hel"
        time.sleep(0.5)
        assert pieces.read().text == shapes.TEXT


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_end_mark_ends_the_stream_even_if_the_connection_stays_open(server, make, backend):
    generator = make(backend, timeout=5)
    for mode in STREAMED:
        server.plan(stream(*shapes.events(PATHS[backend]), then="wait"))
        started = time.monotonic()
        assert ask(generator, mode).text == shapes.TEXT
        assert time.monotonic() - started < 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_last_blank_line_may_be_missing(server, make, backend):
    *events, last, done = shapes.events(PATHS[backend])
    generator = make(backend)
    for mode in STREAMED:
        for tail in ([last, done.rstrip(b"\n")], [last.rstrip(b"\n")], [last.rstrip(b"\n") + b"\n"]):
            server.plan(stream(*events, *tail))
            generation = ask(generator, mode)
            assert generation.text == shapes.TEXT
            assert generation.usage.output_tokens == shapes.OUTPUT_TOKENS


def test_a_stream_has_no_result_before_its_end(server, make):
    server.always(succeed())
    with make("compatible").stream("hi") as pieces:
        next(pieces)
        with pytest.raises(UsageError, match="Read it to its end first"):
            _ = pieces.result
        assert pieces.read() is pieces.result
        assert list(pieces) == []
