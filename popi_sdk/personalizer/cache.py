"""Summaries by digest: the same evidence gives the same bytes, and is inferred once even when many ask at once."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future

from ..summary import PreferenceSummary

__all__ = ["SummaryCache"]


class SummaryCache:
    """Keeps the summaries used last, for sync and async callers alike.

    Args:
        size: How many are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[str, PreferenceSummary] = OrderedDict()
        self._pending: dict[str, Future[PreferenceSummary]] = {}

    def get(self, key: str, infer: Callable[[], PreferenceSummary]) -> PreferenceSummary:
        """The summary of a key, inferred if it is not known; whoever asks meanwhile waits for the same one."""
        while True:
            known, future = self._claim(key)
            if known is not None:
                return known
            if future is None:
                return self._settle(key, infer)
            try:
                return future.result()
            except CancelledError:
                continue  # whoever inferred it gave up: our turn

    async def aget(self, key: str, infer: Callable[[], Awaitable[PreferenceSummary]]) -> PreferenceSummary:
        """`get`, awaited."""
        while True:
            known, future = self._claim(key)
            if known is not None:
                return known
            if future is None:
                return await self._asettle(key, infer)
            try:
                return await asyncio.shield(asyncio.wrap_future(future))
            except asyncio.CancelledError:
                if not future.cancelled():
                    raise  # it is this task that was cancelled

    def _claim(self, key: str) -> tuple[PreferenceSummary | None, Future[PreferenceSummary] | None]:
        """(known, None), (None, someone else's future), or (None, None): the caller has to infer it."""
        with self._lock:
            if known := self._known.get(key):
                self._known.move_to_end(key)
                return known, None
            if future := self._pending.get(key):
                return None, future
            self._pending[key] = Future()
            return None, None

    def _settle(self, key: str, infer: Callable[[], PreferenceSummary]) -> PreferenceSummary:
        try:
            summary = infer()
        except BaseException as error:
            self._fail(key, error)
            raise
        return self._keep(key, summary)

    async def _asettle(self, key: str, infer: Callable[[], Awaitable[PreferenceSummary]]) -> PreferenceSummary:
        try:
            summary = await infer()
        except BaseException as error:
            self._fail(key, error)
            raise
        return self._keep(key, summary)

    def _keep(self, key: str, summary: PreferenceSummary) -> PreferenceSummary:
        with self._lock:
            self._known[key] = summary
            while len(self._known) > self._size:
                self._known.popitem(last=False)
            future = self._pending.pop(key)
        future.set_result(summary)
        return summary

    def _fail(self, key: str, error: BaseException) -> None:
        with self._lock:
            future = self._pending.pop(key)
        if isinstance(error, Exception):
            future.set_exception(error)
        else:
            future.cancel()  # cancelled or interrupted: says nothing about the signals
