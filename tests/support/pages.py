"""The pages of the documentation, taken apart: fenced blocks, tables, links."""

from __future__ import annotations

import re
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<info>.*)$")
_TITLE = re.compile(r'title="(?P<title>[^"]*)"')


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `line` is the 1-based line of its first line of code."""

    page: Path
    line: int
    language: str
    title: str | None
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    opened: re.Match[str] | None = None
    start, code = 0, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        match = _FENCE.match(line)
        if opened is None:
            if match:
                opened, start, code = match, number + 1, []
        elif match and not match["info"] and match["fence"].startswith(opened["fence"]):
            yield _block(page, start, opened["info"], code)
            opened = None
        else:
            code.append(line)
    assert opened is None, f"{page.relative_to(ROOT)}:{start - 1}: this block has no end"


def _block(page: Path, line: int, info: str, code: list[str]) -> Block:
    language, _, rest = info.partition(" ")
    title = _TITLE.search(rest)
    text = textwrap.dedent("\n".join(code)) + "\n"
    return Block(page, line, language, title["title"] if title else None, text)


def table_under(text: str, header: str) -> list[list[str]]:
    """The rows of the Markdown table whose head line starts with `| header |`, cell by cell."""
    lines = [line.strip() for line in text.splitlines()]
    start = next((index for index, line in enumerate(lines) if line.startswith(f"| {header} |")), None)
    assert start is not None, f"there is no table with the column {header!r} first"
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def tree_in(text: str, root: str) -> list[str]:
    """The lines of an indented tree, from the line that is its root to the first that is empty or a fence."""
    lines = text.splitlines()
    found = []
    for line in lines[next(index for index, line in enumerate(lines) if line.strip() == root) :]:
        if not line.strip() or line.startswith("```"):
            break
        found.append(line.rstrip())
    return found


def extras() -> set[str]:
    """The extras of pyproject.toml."""
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])


def make_targets() -> set[str]:
    """The targets of the Makefile that `make help` shows."""
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
