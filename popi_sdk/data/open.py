"""Data sets by name or path: what `popi eval` and `popi train` take."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from ..errors import DataError
from .benchmarks import BENCHMARKS, open_benchmark
from .lines import OnFault, RepeatedRow, objects, raise_fault
from .read import UNDIVIDED, FileSource, find_file
from .record import UserRecord, digest_of

__all__ = ["SPLITS", "WORLDS", "Dataset", "Source", "draw", "open_data"]

SPLITS = ("train", "dev", "test")

WORLDS = ("styleworld", "styleworld-shown", "styleworld-wide", "tinyworld")
"""Generated data sets: the same seed gives the same users, without a file."""

_KEPT_FAULTS = 20


class Source(Protocol):
    """Where the users of a data set come from, as often as they are asked for."""

    def ids(self) -> Iterable[str]:
        """The ids of all users, as cheap as possible."""

    def records(self, on_fault: OnFault, keep: Container[str] | None = None) -> Iterator[UserRecord]:
        """The users; with `keep` only those of these ids."""


class Dataset:
    """Users to measure or to train with; each loop reads them anew, one at a time.

    Attributes:
        name: What it was opened as.
        split: `train`, `dev` or `test`; `all` for a file that is not divided.
        description: One line for people.
        note: What has to be said beside every figure that is measured on it, if anything.
        left_out: How much the last loop left out: `faults` (users or rows that cannot be used), `repeated rows` (of a
            benchmark); empty if all was used.
        faults: The first errors of these faults, each with its place and remedy.
    """

    def __init__(
        self,
        name: str,
        split: str,
        source: Source,
        *,
        description: str = "",
        note: str | None = None,
        limit: int | None = None,
        seed: int = 0,
        skip_faults: bool = False,
    ) -> None:
        self.name = name
        self.split = split
        self.description = description
        self.note = note
        self.left_out: Counter[str] = Counter()
        self.faults: list[str] = []
        self._source = source
        self._limit = limit
        self._seed = seed
        self._skip_faults = skip_faults
        self._kept: frozenset[str] | None = None

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, split={self.split!r})"

    def __iter__(self) -> Iterator[UserRecord]:
        """The users, in an order that is always the same.

        Raises:
            DataError: At the first user that cannot be used, unless such users are left out.
        """
        self.left_out.clear()
        self.faults.clear()
        if self._limit is not None and self._kept is None:
            self._kept = frozenset(draw(self._source.ids(), self._limit, self._seed))
        yield from self._source.records(self._fault, self._kept)

    def users(self) -> Iterator[UserRecord]:
        """The users; the same as a loop over the data set."""
        return iter(self)

    def digest(self) -> str:
        """SHA-256, in hex, over all users as canonical JSON: equal digests mean equal data. Reads everything once."""
        return digest_of(self)

    def _fault(self, error: DataError) -> None:
        if isinstance(error, RepeatedRow):
            self.left_out["repeated rows"] += 1
            return
        if not self._skip_faults:
            raise error
        self.left_out["faults"] += 1
        if len(self.faults) < _KEPT_FAULTS:
            self.faults.append(str(error))


def draw(ids: Iterable[str], limit: int, seed: int) -> list[str]:
    """Draw users by the smallest hashes of seed and id.

    They are the same in whatever order the ids come, a larger draw holds a smaller one, and no more than `limit` ids
    are kept at a time.
    """
    return heapq.nsmallest(limit, ids, key=lambda user_id: hashlib.sha256(f"{seed}/{user_id}".encode()).digest())


def open_data(
    spec: str | Path,
    *,
    split: str = "dev",
    limit: int | None = None,
    seed: int = 0,
    on_fault: Literal["raise", "skip"] = "raise",
) -> Dataset:
    """Open a data set; nothing is downloaded or read to its end before the first loop.

    Args:
        spec: A file of JSON Lines (plain or gzipped), a folder that holds `train_dev.jsonl.gz`, one of the paper's
            benchmarks (`elix`, `review`, `roleplay`, `alignx`), a benchmark from local files (`elix@PATH`), or a
            generated world (`styleworld`, `styleworld-wide`, `styleworld-shown`, `tinyworld`).
        split: `train`, `dev`, `test`, or what else a file calls its splits. A file whose users name no split is one
            split, `all`, whatever is asked for; the note says so.
        limit: At most so many users, drawn with the seed; their order stays.
        seed: For the draw, for how benchmarks are cut into users, and for generated worlds.
        on_fault: `raise` ends at the first user that cannot be used; `skip` leaves such users out and counts them in
            `left_out`.

    Raises:
        DataError: If there is no such data set or split; names what is there.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit={limit} would leave nobody. Use at least 1, or leave it out.")
    if on_fault not in ("raise", "skip"):
        raise DataError(f"on_fault={on_fault!r} is unknown. Use 'raise' or 'skip'.")
    options: dict[str, Any] = {"limit": limit, "seed": seed, "skip_faults": on_fault == "skip"}
    name, at, path = str(spec).partition("@") if isinstance(spec, str) else ("", "", "")
    if name in BENCHMARKS:
        return _benchmark(name, path if at else None, split, options)
    if spec in WORLDS:
        return _world(str(spec), split, options)
    return _file(spec, split, options)


