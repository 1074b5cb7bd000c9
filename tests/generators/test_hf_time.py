"""A model of transformers under time: timeouts, cancelling, leaving early, closing, loops."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from support.hf import ENDLESS, PROMPTS, SHORT, SOME, STORY, none_left, slow
from support.modes import MODES, ask

from popi_sdk.errors import BackendError, BackendTimeoutError
from popi_sdk.generators import GenerationOptions
from popi_sdk.generators.hf import HfGenerator


@pytest.mark.parametrize("mode", MODES)
def test_a_timeout_is_kept(hf_generator, hf_model, mode):
    with slow(hf_model):
        started = time.monotonic()
        with pytest.raises(BackendTimeoutError, match=r"hf, model 'tiny'.* within 0\.2 s") as caught:
            ask(hf_generator, mode, STORY, ENDLESS, timeout=0.2)
        assert 0.2 <= time.monotonic() - started < 1.5
        assert (caught.value.backend, caught.value.retryable) == ("hf", False)
        assert none_left()


def test_a_timeout_of_a_batch_and_of_the_generators_own(hf_model):
    with HfGenerator.from_model(hf_model, timeout=0.2) as hasty, slow(hf_model):
        started = time.monotonic()
        with pytest.raises(BackendTimeoutError, match=r"within 1\.2 s"):  # six prompts, 0.2 s each
            hasty.generate_batch(PROMPTS, ENDLESS)
        assert 1.2 <= time.monotonic() - started < 2.5
        assert none_left()
        with pytest.raises(BackendTimeoutError):
            hasty.generate(STORY, ENDLESS)
        assert hasty.generate(STORY, SHORT, timeout=20).text


def test_those_who_wait_time_out_too_and_the_others_go_on(hf_model):
    # So slow that the first call is still at it when the last of the others asks, on a busy machine too.
    with HfGenerator.from_model(hf_model, batch_size=1) as generator, slow(hf_model, 0.2):
        with generator.stream(STORY, ENDLESS) as stream:
            next(stream)
            for mode in MODES:
                with pytest.raises(BackendTimeoutError):
                    ask(generator, mode, STORY, SHORT, timeout=0.1)
            next(stream)
        assert generator.generate(STORY, SHORT).text


def test_leaving_a_stream_early_stops_it(hf_generator, hf_model):
    async def leave():
        async with hf_generator.astream(STORY, ENDLESS) as stream:
            await anext(stream)

    with slow(hf_model) as sizes:
        with hf_generator.stream(STORY, ENDLESS) as stream:
            next(stream)
        asyncio.run(leave())
        assert none_left()
        assert len(sizes) < 40


async def test_cancelling_takes_a_call_out_of_its_batch(hf_generator, hf_model):
    with slow(hf_model) as sizes:
        gone = asyncio.create_task(hf_generator.agenerate(STORY, ENDLESS))
        stays = asyncio.create_task(hf_generator.agenerate("Hi", GenerationOptions(max_tokens=20)))
        await asyncio.sleep(0.1)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert (await stays).usage.output_tokens == 20
    assert sizes[0] == 2
    assert sizes[-1] == 1


async def test_waiting_does_not_block_the_loop(hf_generator, hf_model):
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with slow(hf_model):
        await hf_generator.agenerate(STORY, SOME)
    ticking.cancel()
    assert ticks > 5


def test_a_loop_that_is_gone_before_the_answer(hf_generator, hf_model):
    with slow(hf_model):
        loop = asyncio.new_event_loop()
        stream = hf_generator.astream(STORY, ENDLESS)
        loop.run_until_complete(anext(stream))
        loop.run_until_complete(stream.aclose())
        loop.close()
        assert none_left()


def test_one_generator_in_two_loops(hf_generator):
    async def call():
        return (await hf_generator.agenerate(STORY, SHORT)).text + (
            await hf_generator.astream(STORY, SHORT).read()
        ).text

    assert asyncio.run(call()) == asyncio.run(call())


def test_closing_under_calls(hf_model):
    generator = HfGenerator.from_model(hf_model, batch_size=2)
    outcomes = []

    def call(mode):
        try:
            outcomes.append(ask(generator, mode, STORY, ENDLESS).text)
        except BackendError as error:
            outcomes.append(str(error))

    with slow(hf_model):
        threads = [threading.Thread(target=call, args=(mode,)) for mode in MODES]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        generator.close()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()
    assert outcomes == ["hf, model 'tiny': it was closed."] * 4
    generator.close()
    assert generator.generate(STORY, SHORT).text
    generator.close()
    assert none_left()


def test_what_the_worker_says_after_it_is_done(hf_generator, hf_model):
    """A reader that pauses gets what was made meanwhile."""
    with slow(hf_model), hf_generator.stream(STORY, GenerationOptions(max_tokens=8), timeout=2) as stream:
        first = next(stream)
        time.sleep(2.2)
        assert first + "".join(stream) == stream.result.text
