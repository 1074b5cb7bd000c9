"""What `popi eval` shows: findings and a table of one run, or the comparison of two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from .output import screen

if TYPE_CHECKING:
    from ..evals import Comparison, Results

__all__ = ["show_comparison", "show_results"]


def show_results(results: Results, folder: Path) -> None:
    """Findings, rows, remarks, and where the page lies."""
    from ..evals.report.sentences import findings, remarks

    console = screen()
    for finding in findings(results):
        console.print(
            Text.assemble((finding.question, "bold"), " ", finding.sentence.replace("`", "")), soft_wrap=False
        )
    console.print(_table(results))
    for remark in remarks(results):
        console.print(Text(remark.replace("`", ""), style="dim"))
    console.print(Text.assemble("Look at ", (str(folder / "report.html"), "bold")))


def _table(results: Results) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    readers = len({row.reader for row in results.rows}) > 1
    for name in [*(["reader"] if readers else []), "row", "accuracy %", "own minus shuffled", "context tokens"]:
        table.add_column(name, justify="left")
    for row in results.rows:
        personal = row.personal.points() if row.personal else ""
        cells = [row.row, row.accuracy.percent(), personal, f"{row.context_tokens.mean:.0f}"]
        table.add_row(*[*([row.reader] if readers else []), *cells], style="dim" if row.shuffled else None)
    return table


def show_comparison(compared: list[Comparison], first: str, second: str) -> None:
    """Both runs of every row, and the paired difference; what excludes 0 in bold."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("reader", "row", first, second, "difference, points"):
        table.add_column(name, overflow="fold")
    for one in compared:
        sure = one.difference.excludes(0.0)
        points = Text(one.difference.points(), style="bold" if sure else "dim")
        table.add_row(one.reader, one.row, one.first.percent(), one.second.percent(), points)
    console = screen()
    console.print(table)
    console.print(Text("Bold: the interval excludes 0.", style="dim"))
