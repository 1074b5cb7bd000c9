"""The helpers for tests of code that uses this package."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

from popi_sdk import (
    BackendError,
    ConfigurationError,
    Generation,
    GenerationOptions,
    Personalizer,
    SignalError,
    Statement,
    Usage,
    UsageError,
    create_generator,
    testing,
)
from popi_sdk.testing import EchoGenerator, FixedInferrer, ScriptedGenerator, no_requests

SIGNALS = [Statement(text="Short, please.")]


async def test_echo_shows_what_a_model_would_have_been_given() -> None:
    generator = EchoGenerator()
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "How are you?"}]
    expected = Generation(text="How are you?", model="echo", usage=Usage(5, 3))
    assert generator.generate(messages) == await generator.agenerate(messages) == expected
    assert generator.stream("Hi.").read().text == (await generator.astream("Hi.").read()).text == "Hi."
    assert generator.calls[0] == (messages, GenerationOptions())
    assert len(generator.calls) == 4
    assert (generator.tokenizer, generator.count_tokens("a  b\nc")) == ("words", 3)
    with pytest.raises(UsageError, match="empty"):
        generator.generate("")


async def test_a_script_is_answered_in_order() -> None:
    ready, failure = Generation(text="ready", model="m"), BackendError("down", backend="x")
    generator = ScriptedGenerator(["one two", ready, failure])
    assert generator.generate("Q", GenerationOptions(max_tokens=3)) == Generation(
        "one two", "scripted", usage=Usage(1, 2)
    )
    assert await generator.agenerate("Q") is ready
    with pytest.raises(BackendError) as caught:
        generator.generate("Q")
    assert caught.value is failure
    with pytest.raises(ConfigurationError, match="The script has 3 answers, and this is request 4"):
        generator.generate("Q")
    assert generator.calls[0][1].max_tokens == 3
    assert len(generator.calls) == 4


def test_a_script_may_be_endless_but_not_a_string() -> None:
    generator = ScriptedGenerator(itertools.repeat("again"))
    assert [generator.generate("Q").text for _ in range(3)] == ["again"] * 3
    with pytest.raises(ConfigurationError, match=r"Pass ScriptedGenerator\(\[text\]\)"):
        ScriptedGenerator("one")


def test_a_script_is_shared_by_threads_without_loss() -> None:
    generator = ScriptedGenerator(str(number) for number in range(200))
    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda _: generator.generate("Q").text, range(200)))
    assert sorted(map(int, texts)) == list(range(200))


async def test_a_fixed_inferrer_says_the_same_of_everyone_within_the_budget() -> None:
    inferrer, counter = FixedInferrer("Keep it short. Use lists."), EchoGenerator()
    summary = inferrer.infer(SIGNALS, counter=counter)
    assert (summary.text, summary.tokens, summary.signals_total, summary.inferrer) == (inferrer.text, 5, 1, "fixed")
    assert await inferrer.ainfer(["other"], budget=3, counter=counter) != summary
    assert inferrer.infer(SIGNALS, budget=3, counter=counter).text == "Keep it short."
    assert inferrer.calls == 3
    assert inferrer.identity != FixedInferrer("Other.").identity
    with pytest.raises(SignalError):
        inferrer.infer([])


# no_requests. The hosts are documentation addresses and reserved names: were the guard not there, nothing would answer.

FAR, FAR_NAME = "192.0.2.1", "host.invalid"
FORBIDDEN = r"no_requests\(\): .* is forbidden here"


@pytest.fixture
def listening() -> Iterator[int]:
    """A server on loopback that answers every connection with one small HTTP response."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()
        server.settimeout(0.05)

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.recv(65_536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        stop.set()
        thread.join()


def udp(call: str, host: str, *args: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if call == "sendmsg":
            sock.sendmsg([b"x"], [], 0, (host, 9))
        else:
            getattr(sock, call)(*args, (host, 9))


def tcp(call: str, host: str) -> None:
    with socket.socket() as sock:
        sock.settimeout(0.2)
        getattr(sock, call)((host, 9))


def by_name(function: str) -> Any:
    """Looked up when it is called: what was imported before the guard rose is not guarded."""

    def call(host: str) -> Any:
        return getattr(socket, function)(host)

    return call


async def in_loop(host: str) -> None:
    await asyncio.open_connection(host, 9)


async def with_httpx(host: str) -> None:
    async with httpx.AsyncClient() as client:
        await client.get(f"http://{host}/")


async def with_httpx2(host: str) -> None:
    async with httpx2.AsyncClient() as client:
        await client.get(f"http://{host}/")


WAYS: dict[str, Any] = {
    "connect": lambda host: tcp("connect", host),
    "connect_ex": lambda host: tcp("connect_ex", host),
    "create_connection": lambda host: socket.create_connection((host, 9), timeout=0.2),
    "sendto": lambda host: udp("sendto", host, b"x"),
    "sendto with flags": lambda host: udp("sendto", host, b"x", 0),
    "sendmsg": lambda host: udp("sendmsg", host),
    "udp connect": lambda host: udp("connect", host),
    "getaddrinfo": lambda host: socket.getaddrinfo(host, 80),
    "getaddrinfo by keyword": lambda host: socket.getaddrinfo(host=host, port=80),
    "getaddrinfo of bytes": lambda host: socket.getaddrinfo(host.encode(), 80),
    "gethostbyname": by_name("gethostbyname"),
    "gethostbyname_ex": by_name("gethostbyname_ex"),
    "gethostbyaddr": by_name("gethostbyaddr"),
    "getnameinfo": lambda host: socket.getnameinfo((host, 80), 0),
    "urllib": lambda host: urllib.request.urlopen(f"http://{host}/", timeout=0.2),
    "httpx": lambda host: httpx.get(f"http://{host}/"),
    "httpx, https": lambda host: httpx.get(f"https://{host}/"),
    "httpx2": lambda host: httpx2.get(f"http://{host}/"),
    "asyncio": lambda host: asyncio.run(in_loop(host)),
    "httpx async": lambda host: asyncio.run(with_httpx(host)),
    "httpx2 async": lambda host: asyncio.run(with_httpx2(host)),
}


def root_of(error: BaseException) -> BaseException:
    """What is behind an error, through causes and groups."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif error.__cause__ is not None:
            error = error.__cause__
        else:
            return error


@pytest.mark.parametrize("host", [FAR, FAR_NAME])
@pytest.mark.parametrize("way", WAYS)
def test_no_way_out(way: str, host: str) -> None:
    started = time.perf_counter()
    with no_requests(), pytest.raises(Exception) as caught:  # noqa: PT011 - libraries wrap it; what is behind it counts
        WAYS[way](host)
    error = root_of(caught.value)
    assert isinstance(error, ConfigurationError)
    assert "is forbidden here" in str(error)
    assert time.perf_counter() - started < 5


ASK: dict[str, Any] = {
    "generate": lambda generator: generator.generate("Hi."),
    "stream": lambda generator: generator.stream("Hi.").read(),
    "agenerate": lambda generator: asyncio.run(generator.agenerate("Hi.")),
    "astream": lambda generator: asyncio.run(generator.astream("Hi.").read()),
}


@pytest.mark.parametrize(("verb", "host"), [("generate", FAR), ("stream", FAR), *((verb, FAR_NAME) for verb in ASK)])
@pytest.mark.parametrize("backend", ["openai", "anthropic", "compatible"])
def test_backends_say_so_at_once_and_do_not_retry(backend: str, host: str, verb: str) -> None:
    generator = create_generator(f"{backend}:m@https://{host}/v1", api_key="k", max_retries=5)
    started = time.perf_counter()
    with no_requests(), pytest.raises(ConfigurationError, match=FORBIDDEN):
        ASK[verb](generator)
    assert time.perf_counter() - started < 5
    generator.close()


@pytest.mark.parametrize("sdk", [openai.OpenAI, anthropic.Anthropic])
def test_the_sdks_alone_cannot_get_out(sdk: Any) -> None:
    with no_requests(), sdk(api_key="k", max_retries=0) as client, pytest.raises(Exception) as caught:  # noqa: PT011 - as above
        client.models.list()
    assert isinstance(root_of(caught.value), ConfigurationError)


def test_this_machine_can_be_reached(listening: int) -> None:
    with no_requests():
        for host in ("127.0.0.1", "localhost"):
            assert httpx.get(f"http://{host}:{listening}/").text == "ok"
            assert urllib.request.urlopen(f"http://{host}:{listening}/").read() == b"ok"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", 9))
            sock.sendto(b"x", ("127.0.0.1", 9))
        left, right = socket.socketpair()
        with left, right:
            left.sendmsg([b"x"])
            assert right.recv(1) == b"x"
        for name in ("::1", "127.0.0.1", "a.localhost"[2:], socket.gethostname()):
            assert socket.getaddrinfo(name, 80)
        assert socket.getaddrinfo(None, 80)
        assert socket.getfqdn("127.0.0.1")
        assert socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)


@pytest.mark.parametrize(
    "address", ["::ffff:192.0.2.1", "2001:db8::1", "0.0.0.0", "127.1", "localhost.invalid", "fe80::1%lo"]
)
def test_what_only_looks_local_is_not(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with no_requests(), socket.socket(family) as sock, pytest.raises(ConfigurationError, match=FORBIDDEN):
        sock.connect((address, 9))


def test_mapped_loopback_is_local() -> None:
    with no_requests(), socket.socket(socket.AF_INET6) as sock, pytest.raises(OSError):  # noqa: PT011 - refused or no IPv6
        sock.connect(("::ffff:127.0.0.1", 9))


NAMES = ["connect", "connect_ex", "sendto", "sendmsg"]


def state() -> list[Any]:
    return [
        *(getattr(socket.socket, name) for name in NAMES),
        *(vars(socket.socket).get(name) for name in NAMES),
        socket.getaddrinfo,
    ]


@pytest.fixture
def unguarded() -> Iterator[None]:
    """Without the guard of the test session, to see one rise and fall."""
    wanted = testing._guard._wanted
    for _ in range(wanted):
        testing._guard.lower()
    yield
    for _ in range(wanted):
        testing._guard.raise_()


def test_the_guard_falls_with_the_last_block_however_it_is_left(unguarded: None) -> None:
    before = state()

    def leave() -> None:
        with no_requests():
            with no_requests():
                assert state() != before
            with pytest.raises(ConfigurationError):
                socket.gethostbyname(FAR_NAME)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave()
    assert state() == before


def test_blocks_of_several_threads_need_not_be_nested(unguarded: None) -> None:
    before = state()
    first, second = no_requests(), no_requests()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with pytest.raises(ConfigurationError):
        socket.gethostbyname(FAR_NAME)
    second.__exit__(None, None, None)
    assert state() == before


def test_a_platform_may_lack_a_call(unguarded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state()
    monkeypatch.setitem(testing._REACHING, "send_by_pigeon", lambda args: args[0])
    with no_requests():
        assert not hasattr(socket.socket, "send_by_pigeon")
    assert state() == before


def test_it_holds_in_other_threads_and_as_a_decorator(unguarded: None) -> None:
    before = state()

    @no_requests()
    def guarded() -> None:
        with ThreadPoolExecutor(1) as pool:
            error = pool.submit(socket.create_connection, (FAR, 9), 0.2).exception()
        assert isinstance(error, ConfigurationError)

    guarded()
    guarded()
    assert state() == before


def test_a_personalizer_works_inside_it_without_any_model() -> None:
    with no_requests():
        response = Personalizer(FixedInferrer("Keep it short."), EchoGenerator()).personalize(SIGNALS, "How are you?")
    assert response.text.endswith("> Keep it short.")
