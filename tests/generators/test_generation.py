"""Options, and what streams promise."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from popi_sdk.errors import ConfigurationError, UsageError
from popi_sdk.generators import AsyncStream, Generation, GenerationOptions, Stream, as_options


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"stop": [""]}, "stop.0"),
        ({"stop": "END"}, "stop"),
        ({"top_p": 1}, "top_p"),
        ([], "options"),
        ("x", "options"),
    ],
)
def test_options_out_of_range(options, name):
    with pytest.raises(ConfigurationError, match=f"Generation option '{name}': .* Known: max_tokens, temperature"):
        as_options(options)


def test_options():
    assert as_options(None) == as_options({}) == GenerationOptions()
    options = GenerationOptions(stop=["a"])
    assert as_options(options) is options
    assert as_options({"stop": ["a"]}) == options
    with pytest.raises(ValidationError):
        options.max_tokens = 3


RESULT = Generation(text="ab", model="m")


class Source:
    """Pieces, and whether the source ran to its end."""

    def __init__(self) -> None:
        self.ended = False

    def pieces(self):
        try:
            yield "a"
            yield "b"
            yield RESULT
        finally:
            self.ended = True

    async def apieces(self):
        try:
            yield "a"
            yield "b"
            yield RESULT
        finally:
            self.ended = True


def test_a_stream_to_its_end():
    source = Source()
    stream = Stream(source.pieces())
    with pytest.raises(UsageError, match="Read it to its end"):
        _ = stream.result
    assert list(stream) == ["a", "b"]
    assert stream.result is stream.read() is RESULT
    assert source.ended
    stream.close()


def test_a_stream_left_early():
    source = Source()
    with Stream(source.pieces()) as stream:
        assert next(stream) == "a"
    assert source.ended
    with pytest.raises(UsageError):
        stream.read()


def test_a_stream_over_what_cannot_be_closed():
    with Stream(iter(["a", RESULT])) as stream:
        assert stream.read() is RESULT


async def test_an_async_stream_to_its_end():
    source = Source()
    stream = AsyncStream(source.apieces())
    with pytest.raises(UsageError, match="Read it to its end"):
        _ = stream.result
    assert [piece async for piece in stream] == ["a", "b"]
    assert stream.result is await stream.read() is RESULT
    assert source.ended
    await stream.aclose()


async def test_an_async_stream_left_early():
    source = Source()
    async with AsyncStream(source.apieces()) as stream:
        assert await anext(stream) == "a"
    assert source.ended
    with pytest.raises(UsageError):
        await stream.read()


async def test_an_async_stream_over_what_cannot_be_closed():
    class Pieces:
        def __init__(self):
            self.left = ["a", RESULT]

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    async with AsyncStream(Pieces()) as stream:
        assert await stream.read() is RESULT
