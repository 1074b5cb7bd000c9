"""What a person sees of a training run while it goes on: a bar, the latest figures, some summaries."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .output import clean, on_terminal, screen
from .progress import Shown, bar, steps

if TYPE_CHECKING:
    from ..train import TrainConfig

__all__ = ["Watch", "watching"]

Watch: TypeAlias = Callable[["TrainConfig"], Callable[[dict[str, Any]], None]]
"""Told what will be done, gives what is told every entry of the history."""

_DEV = (
    ("trained", "dev/own", "dev/shuffled"),
    ("untouched base", "dev/frozen", "dev/frozen_shuffled"),
)
_FIGURES = (
    ("warm/loss", "loss of the warm start"),
    ("reward/mean", "reward"),
    ("generator/loss", "generator loss"),
    ("inferrer/entropy", "entropy"),
    ("inferrer/kl", "KL"),
    ("summaries/tokens", "tokens of a summary"),
)


@contextmanager
def watching(*, quiet: bool) -> Iterator[tuple[Callable[[str], None], Watch]]:
    """Yields what is told a step before the training, and what watches the training.

    On a terminal a live picture, of which the last look at the dev users stays; elsewhere lines; quiet, those of the
    looks alone.
    """
    if quiet or not on_terminal(sys.stderr):
        with steps(quiet=quiet) as report:
            yield (
                lambda step: report(step, 0, 0),
                lambda config: _Lines(report, config),
            )
        return
    view = _Live()
    console = screen(stderr=True)
    with Live(view, console=console, transient=True, refresh_per_second=4):
        yield lambda step: view.shown(step, 0, 0), view.watch
    console.print(view.look())


class _Lines:
    """One line for each look at the dev users, and the progress between them."""

    def __init__(self, report: Callable[[str, int, int], None], config: TrainConfig) -> None:
        self._report = report
        self._config = config

    def __call__(self, entry: dict[str, Any]) -> None:
        if "dev/own" in entry:
            screen(stderr=True).print(Text(_look(entry)))
        _say_end(entry)
        self._report(*_progress(entry, self._config))


class _Live:
    """Drawn anew a few times a second: the clock of the bar goes on between two steps."""

    def __init__(self) -> None:
        self._bar = bar()
        self.shown = Shown(self._bar)
        self._latest: dict[str, Any] = {}
        self._before: dict[str, Any] | None = None
        self._look: dict[str, Any] | None = None

    def watch(self, config: TrainConfig) -> Callable[[dict[str, Any]], None]:
        def told(entry: dict[str, Any]) -> None:
            self._latest = entry
            if "dev/own" in entry:
                self._before, self._look = self._look, entry
            self.shown(*_progress(entry, config))
            _say_end(entry)

        return told

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [self._bar.get_renderable()]
        if figures := _figures(self._latest):
            parts.append(figures)
        if self._look is not None:
            parts += [self.look(), _samples(self._look)]
        return Group(*parts)

    def look(self) -> RenderableType:
        """The latest look at the dev users; nothing before the first."""
        return Group() if self._look is None else _dev(self._look, self._before)


def _progress(entry: dict[str, Any], config: TrainConfig) -> tuple[str, int, int]:
    total = config.warm_start if entry["phase"] == "warm start" else config.steps
    return f"{entry['phase']}: training", entry["step"], total


def _say_end(entry: dict[str, Any]) -> None:
    """Why a phase ended before its last step: else the bar would seem to jump."""
    if "stopped" in entry:
        said = f"{entry['phase']} ended at step {entry['step']}: {entry['stopped']}"
        screen(stderr=True).print(Text(clean(said)))


def _look(entry: dict[str, Any]) -> str:
    return (
        f"{entry['phase']}, step {entry['step']}: accuracy {entry['dev/own']:.2f}, "
        f"of another's summary {entry['dev/shuffled']:.2f}, of the frozen base {entry['dev/frozen']:.2f}"
    )


def _figures(entry: dict[str, Any]) -> RenderableType | None:
    said = [(label, entry[name]) for name, label in _FIGURES if isinstance(entry.get(name), int | float)]
    if not said:
        return None
    return Text("  ").join(Text.assemble((f"{label} ", "dim"), f"{value:.3g}") for label, value in said)


def _dev(entry: dict[str, Any], before: dict[str, Any] | None) -> RenderableType:
    """Accuracies of the latest look, and by how many points they changed since the one before."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"accuracy at step {entry['step']} of {clean(entry['phase'])}, %")
    table.add_column("own summary", justify="right")
    table.add_column("another user's", justify="right")
    for label, *names in _DEV:
        table.add_row(label, *(_changed(name, entry, before) for name in names))
    return table


def _changed(name: str, entry: dict[str, Any], before: dict[str, Any] | None) -> Text:
    value = Text(f"{100 * entry[name]:.1f}")
    if before is not None:
        value.append(f" ({100 * (entry[name] - before[name]):+.1f})", style="dim")
    return value


def _samples(entry: dict[str, Any]) -> RenderableType:
    """The summaries of the first dev users, a line each: what is learnt shows here before it does in a figure."""
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for number, text in enumerate(entry.get("dev/samples", ()), start=1):
        grid.add_row(f"summary {number}", Text(" ".join(clean(text).split()) or "(nothing)"))
    return grid
