"""The pools of phrasings, told apart by split: what stands in one split stands in no other.

The lists `more` are for training alone: they widen those of train and keep clear of those of dev and test.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from .axes import Wordings

__all__ = ["KINDS", "load", "pool"]

KINDS = ("answer", "complaint", "frame", "gold", "praise", "profile", "reason", "statement", "survey", "vote")
"""Names of the files."""


@cache
def load(kind: str) -> dict[str, Any]:
    """One file of phrasings, as it stands."""
    return tomllib.loads((files(__package__) / "phrasings" / f"{kind}.toml").read_text(encoding="utf-8"))


@cache
def pool(wordings: Wordings, kind: str, *path: str) -> tuple[Any, ...]:
    """The phrasings under a path of one file: `pool("train", "statement", "length", "short")`."""
    table = load(kind)
    for name in path:
        table = table[name]
    if wordings == "wide":
        return (*table["train"], *table["more"])
    return tuple(table[wordings])
