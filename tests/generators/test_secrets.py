"""Keys and passwords: in the header they belong in, and nowhere else."""

from __future__ import annotations

import traceback

import anthropic
import openai
import pytest
from support.fault_server import (
    BACKENDS,
    KEY,
    answer,
    broken_gzip,
    cut_off,
    first_events,
    hang_up,
    never_answer,
    refuse,
    stream,
)
from support.modes import MODES, ask

from popi_sdk.errors import ConfigurationError, PopiError
from popi_sdk.generators import create_generator
from popi_sdk.generators.anthropic import AnthropicGenerator
from popi_sdk.generators.compatible import CompatibleGenerator
from popi_sdk.generators.openai import OpenAIGenerator
from popi_sdk.settings import get_settings

CLASSES = {"openai": OpenAIGenerator, "anthropic": AnthropicGenerator, "compatible": CompatibleGenerator}
LONG = f"{'x' * 490} {KEY}"  # the words are cut at 500 characters, in the middle of the key

FAULTS = {
    "refused": refuse(401, f"Incorrect API key provided: {KEY}."),
    "refused in words": answer(f"<p>No such key: {KEY}</p>".encode(), 403),
    "in a code": refuse(400, "bad", f"key_{KEY}"),
    "cut": refuse(500, LONG),
    "rate": refuse(429, f"{KEY} is too fast", headers={"retry-after-ms": "1"}),
    "redirect": answer(b"", 302, headers={"location": f"http://elsewhere.test/?key={KEY}"}),
    "in a body": answer({"error": {"message": f"{KEY} is bad", "code": 401}}),
    "in an event": first_events(2, "end", lambda _: b'data: {"error": {"message": "bad ' + KEY.encode() + b'"}}\n\n'),
    "not json": answer(f"not json {KEY}".encode()),
    "not an event": stream(f"data: {KEY}\n\n".encode()),
    "no answer": hang_up,
    "reset": cut_off,
    "silence": never_answer,
    "garbage": broken_gzip,
}


def everything_about(error: BaseException) -> str:
    """All that a log could hold of an error."""
    text = [repr(error), str(error), str(vars(error)), *traceback.format_exception(error)]
    seen: set[int] = set()
    cause = error.__cause__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        text += [repr(cause), str(cause)]
        cause = cause.__cause__
    return "\n".join(text)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_error_shows_the_key(server, make, backend, fault):
    server.always(FAULTS[fault])
    generator = make(backend, timeout=0.2, max_retries=0)
    for mode in MODES:
        with pytest.raises(PopiError) as caught:
            ask(generator, mode)
        shown = everything_about(caught.value)
        assert KEY not in shown
        assert KEY[:12] not in shown
    assert KEY not in repr(generator) + generator.identity + str(generator.origin) + repr(generator.origin)
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_shows_the_key_of_a_ready_client(server, fault):
    server.always(FAULTS[fault])
    clients = [
        (OpenAIGenerator, openai.OpenAI(api_key=KEY, base_url=f"{server.url}/v1")),
        (AnthropicGenerator, anthropic.Anthropic(api_key=KEY, base_url=server.url)),
    ]
    for made, client in clients:
        with client, made("m", client=client, timeout=0.2, max_retries=0) as generator:
            for mode in ("generate", "stream"):
                with pytest.raises(PopiError) as caught:
                    ask(generator, mode)
                assert KEY not in everything_about(caught.value)


