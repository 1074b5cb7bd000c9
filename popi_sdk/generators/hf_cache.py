"""What a model of transformers has read, kept with room behind it."""

from __future__ import annotations

from typing import Any

from ..errors import needs_extra
from ..models._torch import torch

with needs_extra("hf"):
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

__all__ = ["cache_for"]

_ROOM = 64
"""Tokens. What is kept is copied once in so many; transformers does it for every token, which took a tenth of the time
of 16 rows behind 400 tokens (SmolLM2 in bfloat16 on a CPU)."""


def cache_for(model: Any) -> Any:
    """An empty cache for a model. Layers of other kinds (windows, states) stay transformers' own."""
    cache = DynamicCache(config=model.config)
    cache.layers = [_Roomy() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class _Roomy(DynamicLayer):  # type: ignore[misc] # transformers is Any to mypy
    """Keys and values are views of larger tensors, into which the next tokens are written."""

    keys: Any
    values: Any

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._held: dict[str, Any] = {}

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        self.keys = self._grown("keys", self.keys, key_states, start)
        self.values = self._grown("values", self.values, value_states, start)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Any) -> None:
        super().reorder_cache(beam_idx)
        self._held.clear()  # the views are tensors of their own now

    def _grown(self, name: str, known: Any, new: Any, start: int) -> Any:
        end = start + new.shape[-2]
        held = self._held.get(name)
        if held is None or held.shape[-2] < end:
            batch, heads, _, width = new.shape
            held = self._held[name] = torch.empty(batch, heads, end + _ROOM, width, dtype=new.dtype, device=new.device)
            if start:
                held[:, :, :start] = known
        held[:, :, start:end] = new
        return held[:, :, :end]
