"""Writing a run's files."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import UsageError

__all__ = ["write_atomically"]


def write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        UsageError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}.") from error
