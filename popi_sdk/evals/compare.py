"""Two runs on the same pairs: what changed, row by row, with paired intervals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from .journal import read_rows
from .manifest import ITEMS, read_manifest
from .metrics import Interval
from .results import refuse_unfinished, tally

__all__ = ["Comparison", "compare_runs"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row in two runs.

    Attributes:
        reader: The model that read the contexts, in both.
        row: Name of the row.
        first: Accuracy in the first run.
        second: Accuracy in the second.
        difference: Second minus first, on the same pairs, with its interval over users.
    """

    reader: str
    row: str
    first: Interval
    second: Interval
    difference: Interval


def compare_runs(first: str | Path, second: str | Path) -> list[Comparison]:
    """Compare the rows that two runs share.

    Raises:
        UsageError: If a folder holds no run, the data are not the same, or no row is in both.
    """
    manifests = [read_manifest(Path(folder)) for folder in (first, second)]
    digests = [manifest["data"]["digest"] for manifest in manifests]
    if digests[0] != digests[1]:
        raise UsageError(
            f"{first} and {second} were measured on different users or pairs: a difference would say nothing. "
            "Run both on the same data, split, limit and seed."
        )
    seed = manifests[0]["config"]["seed"]
    if manifests[1]["config"]["seed"] != seed:
        raise UsageError(
            f"{first} and {second} have other seeds, and so other controls. Run both with the same --seed."
        )
    one, other = (tally(read_rows(Path(folder) / ITEMS)) for folder in (first, second))
    shared = [key for key in one if key in other]
    if not shared:
        raise UsageError(f"{first} and {second} have no row of one reader in common.")
    refuse_unfinished(Path(first), manifests[0], one)
    refuse_unfinished(Path(second), manifests[1], other)
    return [
        Comparison(
            reader=key[0],
            row=key[1],
            first=one[key].share(one[key].credit, seed),
            second=other[key].share(other[key].credit, seed),
            difference=other[key].minus(one[key], "credit", seed),
        )
        for key in shared
    ]
