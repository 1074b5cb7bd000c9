"""A callable as a backend."""

from __future__ import annotations

import asyncio
import functools

import pytest
from support.modes import MODES, ask

from popi_sdk.errors import (
    BackendConnectionError,
    BackendError,
    ConfigurationError,
    InvalidResponseError,
    UsageError,
)
from popi_sdk.generators import FunctionGenerator, Generation, GenerationOptions, Usage


def shout(messages, options):
    return messages[-1]["content"].upper()


async def later(messages, options):
    return messages[-1]["content"].upper()


def promises(messages, options):
    return later(messages, options)


class Callable:
    def __call__(self, messages, options):
        return shout(messages, options)


class AsyncCallable:
    async def __call__(self, messages, options):
        return shout(messages, options)


FUNCTIONS = [
    shout,
    later,
    Callable(),
    AsyncCallable(),
    AsyncCallable().__call__,
    functools.partial(shout),
    functools.partial(later),
    promises,
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_sync_and_async_callables(function):
    for mode in MODES:
        pieces: list[str] = []
        generation = ask(FunctionGenerator(function), mode, "hi", pieces=pieces)
        assert generation.text == "HI"
        assert generation.latency > 0
        assert pieces in ([], ["HI"])


def test_it_gets_messages_and_options():
    seen = []
    generator = FunctionGenerator(lambda *arguments: seen.append(arguments) or "ok")
    for options in (GenerationOptions(max_tokens=3), {"max_tokens": 3}):
        generator.generate([{"role": "user", "content": [{"type": "text", "text": "hi"}]}], options)
        assert seen.pop() == ([{"role": "user", "content": "hi"}], GenerationOptions(max_tokens=3))


def test_a_generation_is_passed_on():
    given = Generation(text="hi", model="x", finish_reason="length", usage=Usage(1, 2), request_id="r")
    for mode in MODES:
        assert ask(FunctionGenerator(lambda m, o: given), mode) is given


@pytest.mark.parametrize("answer", [None, "", " \n", 7, b"bytes", [], Generation(text="", model="x")])
@pytest.mark.parametrize("mode", MODES)
def test_what_is_no_answer(answer, mode):
    with pytest.raises(InvalidResponseError, match="instead of a text") as caught:
        ask(FunctionGenerator(lambda m, o: answer, model="mine"), mode)
    assert (caught.value.backend, caught.value.model, caught.value.status_code) == ("function", "mine", None)


@pytest.mark.parametrize("mode", MODES)
def test_what_it_raises(mode):
    def fails(messages, options):
        raise ValueError("boom")

    async def fails_later(messages, options):
        raise ValueError("boom")

    for function in (fails, fails_later):
        with pytest.raises(BackendError, match="the function raised ValueError: boom") as caught:
            ask(FunctionGenerator(function), mode)
        assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("mode", MODES)
def test_errors_of_ours_pass(mode):
    error = BackendConnectionError("down", backend="mine", retryable=True)

    def fails(messages, options):
        raise error

    with pytest.raises(BackendConnectionError) as caught:
        ask(FunctionGenerator(fails), mode)
    assert caught.value is error


@pytest.mark.parametrize("function", [later, AsyncCallable(), promises])
async def test_an_async_function_and_a_sync_verb_in_a_running_loop(function):
    with pytest.raises(ConfigurationError, match=r"a loop is running\. Use the async verb"):
        FunctionGenerator(function).generate("hi")


async def test_an_awaitable_that_is_no_coroutine_in_a_running_loop():
    future = asyncio.get_running_loop().create_future()
    with pytest.raises(ConfigurationError, match="a loop is running"):
        FunctionGenerator(lambda m, o: future).generate("hi")


def test_it_has_to_be_callable():
    with pytest.raises(ConfigurationError, match="wants a callable"):
        FunctionGenerator("shout")


def test_names_and_tokens():
    assert FunctionGenerator(shout).identity == "function:shout"
    assert FunctionGenerator(Callable()).model == "Callable"
    assert FunctionGenerator(shout, model="m").identity == "function:m"
    assert (FunctionGenerator(shout).tokenizer, FunctionGenerator(shout).count_tokens("né")) == ("estimated", 3)
    counting = FunctionGenerator(shout, count_tokens=len)
    assert (counting.tokenizer, counting.count_tokens("né")) == ("function:shout", 2)
    assert repr(counting) == "<FunctionGenerator function:shout>"


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_prompt(mode):
    with pytest.raises(UsageError):
        ask(FunctionGenerator(shout), mode, "")
