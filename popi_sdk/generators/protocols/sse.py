"""Server-sent events (WHATWG HTML, section 9.2), as far as model servers use them: the `data` of each event.

In one point this parser is more lenient than the standard: an event that the stream ends in, without the blank line
behind it, counts. Some servers omit that line; one that was cut off is not JSON any more, so it is found out anyway.
"""

from __future__ import annotations

import re

__all__ = ["MAX_EVENT", "SseParser"]

MAX_EVENT = 4_000_000
"""Bytes of one event; a stream with a longer one is broken or hostile."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class SseParser:
    """Feed it bytes as they come, cut anywhere; it gives back the data of each event that is complete."""

    def __init__(self) -> None:
        self._line: list[bytes] = []  # the parts of a line that has no end yet
        self._line_size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._after_cr = False
        self._first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that this chunk completes.

        Raises:
            ValueError: If an event is longer than `MAX_EVENT`.
        """
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")  # the other half of a \r\n that was cut apart
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        *lines, rest = _LINE_END.split(chunk)
        events: list[bytes] = []
        for line in lines:
            self._read(b"".join([*self._line, line]), events)
            self._line, self._line_size = [], 0
        self._line.append(rest)
        self._line_size += len(rest)
        if self._line_size + self._data_size > MAX_EVENT:
            raise ValueError(f"an event of more than {MAX_EVENT:,} bytes")
        return events

    def finish(self) -> list[bytes]:
        """The data of the event that the stream ended in, if there is one."""
        events: list[bytes] = []
        if any(self._line):
            self._read(b"".join(self._line), events)
        self._read(b"", events)
        self._line, self._line_size = [], 0
        return events

    def _read(self, line: bytes, events: list[bytes]) -> None:
        if self._first:
            line = line.removeprefix(_BOM)
            self._first = False
        name, _, value = line.partition(b":")
        if not line:
            if self._data:
                events.append(b"\n".join(self._data))
            self._data, self._data_size = [], 0
        elif name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._data_size += len(line)
