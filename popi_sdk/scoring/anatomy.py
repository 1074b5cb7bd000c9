"""What is known of a model family: where its backbone ends, what its head does, and which masks its layers take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Anatomy", "dissect", "max_length", "vocabulary"]

_FULL, _SLIDING = "full_attention", "sliding_attention"

FAMILIES = frozenset({"gemma3_text", "gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3"})
"""Families whose masks, position ids and head are known and tested; every other is scored through its own call."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A model taken apart.

    Attributes:
        backbone: Token ids to hidden states.
        head: Hidden states to logits.
        softcap: The head's logits are squashed into (-softcap, softcap); None if they are not.
        packs: Whether its attention takes a 4-D mask.
        additive: Whether its attention wants the mask as floats to add: bools are silently wrong in `eager`.
        windows: Sliding window (None: all) of each kind of layer; a single entry "" if the model has one mask only.
        pair_cost: Cost of one position seeing another, where that of a position's linear layers is 1.
        logits: How many logits the head gives.
    """

    backbone: Callable[..., Any]
    head: Callable[[torch.Tensor], torch.Tensor]
    softcap: float | None
    packs: bool
    additive: bool
    windows: Mapping[str, int | None]
    pair_cost: float
    logits: int


def dissect(model: PreTrainedModel) -> Anatomy | None:
    """Take a model apart, also one that carries peft adapters; None if its family is not known.

    Calling the backbone alone keeps adapters working, as peft puts them inside the layers. Adapters that add virtual
    tokens are no part of the layers: such a model counts as unknown.
    """
    core: Any = model
    if hasattr(model, "get_base_model"):
        if any(adapter.is_prompt_learning for adapter in model.peft_config.values()):
            return None
        core = model.get_base_model()
    config = core.config
    if config.model_type not in FAMILIES or core.get_output_embeddings() is None:
        return None
    windows = _windows(config)
    attention = config._attn_implementation
    return Anatomy(
        backbone=core.base_model,
        head=core.get_output_embeddings(),
        softcap=getattr(config, "final_logit_softcapping", None),
        packs=attention in ("eager", "sdpa") and windows is not None,
        additive=attention == "eager",
        windows=windows or {},
        # 4 * width operations for a pair, about 2 * 12 * width**2 for a position, in each layer: 1 / (6 * width).
        # Attention runs slower than products of matrices: SmolLM2 in bfloat16 on a CPU takes 3 times that.
        pair_cost=1 / (2 * config.hidden_size),
        logits=config.vocab_size,
    )


def max_length(model: PreTrainedModel) -> int | None:
    """Most tokens that the model reads; None if it sets no bound."""
    length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return length if isinstance(length, int) else None


def vocabulary(model: PreTrainedModel) -> int:
    """How many token ids the model has embeddings for."""
    return int(model.get_input_embeddings().num_embeddings)


def _windows(config: Any) -> dict[str, int | None] | None:
    """None where a kind of layer is not known: linear attention mixes what a mask keeps apart."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if not kinds:
        return {"": window}
    if not set(kinds) <= {_FULL, _SLIDING}:
        return None
    return {kind: window if kind == _SLIDING else None for kind in sorted(set(kinds))}
