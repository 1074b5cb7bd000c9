"""The thread that owns a model of transformers: it answers what waits, as many at once as fit one forward pass."""

from __future__ import annotations

import atexit
import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from ..errors import BackendError, ConfigurationError, ContextTooLongError, PopiError
from ..messages import Message
from .faults import Origin
from .generation import Generation, GenerationOptions, Usage
from .hf_row import Row
from .protocols.base import finished
from .reading import Put

if TYPE_CHECKING:
    from ..models.causal_lm import CausalLM

__all__ = ["Job", "Load", "Worker", "WorkerKey", "WorkerPool", "workers"]

Load = Callable[[], tuple["CausalLM", str | None]]
"""Gives the model and the name of the adapter to compute with."""

WorkerKey = tuple[str, str, str, int]
"""(identity, dtype, device, batch size): workers that differ in one of these are not shared."""

_TOKENS = 32_768
"""Most tokens of a batch, prompts and answers with their padding; a single job may have more."""

_GAP = 0.005
"""Seconds without another job after which a batch begins."""

_GAP_AFTER_BATCH = 0.05
"""The same right after a batch, while those who got its answers come with their next ones."""

_GRACE = 30.0
"""Seconds that closing waits for a forward pass to end."""


@dataclass(eq=False, slots=True)
class Job:
    """A prompt to be answered.

    Attributes:
        messages: The prompt.
        options: How to generate.
        timeout: Seconds from when the model is there.
        origin: Who is asked, for errors.
        put: Gets None when the time begins, pieces of text, then the generation or an error.
        pieces: Whether pieces are wanted.
        cancelled: Set when nobody waits any more.
        ids: Token ids of the prompt, once the worker has encoded it.
        began: When the time began.
    """

    messages: Sequence[Message]
    options: GenerationOptions
    timeout: float
    origin: Origin
    put: Put
    pieces: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)
    ids: list[int] = field(default_factory=list)
    began: float | None = None

    def begin(self) -> None:
        """Let the time begin, if it has not."""
        if self.began is None:
            self.began = time.monotonic()
            self.put(None)

    @property
    def goes_on(self) -> bool:
        """Whether somebody still waits."""
        if self.cancelled.is_set():
            return False
        return self.began is None or time.monotonic() - self.began < self.timeout

    def row(self, model: CausalLM) -> Row:
        """The job as a row of a batch."""
        return Row(
            self.ids,
            room=min(self.options.max_tokens, model.max_length - len(self.ids)),
            ends=model.stop_ids,
            decode=lambda ids: str(model.tokenizer.decode(ids, skip_special_tokens=True, **_AS_IT_IS)),
            deliver=self.put if self.pieces else None,
            ended=self._end,
            stops=(*self.options.stop, *model.chat.stop),
            lead=model.chat.lead,
            temperature=self.options.temperature or 0.0,
            seed=self.options.seed or 0,
        )

    def _end(self, row: Row) -> None:
        try:
            self.put(self._outcome(row))
        except PopiError as error:
            self.put(error)

    def _outcome(self, row: Row) -> Generation:
        generation = finished(
            self.origin,
            row.text,
            finish_reason=row.finish_reason or "stop",
            model=self.origin.model,
            usage=Usage(len(row.prompt), row.tokens),
            request_id=f"hf-{uuid.uuid4().hex}",
            raw=None,
        )
        return replace(generation, latency=time.monotonic() - (self.began or 0.0))


_AS_IT_IS = {"clean_up_tokenization_spaces": False}


