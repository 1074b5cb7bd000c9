"""What training leaves: `inferrer/`, `generator/` and `popi.json`, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..models.trained import FORMAT, MANIFEST
from ..prompts import template_digest

__all__ = ["write_trained"]


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
    if directory.exists() and (not directory.is_dir() or (any(directory.iterdir()) and not _is_ours(directory))):
        raise ConfigurationError(f"{directory} is there and holds no trained model. Give a new directory.")
    fresh = directory.with_name(f".{directory.name}.{uuid.uuid4().hex[:8]}")
    try:
        for name, write in parts.items():
            (fresh / name).mkdir(parents=True)
            write(fresh / name)
        manifest = {
            "format": FORMAT,
            **{name: name for name in parts},
            "templates": {name: template_digest(name) for name in ("infer", "answer_summary")},
            **facts,
        }
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        _replace(directory, fresh)
    except OSError as error:
        raise ConfigurationError(f"Cannot write {directory}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return directory


def _is_ours(directory: Path) -> bool:
    return (directory / MANIFEST).is_file()


def _replace(directory: Path, fresh: Path) -> None:
    """The old directory is moved away before the new one takes its name, and deleted last."""
    old = fresh.with_name(f"{fresh.name}.old")
    if directory.exists():
        os.replace(directory, old)
    os.replace(fresh, directory)
    shutil.rmtree(old, ignore_errors=True)
