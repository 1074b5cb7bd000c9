"""How far own summaries are from the truth, stage after stage of training; drawn.

    python -m benchmarks.by_stage REPORT STAGE=DESCRIPTIONS...

REPORT is a results.json of `popi eval`, or a folder with one, on data whose gold descriptions show what they say
(`styleworld-shown`); STAGE a trained model in it, in the order of training, DESCRIPTIONS how many its inferrer had
learnt by then. Of each stage stand there: accuracy with its own summaries, and with the true description, read by its
own generator; the same of the untouched base.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from popi_sdk.evals.metrics import Interval
from popi_sdk.evals.report import RESULTS

from .report import ROOT, table

PICTURE = ROOT / "docs" / "assets" / "styleworld-stages.svg"
LINES = {
    "own summaries, own generator": "{}",
    "the truth, own generator": "{}:gold",
    "own summaries, untouched base": "{}:frozen",
    "the truth, untouched base": "gold",
}


def main(report: Path, stages: Mapping[str, int]) -> None:
    rows = accuracies(report)
    for stage in stages:
        if stage not in rows:
            sys.exit(f"{report} has no row {stage}. It has: {', '.join(rows)}.")
    head = ("stage", "descriptions learnt", *(f"{line}, %" for line in LINES))
    cells = [
        (f"`{stage}`", f"{count:,}", *(rows[name.format(stage)].percent() for name in LINES.values()))
        for stage, count in stages.items()
    ]
    table("Own summaries and the truth, stage by stage", head, cells)
    draw(rows, stages)


def accuracies(report: Path) -> dict[str, Interval]:
    """Of every row of the first reader."""
    path = report / RESULTS if report.is_dir() else report
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{path} is no report of popi eval that can be read ({error!r}).")
    return {row["row"]: Interval(**row["accuracy"]) for row in rows if row["reader"] == rows[0]["reader"]}


def draw(rows: Mapping[str, Interval], stages: Mapping[str, int]) -> None:
    """Each stage a place on the axis, each line of `LINES` with its intervals."""
    from popi_sdk.evals.report.drawing import COLOURS, GREY, as_svg, new_axes

    figure, (axes,) = new_axes(7.2, 4.2)
    places = range(len(stages))
    for number, (line, name) in enumerate(LINES.items()):
        found = [rows[name.format(stage)] for stage in stages]
        spread = [[100 * (one.mean - one.low) for one in found], [100 * (one.high - one.mean) for one in found]]
        axes.errorbar(
            [place + 0.05 * (number - 1.5) for place in places],  # beside one another, so that intervals can be seen
            [100 * one.mean for one in found],
            yerr=spread,
            fmt="o" + ("--" if "truth" in line else "-"),
            color=COLOURS[number // 2],
            markerfacecolor="white" if "truth" in line else COLOURS[number // 2],
            capsize=3,
            linewidth=1.6,
            label=line,
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
