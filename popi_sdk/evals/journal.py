"""JSON Lines that grow while a run goes on, and from which a killed run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import UsageError

__all__ = ["Journal", "read_rows"]


class Journal:
    """A file of rows in units: a unit is what was computed together, and is written together or not at all.

    Every line carries its unit; the last line of a unit says `"end": true`. What a killed run left behind the last
    whole unit is cut off when the file is opened again.

    Args:
        path: The file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self._done: dict[str, tuple[int, int]] = {}  # where the unit begins and ends, in bytes
        whole = at = 0
        with path.open("rb") as file:
            for line in file:
                row = _parsed(line)
                if row is None:
                    break
                at += len(line)
                if row.get("end"):
                    self._done[row["unit"]] = (whole, at)
                    whole = at
        if whole < path.stat().st_size:
            with path.open("r+b") as file:
                file.truncate(whole)

    def __contains__(self, unit: str) -> bool:
        return unit in self._done

    def append(self, unit: str, rows: Iterable[dict[str, Any]]) -> None:
        """Add a unit.

        Raises:
            UsageError: If it cannot be written, for example because the disk is full.
        """
        lines = [{"unit": unit, **row} for row in rows]
        lines.append({"unit": unit, "end": True})
        text = "".join(f"{json.dumps(line, ensure_ascii=False, allow_nan=False)}\n" for line in lines)
        try:
            with self.path.open("ab") as file:
                start = file.tell()
                file.write(text.encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UsageError(
                f"Cannot write {self.path}: {error.strerror or error}. Make room, and go on with --resume."
            ) from error
        self._done[unit] = (start, self.path.stat().st_size)

    def unit(self, unit: str) -> list[dict[str, Any]]:
        """The rows of one unit; none if it is not there."""
        start, end = self._done.get(unit, (0, 0))
        with self.path.open("rb") as file:
            file.seek(start)
            return [row for line in file.read(end - start).splitlines() if not (row := json.loads(line)).get("end")]

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows so far, in the order they were written."""
        return read_rows(self.path)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a journal without the marks of the units' ends, while somebody else may be writing it."""
    with path.open("rb") as file:
        for line in file:
            row = _parsed(line)
            if row is not None and not row.get("end"):
                yield row


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A row; None for a line that was cut in the middle of a write."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
