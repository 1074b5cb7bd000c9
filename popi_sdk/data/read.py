"""Read users from JSON Lines, plain or gzipped, one at a time: a file may be larger than memory."""

from __future__ import annotations

import codecs
import gzip
import json
import math
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from itertools import count, islice
from pathlib import Path
from typing import IO, Any, NoReturn

from pydantic import ValidationError

from ..errors import DataError, SignalError
from .mapping import from_collected, is_collected
from .record import UserRecord

__all__ = ["FILES", "MAX_LINE", "read_users", "write_users"]

MAX_LINE = 16_000_000
"""Bytes that one line (one user) may have."""

FILES = ("train_dev.jsonl.gz", "train_dev.jsonl")
"""What is looked for in a folder."""

_GZIP = b"\x1f\x8b"

OnFault = Callable[[DataError], None]


def read_users(
    path: str | Path, *, split: str | None = None, limit: int | None = None, on_fault: OnFault | None = None
) -> Iterator[UserRecord]:
    """Read users, one a line, in the order of the file.

    Memory holds one user at a time, and a number per user to find ids that are there twice.

    Args:
        path: A UTF-8 file of JSON Lines, plain or gzipped, or a folder that holds `train_dev.jsonl.gz`.
        split: Only the users of this split; all without it.
        limit: At most so many users.
        on_fault: Called with the error of each user that cannot be used, who is then left out; without it the first
            such user ends the reading. What is wrong with the file as a whole is always raised.

    Raises:
        DataError: Names the file, the line, the field and the remedy.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit={limit} would read nobody. Use at least 1, or leave it out.")
    file = find_file(path)
    users = _users(file, split, on_fault)
    yield from users if limit is None else islice(users, limit)


def _users(file: Path, split: str | None, on_fault: OnFault | None) -> Iterator[UserRecord]:
    ids: set[int] = set()
    splits: set[str] = set()
    found = False
    for number, row in rows(file, on_fault):
        try:
            named = _split_of(row, split)
            splits.add(named or "")
            _new_id(row, ids)
            if split is None or named == split:
                record = to_record(row)
            else:
                continue
        except DataError as error:
            fault = at(error, file, number)
            if on_fault is None:
                raise fault from error
            on_fault(fault)
            continue
        found = True
        yield record
    if not found:
        raise _nobody(file, split, splits)


def _nobody(file: Path, split: str | None, splits: set[str]) -> DataError:
    if split is not None and splits:
        there = ", ".join(sorted(splits))
        return DataError(
            f"{file} has no users of the split {split!r}. Use one of: {there}.", file=str(file), field="split"
        )
    return DataError(f"{file} holds no users. Write one JSON object a line.", file=str(file))


def _split_of(row: dict[str, Any], split: str | None) -> str | None:
    named = row.get("split")
    if named is not None and not isinstance(named, str):
        raise DataError("it is not a text. Write train, dev or test.", field="split")
    if split is not None and named is None:
        raise DataError(
            f"the user is of no split, and {split!r} is asked for. Add it, or ask for no split.", field="split"
        )
    return named


def _new_id(row: dict[str, Any], ids: set[int]) -> None:
    user_id = row.get("user_id")
    if not isinstance(user_id, str):
        return  # the record says what is wrong with it
    digest = int.from_bytes(blake2b(user_id.encode("utf-8", "replace"), digest_size=8).digest())
    if digest in ids:
        raise DataError(
            f"the user {user_id!r:.80} is there twice. Merge the two lines, or rename one.", field="user_id"
        )
    ids.add(digest)


def to_record(row: dict[str, Any]) -> UserRecord:
    """A row as a record.

    Raises:
        DataError: Names the field.
    """
    collected = is_collected(row)
    try:
        return UserRecord.model_validate(from_collected(row) if collected else row)
    except SignalError as error:
        parts = ["signals", error.index, error.field]
        raise DataError(str(error), field=".".join(str(part) for part in parts if part is not None)) from error
    except ValidationError as error:
        raise _first_problem(error) from error


def _first_problem(error: ValidationError) -> DataError:
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    kind, message = problem["type"], str(problem["msg"]).removeprefix("Value error, ")
    field = ".".join(map(str, problem["loc"])) or None
    if kind == "value_error":
        return DataError(message, field=field)
    if kind == "string_too_long":
        return DataError(f"{message}. Shorten the text, or leave the pair out.", field=field)
    return DataError(_REMEDIES.get(kind, f"{message}. Correct it."), field=field)


_REMEDIES = {
    "missing": "it is missing. Add it.",
    "extra_forbidden": "there is no such field. Correct its name, or put it into 'meta'.",
    "string_type": "it is not a text. Write it as one.",
    "string_pattern_mismatch": "it is empty. Give it a text.",
    "string_unicode": "it has half of a surrogate pair, which is not text. Decode the source correctly.",
}


def at(error: DataError, file: Path, line: int | None) -> DataError:
    """The same error, with its place."""
    place = f"{file}" if line is None else f"{file}, line {line}"
    field = f", field {error.field!r}" if error.field else ""
    return DataError(f"{place}{field}: {error}", file=str(file), line=line, field=error.field)


def find_file(path: str | Path) -> Path:
    """The file itself, or that of a folder.

    Raises:
        DataError: If there is none.
    """
    path = Path(path)
    if path.is_dir():
        for name in FILES:
            if (path / name).is_file():
                return path / name
        raise DataError(f"{path} is a folder without {FILES[0]}. Put it there, or pass a file.", file=str(path))
    return path


def rows(file: Path, on_fault: OnFault | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and object of each line that is not blank.

    Raises:
        DataError: If the file cannot be read, or a line is no JSON object and `on_fault` does not take it.
    """
    with ExitStack() as stack:
        lines = _opened(file, stack)
        for number in count(1):
            if not (line := _line(lines, file, number)):
                return
            try:
                row = _object(line if number > 1 else line.removeprefix(codecs.BOM_UTF8))
            except DataError as error:
                fault = at(error, file, number)
                if on_fault is None:
                    raise fault from error
                on_fault(fault)
                continue
            if row is not None:
                yield number, row


