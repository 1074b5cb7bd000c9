"""Work on many records by all cores: for what is Python and tokenizer alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

__all__ = ["by_chunks"]

Item = TypeVar("Item")
Made = TypeVar("Made")

MANY = 500
"""Items, below which starting processes would take longer than they save."""

_CHUNK = 64
_work: Callable[[Sequence[Any]], Any] | None = None
"""What forked processes find in their copy of this one's memory: a model is never sent to them."""


def by_chunks(work: Callable[[Sequence[Item]], Made], items: Sequence[Item]) -> list[Made]:
    """`work` of all items, chunk by chunk, in their order; of a few, or where nothing can be forked, in this process.

    Args:
        work: Must not touch a GPU; what it changes beside its result is lost.
        items: Sent to the processes, as are the results back.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    cores //= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # as many as the launcher started here do the same
    chunks = [items[at : at + _CHUNK] for at in range(0, len(items), _CHUNK)]
    if len(items) < MANY or cores < 2 or multiprocessing.current_process().daemon:
        return [work(chunk) for chunk in chunks]
    global _work  # noqa: PLW0603 - forked processes find it there
    _work = work
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of a fork beside threads; these processes use none of what torch's threads hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            context = multiprocessing.get_context("fork")
            with ProcessPoolExecutor(min(cores, len(chunks)), mp_context=context, initializer=_begin) as pool:
                return list(pool.map(_worked, chunks))
    except BrokenProcessPool:  # one was killed, for its memory say
        return [work(chunk) for chunk in chunks]
    finally:
        _work = None


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started them ends them
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads were not forked along


def _worked(chunk: Sequence[Any]) -> Any:
    assert _work is not None
    return _work(chunk)
