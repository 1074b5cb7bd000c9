"""The screen of `popi train`: how far it is, the latest figures, what the inferrer writes."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .output import clean
from .progress import Shown, bar

__all__ = ["TrainingScreen"]

_WIDTH = 48
_BETWEEN = 4
_SIDE_BY_SIDE = 2 * _WIDTH + _BETWEEN  # columns from which both tables fit beside each other
_SAMPLE = 3  # lines of a summary
_TREND = 16  # characters of a curve
_LOOKS = 12
_BARS = "▁▂▃▄▅▆▇█"

_FIGURES = (
    ("reward/mean", "reward", "{:.3f}"),
    ("reward/std", "reward, spread", "{:.3f}"),
    ("accuracy/sampled", "accuracy, sampled", "{:.2f}"),
    ("generator/accuracy", "accuracy, stored", "{:.2f}"),
    ("generator/loss", "loss, generator", "{:.3f}"),
    ("generator/matched", "summaries told apart", "{:.2f}"),
    ("warm/loss", "loss, nats a token", "{:.3f}"),
    ("warm/matched", "descriptions matched", "{:.2f}"),
    ("inferrer/kl", "KL, nats", "{:.4f}"),
    ("inferrer/entropy", "entropy, nats", "{:.2f}"),
    ("summaries/tokens", "summary tokens", "{:.0f}"),
    ("summaries/quoted", "quoted", "{:.0%}"),
)
_CHANCE = 0.5
_Drawn = Callable[[Sequence[float], int], str]
_READERS = (("own", "shuffled", "trained generator"), ("frozen", "frozen_shuffled", "frozen base"))


class TrainingScreen:
    """What is known of a run, as a renderable: each drawing shows what was told last.

    Args:
        phases: The phases of the run, and the steps of each.
    """

    def __init__(self, phases: Mapping[str, int]) -> None:
        self._phases = phases
        self._bar = bar()
        self._shown = Shown(self._bar)
        self._lock = threading.RLock()  # a thread of its own draws
        self._phase = ""
        self._began = time.monotonic()
        self._over = False
        self._stops: list[str] = []
        self._seen: dict[str, list[float]] = {}
        self._latest: Mapping[str, Any] = {}
        self._looks: list[Mapping[str, Any]] = []

    def doing(self, what: str) -> None:
        """Something beside the phases."""
        self._shown(what, 0, 0)

    def began(self, phase: str, done: int) -> None:
        """A phase begins."""
        with self._lock:
            self._phase, self._seen, self._latest = phase, {}, {}
            self._shown(phase, done, self._phases[phase])

    def entry(self, entry: Mapping[str, Any]) -> None:
        """A step is done."""
        with self._lock:
            if entry["phase"] != self._phase:
                self.began(entry["phase"], entry["step"] - 1)
            self._latest = entry
            for name, value in entry.items():
                if isinstance(value, float):
                    self._seen.setdefault(name, []).append(value)
            if "dev/own" in entry:
                self._looks.append(entry)
            if "stopped" in entry:
                self._stops.append(f"{entry['phase']} ended at step {entry['step']}: {entry['stopped']}.")
            self._shown(self._phase, entry["step"], self._phases[self._phase])

    def end(self) -> None:
        """Nothing more comes: no bar."""
        self._over = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            parts = list(self._parts(options))
        yield from parts

    def _parts(self, options: ConsoleOptions) -> Iterator[RenderableType]:
        draw = _trend if options.encoding.startswith("utf") else lambda *_: ""
        yield from self._head()
        tables = [table for table in (self._look(draw), self._figures(draw)) if table is not None]
        if len(tables) > 1 and options.max_width >= _SIDE_BY_SIDE:
            grid = Table.grid(padding=(0, _BETWEEN))
            grid.add_row(*tables)
            tables = [grid]
        yield from (Padding(table, (1, 0, 0, 0)) for table in tables)
        yield from self._samples(options)

    def _head(self) -> Iterator[RenderableType]:
        if self._over:
            taken = timedelta(seconds=round(time.monotonic() - self._began))
            yield Text(f"Trained for {taken}, the looks at dev users included.", style="bold")
        else:
            yield self._bar
        yield from (Text(clean(stop), style="yellow", overflow="fold") for stop in self._stops)
        names = list(self._phases)
        if len(names) > 1 and self._phase in names and not self._over:
            at = names.index(self._phase)
            line = [
                f"phase {at + 1} of {len(names)}",
                *(["after it: " + ", ".join(names[at + 1 :])] if names[at + 1 :] else []),
            ]
            yield Text("; ".join(line), style="dim", no_wrap=True, overflow="ellipsis")

    def _look(self, draw: _Drawn) -> RenderableType | None:
        """Who prefers what the user preferred; with another user's summary it should stay at chance."""
        if not self._looks:
            return None
        last = self._looks[-1]
        table = _table("own", "another's", "own so far")
        looks = [look for look in self._looks if look["phase"] == last["phase"]]
        for own, other, name in _READERS:
            personal = last[f"dev/{own}"] > max(last[f"dev/{other}"], _CHANCE)
            table.add_row(
                name,
                Text(f"{last[f'dev/{own}']:.2f}", style="bold green" if personal else "bold"),
                f"{last[f'dev/{other}']:.2f}",
                Text(draw([look[f"dev/{own}"] for look in looks], _LOOKS), style="cyan"),
            )
        return _titled(
            f"Accuracy on dev users, {last['phase']}, step {last['step']}",
            table,
            Text("Chance is 0.50; another's should stay there.", "dim"),
        )

    def _figures(self, draw: _Drawn) -> RenderableType | None:
        rows = [row for row in _FIGURES if row[0] in self._latest]
        if not rows:
            return None
        table = _table("now", "so far")
        for figure, name, form in rows:
            table.add_row(name, form.format(self._latest[figure]), Text(draw(self._seen[figure], _TREND), style="cyan"))
        return _titled(f"{self._phase[:1].upper()}{self._phase[1:]}, step {self._latest['step']}", table)

    def _samples(self, options: ConsoleOptions) -> Iterator[RenderableType]:
        texts = self._looks[-1].get("dev/samples", ()) if self._looks else ()
        if not texts:
            return
        yield Padding(Text("Summaries of dev users at that look", style="bold"), (1, 0, 0, 0))
        grid = Table.grid(padding=(0, 1))
        grid.add_column(style="dim")
        grid.add_column()
        for number, text in enumerate(texts, 1):
            line = Text(" ".join(clean(text).split()) or "(nothing)", style="" if text.strip() else "dim")
            line.truncate(_SAMPLE * (options.max_width - 4), overflow="ellipsis")
            grid.add_row(f"{number}", line)
        yield grid


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", width=_WIDTH)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for name in columns:
        table.add_column(name, justify="left" if "so far" in name else "right", no_wrap=True)
    return table


def _titled(title: str, *below: RenderableType) -> Group:
    return Group(Text(title, style="bold", no_wrap=True, overflow="ellipsis"), *below)


def _trend(values: Sequence[float], most: int) -> str:
    """A curve of one line, from its least to its greatest value."""
    parts = min(most, len(values))
    edges = [round(part * len(values) / parts) for part in range(parts + 1)]
    means = [statistics.fmean(values[begin:end]) for begin, end in pairwise(edges)]
    low, high = min(means), max(means)
    if high == low:
        return _BARS[0] * parts
    return "".join(_BARS[round((mean - low) / (high - low) * (len(_BARS) - 1))] for mean in means)
