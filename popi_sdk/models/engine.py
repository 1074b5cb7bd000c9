"""The embedded llama.cpp engine: one per model and process, shared and reference-counted.

An engine is a `xllamacpp.Server` with one slot and no prompt cache, so that greedy output is the same every time
(with either, some calls differed). The server opens a port on loopback for itself; it is keyed with a secret of this
process, and only the tokenizer is asked through it: chats are handled in process.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import BackendConnectionError, BackendError, BackendTimeoutError, ConfigurationError, needs_extra
from ..messages import Message

__all__ = ["Engine", "EngineKey", "EnginePool", "engines", "load_library"]

EngineKey = tuple[str, int, int, tuple[str, ...]]
"""(path, context in tokens, threads, adapters): engines that differ in one of these are not shared."""

_BACKEND = "llamacpp"

_BATCH = 128
"""Prompt tokens between two looks at whether to go on: on CPUs no slower than llama.cpp's 2048."""

_GRACE = 30.0
"""Seconds that closing waits for a chat to notice that it was cancelled: one batch's time is enough."""

_SPIN = {"GOMP_SPINCOUNT": "1000"}
"""How long a thread of llama.cpp burns its core while it waits for the others. Measured on 2 cores, tokens/s: idle 140
with this and with libgomp's default; with both cores busy elsewhere 14 against 1 or less."""


def load_library() -> Any:
    """The module `xllamacpp`, imported with OpenMP set up for machines that do other work too.

    Raises:
        MissingExtraError: If it is not installed.
    """
    with needs_extra("local"), _environment({} if "xllamacpp" in sys.modules else _SPIN):
        import xllamacpp
    return xllamacpp


