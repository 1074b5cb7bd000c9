"""Server-sent events (WHATWG HTML, section 9.2), as far as model servers use them: the `data` of each event."""

from __future__ import annotations

__all__ = ["MAX_EVENT", "SseParser"]

MAX_EVENT = 4_000_000
"""Bytes of one event; a stream with a longer one is broken or hostile."""


class SseParser:
    """Feed it bytes as they come, cut anywhere; it gives back the data of each event that is complete."""

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[str]:
        """The data of the events that this chunk completes.

        Raises:
            ValueError: If an event is longer than `MAX_EVENT`, or not UTF-8.
        """
        self._buffer += chunk
        events: list[str] = []
        # A lone \r at the end may be half of \r\n: it waits for the next chunk.
        *lines, self._buffer = self._buffer.replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            if line in (b"", b"\r"):
                if self._data:
                    events.append(b"\n".join(self._data).decode("utf-8"))
                    self._data = []
            elif line.startswith(b"data:"):
                self._data.append(line.removeprefix(b"data:").removeprefix(b" "))
        if len(self._buffer) + sum(map(len, self._data)) > MAX_EVENT:
            raise ValueError(f"an event of more than {MAX_EVENT:,} bytes")
        return events
