"""The status table of `faults`, row by row, against every HTTP backend in every mode."""

from __future__ import annotations

import pytest
from support.fault_server import BACKENDS, KEY, answer, refuse, succeed
from support.modes import MODES, STREAMED, ask

from popi_sdk.errors import (
    AuthenticationError,
    BackendError,
    ConfigurationError,
    ContextTooLongError,
    PopiError,
    RateLimitError,
)

AT_ONCE = {"retry-after-ms": "1"}

# status, keywords of the error body, class, retried
ROWS = [
    (401, {"kind": "authentication_error"}, AuthenticationError, False),
    (403, {"kind": "permission_error"}, AuthenticationError, False),
    (404, {"kind": "not_found_error"}, ConfigurationError, False),
    (400, {"kind": "invalid_request_error"}, ConfigurationError, False),
    (422, {}, ConfigurationError, False),
    (405, {}, ConfigurationError, False),
    (402, {"kind": "billing_error"}, ConfigurationError, False),
    (413, {"kind": "request_too_large"}, ContextTooLongError, False),
    (400, {"code": "context_length_exceeded"}, ContextTooLongError, False),
    (400, {"kind": "exceed_context_size_error"}, ContextTooLongError, False),
    (400, {"message": "prompt is too long: 210000 tokens > 200000 maximum"}, ContextTooLongError, False),
    (400, {"message": "This model's maximum context length is 4096 tokens."}, ContextTooLongError, False),
    (408, {}, BackendError, True),
    (409, {}, BackendError, True),
    (500, {"kind": "api_error"}, BackendError, True),
    (502, {}, BackendError, True),
    (503, {}, BackendError, True),
    (504, {}, BackendError, True),
    (529, {"kind": "overloaded_error"}, BackendError, True),
    (429, {"kind": "rate_limit_error"}, RateLimitError, True),
    (429, {"code": "insufficient_quota"}, RateLimitError, False),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("status", "fields", "expected", "retried"), ROWS)
def test_every_row(server, make, backend, status, fields, expected, retried):
    server.always(refuse(status, headers=AT_ONCE, **fields))
    generator = make(backend, max_retries=2)
    for mode in MODES:
        server.requests.clear()
        with pytest.raises(PopiError) as caught:
            ask(generator, mode)
        error = caught.value
        assert type(error) is expected
        assert (error.backend, error.model, error.status_code) == (backend, "asked-model", status)
        assert error.request_id == "req-1"
        assert fields.get("message", "no luck today") in str(error)
        assert server.url in str(error)
        assert len(server.requests) == (3 if retried else 1)
        if isinstance(error, BackendError):
            assert error.retryable is retried
            assert error.retry_after == (0.001 if retried or status == 429 else None)


@pytest.mark.parametrize("backend", BACKENDS)
def test_success_after_one_refusal(server, make, backend):
    generator = make(backend)
    for mode in MODES:
        server.requests.clear()
        server.plan(refuse(503, headers=AT_ONCE), succeed())
        pieces: list[str] = []
        generation = ask(generator, mode, pieces=pieces)
        assert generation.text == "Hello thére."
        assert pieces == (["Hel", "lo ", "thére."] if mode in STREAMED else [])
        assert len(server.requests) == 2
        assert server.requests[0].body == server.requests[1].body


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_redirect_is_an_error_and_nothing_is_sent_elsewhere(server, make, backend, status):
    elsewhere = f"{server.url.replace('127.0.0.1', 'localhost')}/v1/other"
    generator = make(backend)
    for mode in MODES:
        server.requests.clear()
        server.plan(answer(b"", status, headers={"location": elsewhere}), succeed())
        with pytest.raises(ConfigurationError, match=f"redirects to {elsewhere}: use that URL"):
            ask(generator, mode)
        assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {KEY}"]
        ask(generator, mode)  # takes the success that a followed redirect would have got


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Bad gateway</html>", b'{"error": "busy"}', b'["busy"]', b"\xff\xfe", b'{"error": {}}', b"null"],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_error_body_will_do(server, make, backend, body):
    server.always(answer(body, 502))
    generator = make(backend, max_retries=0)
    for mode in MODES:
        with pytest.raises(BackendError) as caught:
            ask(generator, mode)
        assert (caught.value.status_code, caught.value.retryable) == (502, True)
        assert ("busy" in str(caught.value)) is (b"busy" in body)


@pytest.mark.parametrize(
    ("error", "expected", "status", "retried"),
    [
        ({"message": "Overloaded", "type": "overloaded_error"}, BackendError, 529, True),
        ({"message": "slow down", "code": 429}, RateLimitError, 429, True),
        ({"message": "slow down", "code": "429"}, RateLimitError, 429, True),
        ({"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}, RateLimitError, 429, True),
        ({"message": "no money", "type": "insufficient_quota"}, RateLimitError, 429, False),
        ({"message": "too long", "code": "context_length_exceeded"}, ContextTooLongError, 400, False),
        ({"message": "who?", "code": "invalid_api_key"}, AuthenticationError, 401, False),
        ({"message": "odd", "code": 99999}, BackendError, 500, True),
        ({"message": "odd", "code": 200}, BackendError, 500, True),
        ({"message": "odd", "code": True}, BackendError, 500, True),
        ("just words", BackendError, 500, True),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_in_a_200_body(server, make, backend, error, expected, status, retried):
    server.always(answer({"error": error}, headers={"x-request-id": "req-1", **AT_ONCE}))
    generator = make(backend, max_retries=1)
    for mode in MODES:
        server.requests.clear()
        with pytest.raises(PopiError) as caught:
            ask(generator, mode)
        assert type(caught.value) is expected
        assert (caught.value.status_code, caught.value.request_id) == (status, "req-1")
        again = retried and mode not in STREAMED  # a stream began: its caller decides
        assert len(server.requests) == (2 if again else 1)
        assert getattr(caught.value, "retryable", False) is again
