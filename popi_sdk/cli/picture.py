"""A screen as a picture, for the documentation."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console, RenderableType

from ..errors import UsageError

__all__ = ["save_svg"]


def save_svg(content: RenderableType, path: Path, *, title: str, width: int = 110) -> None:
    """Write a screen as SVG, without rich's web fonts: a picture in a README should load nothing.

    Raises:
        UsageError: If it cannot be written.
    """
    console = Console(
        record=True,
        width=width,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    console.print(content)
    picture = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title=title), flags=re.DOTALL)
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}.") from error
