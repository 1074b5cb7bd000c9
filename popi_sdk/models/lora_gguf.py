"""A LoRA adapter that peft wrote, as the GGUF that llama.cpp reads beside its base: once, kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, needs_extra
from ..settings import get_settings
from ._lock import file_lock
from .folders import adapter_folder

if TYPE_CHECKING:
    import numpy as np

__all__ = ["lora_to_gguf"]

_FORMAT = 1
"""Raised when what is written here changes, so that what an older version left in the cache is not read."""

_PERMUTED = {"llama": {"attn_q": "head_count", "attn_k": "head_count_kv"}, "qwen2": {}, "qwen3": {}}
"""By architecture of the GGUF: projections whose rows llama.cpp wants in its own order, and the heads they consist of.
llama.cpp rotates pairs of neighbours in these, transformers pairs that are half a head apart."""

_PLAIN = {"use_dora": False, "lora_bias": False, "bias": "none", "fan_in_fan_out": False, "modules_to_save": None}
_NUMBERS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def lora_to_gguf(adapter: str | Path, base: Path) -> Path:
    """The file with an adapter's weights for a base's GGUF, written if it is not there.

    The weights are kept in float32. Two processes may convert at once: the second waits. A conversion that was killed
    leaves nothing that is taken for whole.

    Args:
        adapter: The folder that peft wrote, or a hub id.
        base: A GGUF of the base that it was trained on, of any precision.

    Raises:
        MissingExtraError: If gguf is not installed.
        ConfigurationError: If the adapter is of a kind or for an architecture that cannot be converted, does not fit
            the base, or the cache cannot be written.
    """
    folder = adapter_folder(adapter).path
    try:
        weights, config = (
            (folder / "adapter_model.safetensors").read_bytes(),
            (folder / "adapter_config.json").read_bytes(),
        )
        state = base.stat()
    except OSError as error:
        raise ConfigurationError(f"The adapter {folder} cannot be read: {error}.") from error
    facts = f"popi {_FORMAT} {base.resolve()} {state.st_size} {state.st_mtime_ns} "
    digest = hashlib.sha256(facts.encode() + hashlib.sha256(config).digest() + hashlib.sha256(weights).digest())
    path = get_settings().cache / "adapters" / f"{folder.name}-{digest.hexdigest()[:16]}.gguf"
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(path.with_suffix(".lock"), lambda: None):
            if not path.is_file():
                _write(folder, _scaled(folder, config), _tensors(folder, weights), base, path)
    except OSError as error:
        raise ConfigurationError(
            f"{path.parent} cannot hold the converted adapter: {error.strerror or error}. Make room there, or set "
            "POPI_CACHE to a folder that you may write to."
        ) from error
    return path


def _scaled(folder: Path, config: bytes) -> float:
    """The alpha that llama.cpp divides by the rank."""
    try:
        settings = json.loads(config)
        rank, alpha = int(settings["r"]), float(settings["lora_alpha"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{folder}/adapter_config.json cannot be read: {error!r}.") from error
    odd = [name for name, plain in _PLAIN.items() if settings.get(name, plain) not in (plain, [])]
    odd += [name for name in ("rank_pattern", "alpha_pattern", "layer_replication") if settings.get(name)]
    if settings.get("peft_type") != "LORA" or odd:
        what = ", ".join(odd) or settings.get("peft_type")
        raise ConfigurationError(f"llama.cpp cannot run the adapter {folder} ({what}): use engine='transformers'.")
    return alpha * math.sqrt(rank) if settings.get("use_rslora") else alpha


def _tensors(folder: Path, data: bytes) -> dict[str, np.ndarray]:
    """All weights in float32, read without torch."""
    with needs_extra("hf"):
        import numpy as np
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        found = {}
        for name, about in header.items():
            if name == "__metadata__":
                continue
            begin, end = (8 + length + offset for offset in about["data_offsets"])
            values = np.frombuffer(data[begin:end], dtype=_NUMBERS[about["dtype"]])
            if about["dtype"] == "BF16":  # the upper half of a float32
                values = (values.astype(np.uint32) << 16).view(np.float32)
            found[name] = values.astype(np.float32).reshape(about["shape"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{folder}/adapter_model.safetensors cannot be read: {error!r}.") from error
    return found


def _write(folder: Path, alpha: float, tensors: dict[str, np.ndarray], base: Path, path: Path) -> None:
    with needs_extra("hf"):
        import gguf
    architecture, heads, shapes = _base_facts(base)
    names = gguf.get_tensor_name_map(_architecture(gguf, architecture, folder), _blocks(shapes))
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent, ignore_cleanup_errors=True) as temp:
        fresh = Path(temp) / "adapter.gguf"
        writer = gguf.GGUFWriter(fresh, architecture)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
        for name, values in sorted(tensors.items()):
            place, _, which = name.removeprefix("base_model.model.").removesuffix(".weight").rpartition(".lora_")
            target = names.get_name(place)
            if target is None or which not in ("A", "B") or f"{target}.weight" not in shapes:
                raise ConfigurationError(f"The adapter {folder} does not fit {base}: nothing there is called {name}.")
            if not _fits(values, which, shapes[f"{target}.weight"]):
                raise ConfigurationError(f"The adapter {folder} does not fit {base}: {name} has another shape.")
            count = heads.get(_PERMUTED[architecture].get(target.rpartition(".")[2], ""))
            writer.add_tensor(f"{target}.weight.lora_{which.lower()}", _rows(values, count if which == "B" else None))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with fresh.open("rb+") as handle:  # what the rename makes visible must have reached the disk
            os.fsync(handle.fileno())
        os.replace(fresh, path)


def _base_facts(base: Path) -> tuple[str, dict[str, int], dict[str, list[int]]]:
    """Architecture, counts of heads, and each tensor's shape, inputs first."""
    import gguf

    reader = gguf.GGUFReader(base)
    architecture = str(reader.fields["general.architecture"].contents())
    heads: dict[str, int] = {}
    for name in ("head_count", "head_count_kv"):
        if field := reader.fields.get(f"{architecture}.attention.{name}"):
            heads[name] = int(field.contents())
    return architecture, heads, {tensor.name: [int(size) for size in tensor.shape] for tensor in reader.tensors}


def _architecture(gguf: Any, name: str, folder: Path) -> Any:
    known = {value: key for key, value in gguf.MODEL_ARCH_NAMES.items()}
    if name not in _PERMUTED or name not in known:
        raise ConfigurationError(
            f"Adapters of {name} models are not converted for llama.cpp (only {', '.join(_PERMUTED)}): run {folder} "
            "with engine='transformers'."
        )
    return known[name]


def _blocks(shapes: dict[str, list[int]]) -> int:
    return 1 + max((int(name.split(".")[1]) for name in shapes if name.startswith("blk.")), default=0)


def _fits(values: np.ndarray, which: str, shape: list[int]) -> bool:
    """A has as many columns as the weights have inputs, B as many rows as they have outputs."""
    return bool(values.shape[1] == shape[0] if which == "A" else values.shape[0] == shape[1])


def _rows(values: np.ndarray, heads: int | None) -> np.ndarray:
    """The rows of a projection in the order that llama.cpp wants."""
    if heads is None:
        return values
    import numpy as np

    return np.ascontiguousarray(values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape))
