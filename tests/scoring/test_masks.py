"""Masks as the attention wants them; a shared prefix is computed as plain causal attention, and nothing changes."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from support.scoring_models import ids, tiny
from torch.nn.functional import scaled_dot_product_attention

from popi_sdk.scoring import Query, masks, score_naive, score_queries_with_grad
from popi_sdk.scoring.anatomy import Anatomy, dissect
from popi_sdk.scoring.layout import Batch, Row, lay_out
from popi_sdk.scoring.masks import SharedMask, masks_of


def _batch(device: str = "cpu") -> Batch:
    queries = [Query((5,) * 140, ((6, 7), (8, 9, 4))), Query((5,) * 130, ((6,), (8,)))]
    return lay_out(queries, [Row(0, (0, 1), queries[0].tokens), Row(1, (0, 1), queries[1].tokens)], device)


def _anatomy(kind: str = "llama", attention: str = "sdpa") -> Anatomy:
    anatomy = dissect(tiny(kind, attention))
    assert anatomy is not None
    return anatomy


def _mask(anatomy: Anatomy, batch: Batch) -> torch.Tensor:
    mask = masks_of(anatomy, batch, torch.bfloat16)
    assert isinstance(mask, torch.Tensor)
    return mask


def test_each_attention_gets_what_it_reads() -> None:
    cpu, other = _batch(), _batch("meta")
    assert _mask(_anatomy(), other).dtype == torch.bool
    assert _mask(_anatomy("llama", "eager"), other).dtype == torch.bfloat16
    eager, shared, window = (
        _mask(_anatomy("llama", "eager"), cpu),
        _mask(_anatomy(), cpu),
        _mask(_anatomy("mistral"), cpu),
    )
    assert type(eager) is type(window) is torch.Tensor
    assert isinstance(shared, SharedMask)
    assert shared.shared == 129
    assert torch.equal(shared.as_subclass(torch.Tensor), eager)
    assert torch.equal(eager == 0, cpu.mask())


def test_each_kind_of_layer_gets_its_own() -> None:
    found = masks_of(_anatomy("gemma3"), _batch(), torch.float32)
    assert isinstance(found, dict)
    assert {kind: type(mask) for kind, mask in found.items()} == {
        "full_attention": SharedMask,
        "sliding_attention": torch.Tensor,
    }


def test_short_prefixes_are_not_split() -> None:
    query = Query((5,) * 20, ((6, 7), (8,)))
    assert type(_mask(_anatomy(), lay_out([query], [Row(0, (0, 1), query.tokens)], "cpu"))) is torch.Tensor


def test_attention_with_a_shared_mask_is_attention_with_its_mask() -> None:
    batch = _batch()
    mask = masks_of(_anatomy("llama", "eager"), batch, torch.float64)
    generator = torch.Generator().manual_seed(0)
    shape = (3, 2, 2, batch.ids.shape[1], 4)
    inputs = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
    results = []
    for tried in (mask, SharedMask.of(mask, batch.shared), SharedMask.of(mask, batch.shared).detach()):
        result = scaled_dot_product_attention(*inputs, attn_mask=tried, dropout_p=0.0, scale=0.3, is_causal=False)
        assert type(result) is torch.Tensor
        results.append((result, *torch.autograd.grad(result.square().sum(), inputs)))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


def test_what_is_made_of_it_is_a_plain_mask() -> None:
    made = SharedMask.of(torch.zeros(1, 1, 4, 4), 3)[:, :, :2]
    assert getattr(made, "shared", 0) == 0


@pytest.mark.parametrize("checkpointing", [None, True, False])
@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2", "gemma3", "gpt_neox"])
def test_models_give_what_the_naive_loop_gives(
    kind: str, checkpointing: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(1)
    queries = [
        Query(ids(rng, 140), (ids(rng, 9), ids(rng, 4), ids(rng, 6))),
        Query(ids(rng, 133), (ids(rng, 5), ids(rng, 5))),
    ]
    options: dict[str, Any] = {"resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0} if kind == "gpt2" else {}
    model = tiny(kind, **options)
    split: list[int] = []
    original = masks._attend

    def attend(*args: Any) -> torch.Tensor:
        split.append(args[2])
        return original(*args)

    monkeypatch.setattr(masks, "_attend", attend)
    expected = torch.cat([torch.stack(row) for row in score_naive(model, queries)])
    wanted = torch.autograd.grad(expected.sum(), list(model.parameters()))
    assert split == []
    if checkpointing is not None:
        model.train().activation_checkpointing_enable({"use_reentrant": checkpointing})
    scores = torch.cat(score_queries_with_grad(model, queries, packed=True))
    model.zero_grad()
    scores.sum().backward()
    assert 132 in split
    assert ((scores - expected).abs() <= 1e-6 * expected.abs() + 1e-4).all()
    for parameter, want in zip(model.parameters(), wanted, strict=True):
        assert torch.linalg.norm(parameter.grad - want) <= 1e-5 * torch.linalg.norm(want) + 1e-5
