"""Connections: kept, shared between threads and loops, given back when a caller leaves early."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import shapes
from support.fault_server import BACKENDS, FaultServer, first_events, never_answer, succeed
from support.modes import MODES, ask

from popi_sdk.errors import BackendError


def events_until(backend: str, pieces: int) -> int:
    return pieces + (2 if backend == "anthropic" else 1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_calls_one_after_the_other_share_a_connection(server, make, backend):
    server.always(succeed())
    generator = make(backend)
    for _ in range(3):
        generator.generate("hi")
    assert len({request.client for request in server.requests}) == 1


@pytest.mark.parametrize("backend", BACKENDS)
async def test_awaited_calls_share_a_connection(backend):
    with FaultServer() as server:
        server.always(succeed())
        async with server.generator(backend) as generator:
            for _ in range(3):
                await generator.agenerate("hi")
        assert len({request.client for request in server.requests}) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_leaving_a_stream_early_hangs_up(server, make, backend):
    server.always(first_events(events_until(backend, 1), "wait"))
    generator = make(backend)
    with generator.stream("hi") as stream:
        assert next(stream) == "Hel"
    assert server.requests[0].gone.wait(2)
    stream.close()  # twice is fine

    async def leave() -> None:
        async with generator, generator.astream("hi") as stream:
            assert await anext(stream) == "Hel"

    asyncio.run(leave())
    assert server.requests[1].gone.wait(2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_stream_that_is_dropped_hangs_up(server, make, backend):
    server.always(first_events(events_until(backend, 1), "wait"))
    stream = make(backend).stream("hi")
    assert next(stream) == "Hel"
    del stream
    assert server.requests[0].gone.wait(2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_stream_that_is_never_read_sends_nothing(server, make, backend):
    generator = make(backend)
    generator.stream("hi").close()
    asyncio.run(generator.astream("hi").aclose())
    assert server.requests == []


@pytest.mark.parametrize("verb", ["agenerate", "astream"])
@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_cancelled_task_hangs_up(backend, verb):
    with FaultServer() as server:
        server.plan(never_answer)
        server.always(succeed())
        async with server.generator(backend) as generator:
            task = asyncio.ensure_future(
                generator.agenerate("hi") if verb == "agenerate" else generator.astream("hi").read()
            )
            while not server.requests:
                await asyncio.sleep(0.01)
            started = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - started < 0.5
            assert await asyncio.to_thread(server.requests[0].gone.wait, 2)
            assert (await generator.agenerate("hi")).text == shapes.TEXT


@pytest.mark.parametrize("backend", BACKENDS)
async def test_the_callers_own_timeout_works_too(backend):
    with FaultServer() as server:
        server.always(never_answer)
        async with server.generator(backend) as generator:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await generator.agenerate("hi")
            assert await asyncio.to_thread(server.requests[0].gone.wait, 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_eight_threads_and_a_loop_at_once(server, make, backend):
    server.always(succeed(delay=0.05))
    generator = make(backend)

    others_done = threading.Event()

    async def loop() -> list[str]:
        async with generator:
            answers = await asyncio.gather(*(generator.agenerate("hi") for _ in range(8)))
            await asyncio.to_thread(others_done.wait)  # closing it closes it for all
        return [answer.text for answer in answers]

    with ThreadPoolExecutor(9) as pool:
        awaited = pool.submit(asyncio.run, loop())
        texts = list(pool.map(lambda number: ask(generator, ("generate", "stream")[number % 2]).text, range(32)))
        others_done.set()
    assert texts + awaited.result() == [shapes.TEXT] * 40
    assert len(server.requests) == 40


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_generator_in_two_loops(server, make, backend):
    server.always(succeed())
    generator = make(backend)

    async def twice() -> None:
        async with generator:
            await generator.agenerate("hi")
            await generator.astream("hi").read()

    asyncio.run(twice())
    generator.generate("hi")
    asyncio.run(twice())
    assert len(server.requests) == 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_that_was_left_without_closing_does_no_harm_to_the_next(server, backend):
    """Nobody can close its connections any more; Python says so when they are collected."""
    server.always(succeed())
    generator = server.generator(backend)
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        for _ in range(2):
            assert asyncio.run(generator.agenerate("hi")).text == shapes.TEXT
        del generator
        gc.collect()
    assert len({request.client for request in server.requests}) == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_closing_twice_and_using_it_again(server, make, backend):
    server.always(succeed())
    generator = make(backend)
    generator.close()
    generator.generate("hi")
    for _ in range(2):
        generator.close()
        asyncio.run(generator.aclose())
    assert generator.generate("hi").text == shapes.TEXT


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_closing_under_a_call_gives_an_error_of_ours_or_the_answer(server, make, backend, mode):
    """And the call does not go on with a connection that nobody closes."""
    server.plan(first_events(events_until(backend, 1), "wait") if "stream" in mode else succeed(delay=0.3))
    server.always(succeed())
    generator = make(backend, timeout=0.5, max_retries=0)
    outcome: list[object] = []

    def call() -> None:
        try:
            outcome.append(ask(generator, mode).text)
        except BackendError as error:
            outcome.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while not server.requests:
        time.sleep(0.01)
    generator.close()
    thread.join(3)
    assert not thread.is_alive()
    assert len(outcome) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_client_that_is_closed_before_it_sends(server, make, backend, monkeypatch):
    """The race that no test can time: another thread closes between the choice of a client and its use."""
    server.always(succeed())
    generator = make(backend)
    use = generator._sync_client

    def use_closed():
        generator.close()
        manager = use()
        client = manager.__enter__()
        client.close()
        manager.__exit__(None, None, None)
        return use()

    monkeypatch.setattr(generator, "_sync_client", use_closed)
    for mode in ("generate", "stream"):
        with pytest.raises(BackendError, match="closed") as caught:
            ask(generator, mode)
        assert caught.value.retryable is False
    assert server.requests == []


@pytest.mark.parametrize("backend", BACKENDS)
async def test_many_at_once_each_have_their_connection(backend):
    with FaultServer() as server:
        server.always(succeed(delay=0.1))
        async with server.generator(backend) as generator:
            started = time.monotonic()
            texts = await asyncio.gather(*(generator.agenerate("hi") for _ in range(40)))
            assert {generation.text for generation in texts} == {shapes.TEXT}
            assert time.monotonic() - started < 3
        assert len(server.requests) == 40
