"""Which continuations share a row: what was measured on SmolLM2 to be the fastest, and what the budget allows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.scoring_models import forward_passes, tiny

from popi_sdk.scoring import Query, score_queries
from popi_sdk.scoring.anatomy import dissect
from popi_sdk.scoring.layout import lay_out
from popi_sdk.scoring.logprobs import token_log_probs
from popi_sdk.scoring.masks import masks_of
from popi_sdk.scoring.plan import plan


def _query(prefix: int, count: int, length: int) -> Query:
    return Query((5,) * prefix, ((6,) * length,) * count)


def _shares(query: Query, width: int = 576, budget: int = 2048, **options: Any) -> list[int]:
    """How many continuations each row holds, for a model as wide as SmolLM2."""
    anatomy = dissect(tiny("llama", hidden_size=width, num_attention_heads=9, num_key_value_heads=3, head_dim=8))
    return [
        len(row.numbers) for batch in plan([query], anatomy, budget, options.get("packed", "auto")) for row in batch
    ]


@pytest.mark.parametrize(
    ("query", "shares"),
    [
        (_query(100, 2, 60), [2]),
        (_query(600, 2, 60), [2]),
        (_query(400, 8, 40), [8]),
        (_query(100, 8, 100), [4, 4]),  # measured: 2.24 s against 2.81 s alone and 2.41 s in one row
        (_query(10, 8, 100), [1] * 8),  # 1.65 s alone, 2.14 s in one row
        (_query(20, 2, 150), [1, 1]),  # 0.65 s alone, 0.69 s in one row
        (_query(500, 1, 60), [1]),
        (_query(500, 0, 60), []),
    ],
)
def test_auto_takes_what_was_measured_to_be_fastest(query: Query, shares: list[int]) -> None:
    assert _shares(query) == shares


def test_the_budget_splits_a_query() -> None:
    assert _shares(_query(100, 16, 60)) == [6, 6, 4]  # measured: 4, 4, 4, 4 and 8, 8 alike, 16 and 1 slower
    assert _shares(_query(100, 16, 60), budget=400) == [4] * 4


def test_a_prefix_that_alone_exceeds_the_budget_is_still_shared() -> None:
    assert _shares(_query(1000, 2, 60), budget=500) == [2]
    assert _shares(_query(100, 16, 60), budget=1) == [3] * 5 + [1]  # 99 + 3 * 60 keeps within twice 159


def test_what_the_caller_wants() -> None:
    assert _shares(_query(10, 8, 100), packed=True) == [8]
    assert _shares(_query(400, 8, 40), packed=False) == [1] * 8


def test_auto_is_taken_by_the_model() -> None:
    model = tiny("llama")
    with forward_passes(model) as passes:
        score_queries(model, [_query(60, 4, 3), _query(2, 1, 5), _query(60, 1, 3)])
    assert passes == [(torch.Size([1, 59 + 4 * 3]), True), (torch.Size([2, 59 + 3]), False)]


def test_mixed_rows_take_fewer_passes_and_give_the_same() -> None:
    model = tiny("llama")
    anatomy = dissect(model)
    queries = [_query(40, 2, 5), _query(3, 1, 9), _query(2, 2, 30)]
    apart = plan(queries, anatomy, 2048, "auto")
    mixed = plan(queries, anatomy, 2048, "auto", mixed=True)
    assert (len(apart), len(mixed)) == (2, 1)
    assert sorted((row.place, row.numbers) for batch in apart for row in batch) == sorted(
        (row.place, row.numbers) for row in mixed[0]
    )
    batch = lay_out(queries, mixed[0], "cpu")
    assert batch.packed
    with torch.no_grad():
        hidden = anatomy.backbone(
            input_ids=batch.ids, position_ids=batch.positions, attention_mask=masks_of(anatomy, batch, model.dtype)
        )[0].flatten(0, 1)[batch.where]
        found = torch.zeros(len(batch.owners)).index_add(
            0, batch.segment, token_log_probs(anatomy, hidden, batch.labels)
        )
    wanted = score_queries(model, queries, packed=False)
    assert found.tolist() == pytest.approx([wanted[place][number] for place, number in batch.owners], abs=1e-4)
