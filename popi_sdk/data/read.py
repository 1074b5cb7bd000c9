"""Read users from JSON Lines, one at a time, and write them: a file may be larger than memory."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from pydantic import ValidationError

from ..errors import DataError, SignalError
from .lines import OnFault, objects, placed, raise_fault, readable
from .mapping import from_collected, is_collected
from .record import UserRecord, canonical

__all__ = ["FILES", "FileSource", "find_file", "read_users", "to_record", "write_users"]

FILES = ("train_dev.jsonl.gz", "train_dev.jsonl")
"""What is looked for in a folder."""

UNDIVIDED = "all"
"""The split of a file whose users name none."""


def read_users(
    path: str | Path, *, split: str | None = None, limit: int | None = None, on_fault: OnFault = raise_fault
) -> Iterator[UserRecord]:
    """Read users, one a line, in the order of the file.

    Memory holds one user at a time, and a number per user to find ids that are there twice.

    Args:
        path: A UTF-8 file of JSON Lines, plain or gzipped, or a folder that holds `train_dev.jsonl.gz`.
        split: Only the users of this split; all without it.
        limit: At most so many users, the first ones.
        on_fault: Takes the error of a user that cannot be used. If it returns, the user is left out; the default raises
            it. What is wrong with the file as a whole is always raised.

    Raises:
        DataError: Names the file, the line, the field and the remedy.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit={limit} would read nobody. Use at least 1, or leave it out.")
    users = FileSource(find_file(path), split).records(on_fault)
    yield from users if limit is None else islice(users, limit)


def find_file(path: str | Path) -> Path:
    """The file itself, or that of a folder.

    Raises:
        DataError: If there is none.
    """
    path = Path(path)
    with readable(path):
        if path.is_dir():
            for name in FILES:
                if (path / name).is_file():
                    return path / name
            raise DataError(f"it is a folder without {FILES[0]}. Put the file there, or pass another path.")
        if not path.is_file():
            raise DataError(
                "there is no such file. Correct the path; docs/data.md has the format, and the generated users of "
                "'styleworld' need no file."
            )
    return path


class FileSource:
    """The users of a file, or of one split of it.

    Args:
        file: JSON Lines.
        split: None takes all users; `UNDIVIDED` takes all and refuses those that name a split.
    """

    def __init__(self, file: Path, split: str | None) -> None:
        self.file = file
        self.split = split

    def check(self, on_fault: OnFault) -> None:
        """Look whether there is a user of the split at all.

        Raises:
            DataError: Names the splits that are there.
        """
        splits: set[str] = set()
        for _, row in objects(self.file, on_fault):
            if self._is_asked(row):
                return
            splits.add(str(row.get("split") or "none"))
        raise _nobody(self.file, self.split, splits)

    def ids(self) -> Iterator[str]:
        """The ids of the users, without a look at anything else of them."""
        for _, row in objects(self.file, lambda _: None):
            if isinstance(row.get("user_id"), str) and self._is_asked(row):
                yield row["user_id"]

    def records(self, on_fault: OnFault, keep: Container[str] | None = None) -> Iterator[UserRecord]:
        """The users; with `keep` only those of these ids."""
        seen: set[int] = set()
        splits: set[str] = set()
        asked = False
        for number, row in objects(self.file, on_fault):
            try:
                _check_split(row, self.split, splits)
                _check_id(row, seen)
                if not self._is_asked(row):
                    continue
                asked = True
                if keep is not None and row.get("user_id") not in keep:
                    continue
                record = to_record(row)
            except DataError as error:
                on_fault(placed(error, self.file, number))
                continue
            yield record
        if not asked:
            raise _nobody(self.file, self.split, splits)

    def _is_asked(self, row: dict[str, Any]) -> bool:
        return self.split in (None, UNDIVIDED, row.get("split"))


