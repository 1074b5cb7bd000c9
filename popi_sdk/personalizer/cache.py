"""Summaries by digest: the same evidence gives the same bytes, and is inferred once even when many ask at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sized
from typing import TYPE_CHECKING, Any, NamedTuple

from ..inferrers import evidence_digest
from ..signals import Signal, as_signals
from ..summary import PreferenceSummary

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from concurrent.futures import Future

__all__ = ["SummaryCache", "aread_evidence", "read_evidence"]

_MANY = 1_000  # signals whose coercion would hold up an event loop


def read_evidence(signals: Any) -> tuple[tuple[Signal, ...], str]:
    """Signals in their typed form, and their digest."""
    known = as_signals(signals)
    return known, evidence_digest(known)


async def aread_evidence(signals: Any) -> tuple[tuple[Signal, ...], str]:
    """`read_evidence`, many signals in a thread."""
    if not isinstance(signals, Sized) or len(signals) <= _MANY:
        return read_evidence(signals)
    import asyncio

    return await asyncio.to_thread(read_evidence, signals)


class _Flight(NamedTuple):
    """An inference under way; `loop` is where it is awaited, None for a thread that runs it."""

    future: Future[PreferenceSummary]
    loop: AbstractEventLoop | None


class SummaryCache:
    """Keeps the summaries used last, for sync and async callers alike.

    Whoever asks for what is being inferred waits for it, if it asked on the same terms (time-out, retries): another's
    impatience is no reason to fail. A failure is told to all who wait, and kept by none.

    Args:
        size: How many are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[str, PreferenceSummary] = OrderedDict()
        self._flights: dict[Hashable, _Flight] = {}

    def get(
        self, key: str, infer: Callable[[], PreferenceSummary], *, terms: tuple[Hashable, ...] = ()
    ) -> PreferenceSummary:
        """The summary of a key, inferred if it is not known."""
        from concurrent.futures import CancelledError

        while True:
            known, flight = self._claim(key, terms, None)
            if known is not None:
                return known
            if flight is None:
                return self._settle(key, terms, infer)
            if flight.loop is not None and _is_running_here(flight.loop):
                return infer()  # it is awaited in this very thread: waiting for it would be for ever
            try:
                return flight.future.result()
            except CancelledError:
                continue  # whoever inferred it gave up: our turn

    async def aget(
        self, key: str, infer: Callable[[], Awaitable[PreferenceSummary]], *, terms: tuple[Hashable, ...] = ()
    ) -> PreferenceSummary:
        """`get`, awaited."""
        import asyncio

        while True:
            known, flight = self._claim(key, terms, asyncio.get_running_loop())
            if known is not None:
                return known
            if flight is None:
                return await self._asettle(key, terms, infer)
            try:
                return await asyncio.shield(asyncio.wrap_future(flight.future))
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not flight.future.cancelled() or (task is not None and task.cancelling()):
                    raise  # it is this task that was cancelled

    def _claim(
        self, key: str, terms: tuple[Hashable, ...], loop: AbstractEventLoop | None
    ) -> tuple[PreferenceSummary | None, _Flight | None]:
        """(known, None), (None, someone else's flight), or (None, None): the caller has to infer it."""
        from concurrent.futures import Future

        with self._lock:
            if known := self._known.get(key):
                self._known.move_to_end(key)
                return known, None
            if flight := self._flights.get((key, terms)):
                return None, flight
            self._flights[key, terms] = _Flight(Future(), loop)
            return None, None

    def _settle(
        self, key: str, terms: tuple[Hashable, ...], infer: Callable[[], PreferenceSummary]
    ) -> PreferenceSummary:
        try:
            summary = infer()
        except BaseException as error:
            self._fail(key, terms, error)
            raise
        return self._keep(key, terms, summary)

    async def _asettle(
        self, key: str, terms: tuple[Hashable, ...], infer: Callable[[], Awaitable[PreferenceSummary]]
    ) -> PreferenceSummary:
        try:
            summary = await infer()
        except BaseException as error:
            self._fail(key, terms, error)
            raise
        return self._keep(key, terms, summary)

    def _keep(self, key: str, terms: tuple[Hashable, ...], summary: PreferenceSummary) -> PreferenceSummary:
        with self._lock:
            summary = self._known.setdefault(key, summary)  # inferred on other terms meanwhile: the first one stands
            while len(self._known) > self._size:
                self._known.popitem(last=False)
            flight = self._flights.pop((key, terms))
        flight.future.set_result(summary)
        return summary

    def _fail(self, key: str, terms: tuple[Hashable, ...], error: BaseException) -> None:
        with self._lock:
            flight = self._flights.pop((key, terms))
        if isinstance(error, Exception):
            flight.future.set_exception(error)
        else:
            flight.future.cancel()  # cancelled or interrupted: says nothing about the signals


def _is_running_here(loop: AbstractEventLoop) -> bool:
    import asyncio

    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
