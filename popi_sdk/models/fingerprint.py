"""A digest of base weights by what is in them: the same on every machine, whatever the files are called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from ..errors import ConfigurationError
from .catalog import CATALOG
from .folders import model_folder
from .resolve import resolve_gguf

__all__ = ["base_digest", "check_base"]

_CHUNK = 1 << 20
_LONGEST_HEADER = 100_000_000  # bytes: what safetensors itself allows


def base_digest(source: str | Path | None) -> str:
    """Digest of a model's weights: of a GGUF the file's; of safetensors that of the tensors, whatever their files.

    Args:
        source: As for `load_causal_lm`: None, a name of the catalog, a GGUF, a folder, a hub id. What is not here yet
            is pulled.

    Returns:
        `gguf:` or `weights:` with 64 hexadecimal digits.

    Raises:
        ConfigurationError: If there is no such model, or it cannot be read.
    """
    path = None if source is None else Path(source).expanduser()
    if path is None or str(source) in CATALOG or path.is_file():
        files, kind = [resolve_gguf(source)], "gguf"
    else:
        folder = model_folder(source).path
        files, kind = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin")), "weights"
    try:
        states = tuple((str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
        return f"{kind}:{_digest(states)}"
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"The weights of {source or 'the default model'} cannot be read: {error}.") from error


def check_base(source: str | Path | None, expected: str | None, what: str) -> None:
    """See that a base is the one that something was trained on.

    Args:
        source: The base, as for `base_digest`.
        expected: Its digest when it was trained on; None where that was not kept, which checks nothing.
        what: What was trained, for the message.

    Raises:
        ConfigurationError: If its weights are others; says both digests.
    """
    if expected is None:
        return
    found = base_digest(source)
    if found != expected:
        raise ConfigurationError(
            f"{what} was trained on other weights than those of {source or 'the default model'}: "
            f"{_short(expected)} then, {_short(found)} here. Its adapters mean nothing on another base: bring the "
            "weights it was trained on (base_model=PATH), or train again on these."
        )


@lru_cache(maxsize=64)
def _digest(states: tuple[tuple[str, int, int], ...]) -> str:
    """Over files as they were at a time: a second call does not read them again."""
    whole = hashlib.sha256()
    parts: dict[str, str] = {}
    for name, _, _ in states:
        with Path(name).open("rb") as file:
            if name.endswith(".safetensors"):
                parts |= _tensors(file)
            else:
                for chunk in iter(lambda: file.read(_CHUNK), b""):
                    whole.update(chunk)
    for tensor in sorted(parts):
        whole.update(f"{tensor} {parts[tensor]}\n".encode())
    return whole.hexdigest()


def _tensors(file: BinaryIO) -> Iterator[tuple[str, str]]:
    """Each tensor's name, with its type, shape and the digest of its bytes."""
    length = int.from_bytes(file.read(8), "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"{file.name} is no safetensors file")
    header = json.loads(file.read(length))
    header.pop("__metadata__", None)  # says who wrote it, not what
    for name, about in header.items():
        begin, end = about["data_offsets"]
        file.seek(8 + length + begin)
        digest = hashlib.sha256()
        while begin < end and (chunk := file.read(min(_CHUNK, end - begin))):
            digest.update(chunk)
            begin += len(chunk)
        yield name, f"{about['dtype']} {about['shape']} {digest.hexdigest()}"


def _short(digest: str) -> str:
    kind, _, value = digest.partition(":")
    return f"{kind}:{value[:12]}"
