"""Rows from files as data sets are published: JSON Lines, a JSON array, CSV, Parquet; gzipped or not."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from ...errors import DataError
from ..lines import DECODER, MAX_LINE, OnFault, objects, open_text, placed, readable

__all__ = ["SUFFIXES", "is_table", "table_rows"]

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
"""Kinds of files; all but the last may be gzipped, with `.gz` after it."""

_CHUNK = 1 << 16


def is_table(path: Path) -> bool:
    """Whether the name is that of a file with rows."""
    return _suffix(path) in SUFFIXES


def table_rows(file: Path, on_fault: OnFault) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number (from 1) and columns of each row; one row at a time, whatever the size of the file.

    Raises:
        DataError: If the file cannot be read, or is of no known kind.
    """
    suffix = _suffix(file)
    if suffix == ".parquet":
        return _parquet(file)
    if suffix == ".csv":
        return _csv(file, on_fault)
    if suffix == ".json" and _begins_with_bracket(file):
        return _array(file, on_fault)
    if suffix in SUFFIXES:
        return objects(file, on_fault)
    raise placed(DataError(f"a file of this kind is unknown. Use one of: {', '.join(SUFFIXES)}."), file)


def _suffix(file: Path) -> str:
    return (file.with_suffix("") if file.suffix == ".gz" else file).suffix.lower()


def _csv(file: Path, on_fault: OnFault) -> Iterator[tuple[int, dict[str, Any]]]:
    with ExitStack() as stack:
        reader = csv.DictReader(codecs.getreader("utf-8-sig")(open_text(file, stack)))
        while True:
            with readable(file, reader.line_num + 1):
                try:
                    row = next(reader, None)
                except csv.Error as error:
                    raise DataError(f"it is not CSV: {error}. Export the table as JSON Lines.") from error
            if row is None:
                return
            if None in row:
                fault = DataError("it has more cells than the first line has names. Quote cells that have commas.")
                on_fault(placed(fault, file, reader.line_num))
                continue
            yield reader.line_num, row


def _parquet(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        parquet = import_module("pyarrow.parquet")  # in no extra: 40 MB for one kind of file
    except ImportError as error:
        fault = DataError("Parquet needs pyarrow. Run: pip install pyarrow. Or export the table as JSON Lines.")
        raise placed(fault, file) from error
    number = 0
    with readable(file):  # what pyarrow raises is an OSError or a ValueError
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=256):
            for row in batch.to_pylist():
                number += 1
                yield number, row


def _begins_with_bracket(file: Path) -> bool:
    with ExitStack() as stack:
        handle = open_text(file, stack)
        with readable(file):
            return handle.read(_CHUNK).removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"["


def _array(file: Path, on_fault: OnFault) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of one JSON array, however large: only one of them is held."""
    with ExitStack() as stack:
        text = _Text(open_text(file, stack), file)
        text.expect("[")
        while not text.accept("]"):
            if text.number > 1:
                text.expect(",")
            row = text.value()
            if isinstance(row, dict):
                yield text.number, row
            else:
                on_fault(text.fault("it is no JSON object. Write one object a row"))
            text.number += 1


class _Text:
    """What is known of a file so far; `number` is that of the row that is being read."""

    def __init__(self, handle: IO[bytes], file: Path) -> None:
        self.number = 1
        self._handle = handle
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._text = ""

    def fault(self, what: str) -> DataError:
        return placed(DataError(f"{what}."), self._file, self.number, "row")

    def accept(self, sign: str) -> bool:
        """Whether the sign comes next; if so, go past it."""
        self._text = self._text.lstrip()
        while not self._text and self._more(_CHUNK):
            self._text = self._text.lstrip()
        found = self._text.startswith(sign)
        if found:
            self._text = self._text[1:]
        return found

    def expect(self, sign: str) -> None:
        if not self.accept(sign):
            raise self.fault(f"the array goes wrong: {sign!r} is missing. Was the file cut off?")

    def value(self) -> Any:
        """The JSON value that comes next."""
        self._text = self._text.lstrip()
        size = _CHUNK
        while True:
            try:
                row, end = DECODER.raw_decode(self._text)
            except json.JSONDecodeError as error:
                if len(self._text) > MAX_LINE:
                    raise self.fault(
                        f"it has more than {MAX_LINE:,} characters, or is not JSON: {error.msg}"
                    ) from error
                if not self._more(size):
                    raise self.fault(f"it is not JSON: {error.msg}. Was the file cut off?") from error
                size *= 2  # a long row would be scanned once for each small piece
            except (ValueError, RecursionError) as error:
                raise self.fault(f"it is not JSON: {error}") from error
            else:
                self._text = self._text[end:]
                return row

    def _more(self, size: int) -> bool:
        with readable(self._file):
            piece = self._handle.read(size)
            self._text += self._decode(piece, not piece)
        return bool(piece)
