"""One copy of a base for all who compute with it in this process, each with an adapter of its own."""

from __future__ import annotations

import hashlib
import threading
import weakref
from pathlib import Path

from . import causal_lm
from ._torch import device_of, dtype_of
from .causal_lm import CausalLM
from .folders import adapter_identity, model_identity

__all__ = ["shared_causal_lm"]

_Key = tuple[str, str, str]

_locks: dict[_Key, threading.Lock] = {}
_loaded: weakref.WeakValueDictionary[_Key, CausalLM] = weakref.WeakValueDictionary()
"""Models that somebody still holds; the last one to let go frees it."""


def shared_causal_lm(
    source: str | Path | None, *, adapter: str | Path | None = None, dtype: str = "auto", device: str = "auto"
) -> tuple[CausalLM, str | None]:
    """The model that others of this process compute with too, loaded if nobody does; and the name of the adapter in it.

    Whoever computes does so within `use(name)`, also with no adapter: others switch theirs on.

    Args:
        source: As for `load_causal_lm`.
        adapter: A folder that peft wrote, or a hub id.
        dtype: As for `load_causal_lm`.
        device: As for `load_causal_lm`.

    Raises:
        ConfigurationError: As `load_causal_lm`, and if the adapter belongs to another base.
    """
    where = device_of(device)
    key = (model_identity(source), str(dtype_of(dtype, where)), str(where))
    with _locks.setdefault(key, threading.Lock()):  # two that come at once shall not both load it
        model = _loaded.get(key)
        if model is None:
            model = causal_lm.load_causal_lm(source, dtype=dtype, device=device)
            _loaded[key] = model
        return model, None if adapter is None else _attached(model, adapter)


def _attached(model: CausalLM, adapter: str | Path) -> str:
    """An adapter is attached once, under a name that its files decide."""
    name = "a" + hashlib.sha256(adapter_identity(adapter).encode()).hexdigest()[:12]
    if name not in model.adapters:
        model.attach(adapter, name)
    return name