def _opened(file: Path, stack: ExitStack) -> IO[bytes]:
    with _readable(file):
        raw = stack.enter_context(file.open("rb"))
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        if not packed and file.suffix == ".gz":
            raise OSError("it is not a gzip file. Compress it with gzip, or drop .gz from its name.")
        return gzip.open(raw) if packed else raw  # the stack closes the file below


def _line(lines: IO[bytes], file: Path, number: int) -> bytes:
    with _readable(file, number):
        line = lines.readline(MAX_LINE + 1)
    if len(line) > MAX_LINE:
        fault = DataError(f"it has more than {MAX_LINE:,} bytes, the most for one user. Leave signals or pairs out.")
        raise at(fault, file, number)
    return line


@contextmanager
def _readable(file: Path, number: int | None = None) -> Iterator[None]:
    """What the system and gzip say about a file, as an error of ours."""
    try:
        yield
    except EOFError as error:
        fault = DataError("the gzip file ends before its end: it was cut off. Copy or download it again.")
        raise at(fault, file, number) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        fault = DataError(f"the gzip file is damaged ({error}). Copy or download it again.")
        raise at(fault, file, number) from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise at(DataError(f"{getattr(error, 'strerror', None) or error}"), file, number) from error


def _object(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line; None for a blank one."""
    if not line.strip():
        return None
    try:
        row = json.loads(line.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise DataError(f"it is not UTF-8 (byte {error.start} of it). Save the file as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"it is not JSON, column {error.colno}: {error.msg}. Write one complete JSON object a line."
        ) from error
    except (ValueError, RecursionError) as error:  # NaN, thousands of digits, brackets without end
        raise DataError(f"it is not JSON: {error}. Write one complete JSON object a line.") from error
    if not isinstance(row, dict):
        raise DataError('it is no JSON object. Write one user a line: {"user_id": ..., "signals": [...], ...}.')
    return row


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits:.40} is too large")
    return number


def write_users(path: str | Path, records: Iterable[UserRecord]) -> int:
    """Write users as JSON Lines that `read_users` reads back; gzipped if the name ends in `.gz`.

    The file appears when it is complete: what fails on the way leaves an older file as it was.

    Returns:
        How many were written.

    Raises:
        DataError: If the file cannot be written.
    """
    path = Path(path)
    written = 0
    with _readable(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as raw, ExitStack() as stack:
            # No name and no time in the header: the same users give the same bytes.
            packed = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if path.suffix == ".gz" else None
            lines = stack.enter_context(packed) if packed else raw
            for record in records:
                line = canonical(record) + b"\n"
                with _readable(path):
                    lines.write(line)
                written += 1
        with _readable(path):
            os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return written


def canonical(record: UserRecord) -> bytes:
    """A record as JSON: keys sorted, empty fields left out, UTF-8, no spaces."""
    content = record.model_dump(mode="json", exclude_defaults=True)
    content["signals"] = [signal.model_dump(mode="json", exclude_none=True) for signal in record.signals]
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
