"""`hf:ID_OR_PATH`: a model of transformers inside this process, many prompts at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..errors import ConfigurationError, PopiError
from ..messages import Message, Prompt, as_messages
from ..models.catalog import DEFAULT_MODEL
from ..models.folders import adapter_identity, model_identity
from ..settings import get_settings
from .base import Generator
from .faults import Origin
from .generation import Generation, GenerationOptions, as_options
from .hf_worker import Job, Worker, WorkerKey, workers
from .limits import MAX_TIMEOUT, seconds_of
from .reading import Start, read, read_all, read_async
from .spec import BackendSpec
from .streams import AsyncGenerationStream, GenerationStream

if TYPE_CHECKING:
    from ..models.causal_lm import CausalLM

__all__ = ["HfGenerator"]


class HfGenerator(Generator):
    """A model of transformers in this process: no key, no server; made for many prompts at once.

    Greedy and with seed 0 unless the options say otherwise. Calls that come at the same time, from threads or tasks,
    are answered together, and so are the prompts of `generate_batch`. In float32 an answer does not depend on what is
    answered beside it; in bfloat16 rounding can tip a word. The model is loaded at first use and shared by all
    generators of the same model, type and device, also where their adapters differ: those take turns. `max_retries` has
    no meaning here.

    Args:
        model: A hub id, a folder that `save_pretrained` wrote, or the path of a GGUF; None for the default model.
        adapter: The folder or the hub id of a LoRA adapter.
        base_digest: What `base_digest` must say of the model's weights, found out at first use; None for whatever.
        dtype: `auto` (bfloat16 where the device computes in it natively, else float32), `float32`, `bfloat16`,
            `float16`.
        device: `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:0`, `mps`.
        batch_size: Most prompts of one forward pass.
        timeout: Seconds for one answer, waiting for others included, loading not. None for POPI_TIMEOUT. A batch takes
            longer than a single prompt: on a CPU, give it minutes.
        max_retries: Accepted for uniformity; a local failure is not retried.

    Raises:
        ConfigurationError: If there is no such folder or file; what only loading shows is raised at first use.
        MissingExtraError: At first use, if the extra `hf` is not installed.
    """

    backend = "hf"

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        adapter: str | Path | None = None,
        base_digest: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_size: int = 32,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> None:
        identity = model_identity(model) + (f"+{adapter_identity(adapter)}" if adapter else "")
        load = partial(_load, model, base_digest, adapter=adapter, dtype=dtype, device=device)
        key = (f"{identity}={base_digest}" if base_digest else identity, dtype, device, _whole(batch_size))
        self._set_up(
            name=_name_of(model),
            identity=f"{identity}:{dtype}",
            key=key,
            make=lambda: Worker(load, batch_size),
            batch_size=batch_size,
            timeout=timeout,
        )

    @classmethod
    def from_spec(cls, spec: BackendSpec, **options: Any) -> Self:
        """Build from `hf`, `hf:ID` or `hf:PATH`.

        Raises:
            ConfigurationError: If there is a URL: this backend has no server.
        """
        if spec.url:
            raise ConfigurationError(f"{spec.name} runs in this process and has no URL. Use 'compatible:MODEL@URL'.")
        return cls(spec.model, **options)

    @classmethod
    def from_model(cls, model: CausalLM, *, batch_size: int = 32, timeout: float | None = None) -> Self:
        """Build over a model that is loaded; it stays yours.

        It computes with the adapter that takes part now, whichever does later: several generators can share a model.

        Args:
            model: From `load_causal_lm`.
            batch_size: Most prompts of one forward pass.
            timeout: Seconds for one answer. None for POPI_TIMEOUT.
        """
        generator = cls.__new__(cls)
        loaded = (model, model.adapter)
        worker = Worker(lambda: loaded, _whole(batch_size))
        generator._set_up(
            name=_name_of(model.name),
            identity=model.identity,
            key=None,
            make=lambda: worker,
            batch_size=batch_size,
            timeout=timeout,
        )
        return generator

    def _set_up(
        self,
        *,
        name: str,
        identity: str,
        key: WorkerKey | None,
        make: Callable[[], Worker],
        batch_size: int,
        timeout: float | None,
    ) -> None:
        self.model = name
        self.timeout = seconds_of(get_settings().timeout if timeout is None else timeout)
        self.batch_size = batch_size
        self.max_concurrency = batch_size
        self.origin = Origin(self.backend, name)
        self._identity = identity
        self._key = key  # None: the worker is this generator's alone
        self._make = make
        self._lock = threading.Lock()
        self._held: Worker | None = None

    def generate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        with self._read(messages, options, timeout, pieces=False) as stream:
            return stream.read()

    async def agenerate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        """`generate`, awaited; cancelling the task takes the prompt out of its batch."""
        async with self._read_async(messages, options, timeout, pieces=False) as stream:
            return await stream.read()

    def stream(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> GenerationStream:
        return self._read(messages, options, timeout, pieces=True)

    def astream(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> AsyncGenerationStream:
        return self._read_async(messages, options, timeout, pieces=True)

    def generate_batch(
        self,
        prompts: Sequence[Prompt],
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> list[Generation]:
        """Answers to several prompts, in their order, up to `batch_size` of them per forward pass.

        Prompts of similar length go together. The first failure is raised and gives up the others. `timeout` is for
        each prompt: those that go together may take as long as all of them one by one.
        """
        asked = [as_messages(prompt) for prompt in prompts]
        each = self._seconds(timeout)
        order = sorted(range(len(asked)), key=lambda index: sum(len(turn["content"]) for turn in asked[index]))
        answers: dict[int, Generation] = {}
        for first in range(0, len(order), self.batch_size):
            group = order[first : first + self.batch_size]
            seconds = min(each * len(group), MAX_TIMEOUT)
            starts = [self._start(asked[index], options, seconds, pieces=False) for index in group]
            answers |= zip(group, read_all(starts, seconds, self._late(seconds)), strict=True)
        return [answers[index] for index in range(len(asked))]

    @property
    def tokenizer(self) -> str:
        return f"hf:{self.model}"

    def count_tokens(self, text: str) -> int:
        return self._worker().model().count_tokens(text)

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return len(self._worker().model().encode_prompt(messages))

    @property
    def identity(self) -> str:
        return f"{self.backend}:{self._identity}"

    def start(self) -> None:
        """Load the model now instead of at first use."""
        self._worker().model()

    def keep_warm(self) -> None:
        self._worker()
        if self._key is not None:
            workers.keep(self._key)

    def close(self) -> None:
        with self._lock:
            held, self._held = self._held, None
        if held is None:
            return
        if self._key is None:
            held.close()
        else:
            workers.release(self._key)

    def _worker(self) -> Worker:
        with self._lock:
            if self._held is None:
                self._held = self._make() if self._key is None else workers.acquire(self._key, self._make)
            return self._held

    def _read(
        self, messages: Prompt, options: GenerationOptions | None, timeout: float | None, *, pieces: bool
    ) -> GenerationStream:
        seconds = self._seconds(timeout)
        return read(self._start(as_messages(messages), options, seconds, pieces=pieces), seconds, self._late(seconds))

    def _read_async(
        self, messages: Prompt, options: GenerationOptions | None, timeout: float | None, *, pieces: bool
    ) -> AsyncGenerationStream:
        seconds = self._seconds(timeout)
        start = self._start(as_messages(messages), options, seconds, pieces=pieces)
        return read_async(start, seconds, self._late(seconds))

    def _start(
        self, messages: Sequence[Message], options: GenerationOptions | None, seconds: float, *, pieces: bool
    ) -> Start:
        """What hands a prompt to the worker; a mistake in it is the caller's at once."""
        job = partial(Job, messages, as_options(options), seconds, self.origin, pieces=pieces)
        return lambda put: self._worker().submit(job(put))

    def _seconds(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else seconds_of(timeout)

    def _late(self, seconds: float) -> Callable[[], PopiError]:
        return lambda: self.origin.timeout(seconds, retryable=False)


def _load(source: str | Path | None, base_digest: str | None, **options: Any) -> tuple[CausalLM, str | None]:
    from ..models.fingerprint import check_base
    from ..models.shared import shared_causal_lm

    check_base(source, base_digest, str(options["adapter"]))
    return shared_causal_lm(source, **options)


def _name_of(source: str | Path | None) -> str:
    """A hub id as it is, the last part of a path."""
    if source is None:
        return DEFAULT_MODEL.name
    path = Path(source)
    if path.suffix.lower() == ".gguf":
        return path.stem
    return path.name if path.is_absolute() or len(path.parts) > 2 or path.is_dir() else str(source)


def _whole(batch_size: Any) -> int:
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise ConfigurationError(f"batch_size={batch_size!r} must be a whole number, 1 or more.")
    return batch_size
