"""Packed or not, in any batch, with and without gradients: what the naive loop over the plain model call gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from support.scoring_models import CONFIGS, corner_queries, forward_passes, tiny

from popi_sdk.scoring import Query, score_naive, score_queries, score_queries_with_grad

QUERIES = corner_queries()
WEIGHTS = torch.linspace(-1, 2, sum(len(query.continuations) for query in QUERIES))


def close(values: Sequence[Sequence[float]], expected: Sequence[Sequence[float]]) -> None:
    """The bound of the project: 1e-6 of the sum, and 1e-4."""
    assert [len(row) for row in values] == [len(row) for row in expected]
    for row, wanted in zip(values, expected, strict=True):
        for value, want in zip(row, wanted, strict=True):
            assert abs(value - want) <= 1e-6 * abs(want) + 1e-4


def naive(model: Any, queries: Sequence[Query] = QUERIES, **options: Any) -> list[list[float]]:
    with torch.no_grad():
        return [[value.item() for value in row] for row in score_naive(model, queries, **options)]


def gradients(model: Any, scores: Sequence[Any]) -> dict[str, torch.Tensor]:
    """Of a weighted sum of all scores, by parameter."""
    flat = torch.cat([torch.stack(list(row)) if len(row) else torch.zeros(0) for row in scores])
    model.zero_grad()
    (flat * WEIGHTS).sum().backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def same_gradients(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert found
    for name, value in wanted.items():
        assert torch.linalg.norm(found[name] - value) <= 1e-5 * torch.linalg.norm(value) + 1e-5, name


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", CONFIGS)
def test_sums_and_gradients(kind: str, attention: str) -> None:
    model = tiny(kind, attention)
    expected = naive(model)
    wanted = gradients(model, score_naive(model, QUERIES))
    for packed in (True, False):
        with forward_passes(model) as passes:
            close(score_queries(model, QUERIES, packed=packed), expected)
            scores = score_queries_with_grad(model, QUERIES, packed=packed)
        assert any(masked for _, masked in passes) == packed
        close([row.tolist() for row in scores], expected)
        assert all(row.dtype == torch.float32 for row in scores)
        same_gradients(gradients(model, scores), wanted)


@pytest.mark.parametrize("kind", ["qwen2-sliding", "gemma3", "mistral"])
def test_the_window_decides_what_these_models_say(kind: str) -> None:
    """Else their equality above would say nothing about the mask."""
    narrow, wide = tiny(kind), tiny(kind, sliding_window=200)
    wide.load_state_dict(narrow.state_dict())
    query = QUERIES[5:6]
    difference = torch.tensor(naive(narrow, query)) - torch.tensor(naive(wide, query))
    assert difference.abs().max() > 0.1


@pytest.mark.parametrize("token_budget", [1, 40, 64, 8192])
@pytest.mark.parametrize("packed", [True, False, "auto"])
def test_the_budget_changes_batches_and_no_result(token_budget: int, packed: Any) -> None:
    model = tiny("llama")
    with forward_passes(model) as passes:
        scores = score_queries(model, QUERIES, token_budget=token_budget, packed=packed)
    close(scores, naive(model))
    for shape, _ in passes:
        assert shape[0] == 1 or shape.numel() <= token_budget
    if token_budget == 8192:
        assert len(passes) <= 2


@pytest.mark.parametrize("temperature", [0.6, 2.0])
@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_temperature(kind: str, temperature: float) -> None:
    model = tiny(kind)
    expected = naive(model, temperature=temperature)
    close(score_queries(model, QUERIES, temperature=temperature), expected)
    scores = score_queries_with_grad(model, QUERIES, temperature=temperature)
    same_gradients(gradients(model, scores), gradients(model, score_naive(model, QUERIES, temperature=temperature)))
    assert abs(expected[0][0] - naive(model)[0][0]) > 0.1


def test_results_stand_in_the_order_of_the_queries() -> None:
    model = tiny("llama")
    turned = [Query(query.prefix, query.continuations[::-1]) for query in QUERIES[::-1]]
    close(score_queries(model, turned), [row[::-1] for row in naive(model)[::-1]])


def test_the_end_token_counts() -> None:
    """log pi(y, end | x) = log pi(y|x) + log pi(end | x, y)."""
    model = tiny("qwen3")
    prefix, response, end = (5, 6, 7), (8, 9), (2,)
    whole, start, last = score_queries(
        model, [Query(prefix, (response + end,)), Query(prefix, (response,)), Query(prefix + response, (end,))]
    )
    assert whole[0] == pytest.approx(start[0] + last[0], abs=1e-4)


def test_probabilities_of_all_next_tokens_sum_to_one() -> None:
    model = tiny("gpt2")
    (values,) = score_queries(model, [Query((5, 6, 7), tuple((token,) for token in range(300)))], packed=True)
    assert torch.tensor(values).exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3"])
def test_gradient_checkpointing(kind: str, reentrant: bool, mode: str) -> None:
    model = tiny(kind, **({"resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0} if kind == "gpt2" else {}))
    expected = gradients(model, score_naive(model, QUERIES))
    model.train(mode == "train")
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    scores = score_queries_with_grad(model, QUERIES, packed=True)
    same_gradients(gradients(model, scores), expected)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_autocast(attention: str) -> None:
    model = tiny("llama", attention)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = score_queries_with_grad(model, QUERIES, packed=True)
        expected = naive(model)
    for row, wanted in zip(scores, expected, strict=True):
        assert row.tolist() == pytest.approx(wanted, rel=0.02, abs=0.3)
    assert gradients(model, scores)


def test_bfloat16() -> None:
    model = tiny("llama").bfloat16()
    scores = score_queries_with_grad(model, QUERIES, packed=True)
    for row, wanted in zip(scores, naive(model), strict=True):
        assert row.tolist() == pytest.approx(wanted, rel=0.05, abs=0.5)
    assert all(value.dtype == torch.bfloat16 for value in gradients(model, scores).values())


def test_float64_stays_float64_inside() -> None:
    model = tiny("llama").double()
    (first, *_), *_ = score_queries(model, QUERIES)
    assert first == pytest.approx(naive(model)[0][0], abs=1e-5)
