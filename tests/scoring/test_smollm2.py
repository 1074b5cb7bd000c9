"""The default model itself: packed rows give what its plain call gives, and prefer what is sensible."""

from __future__ import annotations

import pytest
import torch
from support.scoring_models import forward_passes

from popi_sdk.models.causal_lm import CausalLM, load_causal_lm
from popi_sdk.scoring import Query, Scorer, ScoringRequest, score_naive, score_queries, score_queries_with_grad


@pytest.fixture(scope="module")
def smollm2(gguf: object) -> CausalLM:
    return load_causal_lm(dtype="float32", device="cpu")


def _query(model: CausalLM) -> Query:
    prompt = model.encode_prompt([{"role": "user", "content": "What is DNS? Keep it short, and use everyday words."}])
    answers = ("The phone book of the internet.", "It is a system which maps names to addresses.", "Bananas are blue.")
    return Query(tuple(prompt), tuple(tuple(model.encode_response(answer)) for answer in answers))


def test_packed_rows_give_what_the_plain_call_gives(smollm2: CausalLM) -> None:
    query = _query(smollm2)
    with torch.no_grad():
        expected = [value.item() for value in score_naive(smollm2.model, [query])[0]]
    with forward_passes(smollm2.model) as passes:
        (values,) = score_queries(smollm2.model, [query])
        (tensor,) = score_queries_with_grad(smollm2.model, [query])
    assert [masked for _, masked in passes] == [True, True]
    for value, other, want in zip(values, tensor.tolist(), expected, strict=True):
        assert abs(value - want) <= 1e-6 * abs(want) + 1e-4
        assert abs(other - want) <= 1e-6 * abs(want) + 1e-4
    names = (
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.k_proj.weight",
        "model.layers.29.mlp.up_proj.weight",
    )
    parameters = [smollm2.model.get_parameter(name) for name in names]
    found = torch.autograd.grad(tensor.sum(), parameters)
    wanted = torch.autograd.grad(torch.stack(score_naive(smollm2.model, [query])[0]).sum(), parameters)
    for value, want in zip(found, wanted, strict=True):
        assert torch.linalg.norm(value - want) <= 1e-4 * torch.linalg.norm(want)


def test_texts(smollm2: CausalLM) -> None:
    prompt = [{"role": "user", "content": "What is the capital of France?"}]
    ((right, wrong),) = Scorer(smollm2).score(
        [ScoringRequest(prompt, ("The capital of France is Paris.", "The capital of France is Bread."))]
    )
    assert right.log_prob > wrong.log_prob + 5
    assert right.tokens == len(smollm2.encode_response("The capital of France is Paris."))
