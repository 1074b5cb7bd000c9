"""For tests of code that uses popi_sdk: backends that answer without a model, and a guard against real requests."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
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
        script: Texts, `Generation`s and exceptions; may be endless (`itertools.repeat`).

    Raises:
        ConfigurationError: If the script is a single string.
    """

    backend = "scripted"
    model = "scripted"

    def __init__(self, script: Iterable[str | Generation | Exception]) -> None:
        super().__init__()
        if isinstance(script, str):
            raise ConfigurationError("A script is a list of answers. Pass ScriptedGenerator([text]).")
        self._script = iter(script)

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
        with self._lock:
            entry = next(self._script, None)
        if entry is None:
            raise ConfigurationError(f"The script has {number} answers, and this is request {number + 1}.")
        if isinstance(entry, Exception):
            raise entry
        return self._answer(entry, messages) if isinstance(entry, str) else entry


class FixedInferrer(PreferenceInferrer):
    """Gives the same summary for every user. `calls` counts how often it was asked."""

    name = "fixed"

    def __init__(self, text: str) -> None:
        self.text = text
        self.calls = 0
        self._lock = threading.Lock()

    def infer(
        self,
        signals: Any,
        *,
        budget: int = DEFAULT_BUDGET,
        counter: TokenCounter | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> PreferenceSummary:
        with self._lock:
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
    """Forbid this process to reach any machine but itself while the block runs, name look-ups and datagrams included.

    It guards Python's sockets, so it holds for every backend and SDK, sync and async, in all threads; what another
    process or a C library sends by itself it does not see. Blocks may be nested, and run in several threads at once:
    the guard falls with the last one. Meant for tests: it replaces functions of `socket` for the time.

    Raises:
        ConfigurationError: From whatever tries to connect, at once: it is not retried.
    """
    _guard.raise_()
    try:
        yield
    finally:
        _guard.lower()


class _Guard:
    """The functions of `socket` that reach out, replaced while anyone wants them to be."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._originals: list[tuple[Any, str, Any]] = []

    def raise_(self) -> None:
        with self._lock:
            self._wanted += 1
            if self._wanted == 1:
                self._replace()

    def lower(self) -> None:
        with self._lock:
            self._wanted -= 1
            if self._wanted == 0:
                for owner, name, original in self._originals:
                    if original is None:
                        delattr(owner, name)  # inherited before
                    else:
                        setattr(owner, name, original)
                self._originals.clear()

    def _replace(self) -> None:
        for name, address in _REACHING.items():
            if not hasattr(socket.socket, name):  # Windows has no sendmsg
                continue
            self._patch(socket.socket, name, _guarded_method(getattr(socket.socket, name), address))
        for name in _LOOKING_UP:
            self._patch(socket, name, _guarded_look_up(getattr(socket, name)))

    def _patch(self, owner: Any, name: str, replacement: Any) -> None:
        self._originals.append((owner, name, vars(owner).get(name)))
        setattr(owner, name, replacement)


_guard = _Guard()

# Where the address stands among the arguments; without one, a datagram goes where the socket is connected to.
_REACHING: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "connect": lambda args: args[0],
    "connect_ex": lambda args: args[0],
    "sendto": lambda args: args[-1],
    "sendmsg": lambda args: args[3] if len(args) > 3 else None,
}
_LOOKING_UP = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo")


def _guarded_method(original: Callable[..., Any], address_in: Callable[[tuple[Any, ...]], Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, *args: Any) -> Any:
        address = address_in(args) if args else None
        inet = self.family in (socket.AF_INET, socket.AF_INET6)
        if inet and isinstance(address, tuple) and address and not _is_local(address[0]):
            raise ConfigurationError(f"no_requests(): a connection to {address[0]} is forbidden here.")
        return original(self, *args)

    return guarded


def _guarded_look_up(original: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host[0] if isinstance(host, tuple) else host  # getnameinfo takes an address
        if name is not None and not _is_local(name):
            raise ConfigurationError(f"no_requests(): looking up {name!r} is forbidden here.")
        return original(host, *args, **kwargs)

    return guarded


def _is_local(host: Any) -> bool:
    name = bytes(host).decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name in ("", "localhost", socket.gethostname()) or name.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
