"""How far own summaries are from the truth, stage after stage of training; drawn.

    python -m benchmarks.by_stage REPORT STAGE=DESCRIPTIONS...

REPORT is a results.json of `popi eval`, or a folder with one, on data whose gold descriptions show what they say
(`styleworld-shown`); STAGE a trained model in it, in the order of training, DESCRIPTIONS how many its inferrer had
learnt by then. Of each stage stand there: accuracy with its own summaries, and with the true description, read by its
own generator; the same of the untouched base.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from popi_sdk import UsageError
from popi_sdk.evals.metrics import Interval

from .report import ROOT, read_report, table

PICTURE = ROOT / "docs" / "assets" / "styleworld-stages.svg"


@dataclass(frozen=True)
class Line:
    """What is drawn of each stage: its name, the row, with {} for the stage, and how."""

    name: str
    row: str
    colour: int
    truth: bool


LINES = (
    Line("own summaries, own generator", "{}", 0, truth=False),
    Line("the truth, own generator", "{}:gold", 0, truth=True),
    Line("own summaries, untouched base", "{}:frozen", 1, truth=False),
    Line("the truth, untouched base", "gold", 1, truth=True),
)


def main(report: Path, stages: Mapping[str, int]) -> None:
    try:
        _, found = read_report(report)
    except UsageError as error:
        sys.exit(str(error))
    rows = {row["row"]: Interval(**row["accuracy"]) for row in found}
    for name in (line.row.format(stage) for stage in stages for line in LINES):
        if name not in rows:
            sys.exit(f"{report} has no row {name}. It has: {', '.join(rows)}.")
    head = ("stage", "descriptions learnt", *(f"{line.name}, %" for line in LINES))
    cells = [
        (f"`{stage}`", f"{count:,}", *(rows[line.row.format(stage)].percent() for line in LINES))
        for stage, count in stages.items()
    ]
    table("Own summaries and the truth, stage by stage", head, cells)
    draw(rows, stages)


def draw(rows: Mapping[str, Interval], stages: Mapping[str, int]) -> None:
    """Each stage a place on the axis, each line of `LINES` with its intervals."""
    from popi_sdk.evals.report.drawing import COLOURS, GREY, as_svg, new_axes

    figure, (axes,) = new_axes(7.2, 4.2)
    places = range(len(stages))
    for number, line in enumerate(LINES):
        found = [rows[line.row.format(stage)] for stage in stages]
        spread = [[100 * (one.mean - one.low) for one in found], [100 * (one.high - one.mean) for one in found]]
        axes.errorbar(
            [place + 0.05 * (number - 1.5) for place in places],  # beside one another, so that intervals can be seen
            [100 * one.mean for one in found],
            yerr=spread,
            fmt="o--" if line.truth else "o-",
            color=COLOURS[line.colour],
            markerfacecolor="white" if line.truth else COLOURS[line.colour],
            capsize=3,
            linewidth=1.6,
            label=line.name,
        )
    axes.axhline(50, color=GREY, linewidth=1)
    axes.set_xticks(places, [f"{stage}\n{count:,}" for stage, count in stages.items()])
    axes.set_xlabel("stage, and how many descriptions its inferrer had learnt")
    axes.set_ylabel("accuracy on dev users, %")
    axes.legend(frameon=False)
    PICTURE.write_text(as_svg(figure, "Own summaries and the truth, stage by stage") + "\n", encoding="utf-8")
    print(f"Drawn: {PICTURE}")


if __name__ == "__main__":
    if not sys.argv[2:] or not all(one.partition("=")[2].isdigit() for one in sys.argv[2:]):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), {name: int(count) for name, _, count in (one.partition("=") for one in sys.argv[2:])})
