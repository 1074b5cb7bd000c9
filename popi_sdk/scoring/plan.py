"""Which continuations share a row, and which rows a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from ..errors import ConfigurationError
from .anatomy import Anatomy
from .layout import Row
from .masks import WORTH_SPLITTING
from .query import Query, bucketed

__all__ = ["budget_for", "plan"]

_ON_CPU, _ON_GPU = 2_048, 8_192


def budget_for(device: torch.device, token_budget: int | None = None) -> int:
    """Most positions of one forward pass, padding included.

    Args:
        device: Where the model is. On a CPU, SmolLM2 in bfloat16 was measured to take a quarter longer with 8,192
            positions at once than with 1,000 to 2,000: what the layers hand on no longer fits the cache.
        token_budget: What the caller wants; None for what suits the device.

    Raises:
        ConfigurationError: If it is not positive.
    """
    if token_budget is None:
        return _ON_CPU if device.type == "cpu" else _ON_GPU
    if token_budget < 1:
        raise ConfigurationError(f"token_budget={token_budget} leaves no room. Use 2048, or None.")
    return token_budget


def plan(
    queries: Sequence[Query],
    anatomy: Anatomy | None,
    token_budget: int,
    packed: bool | Literal["auto"],
    *,
    mixed: bool = False,
) -> list[list[Row]]:
    """Rows for all continuations, in batches of similar length.

    Args:
        queries: What is scored.
        anatomy: Of the model; None if its family is not known.
        token_budget: Most positions of a batch, padding included; a row that must be longer stands alone.
        packed: True: one row for each query; False: one for each continuation; auto: what costs less.
        mixed: Whether rows with one continuation may wait behind the mask of the others: fewer passes, for a GPU.

    Raises:
        ConfigurationError: If rows must be packed and the model cannot read them.
    """
    packs = anatomy is not None and anatomy.packs
    if packed is True and not packs:
        raise ConfigurationError(
            "This model's attention does not take packed rows. Load it with attn_implementation='sdpa', or leave "
            "packed='auto'."
        )
    together: list[Row] = []
    alone: list[Row] = []
    for place, query in enumerate(queries):
        count = len(query.continuations)
        share = count if packed is True else 1
        if packed == "auto" and packs and count > 1:
            share = _best_share(query, token_budget, anatomy.pair_cost if anatomy else 0.0)
        for start in range(0, count, max(1, share)):
            row = _row(place, query, range(start, min(start + share, count)))
            (together if len(row.numbers) > 1 else alone).append(row)
    return [
        [rows[index] for index in batch]
        for rows in ((together + alone,) if mixed and together else (together, alone))
        for batch in bucketed([row.length for row in rows], token_budget)
    ]


def _row(place: int, query: Query, numbers: range) -> Row:
    length = len(query.prefix) - 1 + sum(len(query.continuations[number]) for number in numbers)
    return Row(place, tuple(numbers), length)


def _best_share(query: Query, token_budget: int, pair_cost: float) -> int:
    """How many continuations a row should hold: more share the prefix, and more wait masked in each other's rows."""
    count = len(query.continuations)
    prefix = len(query.prefix) - 1
    # The longest sequence must be read in any case: sharing may take twice its memory where the budget is smaller.
    most = max(token_budget, 2 * (prefix + max(map(len, query.continuations))))
    costs: dict[int, float] = {}
    for share in {-(-count // rows) for rows in range(1, count + 1)}:
        lengths = [_row(0, query, range(start, min(start + share, count))).length for start in range(0, count, share)]
        if share == 1 or max(lengths) <= most:
            costs[share] = sum(length + pair_cost * _pairs(length, prefix, share) for length in lengths)
    return min(sorted(costs), key=costs.__getitem__)


def _pairs(length: int, prefix: int, share: int) -> float:
    """How many pairs of positions attention looks at: without a mask it skips what lies ahead, half of them."""
    causal = length if share == 1 else prefix if prefix >= WORTH_SPLITTING else 0
    return causal**2 / 2 + (length - causal) * length
