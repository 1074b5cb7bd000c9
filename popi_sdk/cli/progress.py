"""How far a long command is, and how long it will still take: a bar on a terminal, now and then a line in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from .output import clean, on_terminal, screen

__all__ = ["Report", "Shown", "bar", "steps"]

_EVERY = 30.0  # seconds between two lines in a log
_KNOWN = 0.5  # seconds: what takes less was not computed now

Report = Callable[[str, int, int], None]


@contextmanager
def steps(*, quiet: bool) -> Iterator[Report]:
    """Yields what is told the step, how much of it is done, and how much there is (0: not known)."""
    if quiet:
        yield lambda *_: None
    elif on_terminal(sys.stderr):
        with bar() as shown:
            yield Shown(shown)
    else:
        yield _Logged()


class Shown:
    """Puts what is told into a bar."""

    def __init__(self, into: Progress) -> None:
        self.bar = into
        self.step = ""
        self.task = into.add_task("", total=None)

    def __call__(self, step: str, done: int, total: int) -> None:
        if step != self.step:
            self.step = step
            self.bar.reset(self.task, description=clean(step), total=total or None, completed=done)
        else:
            self.bar.update(self.task, completed=done, total=total or None)


class _Logged:
    """A line when a step begins, and one every half a minute."""

    def __init__(self) -> None:
        self.step = ""
        self.began = self.said = 0.0
        self.first = 0
        self.passing = True

    def __call__(self, step: str, done: int, total: int) -> None:
        now = time.monotonic()
        if step != self.step:
            self.step, self.began, self.first, self.passing = step, now, done, True
            self._say(f"{step} ...", now)
            return
        self.passing = self.passing and now - self.began < _KNOWN
        if self.passing:  # what an earlier run did passes at once: the clock starts behind it
            self.began, self.first = now, done
        elif total and now - self.said >= _EVERY:
            ahead = (now - self.began) * (total - done) / (done - self.first) if done > self.first else None
            left = "" if ahead is None else f", about {_minutes(ahead)} left"
            self._say(f"{step}: {done:,} of {total:,}{left}", now)

    def _say(self, text: str, now: float) -> None:
        self.said = now
        print(clean(text), file=sys.stderr, flush=True)  # noqa: T201 - this is the log


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def bar() -> Progress:
    """A bar on stderr with the time that is left."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=screen(stderr=True),
        transient=True,
        speed_estimate_period=3_600,
    )
