"""Answers that break, never end or mean nothing: the right error in bounded time, never an empty success."""

from __future__ import annotations

import json
import time

import pytest
from support import shapes
from support.fault_server import (
    BACKENDS,
    answer,
    broken_gzip,
    cut_off,
    endless,
    hang_up,
    never_answer,
    succeed,
    trickle_headers,
)
from support.modes import MODES, STREAMED, ask

from popi_sdk.errors import (
    AuthenticationError,
    BackendConnectionError,
    BackendError,
    BackendTimeoutError,
    InvalidResponseError,
)
from popi_sdk.generators import limits

WHOLE = [mode for mode in MODES if mode not in STREAMED]


@pytest.fixture
def small(monkeypatch):
    """Limits that are reached soon."""
    monkeypatch.setattr(limits, "MAX_BODY", 500_000)


def failure(generator, mode, kind=BackendError, **kwargs):
    """The error of a call; what it took is in `seconds`."""
    started = time.monotonic()
    with pytest.raises(kind) as caught:
        ask(generator, mode, **kwargs)
    assert type(caught.value) is kind
    caught.value.seconds = time.monotonic() - started
    return caught.value


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_answer_at_all_is_tried_again(server, make, backend, mode):
    server.plan(hang_up, succeed())
    assert ask(make(backend, max_retries=1), mode).text == shapes.TEXT
    server.plan(hang_up, succeed())
    error = failure(make(backend), mode, BackendConnectionError, max_retries=0)
    assert (error.retryable, error.backend, error.model) == (True, backend, "asked-model")
    assert "Is the server running and reachable?" in str(error)
    assert len(server.requests) == 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_nobody_listens(server, make, backend, unused_tcp_port):
    generator = make(backend, max_retries=0)
    generator = type(generator)("m", url=f"http://127.0.0.1:{unused_tcp_port}", api_key="k", max_retries=0)
    for mode in MODES:
        error = failure(generator, mode, BackendConnectionError)
        assert error.retryable
        assert str(unused_tcp_port) in str(error)
        assert "Connection error." not in str(error)  # the SDK's words, which say nothing
    generator.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reset_in_the_middle_of_a_body(server, make, backend):
    server.always(cut_off)
    generator = make(backend, max_retries=0)
    for mode in MODES:
        error = failure(generator, mode, BackendConnectionError)
        assert error.retryable is (mode in WHOLE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_silence_ends_with_the_timeout_of_the_call_or_the_client(server, make, backend):
    server.always(never_answer)
    for mode in MODES:
        for generator, options in [(make(backend, timeout=0.1), {}), (make(backend), {"timeout": 0.1})]:
            error = failure(generator, mode, BackendTimeoutError, max_retries=0, **options)
            assert 0.1 <= error.seconds < 1
            assert error.retryable
            assert "within 0.1 s" in str(error)
    assert all(request.gone.wait(2) for request in server.requests)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_timeout_is_tried_again(server, make, backend):
    server.plan(never_answer, succeed())
    assert make(backend, timeout=0.2, max_retries=1).generate("hi").text == shapes.TEXT


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_body_that_drips_is_given_up_at_the_deadline(server, make, backend):
    """No single read waits long enough to time out by itself."""
    server.always(answer(b" " * 1000, drip=0.02))
    generator = make(backend, timeout=0.2, max_retries=0)
    for mode in WHOLE:
        error = failure(generator, mode, BackendTimeoutError)
        assert 0.2 <= error.seconds < 1


@pytest.mark.parametrize("mode", ["agenerate", "astream"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_headers_that_trickle_are_given_up_at_the_deadline_by_the_async_verbs(server, make, backend, mode):
    server.always(trickle_headers)
    error = failure(make(backend, timeout=0.2, max_retries=0), mode, BackendTimeoutError)
    assert 0.2 <= error.seconds < 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_headers_that_trickle_are_given_up_by_the_sync_verbs_when_they_get_too_long(server, make, backend):
    server.always(lambda exchange: [exchange.send(b"HTTP/1.1 200 OK\r\n"), exchange.send(b"x: y\r\n" * 50_000)])
    error = failure(make(backend, timeout=2, max_retries=0), "generate", BackendConnectionError)
    assert error.seconds < 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_endless_body(server, make, backend, small):
    server.always(endless(b" " * 50_000))
    generator = make(backend)
    for mode in MODES:
        error = failure(generator, mode, InvalidResponseError)
        assert "more than 500,000 bytes" in str(error)
    assert all(request.gone.wait(2) for request in server.requests)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("status", [401, 500])
def test_an_endless_error_body(server, make, backend, status):
    """The SDKs would read it to its end."""
    server.always(endless(b"no " * 1000, status))
    generator = make(backend, max_retries=0)
    for mode in MODES:
        error = failure(generator, mode, AuthenticationError if status == 401 else BackendError)
        assert error.status_code == status
        assert "no no no" in str(error)
        assert len(str(error)) < 1000
        assert error.seconds < 2
    assert all(request.gone.wait(2) for request in server.requests)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_body_that_stalls_or_breaks_does_not_hide_the_status(server, make, backend):
    def stall(exchange):
        exchange.head(401, length=1000)
        exchange.send(b"wrong ")
        exchange.wait()

    def drip(exchange):
        exchange.head(401)
        while not exchange.closing.is_set():
            exchange.chunk(b"wrong ")
            exchange.pause(0.02)

    def breaks(exchange):
        exchange.head(401, length=1000)
        exchange.send(b"wrong ")
        exchange.reset()

    def garbage(exchange):
        answer(b"wrong", 401, headers={"content-encoding": "gzip"})(exchange)

    generator = make(backend, timeout=0.2)
    for mode in MODES:
        for behaviour in (stall, drip, breaks, garbage):
            server.plan(behaviour)
            error = failure(generator, mode, AuthenticationError)
            assert error.status_code == 401
            assert error.seconds < 1
            assert ("wrong" in str(error)) is (behaviour is not garbage)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_body_that_cannot_be_decompressed(server, make, backend):
    server.always(broken_gzip)
    generator = make(backend)
    for mode in MODES:
        assert "cannot be decoded" in str(failure(generator, mode, InvalidResponseError))
    assert len(server.requests) == len(MODES)


CHAT = [
    {},
    {"choices": None},
    {"choices": []},
    {"choices": {}},
    {"choices": [None]},
    {"choices": ["text"]},
    {"choices": [{"message": None, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": {"a": 1}}, "finish_reason": 7}], "usage": 3, "model": 4, "id": 5},
    {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": " \n\t"}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": None, "tool_calls": [{}]}, "finish_reason": "tool_calls"}]},
]
MESSAGES = [
    {},
    {"content": None},
    {"content": []},
    {"content": "text"},
    {"content": [None, 3, {"type": "text"}, {"type": "text", "text": 4}], "usage": [], "stop_reason": 4},
    {"content": [{"type": "text", "text": "  "}], "stop_reason": "end_turn"},
    {"content": [{"type": "tool_use", "text": "run"}], "stop_reason": "tool_use"},
]
ANY = [b"", b"not json", b'{"choices": [', b"[]", b"null", b"7", b'"text"', b"\xff\xfe\x00", b"[" * 100_000, b"NaN"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_bodies_that_hold_no_answer(server, make, backend):
    generator = make(backend)
    for body in [*ANY, *(MESSAGES if backend == "anthropic" else CHAT)]:
        for mode in MODES:
            server.requests.clear()
            server.plan(answer(body, headers={"x-request-id": "req-1"}))
            error = failure(generator, mode, InvalidResponseError)
            assert (error.status_code, error.request_id, error.retryable) == (200, "req-1", False)
            assert (error.backend, error.model) == (backend, "asked-model")
            assert len(server.requests) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_text_before_the_limit_says_what_to_do(server, make, backend):
    server.always(succeed("", "length"))
    generator = make(backend)
    for mode in MODES:
        error = failure(generator, mode, InvalidResponseError)
        assert "finish reason 'length'; raise max_tokens" in str(error)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_server_that_cannot_stream(server, make, backend):
    """It answers a request for a stream with a whole body."""
    path = "/messages" if backend == "anthropic" else "/chat/completions"
    server.always(answer(shapes.body(path)))
    generator = make(backend)
    for mode in STREAMED:
        pieces: list[str] = []
        generation = ask(generator, mode, pieces=pieces)
        assert generation.text == "".join(pieces) == shapes.TEXT
        assert generation.latency > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_texts_of_an_answer_count_and_odd_fields_do_no_harm(server, make, backend):
    path = "/messages" if backend == "anthropic" else "/chat/completions"
    body = shapes.body(path)
    if backend == "anthropic":
        body["content"] = [{"type": "thinking", "text": "hm"}, *({"type": "text", "text": t} for t in ("one ", "two"))]
        body |= {"usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": True}}
    else:
        body["choices"][0]["message"] = {"content": "one two", "refusal": None, "reasoning_content": "hm"}
        body |= {"usage": {"prompt_tokens": 7, "completion_tokens": True}}
    server.always(answer(body))
    generation = make(backend).generate("hi")
    assert generation.text == "one two"
    assert (generation.usage.input_tokens, generation.usage.output_tokens) == (7, None)
    assert generation.raw == json.loads(json.dumps(body))
    assert generation.model == "served-model"
    assert generation.request_id == body["id"]
