"""What is worth more than a line: tables and panels, every foreign text in them shown as it is."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..signals import Dialogue, Edit, PreferencePair, Profile, Rating, Signal, Statement, Survey, Writing
from ..summary import PreferenceSummary
from .output import clean

__all__ = ["excerpt", "explanation", "signal_lines"]

_ID = 8  # characters of an id: enough to find it in a file's JSON output
_EXCERPT = 300  # characters of a text that can be of use in one line of any terminal


def explanation(summary: PreferenceSummary, signals: Sequence[Signal]) -> RenderableType:
    """The sentences of a summary, each with the signals it rests on."""
    known = {signal.id: signal for signal in signals}
    table = Table(box=box.ROUNDED, border_style="dim", expand=True, header_style="bold", show_lines=True)
    table.add_column("The summary says", ratio=2)
    table.add_column("because of", ratio=5)
    for statement in summary.statements:
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(style="cyan", no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis", style="dim")
        for signal in (known[name] for name in statement.evidence if name in known):
            grid.add_row(signal.id[:_ID], signal.kind, excerpt(signal))
        unnamed = Text("This inferrer names no signals.", style="dim")
        table.add_row(Text(clean(statement.text)), grid if grid.row_count else unnamed)
    return table


def signal_lines(signals: Sequence[Signal], most: int) -> RenderableType:
    """One line for each signal, up to `most`, and how many there are beside them."""
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis", style="dim")
    shown = signals if len(signals) <= most else signals[: most - 1]
    for signal in shown:
        grid.add_row(signal.kind, excerpt(signal))
    if len(shown) == len(signals):
        return grid
    return Group(grid, Text(f"... and {len(signals) - len(shown):,} more", style="dim"))


def excerpt(signal: Signal) -> Text:
    """What the user did, in one line."""
    return Text(_told(signal))


def _told(signal: Signal) -> str:
    match signal:
        case PreferencePair():
            told = f"chose {_quoted(signal.chosen, 16)} over {_quoted(signal.rejected)}"
        case Edit():
            told = f"turned {_quoted(signal.before, 16)} into {_quoted(signal.after)}"
        case Rating():
            told = f"{_score(signal)} {_quoted(signal.text)}"
        case Dialogue():
            told = "said " + ", ".join(_quoted(turn.content) for turn in signal.messages if turn.role == "user")
        case Writing():
            told = f"wrote {_quoted(signal.text)}"
        case Survey():
            told = f"answered {_quoted(signal.answer)}"
        case Profile():
            told = "; ".join(f"{_line(name)}: {_line(str(value))}" for name, value in signal.attributes.items())
        case Statement():
            told = f"said {_quoted(signal.text)}"
    return told


def _score(rating: Rating) -> str:
    if isinstance(rating.score, str) or isinstance(rating.scale, str):
        return {"agree": "agreed with", "disagree": "disagreed with"}.get(str(rating.score), "passed on")
    low, high = rating.scale
    return f"{rating.score:g} on {low:g}..{high:g} for"


def _quoted(text: str, most: int = _EXCERPT) -> str:
    line = Text(_line(text))
    line.truncate(most, overflow="ellipsis")
    return f"\u201c{line.plain}\u201d"


def _line(text: str) -> str:
    return " ".join(clean(text[:_EXCERPT]).split())
