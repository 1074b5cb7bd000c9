"""From a GGUF file to the safetensors that PyTorch trains and scores with: once, kept in the user's cache."""

from __future__ import annotations

import functools
import glob
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, needs_extra
from ..settings import get_settings
from ._lock import file_lock
from ._quiet import quiet

__all__ = ["gguf_to_safetensors"]

_FORMAT = 1
"""Raised when what is written here changes, so that what an older version left in the cache is not read."""

_EXACT = ("bfloat16", "float16")  # half the size of float32; taken if every weight survives it unchanged


def gguf_to_safetensors(path: Path) -> Path:
    """A directory with the weights, the configuration and the tokenizer of a GGUF file, converted if need be.

    The weights have the values that the file means, to the last bit in float32: what was quantised stays rounded.
    The directory's name is the digest of the file, so the same file anywhere is converted once. Two processes may
    convert at once: the second waits. A conversion that was killed leaves nothing that is taken for whole.

    Args:
        path: A GGUF file, as `resolve_gguf` returns it.

    Returns:
        The directory, for `from_pretrained`.

    Raises:
        MissingExtraError: If transformers, torch or gguf is not installed.
        ConfigurationError: If transformers cannot read the file, or the cache cannot be written.
    """
    folder = get_settings().cache / "models" / f"{path.stem}-{_digest(path)}"
    if not folder.is_dir():
        with _writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with file_lock(folder.with_name(f".{folder.name}.lock"), lambda: _say(f"Waiting for {path.name}")):
                if not folder.is_dir():
                    _clear_leftovers(folder)
                    _convert(path, folder)
    return folder


def _digest(path: Path) -> str:
    digest = hashlib.sha256(f"popi {_FORMAT}".encode())
    try:
        with path.open("rb") as handle:
            while chunk := handle.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}.") from error
    return digest.hexdigest()[:16]


def _convert(path: Path, folder: Path) -> None:
    _say(f"Converting {path.name} for PyTorch, once")
    with tempfile.TemporaryDirectory(
        prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent, ignore_cleanup_errors=True
    ) as temp:
        written = Path(temp) / "model"
        model, tokenizer = _read(path)
        with quiet():
            model.save_pretrained(written)
            tokenizer.save_pretrained(written)
        for file in written.iterdir():  # what the rename makes visible must have reached the disk
            with file.open("rb+") as handle:
                os.fsync(handle.fileno())
        os.replace(written, folder)


def _read(path: Path) -> tuple[Any, Any]:
    """The model and the tokenizer in a GGUF file, ready to be saved."""
    with needs_extra("hf"):
        import gguf  # noqa: F401 - transformers asks for it deep inside
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name, "local_files_only": True}
    try:
        with quiet(), _no_bar():
            tokenizer = AutoTokenizer.from_pretrained(**where)
            model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    except Exception as error:
        raise ConfigurationError(
            f"transformers cannot read {path}: {_first_line(error)} Check that it is a complete GGUF of a supported "
            "model, or use it as llamacpp:PATH.gguf."
        ) from error
    # It was read into plain float32 weights, but still says that it is quantised and may not be saved.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model.to(_smallest(model)), tokenizer


@contextmanager
def _no_bar() -> Iterator[None]:
    """The reader of GGUF files shows a progress bar that no setting of transformers reaches."""
    from transformers import modeling_gguf_pytorch_utils as reader

    bar = reader.tqdm
    reader.tqdm = functools.partial(bar, disable=True)
    try:
        yield
    finally:
        reader.tqdm = bar


def _smallest(model: Any) -> Any:
    """The smallest type that holds every weight exactly."""
    import torch

    for name in _EXACT:
        dtype = getattr(torch, name)
        if all(torch.equal(weight.to(dtype).float(), weight) for weight in model.state_dict().values()):
            return dtype
    return torch.float32


def _clear_leftovers(folder: Path) -> None:
    for leftover in folder.parent.glob(f".{glob.escape(folder.name)}.*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{folder.parent} cannot hold the converted model: {error.strerror or error}. "
            "Make room there, or set POPI_CACHE to a folder that you may write to."
        ) from error


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())[:300] or type(error).__name__
    return text if text.endswith(".") else f"{text}."


def _say(what: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # no stderr, or a closed one, is no reason to stop
        sys.stderr.write(f"{what} ...\n")
        sys.stderr.flush()
