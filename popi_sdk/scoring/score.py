"""log pi(y|x) of many continuations, each prefix computed once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.utils.checkpoint import checkpoint

from ..errors import ConfigurationError, ScoringError
from .anatomy import Anatomy, dissect, max_length, vocabulary
from .layout import Batch, lay_out
from .logprobs import (
    LOGITS,
    label_log_probs,
    log_probs_and_entropy,
    token_log_probs,
    token_log_probs_and_entropy,
)
from .masks import masks_of
from .plan import budget_for, plan
from .query import Query, check_queries

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["named_scores", "score_queries", "score_queries_with_grad", "score_tokens"]

Packed = bool | Literal["auto"]


def score_queries(
    model: PreTrainedModel,
    queries: Sequence[Query],
    *,
    token_budget: int | None = None,
    packed: Packed = "auto",
    temperature: float = 1.0,
) -> list[list[float]]:
    """The log-probability of every continuation, without gradients.

    log pi(y|x) is the sum over the tokens of y, its end token included (arXiv 2510.17881).

    Args:
        model: A causal language model, plain or with peft adapters; its mode (train, eval) stays as it is.
        queries: Prefixes with their continuations.
        token_budget: Most positions of one forward pass, padding included; None for what suits the device.
        packed: Whether continuations of one prefix share a row: `auto` where that is cheaper.
        temperature: What the logits are divided by: that of the sampler where its choices are scored.

    Returns:
        Nats, by query and continuation, in their order.

    Raises:
        ScoringError: If a prefix or continuation is empty, does not fit the model, or has no finite log-probability.
    """
    return named_scores(model, queries, _where, token_budget=token_budget, packed=packed, temperature=temperature)


def named_scores(
    model: PreTrainedModel,
    queries: Sequence[Query],
    where: Callable[[int, int], str],
    *,
    token_budget: int | None = None,
    packed: Packed = "auto",
    temperature: float = 1.0,
) -> list[list[float]]:
    """`score_queries` for callers that know a better name for a continuation of a query."""
    scores = [[math.nan] * len(query.continuations) for query in queries]
    with torch.no_grad():
        for batch, sums in _scored(model, queries, token_budget, packed, temperature):
            values = sums.tolist()
            _require_finite(model, queries, batch, values, temperature=temperature, where=where)
            for (place, number), value in zip(batch.owners, values, strict=True):
                scores[place][number] = value
    return scores


def score_queries_with_grad(
    model: PreTrainedModel,
    queries: Sequence[Query],
    *,
    token_budget: int | None = None,
    packed: Packed = "auto",
    temperature: float = 1.0,
) -> list[torch.Tensor]:
    """The log-probability of every continuation, differentiable.

    The graph of all queries is held until the backward pass: split them with `microbatches` first.

    Args:
        model: As for `score_queries`; gradient checkpointing works as it does in the model's own call.
        queries: Prefixes with their continuations.
        token_budget: Most positions of one forward pass, padding included; None for what suits the device.
        packed: Whether continuations of one prefix share a row: `auto` where that is cheaper.
        temperature: What the logits are divided by.

    Returns:
        One tensor for each query, (continuations,), nats, float32.

    Raises:
        ScoringError: As `score_queries`.
    """
    parts: list[list[torch.Tensor]] = [[torch.empty(0)] * len(query.continuations) for query in queries]
    with torch.enable_grad():
        for batch, sums in _scored(model, queries, token_budget, packed, temperature):
            _require_finite(model, queries, batch, sums.tolist(), temperature=temperature, where=_where)
            for (place, number), value in zip(batch.owners, sums.float().unbind(), strict=True):
                parts[place][number] = value
        return [torch.stack(values) if values else torch.zeros(0, device=model.device) for values in parts]


def score_tokens(
    model: PreTrainedModel,
    queries: Sequence[Query],
    *,
    token_budget: int | None = None,
    packed: Packed = "auto",
    temperature: float = 1.0,
    recompute: bool = False,
) -> list[list[torch.Tensor]]:
    """Log-probability and entropy of every token of the continuations; differentiable where gradients are on.

    Args:
        model: As for `score_queries`.
        queries: Prefixes with their continuations.
        token_budget: Most positions of one forward pass, padding included; None for what suits the device.
        packed: Whether continuations of one prefix share a row.
        temperature: What the logits are divided by.
        recompute: Hold the graph of one pass at a time: all but the last are computed again in the backward pass, when
            the model's mode and adapters must be what they are now. Else the graph of all is held.

    Returns:
        By query and continuation, (tokens, 2): log-probability of the token, and entropy of the distribution it was
        taken from, nats, float32.

    Raises:
        ScoringError: As `score_queries`.
    """
    found: list[list[torch.Tensor]] = [[torch.empty(0, 2)] * len(query.continuations) for query in queries]
    passes = _passes(model, queries, token_budget, packed, temperature, entropy=True, recompute=recompute)
    for batch, tokens in passes:
        lengths = [len(queries[place].continuations[number]) for place, number in batch.owners]
        pieces = tokens.split(lengths)
        _require_finite(
            model,
            queries,
            batch,
            [piece.sum().item() for piece in pieces],
            temperature=temperature,
            where=_where,
        )
        for (place, number), piece in zip(batch.owners, pieces, strict=True):
            found[place][number] = piece
    return found


def _scored(
    model: PreTrainedModel, queries: Sequence[Query], token_budget: int | None, packed: Packed, temperature: float
) -> Iterator[tuple[Batch, torch.Tensor]]:
    """Each batch with the sums of its segments."""
    for batch, tokens in _passes(model, queries, token_budget, packed, temperature):
        # The sum of 1,000 tokens keeps its digits in float64; a device of Apple has none.
        wide = tokens if tokens.device.type == "mps" else tokens.double()
        sums = wide.new_zeros(len(batch.owners)).index_add(0, batch.segment, wide)
        yield batch, sums


def _passes(
    model: PreTrainedModel,
    queries: Sequence[Query],
    token_budget: int | None,
    packed: Packed,
    temperature: float,
    *,
    entropy: bool = False,
    recompute: bool = False,
) -> Iterator[tuple[Batch, torch.Tensor]]:
    """Each batch with the log-probabilities of its labels, (N,); with their entropies, (N, 2)."""
    if not temperature > 0:
        raise ConfigurationError(f"temperature={temperature} must be above 0.")
    budget = budget_for(model.device, token_budget)
    check_queries(queries, max_length(model), vocabulary(model))
    anatomy = dissect(model)
    if anatomy is None:
        budget = min(budget, max(1, LOGITS // vocabulary(model)))

    def figures(batch: Batch) -> torch.Tensor:
        if anatomy is None:
            of_logits = log_probs_and_entropy if entropy else label_log_probs
            return of_logits(_logits(model, batch), batch.labels, temperature)
        of_hidden = token_log_probs_and_entropy if entropy else token_log_probs
        return of_hidden(anatomy, _hidden(anatomy, batch, model.dtype), batch.labels, temperature)

    planned = plan(queries, anatomy, budget, packed, mixed=model.device.type != "cpu")
    for number, rows in enumerate(planned, 1):
        batch = lay_out(queries, rows, model.device)
        if recompute and number < len(planned) and torch.is_grad_enabled():  # the last is the first to go back
            yield batch, _again(figures, batch)
        else:
            yield batch, figures(batch)


def _again(figures: Callable[[Batch], torch.Tensor], batch: Batch) -> torch.Tensor:
    """The figures without their graph, which the backward pass makes anew."""
    found: torch.Tensor = checkpoint(
        lambda _: figures(batch),
        batch.ids,  # says of which device the random state is kept, for dropout
        use_reentrant=False,
    )
    return found


def _hidden(anatomy: Anatomy, batch: Batch, dtype: torch.dtype) -> torch.Tensor:
    """Last hidden states at the positions with a label, (N, width)."""
    arguments: dict[str, Any] = {}
    if batch.packed:
        arguments = {"position_ids": batch.positions, "attention_mask": masks_of(anatomy, batch, dtype)}
    hidden: torch.Tensor = anatomy.backbone(input_ids=batch.ids, use_cache=False, **arguments)[0]
    return hidden.flatten(0, 1)[batch.where]


def _logits(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """By the model's own call, at the positions with a label: what virtual tokens put before them is cut off."""
    logits: torch.Tensor = model(input_ids=batch.ids, use_cache=False).logits[:, -batch.ids.shape[1] :]
    return logits.flatten(0, 1)[batch.where]


def _require_finite(
    model: PreTrainedModel,
    queries: Sequence[Query],
    batch: Batch,
    values: Sequence[float],
    *,
    temperature: float,
    where: Callable[[int, int], str],
) -> None:
    """Refuse what would silently become a reward or a figure, and name it."""
    bad = [(*owner, value) for owner, value in zip(batch.owners, values, strict=True) if not math.isfinite(value)]
    if not bad:
        return
    place, number, value = bad[0]
    # A branch that is masked counts 0 times, and 0 times NaN is NaN: only alone has each just its own faults.
    with torch.no_grad():
        for alone, sums in _scored(model, [queries[place]], None, False, temperature):
            faults = [(owner[1], found) for owner, found in zip(alone.owners, sums.tolist(), strict=True)]
            number, value = next((fault for fault in faults if not math.isfinite(fault[1])), (number, value))
    raise ScoringError(
        f"{where(place, number)} has the log-probability {value}: the weights or their dtype are at fault. Try float32."
    )


def _where(place: int, number: int) -> str:
    return f"Continuation {number} of query {place}"
