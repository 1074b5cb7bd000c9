"""The embedded engine as a generator: time, cancelling, sharing, and what it refuses."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.modes import MODES, ask

from popi_sdk.errors import BackendError, BackendTimeoutError, ConfigurationError, ContextTooLongError
from popi_sdk.generators import GenerationOptions
from popi_sdk.generators.llamacpp import LlamaCppGenerator
from popi_sdk.models.engine import engines
from popi_sdk.settings import get_settings

SHORT = GenerationOptions(max_tokens=3)
ENDLESS = GenerationOptions(max_tokens=400)
LONG = "word " * 700
STORY = "Tell a very long story about a fox."


def make(gguf, **options) -> LlamaCppGenerator:
    return LlamaCppGenerator(gguf, **{"context": 1024, "threads": 1, **options})


@pytest.fixture(scope="module")
def generator(gguf):
    with make(gguf) as generator:
        yield generator


def port_of(generator) -> int:
    return int(generator._engine()._address.port)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "popi-llamacpp"]


def none_left() -> bool:
    """Whether the threads that ran chats are gone, as they are soon."""
    deadline = time.monotonic() + 5
    while workers() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not workers()


def prompt_again(generator) -> bool:
    """Whether the next call is answered without delay: the engine has stopped what it did before."""
    started = time.monotonic()
    assert generator.generate("hi", SHORT).text
    return time.monotonic() - started < 4


def test_generators_of_one_file_share_the_engine_and_the_last_one_frees_the_port(gguf):
    with make(gguf, context=512) as one:
        with make(gguf, context=512) as two:
            port = port_of(one)
            assert port_of(two) == port
        assert one.generate("hi", SHORT).text
        assert accepts(port)
    assert not accepts(port)
    assert none_left()


def test_keep_warm_leaves_it_running(gguf):
    with make(gguf, context=512) as generator:
        generator.start()
        generator.keep_warm()
        port = port_of(generator)
    assert accepts(port)
    with make(gguf, context=512) as again:
        assert port_of(again) == port
    engines.close_all()
    assert not accepts(port)


def test_it_can_be_used_after_it_was_closed(gguf):
    generator = make(gguf, context=512)
    generator.start()
    generator.close()
    assert generator.generate("hi", SHORT).text
    generator.close()
    assert engines.running() == [] or gguf not in engines.running()[1:]


def test_nothing_starts_before_it_is_needed(gguf):
    before = engines.running()
    make(gguf, context=300).stream("hi").close()
    assert engines.running() == before


def test_greedy_unless_told_otherwise(generator):
    answers = {generator.generate("Name a colour.", SHORT).text for _ in range(3)}
    options = SHORT.model_copy(update={"temperature": 0, "seed": 0})
    assert answers == {generator.generate("Name a colour.", options).text}


@pytest.mark.parametrize("mode", MODES)
def test_a_timeout_is_kept_even_while_the_prompt_is_read(generator, mode):
    started = time.monotonic()
    with pytest.raises(BackendTimeoutError, match=r"within 0\.2 s") as caught:
        ask(generator, mode, LONG, timeout=0.2)
    assert 0.2 <= time.monotonic() - started < 3  # the whole chat takes longer on an idle machine
    assert (caught.value.backend, caught.value.retryable) == ("llamacpp", False)
    assert prompt_again(generator)


def test_a_timeout_of_the_generators_own(gguf, generator):
    with make(gguf, timeout=0.1) as hasty:
        with pytest.raises(BackendTimeoutError):
            hasty.generate(LONG)
        assert hasty.generate("hi", SHORT, timeout=60).text


def test_those_who_wait_for_the_engine_time_out_too(generator):
    with generator.stream(STORY, ENDLESS) as stream:
        next(stream)
        for mode in MODES:
            started = time.monotonic()
            with pytest.raises(BackendTimeoutError):
                ask(generator, mode, "hi", SHORT, timeout=0.1)
            assert time.monotonic() - started < 1
    assert prompt_again(generator)


def test_a_reader_that_pauses_gets_what_was_made_meanwhile(generator):
    with generator.stream("Count to three.", GenerationOptions(max_tokens=8), timeout=3) as stream:
        first = next(stream)
        time.sleep(3.2)
        assert first + "".join(stream) == stream.result.text


def test_leaving_a_stream_early_stops_the_engine(generator):
    with generator.stream(STORY, ENDLESS) as stream:
        next(stream)
    assert prompt_again(generator)

    async def leave() -> None:
        async with generator.astream(STORY, ENDLESS) as stream:
            await anext(stream)

    asyncio.run(leave())
    assert prompt_again(generator)
    assert none_left()


@pytest.mark.parametrize("text", [STORY, LONG])
async def test_cancelling_stops_the_engine(generator, text):
    task = asyncio.create_task(generator.agenerate(text, ENDLESS))
    await asyncio.sleep(0.3)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 0.2
    assert await asyncio.to_thread(prompt_again, generator)


async def test_waiting_does_not_block_the_loop(generator):
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    answers = await asyncio.gather(*(generator.agenerate("hi", SHORT) for _ in range(3)))
    ticking.cancel()
    assert len({answer.text for answer in answers}) == 1
    assert ticks > 5


def test_one_generator_in_two_loops(generator):
    async def call() -> str:
        return (await generator.agenerate("hi", SHORT)).text + (await generator.astream("hi", SHORT).read()).text

    assert asyncio.run(call()) == asyncio.run(call())


def test_a_loop_that_is_gone_before_the_answer(gguf):
    """Its worker finds nobody to tell, and says nothing."""
    with make(gguf) as generator:
        generator.start()
        loop = asyncio.new_event_loop()
        stream = generator.astream(STORY, ENDLESS)
        loop.run_until_complete(anext(stream))
        loop.run_until_complete(stream.aclose())
        loop.close()
        assert none_left()


def test_closing_under_a_call(gguf):
    generator = make(gguf, context=600)
    generator.start()
    outcomes: list[object] = []

    def call(mode):
        try:
            outcomes.append(ask(generator, mode, STORY, ENDLESS).text)
        except BackendError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=call, args=(mode,)) for mode in ("generate", "stream")]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    generator.close()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    assert [type(outcome) for outcome in outcomes] == [BackendError] * 2
    assert "was closed" in str(outcomes[0])
    assert none_left()


def test_closing_behind_a_stream_that_did_not_start_leaves_nothing_running(gguf):
    """Its worker may come to the engine only after the generator was closed."""
    before = engines.running()
    for _ in range(20):
        generator = make(gguf, context=640)
        with generator.stream("hi", SHORT, timeout=60) as stream, ThreadPoolExecutor(1) as pool:
            reading = pool.submit(next, stream, None)
            stream_cancelled = generator._start(generator._job("hi", SHORT, None, pieces=True), lambda item: None)
            stream_cancelled.set()
            reading.result()
        generator.close()
        break
    assert none_left()
    generator.close()
    assert engines.running() == before


@pytest.mark.parametrize("mode", MODES)
def test_a_prompt_that_does_not_fit(generator, mode):
    with pytest.raises(ContextTooLongError, match=r"exceeds the available context size \(1024 tokens\)") as caught:
        ask(generator, mode, "word " * 1200)
    assert (caught.value.backend, caught.value.status_code, caught.value.retryable) == ("llamacpp", 400, False)
    assert caught.value.model == generator.model


def test_what_is_counted_is_what_is_billed(generator):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is <|im_end|> é😀?"}]
    assert generator.count_prompt_tokens(messages) == generator.generate(messages, SHORT).usage.input_tokens
    assert generator.count_tokens("one two") == 2
    assert generator.tokenizer == f"gguf:{generator.model}"


def test_a_broken_file(tmp_path, gguf):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(gguf.read_bytes()[:1_000_000])
    with LlamaCppGenerator(broken, threads=1) as generator:
        for mode in MODES:
            with pytest.raises(ConfigurationError, match=r"cannot load .*broken.gguf"):
                ask(generator, mode)
        with pytest.raises(ConfigurationError, match="cannot load"):
            generator.start()
    with pytest.raises(ConfigurationError, match="does not exist"):
        LlamaCppGenerator(tmp_path / "none.gguf")


@pytest.mark.parametrize(
    "options",
    [{"context": -1}, {"context": 1.5}, {"context": True}, {"threads": -1}, {"threads": 2**31}, {"timeout": 0}],
)
def test_settings_that_are_none(gguf, options):
    (name,) = options
    with pytest.raises(ConfigurationError, match=name):
        LlamaCppGenerator(gguf, **options)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e12, "5"])
def test_timeouts_that_are_none(generator, timeout):
    for mode in MODES:
        with pytest.raises(ConfigurationError, match="timeout"):
            ask(generator, mode, timeout=timeout)


def test_settings_of_the_environment(gguf, monkeypatch):
    for name, value in {"POPI_CONTEXT": "300", "POPI_THREADS": "1", "POPI_TIMEOUT": "7"}.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    generator = LlamaCppGenerator(gguf)
    assert (generator.context, generator.threads, generator.timeout) == (300, 1, 7)
    assert repr(generator) == f"<LlamaCppGenerator llamacpp:{gguf}>"
    assert LlamaCppGenerator().identity == "llamacpp:smollm2-135m-instruct"
