"""Log-probabilities of labels: against torch's own log-softmax, and never more logits at once than the bound."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support.scoring_models import VOCABULARY, corner_queries, tiny

from popi_sdk.scoring import logprobs, score_queries, score_queries_with_grad, score_tokens
from popi_sdk.scoring.anatomy import dissect
from popi_sdk.scoring.logprobs import label_log_probs, log_probs_and_entropy, token_log_probs


def _scores(rows: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    scores = 5 * torch.randn(rows, 50, generator=generator, dtype=torch.float64)
    return scores.to(dtype), torch.randint(50, (rows,), generator=generator)


def test_by_hand() -> None:
    # Two equal logits: ln 1/2. Logits ln 1, ln 3 at temperature 1: 3/4; at temperature 1/2 they count twice: 9/10.
    scores = torch.tensor([[0.0, 0.0], [0.0, 3.0]]).log1p().double()
    scores[1] = torch.tensor([1.0, 3.0]).double().log()
    labels = torch.tensor([1, 1])
    assert label_log_probs(scores, labels).exp().tolist() == pytest.approx([0.5, 0.75])
    assert label_log_probs(scores, labels, 0.5).exp().tolist() == pytest.approx([0.5, 0.9])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_widened_to_float32(dtype: torch.dtype) -> None:
    scores, labels = _scores(7, dtype)
    values = label_log_probs(scores, labels)
    assert values.dtype == torch.float32
    expected = scores.float().log_softmax(-1).gather(-1, labels[:, None])[:, 0]
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 4, 9])
def test_slices_change_nothing(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "_SLICE", 4 * 50)
    scores, labels = _scores(rows, torch.float64)
    scores.requires_grad_()
    assert torch.autograd.gradcheck(lambda scores: label_log_probs(scores, labels, 0.7), scores)


def test_entropy_by_hand() -> None:
    # Of 1/2, 1/2: ln 2. Of 1/4, 3/4: ln 4 - 3/4 ln 3. At temperature 1/2 the latter is 1/10, 9/10.
    scores = torch.tensor([[1.0, 1.0], [1.0, 3.0]]).double().log()
    labels = torch.tensor([0, 1])
    log_probs, entropy = log_probs_and_entropy(scores, labels).unbind(-1)
    assert log_probs.exp().tolist() == pytest.approx([0.5, 0.75])
    assert entropy.tolist() == pytest.approx([math.log(2), math.log(4) - 0.75 * math.log(3)])
    sharper = log_probs_and_entropy(scores, labels, 0.5)[1]
    assert sharper.tolist() == pytest.approx([math.log(0.9), math.log(10) - 0.9 * math.log(9)])


@pytest.mark.parametrize("rows", [1, 3, 9])
def test_gradients_of_log_probs_and_entropy(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "_SLICE", 4 * 50)
    scores, labels = _scores(rows, torch.float64)
    scores.requires_grad_()
    assert torch.autograd.gradcheck(lambda scores: log_probs_and_entropy(scores, labels, 0.7), scores)


@pytest.mark.parametrize("family", ["llama", "gpt2", "unknown"])
@pytest.mark.parametrize("packed", ["auto", False])
def test_tokens_add_up_to_what_responses_score(family: str, packed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if family == "unknown":  # read by the model's own call
        monkeypatch.setattr("popi_sdk.scoring.anatomy.FAMILIES", frozenset())
    model, queries = tiny("llama" if family == "unknown" else family), corner_queries()
    sums = score_queries(model, queries, temperature=0.6)
    tokens = score_tokens(model, queries, temperature=0.6, packed=packed)
    assert any(piece.requires_grad for row in tokens for piece in row)
    for query, row, expected in zip(queries, tokens, sums, strict=True):
        assert [tuple(piece.shape) for piece in row] == [(len(one), 2) for one in query.continuations]
        assert [piece[:, 0].sum().item() for piece in row] == pytest.approx(expected, rel=1e-5, abs=1e-4)
        assert all((piece[:, 1] > 0).all() and (piece[:, 1] < math.log(VOCABULARY)).all() for piece in row)
    with torch.no_grad():
        assert not any(piece.requires_grad for row in score_tokens(model, queries) for piece in row)


@pytest.mark.parametrize("family", ["llama", "gpt2", "unknown"])
def test_of_several_passes_one_graph_is_held(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if family == "unknown":
        monkeypatch.setattr("popi_sdk.scoring.anatomy.FAMILIES", frozenset())
    model, queries = tiny("llama" if family == "unknown" else family), corner_queries()
    parameters = [one for one in model.parameters() if one.requires_grad]
    held: dict[bool, int] = {}
    gradients = []
    for recompute in (False, True):
        sizes: list[int] = []

        def note(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(0 if isinstance(tensor, torch.nn.Parameter) else tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            rows = score_tokens(model, queries, token_budget=1, recompute=recompute)
        held[recompute] = sum(sizes)
        total = torch.stack([(piece[:, 0] * piece[:, 1]).sum() for row in rows for piece in row]).sum()
        gradients.append(torch.autograd.grad(total, parameters, allow_unused=True))
    assert len(queries) > 4
    assert held[True] < held[False] / 3
    for plain, again in zip(*gradients, strict=True):
        assert (plain is None) == (again is None)
        if plain is not None:
            assert torch.equal(plain, again)


def test_logits_are_not_changed() -> None:
    scores, labels = _scores(3)
    before = scores.clone()
    scores.requires_grad_()
    label_log_probs(scores, labels, 0.5).sum().backward()
    assert torch.equal(scores.detach(), before)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rows may be held, two are computed at once."""
    monkeypatch.setattr(logprobs, "LOGITS", 4 * VOCABULARY)
    monkeypatch.setattr(logprobs, "CHUNK", 2 * VOCABULARY)


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("count", [1, 4, 5, 12])
def test_chunks_keep_the_bound_and_the_result(count: int, softcap: float | None) -> None:
    model = tiny("gemma3", final_logit_softcapping=softcap)
    anatomy = dissect(model)
    assert anatomy is not None
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(count, 32, generator=generator, requires_grad=True)
    labels = torch.randint(VOCABULARY, (count,), generator=generator)
    scores = model.lm_head(hidden)
    scores = scores if softcap is None else torch.tanh(scores / softcap) * softcap
    expected = scores.log_softmax(-1).gather(-1, labels[:, None])[:, 0]
    (wanted,) = torch.autograd.grad(expected.sum(), hidden)
    seen: list[int] = []
    model.lm_head.register_forward_hook(lambda module, args, output: seen.append(output.shape[0]))
    values = token_log_probs(anatomy, hidden, labels)
    assert max(seen) == (count if count <= 4 else 2)
    assert sum(seen) == count
    (found,) = torch.autograd.grad(values.sum(), hidden)
    assert sum(seen) == (count if count <= 4 else 2 * count)
    seen.clear()
    with torch.no_grad():
        torch.testing.assert_close(token_log_probs(anatomy, hidden, labels), expected)
    assert max(seen) <= 2
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(found, wanted)


def test_a_bound_below_one_row_takes_rows_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "LOGITS", 1)
    monkeypatch.setattr(logprobs, "CHUNK", 1)
    anatomy = dissect(tiny("llama"))
    assert anatomy is not None
    values = token_log_probs(anatomy, torch.randn(3, 32), torch.tensor([1, 2, 3]))
    assert values.shape == (3,)


def test_the_head_sees_only_positions_with_a_label() -> None:
    model = tiny("llama")
    queries = corner_queries()
    seen: list[int] = []
    handle = model.lm_head.register_forward_hook(lambda module, args, output: seen.append(output.shape[0]))
    score_queries_with_grad(model, queries)
    handle.remove()
    assert sum(seen) == sum(len(continuation) for query in queries for continuation in query.continuations)
