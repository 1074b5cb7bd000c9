"""From hidden states to log-probabilities of labels, without ever holding the logits of a whole batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from .anatomy import Anatomy

__all__ = ["label_log_probs", "log_probs_and_entropy", "token_log_probs", "token_log_probs_and_entropy"]

LOGITS = 1 << 25
"""Most logits that are held at once: 64 MiB in bfloat16."""
CHUNK = 1 << 23
"""Logits that are computed at once where they need not be held. On a CPU twice or a quarter of it was slower."""
_SLICE = 1 << 21
"""Logits that are widened to float32 at once: 8 MiB, which stays in the cache."""
_ON_GPU = 1 << 4
"""There so many times as much of each: a GPU waits for its orders, not for its memory."""


def token_log_probs(
    anatomy: Anatomy, hidden: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0
) -> torch.Tensor:
    """The log-probability of each label.

    Args:
        anatomy: Whose head turns hidden states into logits.
        hidden: Last hidden states at the positions that have a label, (N, width).
        labels: Token ids, (N,).
        temperature: What the logits are divided by.

    Returns:
        (N,), float32 (wider if the model is). Differentiable: what is more than `LOGITS` is not held for the backward
        pass but computed again.
    """
    return _by_chunks(anatomy, hidden, labels, lambda logits, targets: label_log_probs(logits, targets, temperature))


def token_log_probs_and_entropy(
    anatomy: Anatomy, hidden: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0
) -> torch.Tensor:
    """As `token_log_probs`, with the entropy of the distribution that each label was taken from.

    Returns:
        (N, 2): log-probability and entropy, nats; differentiable both.
    """
    return _by_chunks(
        anatomy, hidden, labels, lambda logits, targets: log_probs_and_entropy(logits, targets, temperature)
    )


def _by_chunks(
    anatomy: Anatomy,
    hidden: torch.Tensor,
    labels: torch.Tensor,
    figures: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    def of(hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        scores = anatomy.head(hidden)
        if anatomy.softcap is not None:
            scores = torch.tanh(scores / anatomy.softcap) * anatomy.softcap
        return figures(scores, labels)

    graph = torch.is_grad_enabled()
    times = _times(hidden)
    if graph and len(labels) * anatomy.logits <= LOGITS * times:
        return of(hidden, labels)
    rows = max(1, CHUNK * times // anatomy.logits)
    chunks = zip(hidden.split(rows), labels.split(rows), strict=True)
    if graph:
        return torch.cat([checkpoint(of, states, targets, use_reentrant=False) for states, targets in chunks])
    return torch.cat([of(states, targets) for states, targets in chunks])


def label_log_probs(scores: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """log-softmax of logits at the labels, in float32.

    Args:
        scores: Logits, (N, vocabulary), any floating type.
        labels: Token ids, (N,).
        temperature: What the logits are divided by.

    Returns:
        (N,), float32 (float64 for float64 logits), differentiable.
    """
    picked: torch.Tensor = _LabelLogProbs.apply(scores, labels, temperature)
    return picked


def log_probs_and_entropy(scores: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """log-softmax of logits at the labels, and the entropy -sum p log p of the whole distribution.

    Args:
        scores: Logits, (N, vocabulary), any floating type.
        labels: Token ids, (N,).
        temperature: What the logits are divided by.

    Returns:
        (N, 2), nats, float32 (float64 for float64 logits), differentiable.
    """
    both: torch.Tensor = _LogProbsAndEntropy.apply(scores, labels, temperature)
    return both


class _LabelLogProbs(torch.autograd.Function):  # type: ignore[misc] # torch is Any to mypy
    """Autograd's own way keeps two float32 copies of the logits; this one keeps the logits as they are, and N sums."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
        sums = torch.cat([_wide(part, temperature).logsumexp(-1) for part in scores.split(_rows(scores))])
        ctx.save_for_backward(scores, labels, sums)
        ctx.temperature = temperature
        return _wide(scores.gather(-1, labels[:, None])[:, 0], temperature) - sums

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """The slope of log p(label) by a logit is ([it is the label's] - softmax) / temperature."""
        scores, labels, sums = ctx.saved_tensors
        weights = gradients[0] / ctx.temperature
        result = torch.empty_like(scores)
        rows = _rows(scores)
        for start in range(0, len(scores), rows):
            part = slice(start, start + rows)
            softmax = _wide(scores[part], ctx.temperature).sub_(sums[part, None]).exp_()
            softmax.mul_(-weights[part, None]).scatter_add_(-1, labels[part, None], weights[part, None])
            result[part] = softmax
        return result, None, None


class _LogProbsAndEntropy(torch.autograd.Function):  # type: ignore[misc] # torch is Any to mypy
    """As `_LabelLogProbs`; the slope of the entropy H by a logit is -softmax (log softmax + H) / temperature."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
        parts = []
        for part in scores.split(_rows(scores)):
            wide = _wide(part, temperature)
            sums = wide.logsumexp(-1)
            logs = wide.sub_(sums[:, None])
            parts.append(torch.stack([sums, -(logs.exp() * logs).sum(-1)], dim=-1))
        sums, entropy = torch.cat(parts).unbind(-1)
        ctx.save_for_backward(scores, labels, sums, entropy)
        ctx.temperature = temperature
        return torch.stack([_wide(scores.gather(-1, labels[:, None])[:, 0], temperature) - sums, entropy], dim=-1)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        scores, labels, sums, entropy = ctx.saved_tensors
        by_label, by_entropy = (gradients[0] / ctx.temperature).unbind(-1)
        result = torch.empty_like(scores)
        rows = _rows(scores)
        for start in range(0, len(scores), rows):
            part = slice(start, start + rows)
            logs = _wide(scores[part], ctx.temperature).sub_(sums[part, None])
            slope = logs.exp()
            logs.add_(entropy[part, None]).mul_(by_entropy[part, None]).add_(by_label[part, None])
            slope.mul_(logs).neg_().scatter_add_(-1, labels[part, None], by_label[part, None])
            result[part] = slope
        return result, None, None


def _wide(scores: torch.Tensor, temperature: float) -> torch.Tensor:
    """A copy in float32 at least, divided by the temperature."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32), copy=True).div_(temperature)


def _rows(scores: torch.Tensor) -> int:
    return max(1, _SLICE * _times(scores) // int(scores.shape[-1]))


def _times(values: torch.Tensor) -> int:
    return _ON_GPU if values.device.type == "cuda" else 1
