"""Which files of a benchmark hold the rows of a split: of a local path, or of the hub's copy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError, needs_extra
from ...settings import get_settings
from ..lines import placed, readable
from .catalog import Benchmark
from .tables import SUFFIXES, is_table

__all__ = ["Files", "find_files"]

_PART = re.compile(r"(?:^|[^a-z])(?:(train)|(valid|validation|val|dev)|(test))(?![a-z])", re.IGNORECASE)
_ALIGNX_TEST = re.compile(r"reddit_(demo|pair|ugc|arbitrary)\b", re.IGNORECASE)
_NO_ROWS = {"dataset_infos.json", "dataset_info.json", "state.json", "config.json"}


@dataclass(frozen=True, slots=True)
class Files:
    """The files to read, and what share of their users makes the split.

    Attributes:
        part: What the files hold: `train`, `dev`, `test`, or `all` if nothing says so.
        paths: The files, sorted.
        share: Which users of them: `all`; `dev` and `train` are one and nine of ten users of the train part; an
            undivided part gives one of ten to dev, one to test, and the rest to train.
    """

    part: str
    paths: tuple[Path, ...]
    share: str


def find_files(benchmark: Benchmark, path: str | None, split: str) -> Files:
    """Find the files of a split, in a local file or folder, or else on the hub.

    Raises:
        DataError: If they are not there; says what to put where.
    """
    if path is not None:
        return _choose(_parts(_local(benchmark, path), Path(path), "all"), split, path)
    repo = benchmark.test_repo if split == "test" and benchmark.test_repo else benchmark.repo
    folder = _fetch(benchmark, repo)
    unnamed = "test" if repo == benchmark.test_repo else "train"
    return _choose(_parts(_tables(folder), folder, unnamed), split, repo)


def _local(benchmark: Benchmark, path: str) -> list[Path]:
    given = Path(path)
    with readable(given):
        tables = _tables(given) if given.is_dir() else [given] if given.is_file() else []
    if not tables:
        fault = DataError(
            f"there is no file with rows. Put one there ({', '.join(SUFFIXES)}) with {_columns(benchmark)}."
        )
        raise placed(fault, given)
    return tables


def _columns(benchmark: Benchmark) -> str:
    return f"the columns {', '.join(benchmark.columns)}"


def _tables(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if is_table(path) and path.name not in _NO_ROWS and path.is_file())


def _parts(tables: list[Path], root: Path, unnamed: str) -> dict[str, tuple[Path, ...]]:
    """The files by what their names, or those of their folders under the root, say they hold."""
    parts: dict[str, list[Path]] = {}
    for table in tables:
        names = table.relative_to(root).parts if table != root else (table.name,)
        parts.setdefault(next(filter(None, map(_part, reversed(names))), unnamed), []).append(table)
    return {part: tuple(paths) for part, paths in parts.items()}


def _part(name: str) -> str | None:
    if _ALIGNX_TEST.match(name):
        return "test"
    match = _PART.search(name)
    return match and ("train" if match[1] else "dev" if match[2] else "test")


def _choose(parts: dict[str, tuple[Path, ...]], split: str, where: str) -> Files:
    if split in parts and (split != "train" or "dev" in parts):
        return Files(split, parts[split], "all")
    if split in ("train", "dev") and "train" in parts:
        return Files("train", parts["train"], split)
    if set(parts) == {"all"}:
        return Files("all", parts["all"], split)
    there = sorted({*parts} - {"all"} | ({"dev"} if "train" in parts else set()))
    raise DataError(f"{where} has no users of the split {split!r}. Use one of: {', '.join(there)}.", field="split")


def _fetch(benchmark: Benchmark, repo: str) -> Path:
    """The hub's data set in the hub's own cache; downloaded if it is not there."""
    from ...models import _hub  # noqa: F401

    with needs_extra("hf"):
        from huggingface_hub import snapshot_download
    offline = get_settings().offline
    try:
        patterns = [f"*{suffix}*" for suffix in SUFFIXES]
        return Path(snapshot_download(repo, repo_type="dataset", allow_patterns=patterns, local_files_only=offline))
    except Exception as error:  # those of whatever HTTP library the hub's client uses
        words = f"{type(error).__name__}: {error}".strip().split("\n")[0]
        reason = "POPI_OFFLINE or HF_HUB_OFFLINE is set" if offline else words
        raise DataError(
            f"{benchmark.name}: the data set {repo} is not in the hub's cache, and was not downloaded ({reason}). "
            f"Where there is internet, run: hf download {repo} --repo-type dataset --local-dir {benchmark.name}. "
            f"Then pass {benchmark.name}@{benchmark.name}, or {benchmark.name}@PATH for a file or folder of your own "
            f"({', '.join(SUFFIXES)}) with {_columns(benchmark)}."
        ) from error
