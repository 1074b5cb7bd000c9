"""The masks of packed rows, as the attention of a model wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from .anatomy import Anatomy
from .layout import Batch

__all__ = ["SharedMask", "masks_of"]

WORTH_SPLITTING = 128
"""Positions of a prefix. SmolLM2 in bfloat16 on a CPU: nothing was gained with 99, a tenth with 399 and 599."""


class SharedMask(torch.Tensor):  # type: ignore[misc] # torch is Any to mypy
    """A mask to add, (B, 1, L, L), whose first `shared` positions are plain causal attention in every row.

    `scaled_dot_product_attention` with this mask computes them as such, which skips what lies ahead, and spends the
    mask on the other positions only; `torch.nn.attention.bias.CausalBias` works the same way. What an operation makes
    of it is a plain mask again: as exact, and slower.
    """

    shared: int = 0

    @classmethod
    def of(cls, mask: torch.Tensor, shared: int) -> SharedMask:
        """Mark a mask whose first positions are plain causal attention."""
        result: SharedMask = mask.as_subclass(cls)
        result.shared = shared
        return result

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        mask = (kwargs or {}).get("attn_mask")
        if func is not scaled_dot_product_attention or not isinstance(mask, cls):
            return super().__torch_function__(func, types, args, kwargs or {})
        options = {name: value for name, value in (kwargs or {}).items() if name not in ("attn_mask", "is_causal")}
        return _attend(args, mask.as_subclass(torch.Tensor), mask.shared, options)


def masks_of(anatomy: Anatomy, batch: Batch, dtype: torch.dtype) -> torch.Tensor | dict[str, torch.Tensor]:
    """The mask of each kind of layer; the mask itself where a model has one kind."""
    masks = {kind: _as_wanted(batch, window, anatomy, dtype) for kind, window in anatomy.windows.items()}
    return masks.get("", masks)


def _as_wanted(batch: Batch, window: int | None, anatomy: Anatomy, dtype: torch.dtype) -> torch.Tensor:
    mask = batch.mask(window)
    on_cpu = mask.device.type == "cpu"
    if not (anatomy.additive or on_cpu):
        return mask
    # On a CPU `sdpa` makes floats of a bool mask in every layer: done once here.
    floats = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)
    if anatomy.additive or window is not None or batch.shared < WORTH_SPLITTING:
        return floats
    return SharedMask.of(floats, batch.shared)


def _attend(inputs: Sequence[torch.Tensor], mask: torch.Tensor, shared: int, options: dict[str, Any]) -> torch.Tensor:
    query, key, value = inputs
    if shared == 0:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, **options)
    head, tail = query[:, :, :shared], query[:, :, shared:]
    prefix = scaled_dot_product_attention(head, key[:, :, :shared], value[:, :, :shared], is_causal=True, **options)
    branches = scaled_dot_product_attention(tail, key, value, attn_mask=mask[:, :, shared:], **options)
    return torch.cat([prefix, branches], dim=2)
