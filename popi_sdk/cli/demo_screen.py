"""The screen of `popi demo`."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..summary import ESTIMATED
from .comparison import Comparison, Side, words_of
from .output import clean
from .screens import signal_lines

__all__ = ["comparison_screen"]

_SIDE_BY_SIDE = 100  # columns from which two users fit beside each other
_COLOURS = ("cyan", "magenta")
_SIGNALS = 10  # lines of signals for each user


def comparison_screen(comparison: Comparison, width: int) -> RenderableType:
    """The question, the plain answer, both users, what it cost.

    Args:
        comparison: What was measured.
        width: Columns that there are; from 100 on the users stand beside each other.
    """
    users = _beside(comparison) if width >= _SIDE_BY_SIDE else _stacked(comparison)
    return Group(_question(comparison), users, Padding(_figures(comparison), (0, 1)))


def _question(comparison: Comparison) -> RenderableType:
    plain = comparison.plain
    return Panel(
        Group(
            Text(clean(comparison.prompt).strip(), style="bold"),
            Text(),
            _label("Without a summary, everyone gets"),
            Text(clean(plain.text).strip()),
            _words(plain.text, plain.finish_reason, comparison.max_tokens, "bold"),
        ),
        title="One question, one model",
        title_align="left",
        box=box.ROUNDED,
        border_style="dim",
        padding=(0, 1),
    )


def _beside(comparison: Comparison) -> RenderableType:
    table = Table(box=box.ROUNDED, expand=True, show_lines=True, border_style="dim", padding=(0, 1))
    for side, colour in zip(comparison.sides, _COLOURS, strict=True):
        table.add_column(_title(side, colour), ratio=1)
    columns = [_cells(side, colour, comparison) for side, colour in zip(comparison.sides, _COLOURS, strict=True)]
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    return table


def _stacked(comparison: Comparison) -> RenderableType:
    tables = []
    for side, colour in zip(comparison.sides, _COLOURS, strict=True):
        table = Table(box=box.ROUNDED, expand=True, show_lines=True, border_style="dim", padding=(0, 1))
        table.add_column(_title(side, colour))
        for cell in _cells(side, colour, comparison):
            table.add_row(cell)
        tables.append(table)
    return Group(*tables)


def _title(side: Side, colour: str) -> Text:
    return Text.assemble(("User: ", "bold"), (clean(side.name), f"bold {colour}"))


def _cells(side: Side, colour: str, comparison: Comparison) -> list[RenderableType]:
    response, unit = side.response, comparison.unit
    return [
        Group(_label(f"Left behind: {len(side.signals)} signals"), signal_lines(side.signals, _SIGNALS)),
        Group(_label(f"Summary: {response.summary.tokens} {unit}"), Text(clean(response.summary.text), style="bold")),
        Group(
            _label("Answer"),
            Text(clean(response.text).strip()),
            _words(response.text, response.finish_reason, comparison.max_tokens, f"bold {colour}"),
        ),
    ]


def _figures(comparison: Comparison) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    for _ in range(3):
        grid.add_column(justify="right")
    unit = comparison.unit
    grid.add_row(*(_label(text) for text in ("added to the prompt", "by all signals", "by the summary", "")))
    for side, colour in zip(comparison.sides, _COLOURS, strict=True):
        times = f"{side.times_fewer:.1f} times fewer" if side.times_fewer else ""
        grid.add_row(
            Text(clean(side.name), style=f"bold {colour}"),
            Text(f"{side.raw_tokens:,} {unit}"),
            Text(f"{side.response.context_tokens:,} {unit}"),
            Text(times, style="bold"),
        )
    return Group(grid, Text(), _verdict(comparison), Text(_small_print(comparison), style="dim"))


def _verdict(comparison: Comparison) -> Text:
    fewer, more = comparison.by_words
    if comparison.words_ratio is None or fewer.words == more.words:
        return Text(f"Both answers have {more.words} words.")
    colours = dict(zip((side.name for side in comparison.sides), _COLOURS, strict=True))
    return Text.assemble(
        (clean(more.name), f"bold {colours[more.name]}"),
        " got ",
        (f"{comparison.words_ratio:.1f} times the words", "bold"),
        " of ",
        (clean(fewer.name), f"bold {colours[fewer.name]}"),
        f": {more.words} against {fewer.words}.",
    )


def _small_print(comparison: Comparison) -> str:
    inferrer = comparison.sides[0].response.summary.inferrer
    counted = "UTF-8 bytes, a bound" if comparison.counted_by == ESTIMATED else "its own tokenizer"
    return clean(
        f"Answers by {comparison.plain.model}, at most {comparison.max_tokens} tokens each; "
        f"counted by {counted}, with the words around a summary. Summaries by the inferrer '{inferrer}'."
    )


def _words(text: str, finish_reason: str, max_tokens: int, style: str) -> Text:
    line = Text(f"{words_of(text)} words", style=style)
    if finish_reason == "length":
        line.append(f", cut at {max_tokens} tokens", style="yellow")
    return line


def _label(text: str) -> Text:
    return Text(text, style="dim italic")
