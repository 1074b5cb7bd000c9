"""The cache of summaries: inferred once however many ask, and nothing is kept of a failure."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from popi_sdk import PreferenceSummary, Statement, UsageError
from popi_sdk.inferrers import evidence_digest
from popi_sdk.personalizer.cache import SummaryCache, aread_evidence, read_evidence


def summary(text: str = "Short.") -> PreferenceSummary:
    return PreferenceSummary(text=text, tokens=1, inferrer="x", evidence_digest="x", signals_used=1, signals_total=1)


class Maker:
    """Makes a new summary at each call, sync or async; `failures` come first."""

    def __init__(self, delay: float = 0.0, failures: list[BaseException] | None = None) -> None:
        self.delay = delay
        self.calls = 0
        self.failures = list(failures or [])
        self._lock = threading.Lock()

    def _made(self) -> PreferenceSummary:
        if self.failures:
            raise self.failures.pop(0)
        return summary(f"Summary {self.calls}.")

    def __call__(self) -> PreferenceSummary:
        with self._lock:
            self.calls += 1
        time.sleep(self.delay)
        return self._made()

    async def later(self) -> PreferenceSummary:
        self.calls += 1
        await asyncio.sleep(self.delay)
        return self._made()


async def use(cache: SummaryCache, twin: bool, key: str, maker: Maker) -> PreferenceSummary:
    return await cache.aget(key, maker.later) if twin else cache.get(key, maker)


@pytest.mark.parametrize("twin", [False, True])
async def test_known_summaries_are_the_same_object(twin: bool) -> None:
    cache, maker = SummaryCache(4), Maker()
    first = await use(cache, twin, "a", maker)
    assert await use(cache, twin, "a", maker) is first
    assert await use(cache, not twin, "a", maker) is first
    assert await use(cache, twin, "b", maker) is not first
    assert maker.calls == 2


@pytest.mark.parametrize("twin", [False, True])
async def test_the_least_recently_used_goes(twin: bool) -> None:
    cache, maker = SummaryCache(2), Maker()
    a = await use(cache, twin, "a", maker)
    b = await use(cache, twin, "b", maker)
    assert await use(cache, twin, "a", maker) is a
    await use(cache, twin, "c", maker)
    assert await use(cache, twin, "a", maker) is a
    assert await use(cache, twin, "b", maker) is not b
    assert maker.calls == 4


@pytest.mark.parametrize("twin", [False, True])
async def test_a_failure_is_raised_and_not_kept(twin: bool) -> None:
    cache, maker = SummaryCache(2), Maker(failures=[UsageError("no"), KeyboardInterrupt()])
    with pytest.raises(UsageError, match="no"):
        await use(cache, twin, "a", maker)
    if not twin:  # in a task it would stop the loop of the test
        with pytest.raises(KeyboardInterrupt):
            await use(cache, twin, "a", maker)
    maker.failures.clear()
    assert (await use(cache, twin, "a", maker)).text
    assert cache._flights == {}


def in_threads(count: int, call: Callable[[], PreferenceSummary]) -> list[PreferenceSummary | BaseException]:
    barrier = threading.Barrier(count)

    def work(_: int) -> PreferenceSummary | BaseException:
        barrier.wait()
        try:
            return call()
        except BaseException as error:  # noqa: BLE001 - what each thread saw is what is tested
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_thirty_two_threads_infer_once() -> None:
    cache, maker = SummaryCache(2), Maker(0.05)
    results = in_threads(32, lambda: cache.get("a", maker))
    assert maker.calls == 1
    assert len({id(result) for result in results}) == 1


def test_threads_that_waited_share_the_failure_and_the_next_call_tries_again() -> None:
    cache, maker = SummaryCache(2), Maker(0.2, [UsageError("no")])
    results = in_threads(8, lambda: cache.get("a", maker))
    assert maker.calls <= 2  # a thread that came after the failure tried again
    assert any(isinstance(result, UsageError) for result in results)
    assert cache.get("a", maker).text


def test_threads_go_on_when_the_one_that_infers_is_interrupted() -> None:
    cache, maker = SummaryCache(2), Maker(0.1, [KeyboardInterrupt()])
    results = in_threads(8, lambda: cache.get("a", maker))
    assert sum(isinstance(result, KeyboardInterrupt) for result in results) == 1
    assert sum(isinstance(result, PreferenceSummary) for result in results) == 7
    assert maker.calls == 2


async def test_gathered_tasks_infer_once() -> None:
    cache, maker = SummaryCache(2), Maker(0.02)
    results = await asyncio.gather(*(cache.aget("a", maker.later) for _ in range(32)))
    assert maker.calls == 1
    assert len({id(result) for result in results}) == 1


async def test_gathered_tasks_share_a_failure() -> None:
    cache, maker = SummaryCache(2), Maker(0.02, [UsageError("no")])
    results = await asyncio.gather(*(cache.aget("a", maker.later) for _ in range(8)), return_exceptions=True)
    assert maker.calls == 1
    assert all(isinstance(result, UsageError) for result in results)
    assert (await cache.aget("a", maker.later)).text


async def test_cancelling_the_one_who_infers_leaves_the_waiters_alive() -> None:
    cache, maker = SummaryCache(2), Maker(0.05)
    first, *others = [asyncio.create_task(cache.aget("a", maker.later)) for _ in range(5)]
    await asyncio.sleep(0.01)
    first.cancel()
    results = await asyncio.gather(*others)
    assert first.cancelled()
    assert maker.calls == 2
    assert len({id(result) for result in results}) == 1


async def test_cancelling_a_waiter_cancels_nobody_else() -> None:
    cache, maker = SummaryCache(2), Maker(0.05)
    first, waiter, other = [asyncio.create_task(cache.aget("a", maker.later)) for _ in range(3)]
    await asyncio.sleep(0.01)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await first is await other
    assert maker.calls == 1


async def test_a_waiter_that_is_cancelled_together_with_the_one_who_infers_does_not_start_over() -> None:
    cache, maker = SummaryCache(2), Maker(0.05)
    first, waiter = [asyncio.create_task(cache.aget("a", maker.later)) for _ in range(2)]
    await asyncio.sleep(0.01)
    first.cancel()
    waiter.cancel()
    await asyncio.wait([first, waiter])
    assert (first.cancelled(), waiter.cancelled(), maker.calls) == (True, True, 1)


async def test_a_time_out_of_a_waiter_is_its_own() -> None:
    cache, maker = SummaryCache(2), Maker(0.1)
    first = asyncio.create_task(cache.aget("a", maker.later))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await cache.aget("a", maker.later)
    assert (await first).text
    assert maker.calls == 1


async def test_threads_and_tasks_share_one_inference() -> None:
    cache, maker = SummaryCache(2), Maker(0.1)
    threads = [asyncio.create_task(asyncio.to_thread(cache.get, "a", maker)) for _ in range(4)]
    await asyncio.sleep(0.02)
    results = await asyncio.gather(*(cache.aget("a", maker.later) for _ in range(4)), *threads)
    assert maker.calls == 1
    assert len({id(result) for result in results}) == 1

    tasks = [asyncio.create_task(cache.aget("b", maker.later)) for _ in range(4)]
    await asyncio.sleep(0.02)
    in_thread = await asyncio.to_thread(cache.get, "b", maker)
    assert {id(result) for result in await asyncio.gather(*tasks)} == {id(in_thread)}
    assert maker.calls == 2


async def test_a_sync_call_inside_the_loop_that_infers_does_not_wait_for_ever() -> None:
    cache, maker = SummaryCache(2), Maker(0.02)
    task = asyncio.create_task(cache.aget("a", maker.later))
    await asyncio.sleep(0)
    assert cache.get("a", Maker()).text
    assert (await task).text
    assert cache.get("a", maker) is await task


async def test_other_terms_do_not_share_a_failure_but_the_summary() -> None:
    cache, patient, hasty = SummaryCache(2), Maker(0.05), Maker(0.01, [UsageError("too hasty")])
    task = asyncio.create_task(cache.aget("a", patient.later, terms=(60,)))
    await asyncio.sleep(0)
    with pytest.raises(UsageError, match="too hasty"):
        await cache.aget("a", hasty.later, terms=(0.01,))
    quick = await cache.aget("a", hasty.later, terms=(0.01,))
    assert await task is quick  # whoever came first: the same evidence gives the same bytes
    assert patient.calls == 1


async def test_a_loop_that_is_gone_does_not_disturb_the_one_who_infers() -> None:
    cache, maker = SummaryCache(2), Maker(0.2)
    inferring = asyncio.create_task(asyncio.to_thread(cache.get, "a", maker))
    await asyncio.sleep(0.02)

    def other_loop() -> None:
        async def impatient() -> None:
            async with asyncio.timeout(0.01):
                await cache.aget("a", maker.later)

        with pytest.raises(TimeoutError):
            asyncio.run(impatient())

    await asyncio.to_thread(other_loop)
    assert (await inferring).text
    assert maker.calls == 1


async def test_many_signals_are_read_in_a_thread() -> None:
    threads: set[int] = set()

    class Noting(list[Statement]):
        def __iter__(self) -> Any:
            threads.add(threading.get_ident())
            return super().__iter__()

    few, many = Noting([Statement(text="a")] * 3), Noting([Statement(text="a")] * 1_001)
    read: Callable[[Noting], Awaitable[object]] = aread_evidence
    assert await read(few) == read_evidence(few) == (tuple(few), evidence_digest(few))
    assert threads == {threading.get_ident()}
    threads.clear()
    known, digest = await aread_evidence(many)
    assert (len(known), digest) == (1_001, evidence_digest(known))
    assert threads - {threading.get_ident()}
