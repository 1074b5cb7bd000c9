"""From what a user writes for a model of transformers to a folder that holds it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError, needs_extra
from ..settings import get_settings
from .catalog import CATALOG, DEFAULT_MODEL
from .convert import gguf_to_safetensors
from .resolve import resolve_gguf

__all__ = ["Folder", "adapter_folder", "adapter_identity", "hub_folder", "model_folder", "model_identity"]

_HUB_ID = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?")
_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors"]


@dataclass(frozen=True, slots=True)
class Folder:
    """Where a model or an adapter lies.

    Attributes:
        path: The folder.
        name: What the user wrote, for people.
        identity: Name and state of the weights: a commit, a digest, or the files' sizes and times.
    """

    path: Path
    name: str
    identity: str


def model_folder(source: str | Path | None) -> Folder:
    """The folder of a model: a GGUF is converted, a hub id downloaded.

    Raises:
        ConfigurationError: If there is no such thing, or it is no model of transformers.
    """
    identity = model_identity(source)
    if source is None or _is_cataloged(source):
        name = str(source or DEFAULT_MODEL.name)
        path = gguf_to_safetensors(resolve_gguf(name))
        return Folder(path, name, path.name)
    path = _expanded(source)
    if path.is_dir():
        return Folder(path, str(source), identity)
    if path.exists():
        converted = gguf_to_safetensors(resolve_gguf(path))
        return Folder(converted, str(source), converted.name)
    folder = hub_folder(str(source), "model")
    _check_model(folder.path)
    if not any(folder.path.glob("*.safetensors")):
        raise ConfigurationError(f"{source}: the hub has no safetensors of it. Convert it, and give the folder.")
    return folder


def adapter_folder(adapter: str | Path) -> Folder:
    """The folder of a LoRA adapter, as peft writes it.

    Raises:
        ConfigurationError: If there is no such thing, or it is no adapter.
    """
    identity = adapter_identity(adapter)
    path = _expanded(adapter)
    folder = Folder(path, str(adapter), identity) if path.is_dir() else hub_folder(str(adapter), "adapter")
    _check_adapter(folder.path)
    return folder


def model_identity(source: str | Path | None) -> str:
    """What tells a model from others, found without loading, converting or downloading it.

    Raises:
        ConfigurationError: If it is plain already that there is no such thing.
    """
    if source is None or _is_cataloged(source):
        return str(source or DEFAULT_MODEL.name)
    path = _expanded(source)
    if path.is_dir():
        _check_model(path)
        return f"{path.resolve()}@{_state_of(path)}"
    if path.exists() or path.name.lower().endswith(".gguf"):
        resolved = resolve_gguf(path)
        status = resolved.stat()
        return f"{resolved}@{status.st_size}-{status.st_mtime_ns}"
    return _hub_id(str(source), "model", path)


def adapter_identity(adapter: str | Path) -> str:
    """`model_identity`, of an adapter."""
    path = _expanded(adapter)
    if path.is_dir():
        _check_adapter(path)
        return f"{path.resolve()}@{_state_of(path)}"
    return _hub_id(str(adapter), "adapter", path)


def _is_cataloged(source: str | Path) -> bool:
    return isinstance(source, str) and source in CATALOG


def _check_adapter(path: Path) -> None:
    if not (path / "adapter_config.json").is_file():
        raise ConfigurationError(
            f"{path} has no adapter_config.json: give the folder that peft's save_pretrained wrote."
        )


def _hub_id(name: str, what: str, path: Path) -> str:
    if not _HUB_ID.fullmatch(name):
        gguf = ", a GGUF file" if what == "model" else ""
        raise ConfigurationError(f"The {what} {path} does not exist. Give a folder{gguf}, or its id on the hub.")
    return name


def _expanded(source: str | Path) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(f"{source}: {error}. Write the path out.") from error


def _check_model(path: Path) -> None:
    if (path / "config.json").is_file():
        return
    if (path / "adapter_config.json").is_file():
        raise ConfigurationError(
            f"{path} is an adapter, not a model: pass it as adapter=, with its base model {_base_of(path)}."
        )
    ggufs = sorted(path.glob("*.gguf"))
    if ggufs:
        raise ConfigurationError(f"{path} is a folder of GGUF files: give one of them, for example {ggufs[0]}.")
    raise ConfigurationError(f"{path} has no config.json: give the folder that save_pretrained wrote.")


def _base_of(path: Path) -> str:
    try:
        base = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        return "as the model"
    return f"({base}) as the model"


def _state_of(path: Path) -> str:
    """A digest of the files' names, sizes and times."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.is_file():
            status = file.stat()
            digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def hub_folder(name: str, what: str, *, inside: Sequence[str] = (), files: Sequence[str] = ()) -> Folder:
    """The hub's snapshot of a repository, in the cache that all tools of the hub share.

    Args:
        name: Its id.
        what: What is looked for, for messages.
        inside: Folders whose weights and settings are fetched; none for those at the top.
        files: Further files that are fetched, by their paths.

    Raises:
        MissingExtraError: If the hub's client is not installed.
        ConfigurationError: If the hub has no such repository, or cannot be asked.
    """
    from . import _hub  # noqa: F401

    with needs_extra("hf"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
    offline = get_settings().offline
    try:
        # Weights in other formats than safetensors can run code when they are read: they are not fetched.
        wanted = [f"{folder}/{pattern}" for folder in inside for pattern in _FILES] if inside else _FILES
        deeper = [f"{folder}/*/*" for folder in inside] if inside else ["*/*"]
        found = snapshot_download(
            name, local_files_only=offline, allow_patterns=[*wanted, *files], ignore_patterns=deeper
        )
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ConfigurationError(
            f"{name} is no folder here, and the hub has no {what} of that name that you may read. Check its spelling; "
            "for a private or gated one set HF_TOKEN."
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{name} is no folder here, and {_unreachable(name, what, offline, error)}") from error
    path = Path(found)
    return Folder(path, name, f"{name}@{path.name}")


def _unreachable(name: str, what: str, offline: bool, error: OSError) -> str:
    if offline:
        return (
            f"no {what} of that name is in the hub's cache while POPI_OFFLINE or HF_HUB_OFFLINE is set. Unset it, or "
            f"where there is a network run: hf download {name}"
        )
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    reason = " ".join(str(error.__cause__ or error).split())[:200]
    return (
        f"{endpoint} could not be asked for a {what} of that name ({reason}). Check the network, or bring the folder "
        "and give its path."
    )