def _benchmark(name: str, path: str | None, split: str, options: dict[str, Any]) -> Dataset:
    benchmark = BENCHMARKS[name]
    source = open_benchmark(benchmark, path, _known(split), options["seed"])
    label = name if path is None else f"{name}@{path}"
    return Dataset(label, split, source, description=benchmark.description, note=benchmark.note, **options)


def _world(name: str, split: str, options: dict[str, Any]) -> Dataset:
    source = _WorldSource(name, _known(split), options.pop("limit"), options["seed"])
    return Dataset(name, split, source, description="generated users whose preferences are known", **options)


def _known(split: str) -> str:
    if split not in SPLITS:
        raise DataError(f"The split {split!r} is unknown. Use one of: {', '.join(SPLITS)}.", field="split")
    return split


class _WorldSource:
    def __init__(self, name: str, split: str, users: int | None, seed: int) -> None:
        self.name, self.split, self.count, self.seed = name, split, users, seed

    def ids(self) -> Iterator[str]:
        return (record.user_id for record in self._generate())

    def records(self, on_fault: OnFault, keep: Container[str] | None = None) -> Iterator[UserRecord]:
        return self._generate()

    def _generate(self) -> Iterator[UserRecord]:
        module, _, variant = self.name.partition("-")
        generate = cast(Callable[..., Iterator[UserRecord]], import_module(f"{__package__}.{module}").generate)
        # A wide world differs in what it trains with; it is measured with the users of the world itself.
        options = {"wide": True} if variant and self.split == "train" else {}
        users = generate(self.split, self.count, seed=self.seed, **options)
        if variant != "shown":
            return users
        from .styleworld.shown import shown

        return (one.model_copy(update={"gold": shown(one.meta["point"])}) for one in users)


def _file(spec: str | Path, split: str, options: dict[str, Any]) -> Dataset:
    if not Path(spec).exists() and Path(spec).name == str(spec) and not Path(spec).suffix:
        raise DataError(
            f"There is no file and no data set {str(spec)!r}. Pass a path, or one of: "
            f"{', '.join([*BENCHMARKS, *WORLDS])}."
        )
    file = find_file(spec)
    on_fault: OnFault = (lambda _: None) if options["skip_faults"] else raise_fault
    divided = _is_divided(file, on_fault)
    source = FileSource(file, split if divided else UNDIVIDED)
    source.check(on_fault)
    note = None if divided else "The file names no splits: all its users are used, whatever split was asked for."
    return Dataset(str(spec), str(source.split), source, description=f"users of {file.name}", note=note, **options)


def _is_divided(file: Path, on_fault: OnFault) -> bool:
    """Whether the first user names a split; the other users are held to what the first one does."""
    _, first = next(objects(file, on_fault), (0, {"split": ""}))
    return first.get("split") is not None
