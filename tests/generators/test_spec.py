"""Backend strings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popi_sdk.errors import ConfigurationError
from popi_sdk.generators import BackendSpec, parse_backend
from popi_sdk.generators.spec import is_loopback

NAMES = st.from_regex(r"[A-Za-z][\w.-]*", fullmatch=True)
MODELS = (
    st.text(st.characters(codec="utf-8") | st.sampled_from("@:/\\ "), max_size=40)
    .map(str.strip)
    .filter(lambda model: "@http" not in model.lower())
)
URLS = st.builds(
    "{}://{}{}".format,
    st.sampled_from(["http", "https", "HTTP", "Https"]),
    st.sampled_from(["localhost:8000", "[::1]:1", "a.test", "127.0.0.1"]),
    st.sampled_from(["", "/", "/v1", "/a@b", "/a:b/v1", "/@http://x"]),
)


@given(NAMES, MODELS, st.none() | URLS)
def test_round_trip(name, model, url):
    text = f"{name}:{model}" if model else name
    if url:
        text += f"@{url}"
    assert parse_backend(text) == BackendSpec(name, model or None, url)
    assert parse_backend(f"  {text}\n") == BackendSpec(name, model or None, url)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local", ("local", None, None)),
        ("local:", ("local", None, None)),
        ("openai:gpt-5-mini", ("openai", "gpt-5-mini", None)),
        ("compatible:m@http://h/v1", ("compatible", "m", "http://h/v1")),
        ("compatible:org/m:tag@sha@https://h", ("compatible", "org/m:tag@sha", "https://h")),
        ("llamacpp:C:\\models\\a@b.gguf", ("llamacpp", "C:\\models\\a@b.gguf", None)),
        ("llamacpp:/home/me@work/a:b.gguf", ("llamacpp", "/home/me@work/a:b.gguf", None)),
        ("llamacpp:http://h/m.gguf", ("llamacpp", "http://h/m.gguf", None)),
        ("openai@http://h", ("openai", None, "http://h")),
        ("my-own.backend_2:x", ("my-own.backend_2", "x", None)),
    ],
)
def test_examples(text, expected):
    assert parse_backend(text) == BackendSpec(*expected)


@pytest.mark.parametrize("text", ["", "  ", ":m", "7up:m", "a b:m", "@http://h", "ö:m", "-x", "http://h/v1"[4:]])
def test_what_is_no_backend(text):
    with pytest.raises(ConfigurationError, match=r"is not a backend\. Write 'name'"):
        parse_backend(text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8000/v1", True),
        ("http://LOCALHOST", True),
        ("http://a.localhost", True),
        ("http://127.0.0.1", True),
        ("http://127.8.9.10:1", True),
        ("http://[::1]:8080/v1", True),
        (None, False),
        ("", False),
        ("http://example.test", False),
        ("http://localhost.example.test", False),
        ("http://127.0.0.1.example.test", False),
        ("http://127.0.0.1@example.test", False),
        ("http://0.0.0.0", False),
        ("http://10.0.0.1", False),
        ("http://notlocalhost", False),
    ],
)
def test_is_loopback(url, expected):
    assert is_loopback(url) is expected
