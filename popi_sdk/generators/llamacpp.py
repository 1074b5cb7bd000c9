"""`local` and `llamacpp:PATH.gguf`: a model inside this process, through llama.cpp."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from ..errors import ConfigurationError, PopiError
from ..messages import Message, Prompt, as_messages
from ..models import resolve_gguf
from ..models.engine import Engine, EngineKey, engines, load_library
from ..models.fingerprint import check_base
from ..models.folders import adapter_identity
from ..models.lora_gguf import lora_to_gguf
from ..settings import get_settings
from .base import Generator
from .faults import Origin
from .generation import Generation, GenerationOptions, as_options
from .limits import seconds_of
from .protocols import ChatCompletions
from .reading import Put, read, read_async
from .spec import BackendSpec
from .streams import AsyncGenerationStream, GenerationStream

__all__ = ["LlamaCppGenerator"]


@dataclass(frozen=True, slots=True)
class _Job:
    request: dict[str, Any]
    timeout: float
    pieces: bool


class LlamaCppGenerator(Generator):
    """A GGUF model in this process: no key, no server, no network.

    Greedy and with seed 0 unless the options say otherwise, so the same request gives the same answer. The engine
    starts at first use (pulling the default model if it is not there) and is shared by all generators of the same file.
    It answers one request at a time; others wait. `max_retries` has no meaning here.

    Args:
        model: Path of a GGUF, or a name of the catalog; None for the default model.
        adapter: Which of the adapters takes part; None for the model alone.
        adapters: Folders of LoRA adapters that the engine loads, converted once into the cache; none for `adapter`
            alone. Generators that name the same ones share an engine.
        base_digest: What `base_digest` must say of the model, found out at first use; None for whatever.
        context: Context in tokens; None for POPI_CONTEXT, 0 for the model's own.
        threads: None for POPI_THREADS, 0 for one per core.
        timeout: Seconds for one answer, waiting for the engine included. None for POPI_TIMEOUT.
        max_retries: Accepted for uniformity; a local failure is not retried.

    Raises:
        MissingExtraError: At first use, if xllamacpp is not installed.
        ConfigurationError: If there is no such file, or the weights cannot be pulled.
    """

    backend = "llamacpp"
    max_concurrency = 1

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        adapter: str | Path | None = None,
        adapters: Sequence[str | Path] = (),
        base_digest: str | None = None,
        context: int | None = None,
        threads: int | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> None:
        settings = get_settings()
        self._path = None if model is None else resolve_gguf(model, pull_missing=False)
        self.model = "smollm2-135m-instruct" if model is None else Path(model).stem
        self.adapter = adapter
        self.adapters = tuple(adapters) or (() if adapter is None else (adapter,))
        if adapter is not None and adapter not in self.adapters:
            raise ConfigurationError(f"adapter={adapter} is not among adapters={list(map(str, self.adapters))}.")
        self._states = {one: adapter_identity(one) for one in self.adapters}
        self._base_digest = base_digest
        self.context = settings.context if context is None else _whole("context", context)
        self.threads = settings.threads if threads is None else _whole("threads", threads)
        self.timeout = seconds_of(settings.timeout if timeout is None else timeout)
        self.origin = Origin(self.backend, self.model)
        self._protocol = ChatCompletions()
        self._lock = threading.Lock()
        self._held: tuple[EngineKey, Engine] | None = None

    @classmethod
    def from_spec(cls, spec: BackendSpec, **options: Any) -> Self:
        """Build from `local`, `local:PATH.gguf` or `llamacpp:PATH.gguf`.

        Raises:
            ConfigurationError: If there is a URL: this backend has no server.
        """
        if spec.url:
            raise ConfigurationError(f"{spec.name} runs in this process and has no URL. Use 'compatible:MODEL@URL'.")
        return cls(spec.model, **options)

    def generate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        with self._stream(self._job(messages, options, timeout, pieces=False)) as stream:
            return stream.read()

    async def agenerate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        """`generate`, awaited; cancelling the task stops the engine."""
        async with self._astream(self._job(messages, options, timeout, pieces=False)) as stream:
            return await stream.read()

    def stream(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> GenerationStream:
        return self._stream(self._job(messages, options, timeout, pieces=True))

    def astream(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> AsyncGenerationStream:
        return self._astream(self._job(messages, options, timeout, pieces=True))

    @property
    def tokenizer(self) -> str:
        return f"gguf:{self.model}"

    def count_tokens(self, text: str) -> int:
        return self._engine().count_tokens(text)

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return self._engine().count_prompt_tokens(messages)

    @property
    def identity(self) -> str:
        adapter = "" if self.adapter is None else f"+{self._states[self.adapter]}"
        return f"{self.backend}:{self._path or self.model}{adapter}"

    def start(self) -> None:
        """Load the model now instead of at first use."""
        self._engine()

    def keep_warm(self) -> None:
        engines.keep(self._hold()[0])

    def close(self) -> None:
        if engines.forked:
            return  # the engine is the parent's, and so may be whoever holds the lock
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            engines.release(held[0])

    def _engine(self) -> Engine:
        return self._hold()[1]

    def _hold(self) -> tuple[EngineKey, Engine]:
        engines.check_process()
        with self._lock:
            return self._hold_locked()

    def _hold_for(self, cancelled: threading.Event) -> Engine | None:
        """The engine, unless the caller is gone: it may have closed the generator behind it."""
        engines.check_process()
        with self._lock:
            return None if cancelled.is_set() else self._hold_locked()[1]

    def _hold_locked(self) -> tuple[EngineKey, Engine]:
        if self._held is None:
            load_library()  # before the weights are pulled for it
            path = self._path or resolve_gguf(None)
            check_base(path, self._base_digest, str(self.adapter))
            converted = [str(lora_to_gguf(adapter, path)) for adapter in self.adapters]
            self._held = engines.acquire(path, self.context, self.threads, converted)
        return self._held

    def _job(self, messages: Prompt, options: GenerationOptions | None, timeout: float | None, *, pieces: bool) -> _Job:
        """What the caller wants, checked before a thread starts."""
        options = as_options(options)
        seconds = self.timeout if timeout is None else seconds_of(timeout)
        request = self._protocol.request(self.model, as_messages(messages), options, stream=True)
        request |= {"temperature": options.temperature or 0.0, "seed": options.seed or 0}
        if self.adapters:  # the engine's others take no part
            on = [] if self.adapter is None else [self.adapters.index(self.adapter)]
            request["lora"] = [{"id": place, "scale": 1.0} for place in on]
        return _Job(request, seconds, pieces)

    def _stream(self, job: _Job) -> GenerationStream:
        return read(lambda put: self._start(job, put), job.timeout, lambda: self._late(job))

    def _astream(self, job: _Job) -> AsyncGenerationStream:
        return read_async(lambda put: self._start(job, put), job.timeout, lambda: self._late(job))

    def _late(self, job: _Job) -> PopiError:
        return self.origin.timeout(job.timeout, retryable=False)

    def _start(self, job: _Job, put: Put) -> threading.Event:
        """Run a job in a thread of its own; returns the event that stops it.

        The caller only waits for the queue, so that a time-out, a cancelled task and a Ctrl-C reach it at once. The
        thread is a daemon: the pool stops it at exit.
        """
        cancelled = threading.Event()

        def work() -> None:
            try:
                self._run(job, put, cancelled)
            except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
                put(error)

        threading.Thread(target=work, name="popi-llamacpp", daemon=True).start()
        return cancelled

    def _run(self, job: _Job, put: Put, cancelled: threading.Event) -> None:
        """One chat: None when the engine is there, pieces, then the generation, into `put`."""
        parser = self._protocol.stream_parser(self.origin, {})
        started = time.perf_counter()

        def deliver(event: Any) -> bool:
            piece = parser.feed(event)
            if piece and job.pieces:
                put(piece)
            return not cancelled.is_set()

        engine = self._hold_for(cancelled)
        if engine is None:
            return
        put(None)
        engine.chat(job.request, deliver, timeout=job.timeout)
        if not cancelled.is_set():
            put(replace(parser.finish(), model=self.model, latency=time.perf_counter() - started))


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise ConfigurationError(f"{name}={value!r} must be a whole number, 0 or more.")
    return value
