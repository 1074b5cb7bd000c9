"""For tests of code that uses popi_sdk: backends that answer without a model, and a guard against real requests."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .errors import ConfigurationError
from .generators import Generation, GenerationOptions, Generator, Usage
from .inferrers import PreferenceInferrer, build_summary
from .messages import Message, Prompt, as_messages
from .signals import as_signals
from .summary import DEFAULT_BUDGET, PreferenceSummary, SummaryStatement, TokenCounter

__all__ = ["EchoGenerator", "FixedInferrer", "ScriptedGenerator", "no_requests"]


class _WordCounting(Generator):
    """Counts words, so that token figures in tests can be checked by eye."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Message], GenerationOptions]] = []
        self._lock = threading.Lock()

    @property
    def tokenizer(self) -> str:
        return "words"

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def _note(self, messages: Prompt, options: GenerationOptions | None) -> int:
        """Keep a call; returns its number, from 0."""
        with self._lock:
            self.calls.append((as_messages(messages), options or GenerationOptions()))
            return len(self.calls) - 1

    def _answer(self, text: str, messages: Prompt) -> Generation:
        usage = Usage(self.count_prompt_tokens(as_messages(messages)), self.count_tokens(text))
        return Generation(text=text, model=self.model, usage=usage)


class EchoGenerator(_WordCounting):
    """Answers with the last message: shows what a model would have been given. `calls` holds what it was asked."""

    backend = "echo"
    model = "echo"

    def generate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        self._note(messages, options)
        return self._answer(as_messages(messages)[-1]["content"], messages)


class ScriptedGenerator(_WordCounting):
    """Answers with the texts of a script, in order; an exception in it is raised. `calls` holds what it was asked.

    Args:
        script: Texts, `Generation`s and exceptions.
    """

    backend = "scripted"
    model = "scripted"

    def __init__(self, script: Iterable[str | Generation | Exception]) -> None:
        super().__init__()
        self._script = list(script)

    def generate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        """Answer with the next entry.

        Raises:
            ConfigurationError: If the script is at its end.
        """
        number = self._note(messages, options)
        if number >= len(self._script):
            raise ConfigurationError(f"The script has {len(self._script)} answers, and this is request {number + 1}.")
        entry = self._script[number]
        if isinstance(entry, Exception):
            raise entry
        return self._answer(entry, messages) if isinstance(entry, str) else entry


class FixedInferrer(PreferenceInferrer):
    """Gives the same summary for every user. `calls` counts how often it was asked."""

    name = "fixed"

    def __init__(self, text: str) -> None:
        self.text = text
        self.calls = 0

    def infer(
        self,
        signals: Any,
        *,
        budget: int = DEFAULT_BUDGET,
        counter: TokenCounter | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> PreferenceSummary:
        self.calls += 1
        return build_summary(
            [SummaryStatement(text=self.text)],
            budget=budget,
            counter=counter,
            inferrer=self.name,
            signals=as_signals(signals),
        )

    @property
    def identity(self) -> str:
        return f"{self.name}:{self.text}"


@contextmanager
def no_requests() -> Iterator[None]:
    """Forbid connections of this process to any machine but itself, name look-ups included, while the block runs.

    It guards sockets, so it holds for every backend and SDK, sync and async, in all threads. Meant for tests: it
    replaces methods of `socket` for the time.

    Raises:
        ConfigurationError: From whatever tries to connect.
    """
    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any, /) -> None:
        _forbid(self.family, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any, /) -> int:
        _forbid(self.family, address)
        return connect_ex(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host is not None and not _is_local(host):
            raise ConfigurationError(f"no_requests(): looking up {host!r} is forbidden here.")
        return look_up(host, *args, **kwargs)

    patches = {"connect": guarded_connect, "connect_ex": guarded_connect_ex}
    for name, guard in patches.items():
        setattr(socket.socket, name, guard)
    socket.getaddrinfo = guarded_look_up
    try:
        yield
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
        socket.socket.connect_ex = connect_ex  # type: ignore[method-assign]
        socket.getaddrinfo = look_up


def _forbid(family: int, address: Any) -> None:
    if family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
        raise ConfigurationError(f"no_requests(): a connection to {address[0]} is forbidden here.")


def _is_local(host: str | bytes) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name in ("", "localhost") or name.endswith(".localhost")
