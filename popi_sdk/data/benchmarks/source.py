"""The users of a benchmark: rows of one kind of user, shuffled and cut into blocks; or a row each."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..lines import OnFault, RepeatedRow, placed
from ..read import to_record
from ..record import UserRecord
from .catalog import Benchmark
from .files import Files, find_files
from .rows import KindPair, alignx_user, kind_pair, require
from .tables import table_rows

__all__ = ["BlockSource", "RowSource", "open_benchmark"]

_DEV, _TEST = 0, 1  # of ten users in a row


def open_benchmark(benchmark: Benchmark, path: str | None, split: str, seed: int) -> BlockSource | RowSource:
    """The users of a benchmark's split, from a local path or from the hub.

    Args:
        benchmark: Which one.
        path: A file or a folder with the benchmark's columns; None takes the hub's data set.
        split: `train`, `dev` or `test`.
        seed: Of the shuffle, and of what makes dev.

    Raises:
        DataError: If there are no such rows; says what to put where.
    """
    source = RowSource if benchmark.kind is None else BlockSource
    return source(benchmark, path, split, seed)


class _Source:
    def __init__(self, benchmark: Benchmark, path: str | None, split: str, seed: int) -> None:
        self._benchmark = benchmark
        self._path = path
        self._split = split
        self._seed = seed
        self._local = None if path is None else find_files(benchmark, path, split)

    def _files(self) -> Files:
        """What the hub has is asked for at the first loop: it may be a long download."""
        return self._local or find_files(self._benchmark, None, self._split)

    def _nobody(self, files: Files) -> DataError:
        fault = DataError(
            f"there are too few rows for a user of the split {self._split!r}. Add rows, or use another split."
        )
        return placed(fault, files.paths[0])


class BlockSource(_Source):
    """Rows of one kind of user, shuffled with the seed and cut into blocks that do not overlap; a block is a user.

    Repeated rows are left out, else a held-out pair could stand among the signals; rows that do not fill a block are
    not used. All rows of the files are held in memory.
    """

    def ids(self) -> Iterator[str]:
        return (user_id for user_id, _ in self._blocks(self._files(), lambda _: None))

    def records(self, on_fault: OnFault, keep: Container[str] | None = None) -> Iterator[UserRecord]:
        files = self._files()
        some = False
        for user_id, rows in self._blocks(files, on_fault):
            some = True
            if keep is None or user_id in keep:
                yield self._record(user_id, rows)
        if not some:
            raise self._nobody(files)

    def _blocks(self, files: Files, on_fault: OnFault) -> Iterator[tuple[str, Sequence[KindPair]]]:
        kinds = self._kinds(files, on_fault)
        size = self._benchmark.shots + 1
        for place, kind in enumerate(sorted(kinds, key=self._rank)):
            rows = kinds[kind]
            random.Random(f"{self._seed}/{kind}").shuffle(rows)
            for number in range(len(rows) // size):
                if _is_of(files, place if self._benchmark.new_kinds else number):
                    user_id = f"{self._benchmark.name}-{files.part}-{kind}-{number:05}"
                    yield user_id, rows[number * size : (number + 1) * size]

    def _rank(self, kind: str) -> str:
        return hashlib.sha256(f"{self._seed}/{kind}".encode()).hexdigest()

    def _kinds(self, files: Files, on_fault: OnFault) -> dict[str, list[KindPair]]:
        kinds: dict[str, list[KindPair]] = {}
        seen: set[bytes] = set()
        for file in files.paths:
            for number, row in table_rows(file, on_fault):
                try:
                    require(self._benchmark, row)
                    pair = kind_pair(self._benchmark, row)
                    if pair is None:
                        continue
                    if pair.content in seen:
                        raise RepeatedRow("the pair is there already, for the same kind of user.")
                except DataError as error:
                    on_fault(placed(error, file, number, "row"))
                    continue
                seen.add(pair.content)
                kinds.setdefault(pair.kind, []).append(pair)
        return kinds

    def _record(self, user_id: str, rows: Sequence[KindPair]) -> UserRecord:
        *shown, held_out = rows
        pair = {"prompt": held_out.prompt, "chosen": held_out.chosen, "rejected": held_out.rejected}
        return to_record(
            {
                "user_id": user_id,
                "split": self._split,
                "signals": [
                    {"kind": "preference", "prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected}
                    for row in shown
                ],
                "pairs": [{**pair, "meta": dict(held_out.meta)}],
                "gold": held_out.gold or None,
                "meta": {"user_kind": held_out.kind},
            }
        )


class RowSource(_Source):
    """Each row is a user; one row is held at a time."""

    def ids(self) -> Iterator[str]:
        return (user_id for user_id, *_ in self._rows(self._files(), lambda _: None))

    def records(self, on_fault: OnFault, keep: Container[str] | None = None) -> Iterator[UserRecord]:
        files = self._files()
        some = False
        for user_id, file, number, row in self._rows(files, on_fault):
            some = True
            if keep is not None and user_id not in keep:
                continue
            try:
                require(self._benchmark, row)
                record = to_record({"user_id": user_id, "split": self._split, **alignx_user(row, file)})
            except DataError as error:
                on_fault(placed(error, file, number, "row"))
                continue
            yield record
        if not some:
            raise self._nobody(files)

    def _rows(self, files: Files, on_fault: OnFault) -> Iterator[tuple[str, Path, int, dict[str, Any]]]:
        position = -1
        for file in files.paths:
            stem = file.name.partition(".")[0]
            for number, row in table_rows(file, on_fault):
                position += 1
                if _is_of(files, position):
                    yield f"{self._benchmark.name}-{stem}-{number:07}", file, number, row


def _is_of(files: Files, position: int) -> bool:
    """Whether the user (or kind of users) at a position of the files is of the split that is asked for."""
    if files.share == "all":
        return True
    place = position % 10
    if files.share == "train":
        return place != _DEV and (files.part != "all" or place != _TEST)
    return place == (_DEV if files.share == "dev" else _TEST)