@pytest.mark.parametrize(
    "key", [f"{KEY}\n", f" {KEY}", f"{KEY}\r\nx-evil: 1", f"{KEY}ä", f"{KEY}\0", f"{KEY}\u200b", 7]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_key_that_no_header_can_hold(server, backend, key):
    """Libraries raise only when they send, and quote the header."""
    with pytest.raises(ConfigurationError, match="no text that a header can hold") as caught:
        server.generator(backend, api_key=key)
    assert KEY not in everything_about(caught.value)
    assert backend in str(caught.value)


@pytest.mark.parametrize(("made", "sdk"), [(OpenAIGenerator, openai.OpenAI), (AnthropicGenerator, anthropic.Anthropic)])
def test_a_key_that_no_header_can_hold_in_a_ready_client(server, made, sdk):
    for key in (f"{KEY}\n", f"{KEY}ä"):
        with sdk(api_key=key, base_url=server.url) as client, made("m", client=client) as generator:
            with pytest.raises(ConfigurationError) as caught:
                generator.generate("hi")
            assert KEY not in everything_about(caught.value)
            assert "cannot be sent" in str(caught.value) or server.requests  # anthropic's sends more than ASCII


@pytest.mark.parametrize(
    "url",
    [
        "http://user:s3cret-pw@127.0.0.1:1/v1",
        "http://127.0.0.1:1/v1?key=s3cret-pw",
        "http://127.0.0.1:1/v1#s3cret-pw",
        "http://user:s3cret-pw@[::1/v1",
        "http://user:s3cret-pw@host:port/v1",
        "ftp://user:s3cret-pw@127.0.0.1/v1",
        "user:s3cret-pw@127.0.0.1/v1",
        "http://user:s3cret-pw@ho st/v1",
        "http://:s3cret-pw@/v1",
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_error_shows_the_password_in_a_url(backend, url):
    with pytest.raises(ConfigurationError, match="URL") as caught:
        CLASSES[backend]("m", url=url, api_key="k")
    assert "s3cret" not in everything_about(caught.value)


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "http://", "http:///v1", "http://[::1", "http://h:99999/v1", "h"]
)
def test_urls_that_are_none(url):
    with pytest.raises(ConfigurationError, match="URL"):
        CompatibleGenerator("m", url)


@pytest.mark.parametrize("host", ["exa..mple", "a" * 70, "exämple..x", "☃.x", "xn--"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_hosts_that_no_library_can_look_up(backend, host):
    with CLASSES[backend]("m", url=f"http://{host}/v1", api_key="k", max_retries=0) as generator:
        for mode in MODES:
            with pytest.raises(PopiError) as caught:
                ask(generator, mode)
            assert host in str(caught.value)


@pytest.mark.parametrize("url", ["http://user:s3cret-pw@h/v1", "https://h/?key=s3cret-pw"])
def test_a_backend_string_that_is_none_does_not_show_its_url(url):
    with pytest.raises(ConfigurationError) as caught:
        create_generator(f"7:m@{url}")
    assert "s3cret" not in everything_about(caught.value)


def test_keys_come_from_the_environment(server, monkeypatch):
    server.always(answer(b"", 500))
    for backend, name in [
        ("openai", "OPENAI_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("compatible", "POPI_COMPATIBLE_API_KEY"),
    ]:
        monkeypatch.setenv(name, f"env-{backend}")
        get_settings.cache_clear()
        with server.generator(backend, api_key=None, max_retries=0) as generator, pytest.raises(PopiError):
            generator.generate("hi")
        assert server.requests[-1].headers["authorization"] == f"Bearer env-{backend}"


def test_a_server_on_loopback_wants_no_key(server):
    server.always(answer(b"", 500))
    for backend in BACKENDS:
        with server.generator(backend, api_key=None, max_retries=0) as generator, pytest.raises(PopiError):
            generator.generate("hi")
    assert "authorization" not in server.requests[-1].headers


@pytest.mark.parametrize(("backend", "name"), [("openai", "OPENAI"), ("anthropic", "ANTHROPIC")])
@pytest.mark.parametrize(
    "url", ["", "@https://example.test/v1", "@http://127.0.0.1.example.test", "@http://localhost.x"]
)
def test_a_server_elsewhere_wants_a_key(backend, name, url):
    with pytest.raises(ConfigurationError, match=f"Set {name}_API_KEY, or build it yourself: create_generator"):
        create_generator(f"{backend}:m{url}")