class Worker:
    """Takes jobs, and answers them in batches in a thread of its own, which ends when nothing waits.

    Args:
        load: Gives the model, at the first use.
        batch_size: Most jobs of a batch.
    """

    _pid: ClassVar[int | None] = None
    """The process that torch computes in: its threads do not survive a fork, whichever model they worked for."""

    def __init__(self, load: Load, batch_size: int) -> None:
        self.batch_size = batch_size
        self._load = load
        self._loaded: tuple[CausalLM, str | None] | None = None
        self._loading = threading.Lock()
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._last = (1, 0.0)  # how many jobs the batch before had, and when it ended

    def model(self) -> CausalLM:
        """The model, loaded if it is not.

        Raises:
            ConfigurationError: If it cannot be, or in a child forked from a process that loaded one.
        """
        return self._ready()[0]

    def submit(self, job: Job) -> threading.Event:
        """Queue a job; returns the event that gives it up."""
        self.check_process()
        with self._changed:
            if self._loaded is not None:
                job.begin()
            self._waiting.append(job)
            if self._thread is None:
                self._closing = threading.Event()
                self._thread = threading.Thread(target=self._work, args=(self._closing,), name="popi-hf", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return job.cancelled

    def close(self) -> None:
        """End what runs and let go of the model; a later call loads it again."""
        if self.forked:
            return  # the thread, and who holds the locks, is the parent's
        with self._changed:
            thread = self._thread
            self._closing.set()
            self._changed.notify_all()
        if thread is not None:
            thread.join(_GRACE)
        with self._loading:
            self._loaded = None

    @property
    def forked(self) -> bool:
        """Whether this is a child forked from a process that loaded a model."""
        return self._pid not in (None, os.getpid())

    def check_process(self) -> None:
        """Refuse to work in a forked child.

        Raises:
            ConfigurationError: If this is one.
        """
        if self.forked:
            raise ConfigurationError(
                "A model of transformers does not survive a fork. Start worker processes with "
                "multiprocessing.get_context('spawn'), or create the generator in the child only."
            )

    def _ready(self) -> tuple[CausalLM, str | None]:
        self.check_process()
        with self._loading:
            if self._loaded is None:
                _workers.add(self)
                Worker._pid = os.getpid()
                self._loaded = self._load()
            return self._loaded

    def _work(self, closing: threading.Event) -> None:
        try:
            model, adapter = self._ready()
            with self._changed:
                for job in self._waiting:
                    job.begin()
            while jobs := self._next(model, closing):
                self._answer(model, adapter, jobs, closing)
                self._last = (len(jobs), time.monotonic())
        except BaseException as error:  # noqa: BLE001 - handed to those who wait, who raise it
            self._give_up(error)
        else:
            self._give_up(None)

    def _give_up(self, error: BaseException | None) -> None:
        """The thread ends: tell all who wait why, an error or that it was closed."""
        with self._changed:
            if self._thread is not threading.current_thread():
                return  # nothing waited, and by now another thread may be at work
            jobs, self._waiting, self._thread = self._waiting, [], None
            if error is None:
                self._loaded = None  # it may have been loaded after it was closed
        for job in jobs:
            job.put(error or _closed(job.origin))

    def _next(self, model: CausalLM, closing: threading.Event) -> list[Job]:
        """The next batch: whoever waited longest, and others with prompts of nearly the same length.

        Empty when all is closed, or nothing waits: then the thread ends.
        """
        while not closing.is_set():
            with self._changed:
                self._linger(closing)
                self._waiting = [job for job in self._waiting if job.goes_on]
                waiting = list(self._waiting)
                if not waiting:
                    self._thread = None
                    return []
            for job in waiting:
                self._encode(model, job)
            jobs = self._chosen([job for job in waiting if job.ids], model.max_length)
            with self._changed:
                self._waiting = [job for job in self._waiting if job not in jobs and not job.cancelled.is_set()]
            if jobs:
                return jobs
        return []

    def _linger(self, closing: threading.Event) -> None:
        """Wait for those who are about to come: the more, the better one forward pass is used."""
        size, ended = self._last
        expected = size if time.monotonic() - ended < 2 * _GAP_AFTER_BATCH else 1
        while 0 < len(self._waiting) < self.batch_size and not closing.is_set():
            before = len(self._waiting)
            self._changed.wait(_GAP_AFTER_BATCH if before < expected else _GAP)
            if len(self._waiting) == before:
                return

    def _encode(self, model: CausalLM, job: Job) -> None:
        """The ids of a job's prompt; what is wrong with it is that job's failure alone."""
        if job.ids:
            return
        try:
            job.ids = model.encode_prompt(job.messages)
            _check_length(job, model.max_length)
        except Exception as error:  # noqa: BLE001 - handed to the one who waits, who raises it
            job.ids = []
            job.put(_failure(job.origin, error))
            job.cancelled.set()

    def _chosen(self, jobs: Sequence[Job], limit: int) -> list[Job]:
        chosen: list[Job] = []
        longest = 0
        for job in sorted(jobs, key=lambda job: (job is not jobs[0], abs(len(job.ids) - len(jobs[0].ids)))):
            longest = max(longest, min(limit, len(job.ids) + job.options.max_tokens))
            if chosen and (len(chosen) == self.batch_size or longest * (len(chosen) + 1) > _TOKENS):
                break
            chosen.append(job)
        return chosen

    @staticmethod
    def _answer(model: CausalLM, adapter: str | None, jobs: Sequence[Job], closing: threading.Event) -> None:
        from .hf_decode import decode

        try:
            rows = {job.row(model): job for job in jobs}
            with model.use(adapter):
                decode(model.model, list(rows), lambda row: rows[row].goes_on and not closing.is_set())
        except BaseException as error:  # noqa: BLE001 - handed to those who wait, who raise it
            for job in jobs:
                job.put(_failure(job.origin, error))
        else:
            for row, job in rows.items():
                if row.finish_reason is None and closing.is_set():
                    job.put(_closed(job.origin))


def _check_length(job: Job, limit: int) -> None:
    if len(job.ids) >= limit:
        raise ContextTooLongError(
            f"{job.origin}: the prompt of {len(job.ids)} tokens exceeds the available context size ({limit} tokens). "
            "Shorten the prompt or lower the budget.",
            backend=job.origin.backend,
            model=job.origin.model,
        )


def _closed(origin: Origin) -> BackendError:
    return BackendError(f"{origin}: it was closed.", backend=origin.backend, model=origin.model)


def _failure(origin: Origin, error: BaseException) -> PopiError:
    if isinstance(error, PopiError):
        return error
    remedy = " Lower batch_size or max_tokens." if "OutOfMemory" in type(error).__name__ else ""
    return BackendError(
        f"{origin}: the model failed: {type(error).__name__}: {error}.{remedy}",
        backend=origin.backend,
        model=origin.model,
    )


class WorkerPool:
    """Workers by what they compute with, and how many hold each; the last one to release closes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[WorkerKey, tuple[Worker, int]] = {}
        self._kept: set[WorkerKey] = set()

    def acquire(self, key: WorkerKey, make: Callable[[], Worker]) -> Worker:
        """The worker of a key; give it back with `release`."""
        with self._lock:
            worker, holders = self._held.get(key, (None, 0))
            if worker is None:
                worker = make()
            self._held[key] = (worker, holders + 1)
            return worker

    def keep(self, key: WorkerKey) -> None:
        """Leave a worker's model loaded until the process ends."""
        with self._lock:
            if key in self._held and key not in self._kept:
                self._kept.add(key)
                worker, holders = self._held[key]
                self._held[key] = (worker, holders + 1)

    def release(self, key: WorkerKey) -> None:
        """Give a worker back."""
        with self._lock:
            worker, holders = self._held.pop(key)
            if holders > 1:
                self._held[key] = (worker, holders - 1)
                return
        worker.close()


workers = WorkerPool()
"""The pool of this process."""

_workers: weakref.WeakSet[Worker] = weakref.WeakSet()
"""Those that hold a model: at exit they are closed while their threads still live."""


def _close_all() -> None:
    for worker in list(_workers):
        worker.close()


atexit.register(_close_all)
