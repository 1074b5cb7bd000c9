"""Lanes: several clients of a few connections each, instead of one of many.

For every request the pool of httpcore looks at each of its connections, for some at each again: with 64 at once that
costs more than the request. A lane takes eight requests at a time and the next one starts a new lane, so calls one by
one keep reusing one connection.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["WIDTH", "Lanes"]

WIDTH = 8
"""Requests of one lane at a time."""

Client = TypeVar("Client")


@dataclass(slots=True)
class _Lane(Generic[Client]):
    client: Client
    busy: int = 0


class Lanes(Generic[Client]):
    """Clients that are made when they are needed.

    Args:
        create: Makes one client.
        width: Requests of one client at a time; None for a single client that takes all.
    """

    def __init__(self, create: Callable[[], Client], width: int | None = WIDTH) -> None:
        self._create = create
        self._width = width
        self._lock = threading.Lock()
        self._lanes: list[_Lane[Client]] = []

    @contextmanager
    def use(self) -> Iterator[Client]:
        """A client with room for one more request."""
        lane = self._enter()
        try:
            yield lane.client
        finally:
            with self._lock:
                lane.busy -= 1

    def drain(self) -> list[Client]:
        """All clients, to be closed; the next request starts afresh."""
        with self._lock:
            lanes, self._lanes = self._lanes, []
        return [lane.client for lane in lanes]

    def _enter(self) -> _Lane[Client]:
        with self._lock:
            lane = next((lane for lane in self._lanes if self._width is None or lane.busy < self._width), None)
            if lane is None:
                lane = _Lane(self._create())
                self._lanes.append(lane)
            lane.busy += 1
            return lane
