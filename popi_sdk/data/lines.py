"""Objects from JSON Lines, plain or gzipped, one line at a time."""

from __future__ import annotations

import codecs
import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Any, NoReturn, TypeAlias, cast

from ..errors import DataError

__all__ = ["DECODER", "MAX_LINE", "OnFault", "RepeatedRow", "objects", "open_text", "placed", "raise_fault", "readable"]

MAX_LINE = 16_000_000
"""Bytes that one line (one user) may have."""

OnFault: TypeAlias = Callable[[DataError], None]
"""What is done with the error of one line: raise it, or take note and return."""

_GZIP = b"\x1f\x8b"


class RepeatedRow(DataError):
    """A row that says what another row says already: left out always, and counted."""


def raise_fault(error: DataError) -> NoReturn:
    """The strict way."""
    raise error


def placed(error: DataError, file: Path, line: int | None = None, unit: str = "line") -> DataError:
    """The same error, with its place."""
    place = f"{file}" if line is None else f"{file}, {unit} {line}"
    field = f", field {error.field!r}" if error.field else ""
    return type(error)(f"{place}{field}: {error}", file=str(file), line=line, field=error.field)


def objects(file: Path, on_fault: OnFault = raise_fault) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and object of each line that is not blank.

    Args:
        file: UTF-8; gzipped or not, its first bytes tell.
        on_fault: Takes the error of a line that is no JSON object; if it returns, the line is left out.

    Raises:
        DataError: If the file cannot be read to its end, or a line is longer than `MAX_LINE`.
    """
    with ExitStack() as stack:
        lines = open_text(file, stack)
        for number in count(1):
            if not (line := _line(lines, file, number)):
                return
            try:
                row = _object(line if number > 1 else line.removeprefix(codecs.BOM_UTF8))
            except DataError as error:
                on_fault(placed(error, file, number))
                continue
            if row is not None:
                yield number, row


def open_text(file: Path, stack: ExitStack) -> IO[bytes]:
    """The bytes of a file, unpacked if it is gzipped; closed with the stack."""
    with readable(file):
        raw = stack.enter_context(file.open("rb"))
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        if not packed and file.suffix == ".gz":
            raise DataError("it is not a gzip file. Compress it with gzip, or drop .gz from its name.")
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw


def _line(lines: IO[bytes], file: Path, number: int) -> bytes:
    with readable(file, number):
        line = lines.readline(MAX_LINE + 1)
        if len(line) > MAX_LINE:
            raise DataError(f"it has more than {MAX_LINE:,} bytes, the most that one user may have. Leave some out.")
        return line


@contextmanager
def readable(file: Path, number: int | None = None) -> Iterator[None]:
    """Give errors of a file their place, those of the system and of gzip too."""
    try:
        yield
    except DataError as error:
        raise placed(error, file, number) from error
    except EOFError as error:
        fault = DataError("the gzip file was cut off before its end. Copy or download it again.")
        raise placed(fault, file, number) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        fault = DataError(f"the gzip file is damaged ({error}). Copy or download it again.")
        raise placed(fault, file, number) from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise placed(DataError(f"{getattr(error, 'strerror', None) or error}."), file, number) from error


def _object(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line; None for a blank one."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"it is not UTF-8 (byte {error.start} of it). Save the file as UTF-8.") from error
    if not text.strip():
        return None
    row = _parse(text)
    if not isinstance(row, dict):
        raise DataError('it is no JSON object. Write {"user_id": ..., "signals": [...], "pairs": [...]} on one line.')
    return row


def _parse(text: str) -> Any:
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        reason, cause = f", column {error.colno}: {error.msg}", cast(Exception, error)
    except (ValueError, RecursionError) as error:  # NaN, thousands of digits, brackets without end
        reason, cause = f": {error}", error
    raise DataError(f"it is not JSON{reason}. Write one complete JSON object a line.") from cause


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits:.40} is too large")
    return number


DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
"""Reads JSON and nothing more: NaN and numbers that overflow are a ValueError."""
