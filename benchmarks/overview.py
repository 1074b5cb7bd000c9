"""Where the model in the package helps and where it does not, over the data of docs/results; drawn.

    python -m benchmarks.overview

Of each data set stand there, from results.json of the runs in docs/results: accuracy of the pairs with the user's own
summary by `popi-135m`, with another user's, with the summary of `heuristic`, and with the signals themselves. The last
two come from a second run where the first lacks them: of the same users and pairs, or they are refused.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from popi_sdk import UsageError
from popi_sdk.evals.metrics import Interval

from .report import ROOT, read_report, table

PICTURE = ROOT / "docs" / "assets" / "results-overview.svg"
_RESULTS = ROOT / "docs" / "results"


@dataclass(frozen=True)
class Line:
    """What is drawn of each data set: its name, the row, and how."""

    name: str
    row: str
    colour: int
    hollow: bool = False


LINES = (
    Line("own summary, popi-135m", "popi-135m", 0),
    Line("another user's", "popi-135m:shuffled", 0, hollow=True),
    Line("own summary, heuristic", "heuristic", 1),
    Line("the signals themselves", "raw", 2),
)
DATA = {
    "StyleWorld": ("styleworld-trained", "styleworld-untrained"),
    "StyleWorld, further users": ("styleworld-fresh",),
    "jester": ("jester-trained", "jester-rejoined"),
    "polis": ("polis-trained", "polis-rejoined"),
    "ukp_convarg": ("ukp_convarg-trained", "ukp_convarg-rejoined"),
}
"""The runs of each data set: a row is taken from the first that has it."""


def main(folder: Path = _RESULTS) -> None:
    try:
        found = {name: _rows(folder, runs) for name, runs in DATA.items()}
    except UsageError as error:
        sys.exit(str(error))
    head = ("data", "users", *(f"{line.name}, %" for line in LINES))
    cells = [
        (name, users, *(rows[line.row].percent() if line.row in rows else "" for line in LINES))
        for name, (users, rows) in found.items()
    ]
    table("popi-135m, from data set to data set", head, cells)
    _draw({name: rows for name, (_, rows) in found.items()})


def _rows(folder: Path, runs: tuple[str, ...]) -> tuple[int, dict[str, Interval]]:
    """How many users there are, and the accuracy of the rows."""
    reports = [read_report(folder / run) for run in runs]
    data = reports[0][0]["data"]
    rows: dict[str, Interval] = {}
    for run, (about, found) in zip(runs, reports, strict=True):
        if any(about["data"][part] != data[part] for part in ("digest", "users", "pairs")):
            raise UsageError(f"{run} has other users or pairs than {runs[0]}.")
        rows = {row["row"]: Interval(**row["accuracy"]) for row in found} | rows
    if LINES[0].row not in rows:
        raise UsageError(f"{', '.join(runs)}: there is no row {LINES[0].row}.")
    return data["users"], rows


def _draw(found: Mapping[str, Mapping[str, Interval]]) -> None:
    """Each data set a place from top to bottom, its lines below one another with their intervals."""
    from popi_sdk.evals.report.drawing import COLOURS, GREY, as_svg, new_axes

    figure, (axes,) = new_axes(7.2, 4.4)
    for number, line in enumerate(LINES):
        places = [place for place, rows in enumerate(found.values()) if line.row in rows]
        values = [rows[line.row] for rows in found.values() if line.row in rows]
        axes.errorbar(
            [100 * one.mean for one in values],
            [place + 0.16 * (number - 1.5) for place in places],
            xerr=[[100 * (one.mean - one.low) for one in values], [100 * (one.high - one.mean) for one in values]],
            fmt="o",
            color=COLOURS[line.colour],
            markerfacecolor="white" if line.hollow else COLOURS[line.colour],
            capsize=3,
            linewidth=1.6,
            label=line.name,
        )
    axes.axvline(50, color=GREY, linewidth=1)
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set_xlabel("pairs where it moves the model to what the user chose, % (50: no change)")
    axes.legend(frameon=False, loc="lower right")
    PICTURE.write_text(as_svg(figure, "popi-135m, from data set to data set") + "\n", encoding="utf-8")
    print(f"Drawn: {PICTURE}")


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(__doc__)
    main()
