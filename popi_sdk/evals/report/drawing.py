"""How pictures look here, and how they become SVG: of a measured run, and of a training run."""

from __future__ import annotations

import io
import re
from typing import Any

from ...errors import needs_extra

with needs_extra("eval"):  # now, and not after an hour of measuring
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

__all__ = ["COLOURS", "GREY", "as_png", "as_svg", "new_axes"]

# Okabe and Ito: told apart by people with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#6b7280"


def new_axes(width: float, height: float, count: int = 1, columns: int = 1) -> tuple[Any, list[Any]]:
    """A figure of so many inches, and its panels, by row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    rows = -(-count // columns)
    panels = [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="both", color="#e5e7eb", linewidth=0.7)
        axes.set_axisbelow(True)
    return figure, panels


def as_svg(figure: Any, label: str) -> str:
    """The picture as an element of a page: text stays text, and the same picture is the same bytes."""
    buffer = io.StringIO()
    # One font by name, else the reader's own: the default names twelve at each word, half of the file.
    font = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"]}
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": label, **font}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # What a picture does without: names of groups, which nothing refers to, turns by nothing, indents.
    text = re.sub(r' transform="rotate\(-?0 [^"]*"', "", re.sub(r'<g id="[^"]*">', "<g>", text))
    text = re.sub(r"\n +<", "\n<", text)
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"\d+\.\d{3,}", _shorter, tag[0]), text)
    salt = re.sub(r"\W+", "-", label.lower())
    text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{salt}-", text)  # ids of several pictures on one page
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def as_png(figure: Any) -> bytes:
    """The picture as a file for those who show no SVG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _shorter(number: re.Match[str]) -> str:
    """A tenth of a point, 1/720 inch, is more than anyone sees."""
    return f"{float(number[0]):.1f}".rstrip("0").rstrip(".")
