"""The steps of a run's phases one behind the other, as its curves have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Span", "Timeline"]


@dataclass(slots=True)
class Span:
    """Where a phase lies.

    Attributes:
        phase: Its name.
        begin: The step before its first one.
        end: Its last step as yet.
        stopped: Why it ended early; None if it did not.
    """

    phase: str
    begin: int
    end: int
    stopped: str | None = None


class Timeline:
    """Numbers entries of a history, whose own steps begin anew in every phase.

    Args:
        entries: What was recorded before.

    Attributes:
        spans: The phases in their order.
    """

    def __init__(self, entries: Iterable[Mapping[str, Any]] = ()) -> None:
        self.spans: list[Span] = []
        for entry in entries:
            self.place(entry)

    def place(self, entry: Mapping[str, Any]) -> int:
        """The number of the next entry among the steps of the whole run, from 1."""
        if not self.spans or self.spans[-1].phase != entry["phase"]:
            begin = self.spans[-1].end if self.spans else 0
            self.spans.append(Span(entry["phase"], begin, begin))
        span = self.spans[-1]
        span.end = span.begin + int(entry["step"])
        span.stopped = entry.get("stopped")
        return span.end
