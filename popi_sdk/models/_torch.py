"""torch, imported for machines that do other work too; and which of its types and devices to use."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..errors import ConfigurationError, needs_extra
from . import _hub  # noqa: F401 - before transformers loads the client

__all__ = ["device_of", "dtype_of", "torch"]

_SPIN = "GOMP_SPINCOUNT"
"""How long an OpenMP thread burns its core while it waits for the others. Measured on 2 cores with both busy elsewhere,
SmolLM2 in bfloat16, tokens/s one by one and 32 at once: 5.9 and 95 with 1000, 0.4 and 10 with libgomp's default."""


@contextmanager
def _calm() -> Iterator[None]:
    """OpenMP set up while its library is loaded, which `import torch` does; what the user set holds."""
    if _SPIN in os.environ:
        yield
        return
    os.environ[_SPIN] = "1000"
    try:
        yield
    finally:
        os.environ.pop(_SPIN, None)


with needs_extra("hf"), _calm():
    import torch

_DTYPES = ("float32", "bfloat16", "float16")


def dtype_of(dtype: str, device: Any) -> Any:
    """A torch.dtype by name; `auto`: bfloat16 where the device computes in it natively, else float32.

    Raises:
        ConfigurationError: If it is unknown.
    """
    if dtype == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    if dtype not in _DTYPES:
        raise ConfigurationError(f"dtype={dtype!r} is unknown. Use auto, {', '.join(_DTYPES)}.")
    return getattr(torch, dtype)


def device_of(device: str) -> Any:
    """A torch.device by name; `auto`: a GPU if there is one, else the CPU.

    Raises:
        ConfigurationError: If it is unknown, or not there.
    """
    if device == "auto":
        return torch.device(next((name for name in ("cuda", "mps") if _count(name)), "cpu"))
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigurationError(f"device={device!r} is unknown. Use auto, cpu, cuda, cuda:0 or mps.") from error
    if (found.index or 0) >= _count(found.type):
        raise ConfigurationError(f"device={device!r} is not there: torch {torch.__version__} sees no such device here.")
    return found


def _count(kind: str) -> int:
    if kind == "cuda":
        return int(torch.cuda.device_count())
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    return int(kind == "cpu")


def _has_bfloat16(device: Any) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch cannot say
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False