def _nobody(file: Path, split: str | None, splits: set[str]) -> DataError:
    if splits:
        fault = DataError(f"no user is of the split {split!r}. Use one of: {', '.join(sorted(splits))}.", field="split")
    else:
        fault = DataError("it holds no users. Write one JSON object a line.")
    return placed(fault, file)


def _check_split(row: dict[str, Any], split: str | None, splits: set[str]) -> None:
    named = row.get("split")
    if named is None:
        if split not in (None, UNDIVIDED):
            raise DataError("it is missing. Name a split for every user, or for none.", field="split")
    elif not isinstance(named, str):
        raise DataError("it is not a text. Write train, dev or test.", field="split")
    elif split == UNDIVIDED:
        raise DataError(
            "the first user of the file names none. Name a split for every user, or for none.", field="split"
        )
    else:
        splits.add(named)


def _check_id(row: dict[str, Any], seen: set[int]) -> None:
    user_id = row.get("user_id")
    if not isinstance(user_id, str):
        return  # the record says what is wrong with it
    digest = int.from_bytes(blake2b(user_id.encode("utf-8", "replace"), digest_size=8).digest())
    if digest in seen:
        raise DataError(
            f"the user {user_id!r:.80} is there twice. Merge the two lines, or rename one.", field="user_id"
        )
    seen.add(digest)


def to_record(row: dict[str, Any]) -> UserRecord:
    """A row, in our form or the collected one, as a record.

    Raises:
        DataError: Names the field.
    """
    collected = is_collected(row)
    try:
        return UserRecord.model_validate(from_collected(row) if collected else row)
    except SignalError as error:
        parts = [str(part) for part in ("signals", error.index, error.field) if part is not None]
        fault, cause = DataError(str(error), field=".".join(parts)), cast(Exception, error)
    except ValidationError as error:
        fault, cause = _first_problem(error), error
    except DataError as error:
        fault, cause = DataError(str(error), field=error.field), error
    if collected and fault.field and fault.field.startswith("pairs"):
        fault.field = f"eval_{fault.field}"
    raise fault from cause


def _first_problem(error: ValidationError) -> DataError:
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    kind, message = problem["type"], str(problem["msg"])
    field = ".".join(map(str, problem["loc"])) or None
    if kind == "value_error":
        return DataError(message.removeprefix("Value error, "), field=field)
    if kind == "string_too_long":
        return DataError(f"{message}. Shorten the text, or leave it out.", field=field)
    return DataError(_REMEDIES.get(kind, f"{message}. Correct it."), field=field)


_REMEDIES = {
    "missing": "it is missing. Add it.",
    "extra_forbidden": "there is no such field. Correct its name, or put it into 'meta'.",
    "string_type": "it is not a text. Write it as one.",
    "string_pattern_mismatch": "it is empty. Give it a text.",
    "string_unicode": "it has half of a surrogate pair, which is not text. Decode the source correctly.",
}


def write_users(path: str | Path, records: Iterable[UserRecord]) -> int:
    """Write users as JSON Lines that `read_users` reads back; gzipped if the name ends in `.gz`.

    The same users give the same bytes. The file appears when it is complete: what fails on the way leaves an older file
    as it was.

    Returns:
        How many were written.

    Raises:
        DataError: If the file cannot be written.
    """
    path = Path(path)
    with readable(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(os.fdopen(handle, "wb"))
            # No name and no time in the header, else equal users would give unequal bytes.
            packed = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if path.suffix == ".gz" else None
            written = _write(cast(IO[bytes], stack.enter_context(packed)) if packed else raw, path, records)
            with readable(path):  # what is still in a buffer may not fit the disk
                if packed:
                    packed.close()
                raw.close()
        with readable(path):
            Path(name).chmod(0o644)  # that of a temporary file is for its owner alone
            Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return written


def _write(lines: IO[bytes], path: Path, records: Iterable[UserRecord]) -> int:
    written = 0
    for record in records:
        line = canonical(record) + b"\n"
        with readable(path):
            lines.write(line)
        written += 1
    return written
