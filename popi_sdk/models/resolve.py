"""From what a user writes, a name or a path, to a GGUF file that is there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import ConfigurationError
from .catalog import CATALOG, DEFAULT_MODEL, ModelFile, find_model
from .pull import is_pulled, pull

__all__ = ["resolve_gguf"]

_HEADER = 24  # bytes: magic, version, number of tensors, number of metadata entries
_VERSIONS = (2, 3)

# First bytes of what people mistake for a GGUF file, in lower case, and what to say.
_LOOKS_LIKE = (
    ((b"version https://git-lfs",), "it is a Git LFS pointer, not the file itself: run `git lfs pull` where it lies"),
    ((b"<!doctype", b"<html", b"<?xml", b"<head"), "it looks like an HTML page: download the file, not its web page"),
    ((b"pk\x03\x04",), "it is a zip archive (a PyTorch checkpoint or a wheel): give the GGUF file itself"),
    ((b"ggml", b"lmgg", b"fmgg", b"tjgg"), "it is in the GGML format that came before GGUF: convert the model again"),
)


def resolve_gguf(name_or_path: str | Path | None = None, *, pull_missing: bool = True) -> Path:
    """Find the GGUF file that a name of the catalog or a path means.

    Args:
        name_or_path: A name of the catalog, the path of a file, or `None` for the default model.
        pull_missing: Pull a model of the catalog that is not in the cache; otherwise that is an error.

    Returns:
        The absolute path, with symbolic links followed.

    Raises:
        ConfigurationError: If there is no such name, no such file, it is not a GGUF file, or the model is not in the
            cache and may not or cannot be pulled.
    """
    if name_or_path is None:
        return _cataloged(DEFAULT_MODEL, pull_missing)
    if isinstance(name_or_path, str) and name_or_path in CATALOG:
        return _cataloged(CATALOG[name_or_path], pull_missing)
    path = _expanded(name_or_path)
    if isinstance(name_or_path, str) and _is_bare(name_or_path) and not os.path.isfile(path):
        return _cataloged(find_model(name_or_path), pull_missing)
    _check_gguf(path)
    return path.resolve()


def _cataloged(model: ModelFile, pull_missing: bool) -> Path:
    path = is_pulled(model)
    if path is None and not pull_missing:
        raise ConfigurationError(f"The model {model.name} is not in the cache. Run: popi pull")
    return (path or pull(model)).resolve()


def _expanded(name_or_path: str | Path) -> Path:
    try:
        return Path(name_or_path).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(f"{name_or_path}: {error}. Write the path out.") from error


def _is_bare(name: str) -> bool:
    return not name.lower().endswith(".gguf") and not any(mark in name for mark in ("/", "\\", "~"))


def _check_gguf(path: Path) -> None:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ConfigurationError(f"{path} is a directory. Give the path of a GGUF file in it.")
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"{path} is not a regular file. Give the path of a GGUF file.")
        with path.open("rb") as handle:
            head = handle.read(512)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigurationError(f"{path} does not exist. Give the path of a GGUF file, or run: popi pull") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{str(path)!r} cannot be read: {reason}. Give the path of a GGUF file.") from error
    fault = _fault(head, status.st_size)
    if fault:
        raise ConfigurationError(f"{path} cannot be used as a GGUF file: {fault}.")


def _fault(head: bytes, size: int) -> str | None:
    if not head.startswith(b"GGUF"):
        return _foreign(head, size)
    if len(head) < _HEADER:
        return f"it ends after {len(head)} bytes, within its header: download it again"
    if int.from_bytes(head[4:8], "little") in _VERSIONS:
        return None
    if int.from_bytes(head[4:8], "big") in _VERSIONS:
        return "it is a big-endian GGUF file: get or convert it for little-endian machines"
    return f"it has GGUF version {int.from_bytes(head[4:8], 'little')}, but 2 or 3 is read: convert the model again"


def _foreign(head: bytes, size: int) -> str:
    if not head:
        return "it is empty: download it again"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for prefixes, explanation in _LOOKS_LIKE:
        if start.startswith(prefixes):
            return explanation
    # A safetensors file begins with the length of its JSON header, then the header.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return "it looks like a safetensors file: pass its folder as hf:FOLDER, or convert it to GGUF"
    return f"it starts with {head[:4]!r} instead of b'GGUF'"
