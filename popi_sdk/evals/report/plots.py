"""The pictures of a run, as SVG to be put into a page."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from typing import Any

from ..results import Results, RowResult
from .drawing import COLOURS, GREY, as_svg, new_axes

__all__ = ["accuracy_against_cost", "by_row", "per_user"]

_MOST_DOTS = 400


def by_row(rows: Sequence[RowResult], results: Results) -> str:
    """Accuracy of every row with its interval; a control stands hollow under the row it belongs to."""
    figure, (axes,) = new_axes(8.2, 0.9 + 0.42 * len(rows))
    colours = _colours(rows)
    for place, row in enumerate(rows):
        _point(axes, row, 100 * row.accuracy.mean, place, colours, horizontal=True)
    axes.set_yticks(range(len(rows)), [row.row for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"accuracy on held-out pairs, % ({_spread(results)})")
    _references(axes, results, vertical=True)
    return as_svg(figure, "Accuracy of every row")


def accuracy_against_cost(rows: Sequence[RowResult], results: Results) -> str:
    """Accuracy with intervals against the tokens that the context adds: up and to the left is better."""
    figure, (axes,) = new_axes(8.2, 4.6)
    colours = _colours(rows)
    for row in rows:
        _point(axes, row, row.context_tokens.mean, 100 * row.accuracy.mean, colours, horizontal=False)
        if not row.shuffled:
            at = (row.context_tokens.mean, 100 * row.accuracy.mean)
            axes.annotate(row.row, at, xytext=(7, 6), textcoords="offset points", color=colours[_base(row)])
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlim(left=-1)
    axes.set_xticks([0, 10, 30, 100, 300, 1000], ["0", "10", "30", "100", "300", "1,000"])
    axes.set_xlabel("tokens that the context adds to a request")
    axes.set_ylabel("accuracy, %")
    _references(axes, results, vertical=False)
    return as_svg(figure, "Accuracy against context tokens")


def per_user(rows: Sequence[RowResult]) -> str:
    """Every user's own accuracy as a dot, the median as a bar: whom a row serves and whom it does not."""
    shown = [row for row in rows if row.row != "none"]
    figure, (axes,) = new_axes(8.2, 0.9 + 0.46 * len(shown))
    colours = _colours(rows)
    rng = random.Random(0)
    for place, row in enumerate(shown):
        values = row.per_user if len(row.per_user) <= _MOST_DOTS else rng.sample(row.per_user, _MOST_DOTS)
        heights = [place + 0.56 * (rng.random() - 0.5) for _ in values]
        face = "none" if row.shuffled else colours[_base(row)]
        axes.scatter(
            [100 * value for value in values], heights, s=13, alpha=0.5, linewidths=0.7,
            facecolors=face, edgecolors=colours[_base(row)],
        )  # fmt: skip
        middle = 100 * statistics.median(row.per_user)
        axes.plot([middle, middle], [place - 0.36, place + 0.36], color="#111827", linewidth=2)
    axes.set_yticks(range(len(shown)), [row.row for row in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(-3, 103)
    axes.set_xlabel("accuracy of one user, % (bar: median)")
    axes.axvline(50, color=GREY, linewidth=1, linestyle=":")
    return as_svg(figure, "Accuracy by user")


def _point(axes: Any, row: RowResult, x: float, y: float, colours: dict[str, str], *, horizontal: bool) -> None:
    below = 100 * max(row.accuracy.mean - row.accuracy.low, 0)
    above = 100 * max(row.accuracy.high - row.accuracy.mean, 0)
    colour = colours[_base(row)]
    axes.errorbar(
        x, y, fmt="o", color=colour, markersize=7, capsize=3, elinewidth=1.4,
        markerfacecolor="white" if row.shuffled else colour,
        **({} if row.accuracy.few else {"xerr" if horizontal else "yerr": [[below], [above]]}),
    )  # fmt: skip


def _references(axes: Any, results: Results, *, vertical: bool) -> None:
    """The plain model (no change: 50 %), and what most people prefer."""
    line = axes.axvline if vertical else axes.axhline
    line(50, color=GREY, linewidth=1, linestyle=":", label="without a context (50 %)")
    if results.population is not None:
        line(100 * results.population.mean, color=GREY, linewidth=1.2, linestyle="--", label="what most people prefer")
    axes.legend(frameon=False, fontsize=9, loc="best")


def _spread(results: Results) -> str:
    return "no intervals: too few users" if results.few_users else "95 % interval over users"


def _base(row: RowResult) -> str:
    return row.row.removesuffix(":shuffled")


def _colours(rows: Sequence[RowResult]) -> dict[str, str]:
    names = [name for name in dict.fromkeys(map(_base, rows)) if name != "none"]
    return {"none": GREY} | {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
