"""The curves of a training run, from its history, as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import ConfigurationError
from ..evals.files import write_atomically
from ..evals.report.drawing import COLOURS, GREY, as_png, as_svg, new_axes
from .export import RUN
from .timeline import Span, Timeline

__all__ = ["plot_run"]

_HISTORY = "history.jsonl"
_CURVES, _COMPARISON = "curves", "comparison"
_SMOOTHED_FROM = 60  # points: fewer can be followed as they are
_STYLES = ("-", "--", ":", "-.")

Points: TypeAlias = tuple[list[float], list[float]]


@dataclass(frozen=True, slots=True)
class _Panel:
    """Figures that are drawn over one another: by name in the history, what the legend calls them.

    `scale` multiplies all, `level` is a line that means something, `spread` is drawn as a band around the first, and
    `within` is always seen: what is 0 all the time is then a line at the bottom.
    """

    title: str
    lines: Mapping[str, str]
    scale: float = 1.0
    level: tuple[float, str] | None = None
    spread: str | None = None
    within: tuple[float, float] | None = None


_PANELS = (
    _Panel(
        "Accuracy on dev users, %",
        {
            "dev/own": "own summary",
            "dev/shuffled": "another user's",
            "dev/frozen": "own, frozen base",
            "dev/frozen_shuffled": "another's, frozen base",
        },
        scale=100.0,
        level=(50.0, "chance"),
        within=(45.0, 60.0),
    ),
    _Panel("Reward of a summary", {"reward/mean": "mean (band: std)"}, spread="reward/std"),
    _Panel(
        "Accuracy in training, %",
        {"accuracy/sampled": "sampled summaries", "generator/accuracy": "stored contexts"},
        scale=100.0,
        level=(50.0, "chance"),
        within=(45.0, 60.0),
    ),
    _Panel("Entropy of the inferrer, nats a token", {"inferrer/entropy": "entropy"}),
    _Panel("Divergence from its start (KL), nats a token", {"inferrer/kl": "KL"}),
    _Panel("Tokens of a summary", {"summaries/tokens": "sampled", "dev/tokens": "dev users"}, within=(0.0, 4.2)),
    _Panel(
        "4-grams that stand in the signals, %",
        {"summaries/quoted": "sampled", "dev/quoted": "dev users"},
        scale=100.0,
        within=(0.0, 5.0),
    ),
    _Panel("Loss of the generator", {"generator/loss": "loss"}),
    _Panel("Loss of the warm start, nats a token", {"warm/loss": "loss"}),
    _Panel(
        "Whose summary is whose, %",
        {"warm/matched": "by the inferrer", "generator/matched": "by the generator"},
        scale=100.0,
        level=(50.0, "chance"),
        within=(45.0, 60.0),
    ),
)


@dataclass(frozen=True, slots=True)
class _History:
    """A run as it is drawn: one step after the other, whatever the phase.

    Attributes:
        name: What the legend calls it.
        entries: What was recorded, in order.
        places: Where each entry stands on the axis.
        phases: Where each phase lies.
    """

    name: str
    entries: tuple[dict[str, Any], ...]
    places: tuple[float, ...]
    phases: tuple[Span, ...]

    def measured(self, panel: _Panel) -> list[Span]:
        """The phases with a figure of the panel."""
        places = [place for figure in panel.lines for place in self.points(figure, 1.0)[0]]
        return [span for span in self.phases if any(span.begin < place <= span.end for place in places)]

    def points(self, figure: str, scale: float) -> Points:
        """The steps at which it was measured, and its values."""
        found = [
            (place, scale * entry[figure])
            for place, entry in zip(self.places, self.entries, strict=True)
            if isinstance(entry.get(figure), int | float)
        ]
        return [place for place, _ in found], [value for _, value in found]


def plot_run(run: str | Path, *others: str | Path, output: str | Path | None = None) -> Path:
    """Draw the curves of a training run, finished or not; with others, to compare them.

    The picture is written twice: as SVG, and beside it as PNG.

    Args:
        run: The output directory of a run, the folder `run/` in it, or a `history.jsonl`.
        others: Further runs, drawn over the first.
        output: The SVG file to write; None for `curves.svg` beside the history of `run`, of several `comparison.svg`.

    Returns:
        The file: an SVG picture.

    Raises:
        ConfigurationError: If a run has no history, an empty one, or one that cannot be read.
        UsageError: If the picture cannot be written.
    """
    files = list(dict.fromkeys(_history_file(Path(one)) for one in (run, *others)))
    folders = [file.parent.parent if file.parent.name == RUN else file.parent for file in files]
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    histories = [_laid_out(name, _read(file)) for name, file in zip(names, files, strict=True)]
    name = _CURVES if len(files) == 1 else _COMPARISON
    path = Path(output) if output is not None else files[0].with_name(f"{name}.svg")
    figure = _drawn(histories)
    write_atomically(path, as_svg(figure, "Curves of training") + "\n")
    write_atomically(path.with_suffix(".png"), as_png(figure))
    return path


def _history_file(path: Path) -> Path:
    for candidate in (path, path / RUN / _HISTORY, path / _HISTORY):
        if candidate.is_file():
            return candidate.resolve()
    raise ConfigurationError(
        f"There is no {_HISTORY} in {path}. Give the output directory of popi train, or the folder {RUN}/ in it."
    )


def _read(path: Path) -> list[dict[str, Any]]:
    """All whole entries; a last line that is cut off is one that is being written."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path}: {error.strerror or error}.") from error
    entries: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            entries.append({**entry, "phase": str(entry["phase"]), "step": int(entry["step"])})
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines):
                break
            raise ConfigurationError(
                f"{path}, line {number} is no entry of a training history. Give a file that popi train wrote."
            ) from error
    if not entries:
        raise ConfigurationError(f"{path} is empty: no step is done yet. Try again after the first one.")
    return entries


