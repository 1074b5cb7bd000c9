"""How often and how long after: retries, waits, and who decides on them."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import pytest
import tenacity
from support.fault_server import BACKENDS, FaultServer, refuse, succeed
from support.modes import MODES, ask

from popi_sdk.errors import BackendError, ConfigurationError, RateLimitError
from popi_sdk.generators import retry
from popi_sdk.generators.faults import retry_after_seconds
from popi_sdk.settings import get_settings

AT_ONCE = {"retry-after-ms": "1"}


def waited(generator, mode="generate", **kwargs) -> float:
    started = time.monotonic()
    ask(generator, mode, **kwargs)
    return time.monotonic() - started


@pytest.fixture
def waits(monkeypatch):
    """The seconds that calls decide to wait: what a clock shows has the machine's load in it too."""
    decided: list[float] = []
    decide = retry._wait

    def deciding(state):
        decided.append(decide(state))
        return decided[-1]

    monkeypatch.setattr(retry, "_wait", deciding)
    return decided


@pytest.mark.parametrize("headers", [{"retry-after-ms": "150"}, {"Retry-After": "0.15"}, {"RETRY-AFTER": " 0.15 "}])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_server_says_how_long_to_wait(server, make, waits, backend, headers):
    generator = make(backend)
    for mode in MODES:
        server.plan(refuse(429, headers=headers), succeed())
        assert waited(generator, mode) >= 0.15
    assert waits == [0.15] * len(MODES)


def test_whole_seconds_and_a_date(server, make, waits):
    server.plan(refuse(503, headers={"Retry-After": "1"}), succeed())
    assert waited(make("compatible")) >= 1
    now = time.time()
    date = formatdate(int(now) + 2, usegmt=True)
    server.plan(refuse(503, headers={"Retry-After": date}), succeed())
    waited(make("compatible"))
    assert time.time() >= int(now) + 2
    assert waits[0] == 1
    assert waits[1] <= int(now) + 2 - now


def test_milliseconds_go_before_seconds(server, make, waits):
    server.plan(refuse(429, headers={"retry-after-ms": "1", "retry-after": "30"}), succeed())
    waited(make("compatible"))
    assert waits == [0.001]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nobody_waits_for_minutes(server, make, backend):
    server.always(refuse(429, headers={"retry-after": str(retry.MAX_RETRY_AFTER + 1)}))
    for mode in MODES:
        server.requests.clear()
        with pytest.raises(RateLimitError) as caught:
            ask(make(backend, max_retries=5), mode)
        assert (caught.value.retry_after, caught.value.retryable) == (61.0, True)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 -0000"}, 0.0),
        ({"retry-after": "Fri, 99 Jan 2027 00:00:00 GMT"}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert retry_after_seconds(headers) == seconds


def test_a_date_is_read_as_gmt_whatever_the_machines_zone(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        for zone in ("GMT", "-0000"):
            date = formatdate(time.time() + 100, usegmt=True).replace("GMT", zone)
            assert 98 < (retry_after_seconds({"retry-after": date}) or 0) <= 100
    finally:
        monkeypatch.undo()
        time.tzset()


def test_without_a_word_of_the_servers_the_wait_grows_with_jitter_and_a_limit():
    waits = {1: [], 3: [], 9: []}
    for attempt, seen in waits.items():
        state = tenacity.RetryCallState(retry.synchronous(9), None, (), {})
        state.attempt_number = attempt
        error = BackendError("x", backend="x", retryable=True)
        state.set_exception((BackendError, error, None))
        seen.extend(retry.synchronous(9).wait(state) for _ in range(200))
    assert max(waits[1]) <= 0.5 < max(waits[3]) <= 2 < max(waits[9]) <= 8
    assert min(waits[9]) < 1  # the jitter is full
    assert len(set(waits[1])) > 100


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_call_decides_before_its_client_and_the_client_before_the_environment(server, make, backend, monkeypatch):
    server.always(refuse(500, headers=AT_ONCE))
    for environment, client, call, requests in [(1, None, None, 2), (1, 0, None, 1), (1, 0, 3, 4), (1, 3, 0, 1)]:
        monkeypatch.setenv("POPI_MAX_RETRIES", str(environment))
        get_settings.cache_clear()
        for mode in MODES:
            server.requests.clear()
            with pytest.raises(BackendError):
                ask(make(backend, max_retries=client), mode, max_retries=call)
            assert len(server.requests) == requests


def test_the_timeout_of_the_environment(server, make, monkeypatch):
    monkeypatch.setenv("POPI_TIMEOUT", "0.1")
    get_settings.cache_clear()
    server.always(succeed(delay=1))
    for backend in BACKENDS:
        with pytest.raises(BackendError, match=r"within 0\.1 s"):
            make(backend, timeout=None, max_retries=0).generate("hi")


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": 1e12},
        {"timeout": "5"},
        {"timeout": True},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_retries": "2"},
        {"max_retries": True},
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_limits_that_are_none(server, make, backend, options):
    (name,) = options
    with pytest.raises(ConfigurationError, match=name):
        make(backend, **options)
    generator = make(backend)
    for mode in MODES:
        with pytest.raises(ConfigurationError, match=name):
            ask(generator, mode, **options)
    assert server.requests == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_latency_includes_the_tries_before(server, make, backend):
    generator = make(backend)
    for mode in MODES:
        server.plan(refuse(503, headers={"retry-after-ms": "100"}), succeed())
        generation = ask(generator, mode)
        assert 0.1 <= generation.latency < 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_latency_of_a_stream_begins_with_its_reading(server, make, backend):
    server.always(succeed())
    stream = make(backend).stream("hi")
    time.sleep(0.5)
    assert server.requests == []
    assert stream.read().latency < 0.5


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_cancelled_task_does_not_sit_out_the_wait(backend):
    with FaultServer() as server:
        server.always(refuse(503, headers={"retry-after": "30"}))
        async with server.generator(backend) as generator:
            task = asyncio.create_task(generator.agenerate("hi"))
            while not server.requests:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            started = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - started < 0.5
        assert len(server.requests) == 1
