"""What is shown of a training run while it goes on: a live screen on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.text import Text

from .output import clean, on_terminal, screen
from .picture import save_svg
from .progress import Report, steps
from .train_screen import TrainingScreen

__all__ = ["Watch", "watching"]

_PER_SECOND = 4  # drawings: training wants the cores


class Watch:
    """Told what a run does; shows it to a person, or in a log.

    Args:
        phases: The phases of the run, and the steps of each.
        report: Told how far it is, where lines are shown.
        seen: The screen, where there is one.
        draw: Draws the screen at once.
        say: Prints a line that stays; None where there are no notes.
        picture: Where the screen is kept as a picture.
    """

    def __init__(
        self,
        phases: Mapping[str, int],
        *,
        report: Report | None,
        seen: TrainingScreen | None = None,
        draw: Callable[[], None] = lambda: None,
        say: Callable[[Text], None] | None = None,
        picture: Path | None = None,
    ) -> None:
        self._phases = phases
        self._report = report
        self._screen = seen
        self._draw = draw
        self._say = say
        self._picture = picture

    def doing(self, what: str) -> None:
        """Something beside the phases."""
        if self._report is not None:
            self._report(what, 0, 0)
        if self._screen is not None:
            self._screen.doing(what)
            self._draw()  # now: what comes next may keep the cores busy for long

    def note(self, what: str) -> None:
        """Something to think of before the run has gone on for long."""
        if self._say is not None:
            self._say(Text(f"Note: {what}"))

    def began(self, phase: str, done: int) -> None:
        """A phase begins, of which an earlier run did some steps."""
        if self._report is not None:
            self._report(f"{phase}: training", done, self._phases[phase])
        if self._screen is not None:
            self._screen.began(phase, done)
            self._draw()

    def entry(self, entry: Mapping[str, Any]) -> None:
        """A step is done."""
        phase, step = entry["phase"], entry["step"]
        if self._report is not None:
            for line in _lines(entry):
                screen(stderr=True).print(Text(clean(line)), soft_wrap=True)
            self._report(f"{phase}: training", step, self._phases[phase])
        if self._screen is not None:
            self._screen.entry(entry)
            if self._picture is not None and "dev/own" in entry and step < self._phases[phase]:
                save_svg(self._screen, self._picture, title="popi train", width=100)


@contextmanager
def watching(phases: Mapping[str, int], *, quiet: bool, picture: Path | None = None) -> Iterator[Watch]:
    """Yields what is told of a run.

    On a terminal a live screen, whose last state stays; elsewhere lines; quiet, those of the looks alone.

    Args:
        phases: The phases of the run, and the steps of each.
        quiet: Whether progress is left out.
        picture: Where the screen is kept as SVG, as it was at the last look at dev before the end.
    """
    live = on_terminal(sys.stderr) and not quiet
    seen = TrainingScreen(phases) if live or picture else None
    with ExitStack() as stack:
        if live and seen is not None:
            shown = Live(seen, console=screen(stderr=True), refresh_per_second=_PER_SECOND)
            stack.enter_context(shown)
            stack.callback(seen.end)
            above = partial(shown.console.print, soft_wrap=True)
            yield Watch(phases, report=None, seen=seen, draw=shown.refresh, say=above, picture=picture)
        else:
            report = stack.enter_context(steps(quiet=quiet))
            say = None if quiet else partial(screen(stderr=True).print, soft_wrap=True)
            yield Watch(phases, report=report, seen=seen, say=say, picture=picture)


def _lines(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is worth a line in a log."""
    if "dev/own" in entry:
        yield (
            f"{entry['phase']}, step {entry['step']}: accuracy {entry['dev/own']:.2f}, "
            f"of another's summary {entry['dev/shuffled']:.2f}, of the frozen base {entry['dev/frozen']:.2f}"
        )
    if "stopped" in entry:  # else the count would seem to jump
        yield f"{entry['phase']} ended at step {entry['step']}: {entry['stopped']}"