def _laid_out(name: str, entries: Sequence[dict[str, Any]]) -> _History:
    timeline = Timeline()
    places = tuple(float(timeline.place(entry)) for entry in entries)
    return _History(name, tuple(entries), places, tuple(timeline.spans))


def _drawn(histories: Sequence[_History]) -> Any:
    panels = [panel for panel in _PANELS if any(one.measured(panel) for one in histories)]
    if not panels:
        raise ConfigurationError("The history has none of the figures that are drawn: train for a step first.")
    columns = min(3, len(panels))
    figure, every = new_axes(4.4 * columns, 0.5 + 2.9 * -(-len(panels) // columns), len(panels), columns)
    for panel, axes in zip(panels, every, strict=True):
        _draw(axes, panel, histories)
        # The phases that measure it: beside a long warm start, the rest would have half of its place.
        spans = [span for one in histories for span in one.measured(panel)]
        left, right = min(span.begin for span in spans), max(span.end for span in spans)
        axes.set_xlim(left, right + 0.02 * (right - left))
        axes.locator_params(axis="y", nbins=5)
        _mark_phases(axes, histories, left, right)
    if len(histories) > 1:
        from matplotlib.lines import Line2D

        handles = [Line2D([], [], color=_colour(place), linewidth=2.5) for place in range(len(histories))]
        names = [one.name.replace("$", r"\$") for one in histories]
        figure.legend(handles, names, loc="outside upper center", ncols=min(4, len(names)), frameon=False)
    return figure


def _draw(axes: Any, panel: _Panel, histories: Sequence[_History]) -> None:
    """Of one run every figure has its colour, of several every run; dashes show what lies under another line."""
    from matplotlib.lines import Line2D

    axes.set_title(panel.title, fontsize=10.5, loc="left")
    axes.set_xlabel("step", fontsize=9)
    legend: dict[str, Any] = {}
    for at, history in enumerate(histories):
        for place, (figure, label) in enumerate(panel.lines.items()):
            points = history.points(figure, panel.scale)
            if not points[0]:
                continue
            alone = len(histories) == 1
            style: dict[str, Any] = {"color": _colour(place if alone else at), "linestyle": _STYLES[place]}
            _line(axes, points, style, marked=figure.startswith("dev/"), over=len(panel.lines) - place)
            legend.setdefault(label, Line2D([], [], **style if alone else style | {"color": GREY}))
            if panel.spread and place == 0:
                _band(axes, history, figure, panel.spread, style["color"])
    if panel.level is not None:
        value, label = panel.level
        legend[label] = axes.axhline(value, color=GREY, linewidth=1, linestyle=":")
    if panel.within is not None:
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, panel.within[0]), max(high, panel.within[1]))
    if len(legend) > 1 or panel.spread:
        axes.legend(
            legend.values(), legend.keys(), fontsize=8, loc="best", handlelength=2.4,
            framealpha=0.8, edgecolor="none", borderpad=0.2,
        )  # fmt: skip


def _line(axes: Any, points: Points, style: Mapping[str, str], *, marked: bool, over: int) -> None:
    """What is measured now and then has dots; what is measured at every step is drawn through its noise."""
    x, y = points
    if marked or len(x) < _SMOOTHED_FROM:
        dots = {"marker": "o", "markersize": 3.2} if marked or len(x) == 1 else {}
        axes.plot(x, y, linewidth=1.5, zorder=2 + 0.1 * over, **style, **dots)
        return
    axes.plot(x, y, linewidth=0.7, alpha=0.28, **style)
    axes.plot(x, _smoothed(y), linewidth=1.7, zorder=2 + 0.1 * over, **style)


def _band(axes: Any, history: _History, middle: str, spread: str, colour: str) -> None:
    both = [
        (place, entry[middle], entry[spread])
        for place, entry in zip(history.places, history.entries, strict=True)
        if isinstance(entry.get(middle), int | float) and isinstance(entry.get(spread), int | float)
    ]
    if len(both) > 1:
        x, means, widths = (list(column) for column in zip(*both, strict=True))
        if len(x) >= _SMOOTHED_FROM:
            means, widths = _smoothed(means), _smoothed(widths)
        low = [mean - width for mean, width in zip(means, widths, strict=True)]
        high = [mean + width for mean, width in zip(means, widths, strict=True)]
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _smoothed(values: Sequence[float]) -> list[float]:
    """The mean of each value and those around it."""
    reach = max(2, len(values) // 40)
    around = [values[max(0, at - reach) : at + reach + 1] for at in range(len(values))]
    return [sum(some) / len(some) for some in around]


def _mark_phases(axes: Any, histories: Sequence[_History], left: int, right: int) -> None:
    """Where each phase begins, named above the panel; runs of the same phases share the marks."""
    marks: dict[tuple[float, str], list[int]] = {}
    for at, history in enumerate(histories):
        for span in history.phases:
            if left <= span.begin < right:
                marks.setdefault((span.begin, span.phase + (" (stopped early)" if span.stopped else "")), []).append(at)
    if max(len(one.phases) for one in histories) == 1:
        return
    for place, (start, name) in enumerate(sorted(marks)):
        runs = marks[start, name]
        colour = _colour(runs[0]) if len(runs) == 1 < len(histories) else GREY
        axes.axvline(start, color=colour, linewidth=0.9, linestyle=(0, (1, 2)))
        # In two rows by turns: a short phase has no room for its name.
        axes.annotate(
            name, (start, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2 + 9 * (place % 2)),
            textcoords="offset points", fontsize=7.5, color=colour,
        )  # fmt: skip
    axes.set_title(axes.get_title(loc="left"), fontsize=10.5, loc="left", pad=22)


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]