class Engine:
    """One model, loaded.

    Args:
        path: The GGUF.
        context: Tokens of the context; 0 for the model's own.
        threads: 0 for one per core.
        adapters: LoRA adapters as GGUF, loaded beside it; a request names those that take part by their place.

    Raises:
        MissingExtraError: If xllamacpp is not installed.
        ConfigurationError: If llama.cpp cannot load the file.
    """

    def __init__(self, path: Path, context: int, threads: int, adapters: Sequence[str] = ()) -> None:
        xllamacpp = load_library()
        self.path = path
        self.model = path.stem
        self._pid = os.getpid()
        self._key = secrets.token_urlsafe(24)
        self._slot = threading.Lock()
        self._closed = threading.Event()
        self._server: Any = None
        try:
            self._server = xllamacpp.Server(self._params(xllamacpp, context, threads, adapters))
        except RuntimeError as error:
            raise ConfigurationError(
                f"llama.cpp cannot load {path}: {error} Check that it is a complete GGUF of a supported model."
            ) from error
        # The server is back before its loop runs, and one that is told to stop before then never stops (seen in 1 of 3
        # immediate closes). Whatever goes through its queue is answered by the loop.
        self._server.handle_metrics()
        self._address = urlsplit(self._server.listening_address)

    def _params(self, xllamacpp: Any, context: int, threads: int, adapters: Sequence[str]) -> Any:
        params = xllamacpp.CommonParams()
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 0.0) for adapter in adapters]
        params.model.path = str(self.path)
        params.n_ctx = context
        params.n_batch = params.n_ubatch = _BATCH
        params.n_parallel = 1
        params.cache_prompt = False
        params.cache_ram_mib = 0
        params.warmup = False
        params.verbosity = -1
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.api_keys = [self._key]
        params.ui = False
        params.endpoint_slots = False
        params.endpoint_metrics = True
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads or os.cpu_count() or 1
        return params

    def chat(self, request: Mapping[str, Any], deliver: Callable[[Any], bool], *, timeout: float) -> None:
        """Run one streamed chat completion in the calling thread; others wait for the slot.

        Not for the main thread: a Ctrl-C that falls into llama.cpp's callback would be lost there.

        Args:
            request: Body of the request.
            deliver: Gets each event, one per batch of the prompt and one per token; returns False to stop.
            timeout: Seconds, waiting for the slot included.

        Raises:
            BackendTimeoutError: If it takes longer.
            BackendError: If the engine is closed meanwhile.
        """
        self.check_process()
        deadline = time.monotonic() + timeout
        body = {**request, "stream": True, "return_progress": True, "cache_prompt": False}
        if not self._slot.acquire(timeout=timeout):
            raise self._timed_out(timeout)
        try:
            self._check_open()
            run = _Run(deliver, self._closed, deadline)
            self._server.handle_chat_completions(body, run)
        except (ValueError, RuntimeError) as error:  # what llama.cpp says to a malformed request
            raise ConfigurationError(f"{_BACKEND}, model '{self.model}': {error}") from error
        finally:
            self._slot.release()
        if run.error is not None:
            raise run.error
        self._check_open()
        if run.late:
            raise self._timed_out(timeout)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text; control tokens in it count as the model would read them."""
        encodable = text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair counts as one character
        return len(self._post("/tokenize", {"content": encodable})["tokens"])

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of messages under the model's chat template, up to where the answer begins."""
        prompt = self._post("/apply-template", {"messages": list(messages)})["prompt"]
        return len(self._post("/tokenize", {"content": prompt, "add_special": True})["tokens"])

    def close(self) -> bool:
        """Cancel what runs, stop the threads and free the port.

        Returns:
            Whether that is done; if not, a chat did not notice in time and still runs.
        """
        if self.forked:
            return True
        self._closed.set()
        if not self._slot.acquire(timeout=_GRACE):
            return False
        self._server = None
        self._slot.release()
        return True

    def leak(self) -> None:
        """Never destroy the server: in a forked child its threads do not exist, and joining them hangs."""
        if self._server is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._server))

    @property
    def forked(self) -> bool:
        """Whether this is a child forked from the process that the engine runs in."""
        return self._pid != os.getpid()

    def check_process(self) -> None:
        """Refuse to work in a forked child.

        Raises:
            ConfigurationError: If this is one.
        """
        if self.forked:
            raise _forked()

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        self.check_process()
        self._check_open()
        connection = HTTPConnection(self._address.hostname or "", self._address.port, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            data = response.read()
        except (OSError, HTTPException) as error:
            raise BackendConnectionError(f"The engine of {self.path} is gone: {error}", backend=_BACKEND) from error
        finally:
            connection.close()
        if response.status != 200:
            raise BackendError(
                f"{_BACKEND}, model '{self.model}': {path} answered {response.status}: {data[:300]!r}",
                backend=_BACKEND,
                model=self.model,
                status_code=response.status,
            )
        return json.loads(data)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise BackendError(
                f"The engine of {self.path} was closed.", backend=_BACKEND, model=self.model, retryable=False
            )

    def _timed_out(self, timeout: float) -> BackendTimeoutError:
        return BackendTimeoutError(
            f"{_BACKEND}, model '{self.model}': no complete answer within {timeout:g} s. "
            "Raise timeout= or lower max_tokens.",
            backend=_BACKEND,
            model=self.model,
        )


class _Run:
    """llama.cpp's callback for one chat: returning True stops it; an exception would vanish, so it is kept."""

    def __init__(self, deliver: Callable[[Any], bool], closed: threading.Event, deadline: float) -> None:
        self.deliver = deliver
        self.closed = closed
        self.deadline = deadline
        self.late = False
        self.error: BaseException | None = None

    def __call__(self, events: Any) -> bool:
        try:
            if self.closed.is_set():
                return True
            self.late = time.monotonic() > self.deadline
            if self.late:
                return True
            return not all(self.deliver(event) for event in (events if isinstance(events, list) else [events]))
        except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt too: C++ stands between here and the caller
            self.error = error
            return True


class EnginePool:
    """Engines by key, with how many hold each; the last one to release closes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[EngineKey, tuple[Engine, int]] = {}
        self._kept: set[EngineKey] = set()
        self._pid: int | None = None
        self._over = False

    def acquire(self, path: Path, context: int, threads: int, adapters: Sequence[str] = ()) -> tuple[EngineKey, Engine]:
        """The engine of a model, started if it does not run; give it back with `release`.

        Raises:
            ConfigurationError: In a child forked from a process that ran an engine.
        """
        self.check_process()
        load_library()
        key = (str(path.resolve()), context, threads, tuple(adapters))
        with self._lock:
            if self._over:
                raise BackendError("The process is ending: no engine is started any more.", backend=_BACKEND)
            engine, holders = self._held.get(key, (None, 0))
            if engine is None:
                self._register()
                engine = Engine(path, context, threads, adapters)
            self._held[key] = (engine, holders + 1)
            return key, engine

    @property
    def forked(self) -> bool:
        """Whether this is a child forked from a process that has run an engine."""
        return self._pid not in (None, os.getpid())

    def check_process(self) -> None:
        """Refuse to work in a forked child.

        Raises:
            ConfigurationError: If this is one.
        """
        if self.forked:
            raise _forked()

    def keep(self, key: EngineKey) -> None:
        """Leave a running engine running until the process ends, for callers who come again soon."""
        with self._lock:
            if key in self._held and key not in self._kept:
                self._kept.add(key)
                engine, holders = self._held[key]
                self._held[key] = (engine, holders + 1)

    def release(self, key: EngineKey) -> None:
        """Give an engine back."""
        with self._lock:
            if key not in self._held:
                return
            engine, holders = self._held.pop(key)
            if holders > 1:
                self._held[key] = (engine, holders - 1)
                return
        engine.close()

    def close_all(self) -> None:
        """Close every engine, whoever holds it."""
        if self.forked:
            return
        with self._lock:
            held, self._held = list(self._held.values()), {}
            self._kept.clear()
        for engine, _ in held:
            if not engine.close() and self._over:
                engine.leak()
                _skip_exit_handlers()

    def running(self) -> list[Path]:
        """Models that are loaded now."""
        with self._lock:
            return [engine.path for engine, _ in self._held.values()]

    def _register(self) -> None:
        """Before the first engine starts: a fork that falls into its start is one too many already."""
        if self._pid is None:
            self._pid = os.getpid()
            atexit.register(self._at_exit)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=self._after_fork)

    def _at_exit(self) -> None:
        """While daemon threads still live: those that chat are cancelled, those that come too late are refused."""
        if not self.forked:
            self._over = True
            self.close_all()

    def _after_fork(self) -> None:
        self._lock = threading.Lock()  # a thread of the parent may hold the old one
        for engine, _ in self._held.values():
            engine.leak()
        _skip_exit_handlers()


@contextmanager
def _environment(defaults: Mapping[str, str]) -> Iterator[None]:
    """Set variables that are unset, and unset them again; libgomp reads them once, when it is loaded."""
    unset = [name for name in defaults if name not in os.environ and "OMP_WAIT_POLICY" not in os.environ]
    os.environ.update({name: defaults[name] for name in unset})
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)


def _skip_exit_handlers() -> None:
    """End the process before the exit handlers of llama.cpp, which join threads that do not end or do not exist.

    On glibc this keeps the exit status; elsewhere children are spawned by default.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):
        libc.on_exit(libc._exit, None)


def _forked() -> ConfigurationError:
    return ConfigurationError(
        "The embedded engine does not survive a fork. Start worker processes with "
        "multiprocessing.get_context('spawn'), or create the generator in the child only."
    )


engines = EnginePool()
"""The pool of this process."""
