"""Many prompts at once: order kept, failures per item, never more at a time than asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from ..errors import PopiError, UsageError
from ..messages import Prompt
from .response import PersonalizedResponse

__all__ = ["Job", "Result", "as_jobs", "run", "run_async", "workers"]

Job = tuple[Any, Prompt]
Result = PersonalizedResponse | PopiError


def as_jobs(items: Iterable[Job]) -> list[Job]:
    """The items of a batch, checked before the first is run.

    Raises:
        UsageError: If they are no iterable of pairs.
    """
    if not isinstance(items, Iterable) or isinstance(items, str | bytes):
        raise UsageError(f"A batch is a list of pairs (signals, prompt), not {type(items).__name__}.")
    jobs = list(items)
    for index, item in enumerate(jobs):
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise UsageError(f"Item {index} of the batch is not a pair (signals, prompt), but {type(item).__name__}.")
    return jobs


def workers(concurrency: int, jobs: int, limit: int | None) -> int:
    """How many workers to start; `limit` is what the backend can do.

    Raises:
        UsageError: If the concurrency is not a positive whole number.
    """
    if not isinstance(concurrency, int) or concurrency < 1:
        raise UsageError(f"concurrency={concurrency!r} must be a whole number of at least 1.")
    return max(1, min(concurrency, jobs, limit or concurrency))


def run(jobs: Sequence[Job], one: Callable[[Job], PersonalizedResponse], count: int) -> list[Result]:
    """Run jobs in threads. What is no `PopiError` is a bug: it is raised, and what has not begun is dropped."""
    from concurrent.futures import ThreadPoolExecutor

    def settled(job: Job) -> Result:
        try:
            return one(job)
        except PopiError as error:
            return error

    with ThreadPoolExecutor(count, thread_name_prefix="popi-batch") as pool:
        return list(pool.map(settled, jobs))


async def run_async(
    jobs: Sequence[Job], one: Callable[[Job], Awaitable[PersonalizedResponse]], count: int
) -> list[Result]:
    """`run`, in tasks of this loop."""
    import asyncio

    results: dict[int, Result] = {}
    queue = iter(enumerate(jobs))

    async def work() -> None:
        for index, job in queue:
            try:
                results[index] = await one(job)
            except PopiError as error:
                results[index] = error

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None  # the bare exception, as `run` raises it
    return [results[index] for index in range(len(jobs))]
