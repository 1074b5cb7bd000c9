"""What training leaves: `inferrer/`, `generator/`, `README.md` and `popi.json`, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import ConfigurationError
from ..models.trained import FORMAT, MANIFEST, PARTS
from ..prompts import template_digest
from .card import CARD, FRESH, card

__all__ = ["RUN", "check_target", "write_trained"]

RUN = "run"
"""The folder beside the parts with what a run keeps: its history, references and checkpoint."""

_TEMPLATES = {"summary": ("infer", "answer_summary"), "signals": ("answer_signals",), "none": ("plain",)}
_LEFT = rf"{re.escape(FRESH)}([0-9a-f]{{8}}|{re.escape(CARD)}\.\d+)"
_OURS = {RUN, MANIFEST, CARD, *PARTS}


def check_target(directory: Path) -> None:
    """See that a trained model may be written there: it can be, and nothing is in the way but what training wrote.

    Raises:
        ConfigurationError: If something else is, or it is no place to write to.
    """
    try:
        found = [*directory.iterdir()] if directory.exists() else []
        there = {path.name for path in found if not _is_left(path)}
        # A write that was killed while it put things in place has taken popi.json away; its own is still aside.
        begun = any((path / MANIFEST).is_file() for path in found if _is_left(path))
        above = next(path for path in (directory.absolute(), *directory.absolute().parents) if os.path.lexists(path))
        fault = None if above.is_dir() and os.access(above, os.W_OK) else f"{above} cannot be written to"
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"Cannot write {directory}: {getattr(error, 'strerror', None) or error}.") from error
    if fault:
        raise ConfigurationError(f"Cannot write {directory}: {fault}. Give another directory.")
    # What is only called like our parts may be anybody's; of us there is a run, or what popi.json says.
    if there - _OURS or (there and not begun and not there & {RUN, MANIFEST}):
        raise ConfigurationError(f"{directory} is there and holds no trained model. Give a new directory.")


def _is_left(path: Path) -> bool:
    """Whether it is what a killed write has left behind."""
    return re.fullmatch(_LEFT, path.name) is not None


def write_trained(directory: Path, parts: Mapping[str, Callable[[Path], None]], facts: dict[str, Any]) -> Path:
    """Write a directory that `read_trained`, `popi eval NAME=DIR` and `Personalizer.from_pretrained` take.

    Args:
        directory: Where; a model that training wrote there before is replaced, anything else is left alone.
        parts: By its name, `inferrer` or `generator`, what writes a part into a folder.
        facts: What `popi.json` says beside the names of the parts and the templates.

    Returns:
        The directory.

    Raises:
        ConfigurationError: If there is something else, or it cannot be written.
    """
    check_target(directory)
    fresh = directory / f"{FRESH}{uuid.uuid4().hex[:8]}"
    manifest = {
        "format": FORMAT,
        **{name: name for name in parts},
        "popi_sdk": __version__,
        "templates": {name: template_digest(name) for name in _TEMPLATES[facts["context"]]},
        **facts,
    }
    readme = card(manifest, directory.resolve().name)
    try:
        for left in filter(_is_left, directory.iterdir() if directory.is_dir() else ()):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        for name, write in parts.items():
            (fresh / name).mkdir(parents=True)
            write(fresh / name)
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (fresh / CARD).write_text(readme, encoding="utf-8")
        _put_in_place(fresh, directory)
    except OSError as error:
        raise ConfigurationError(f"Cannot write {directory}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return directory


def _put_in_place(fresh: Path, directory: Path) -> None:
    """`popi.json` goes first and comes last: without it, nobody takes the directory for a model."""
    (directory / MANIFEST).unlink(missing_ok=True)
    for name in PARTS:
        shutil.rmtree(directory / name, ignore_errors=True)
        if (fresh / name).exists():
            os.replace(fresh / name, directory / name)
    os.replace(fresh / CARD, directory / CARD)
    os.replace(fresh / MANIFEST, directory / MANIFEST)
