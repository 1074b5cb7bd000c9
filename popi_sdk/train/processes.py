"""The processes that train together, on CPUs or GPUs: each takes whole users, and all end a step with the same weights.

Gradients are averaged here, not by DistributedDataParallel: packed rows go into the model beside the forward pass that
it watches, so both models would drift apart in silence.
"""

from __future__ import annotations

import importlib
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from typing import Any, TypeVar

import torch

from ..errors import ConfigurationError, TrainingError, needs_extra

__all__ = ["Processes", "join", "one_voice"]

T = TypeVar("T")
R = TypeVar("R")

_BUCKET = 1 << 24  # numbers that travel at once: 64 MiB
_GONE: Any = object()


class Processes:
    """This process and its siblings. What says so has to be called by all of them, in the same order.

    Args:
        index: Which one this is, from 0.
        count: How many there are.
    """

    def __init__(self, index: int = 0, count: int = 1) -> None:
        self.index = index
        self.count = count

    @property
    def main(self) -> bool:
        """Whether this one writes files and speaks to the user."""
        return self.index == 0

    def device(self, wanted: str) -> str:
        """Where this process computes: of several GPUs each takes its own.

        Raises:
            ConfigurationError: If all are sent to the same one.
        """
        if self.count == 1:
            return wanted
        if ":" in wanted:
            raise ConfigurationError(
                f"device={wanted!r} is one device for {self.count} processes. Leave device='auto', or name its kind."
            )
        from accelerate import PartialState

        return str(PartialState().device) if wanted == "auto" else wanted

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """What this process takes of a step's users: whole users, as many as any other, in TRL's order.

        Raises:
            ConfigurationError: If they cannot be shared out evenly.
        """
        if len(items) % self.count:
            raise ConfigurationError(
                f"{len(items)} users in a step cannot be shared out evenly among {self.count} processes. Set "
                f"users_per_step to a multiple of {self.count}, or start fewer processes."
            )
        each = len(items) // self.count
        return items[self.index * each : (self.index + 1) * each]

    def gather(self, value: T) -> list[T]:
        """The values of all processes, by their index. For all."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(found, value)
        return found

    def spread(self, items: Sequence[T], work: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
        """Work done on every item by one process each, its results in the order of the items. For all."""
        if self.count == 1:
            return list(work(items))
        parts = self.gather(list(work(items[self.index :: self.count])))
        return [one for one in chain.from_iterable(zip_longest(*parts, fillvalue=_GONE)) if one is not _GONE]

    def average(self, parameters: Sequence[Any]) -> None:
        """Replace each gradient by its mean over the processes; one that is not there counts as 0. For all."""
        if self.count == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets(parameters):
            # At least in float32: bfloat16 would lose in the sum what it can just hold in the parts.
            flat = torch.cat([_widened(parameter.grad.flatten()) for parameter in bucket])
            torch.distributed.all_reduce(flat)
            flat /= self.count
            for parameter, mean in zip(bucket, flat.split([one.numel() for one in bucket]), strict=True):
                parameter.grad.copy_(mean.view_as(parameter.grad))

    def mean(self, value: float) -> float:
        """The mean of a figure over the processes. For all."""
        return value if self.count == 1 else math.fsum(self.gather(value)) / self.count

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that fails in all processes if it fails in one, so that none waits for ever. For all.

        Nothing inside may be for all.

        Raises:
            TrainingError: With the words of the first process that failed, in those that did not.
        """
        if self.count == 1:
            yield
            return
        failed: Exception | None = None
        try:
            yield
        except Exception as error:  # noqa: BLE001 - told to the others, then raised again
            failed = error
        told = self.gather(None if failed is None else str(failed) or type(failed).__name__)
        if failed is not None:
            raise failed
        words = next((text for text in told if text is not None), None)
        if words is not None:
            raise TrainingError(words)

    def from_main(self, work: Callable[[], T]) -> T:
        """What the main process does and finds; the others wait for it, and get the same. For all."""
        if self.count == 1:
            return work()
        found: list[T] = []
        with self.together():
            if self.main:
                found.append(work())
        told = self.gather(found)
        return found[0] if self.main else told[0][0]

    def main_first(self, work: Callable[[], T]) -> T:
        """Work that all do, after the main process: what is downloaded or converted, it finds once. For all."""
        found: list[T] = []
        for turn in (self.main, not self.main):
            with self.together():
                if turn:
                    found.append(work())
        return found[0]


def join(device: str = "auto") -> Processes:
    """Join the processes that `accelerate launch` or `torchrun` started; this one alone, if neither did.

    Args:
        device: As in the configuration: `cpu` leaves GPUs alone.

    Raises:
        ConfigurationError: If they were started to divide the model between them.
    """
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if not distributed and int(os.environ.get("WORLD_SIZE") or 1) == 1:
        return Processes()
    for kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{kind}", "").lower() in ("1", "true"):
            raise ConfigurationError(
                f"Training keeps whole models in each process and was started with {kind}. Start it with "
                "accelerate launch --multi_gpu, or torchrun."
            )
    # Defaults of its functions are the group of the moment in which it is first imported. Imported later, by TRL, they
    # would keep the group alive, with threads that a process's end can kill in the middle (SIGABRT, exit status -6).
    importlib.import_module("torch.distributed.nn.functional")
    with needs_extra("train"):
        from accelerate import PartialState
    cpu = device == "cpu" or not torch.cuda.is_available() or _is_set("ACCELERATE_USE_CPU")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="OMP_NUM_THREADS")  # it divides the cores among the processes
        state = PartialState(cpu=cpu)
    return Processes(state.process_index, state.num_processes)


@contextmanager
def one_voice() -> Iterator[None]:
    """A command's block, after which the processes part; if it fails, the one that failed first says why.

    Raises:
        SystemExit: In those that failed after it, mostly since it was gone: nothing is added to its words.
    """
    try:
        yield
    except Exception as error:
        if not _first_to_fail():
            raise SystemExit(1) from error
        raise
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _first_to_fail() -> bool:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return True
    try:
        # Not a collective: the others may be anywhere. The launcher keeps the store, so that it outlives the first.
        store = torch.distributed.distributed_c10d._get_default_store()
        return bool(store.add("popi/failed", 1) == 1)
    except RuntimeError:  # the store is gone, and what it knew: better said twice than never
        return True


def _widened(values: Any) -> Any:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _buckets(parameters: Sequence[Any]) -> Iterator[list[Any]]:
    bucket: list[Any] = []
    size = 0
    for parameter in parameters:
        if bucket and size + parameter.numel() > _BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.numel()
    if bucket:
        yield bucket


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "on")
