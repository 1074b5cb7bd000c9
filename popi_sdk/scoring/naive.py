"""The reference: one continuation at a time through the plain model call. Slow, and nothing to get wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from .query import Query

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["score_naive"]


def score_naive(
    model: PreTrainedModel, queries: Sequence[Query], *, temperature: float = 1.0
) -> list[list[torch.Tensor]]:
    """The log-probability of each continuation: the sum over its tokens of the log-softmax of the model's logits.

    Args:
        model: A causal language model.
        queries: What is scored.
        temperature: What the logits are divided by.

    Returns:
        A scalar for each continuation of each query, float32, differentiable where gradients are on.
    """
    return [
        [_one(model, query.prefix, continuation, temperature) for continuation in query.continuations]
        for query in queries
    ]


def _one(
    model: PreTrainedModel, prefix: Sequence[int], continuation: Sequence[int], temperature: float
) -> torch.Tensor:
    ids = torch.tensor([[*prefix, *continuation]], device=model.device)
    logits = model(input_ids=ids, use_cache=False).logits[0, -len(continuation) - 1 : -1].float() / temperature
    return logits.log_softmax(-1).gather(-1, ids[0, len(prefix) :, None]).sum()
