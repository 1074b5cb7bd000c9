"""Texts: the order of the requests, shared prompts, progress, and what is refused by name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from support.scoring_models import forward_passes
from support.tiny_models import tiny_model, tiny_tokenizer

from popi_sdk.errors import ScoringError
from popi_sdk.messages import Message
from popi_sdk.models.causal_lm import CausalLM
from popi_sdk.scoring import Query, ResponseScore, Scorer, ScoringRequest, score_queries


@pytest.fixture(scope="module")
def model() -> CausalLM:
    return CausalLM(tiny_model("llama"), tiny_tokenizer(), name="tiny", identity="tiny")


def _ask(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


DNS = _ask("Explain DNS to me.")
REQUESTS = [
    ScoringRequest(DNS, ("A phone book.", "It turns names into addresses.")),
    ScoringRequest(_ask("Name three colours."), ("red, green, blue.",)),
    ScoringRequest(DNS, ("", "A phone book.")),
    ScoringRequest(_ask("What is a firewall?"), ()),
]


def test_scores_are_those_of_the_token_ids(model: CausalLM) -> None:
    results = Scorer(model).score(REQUESTS)
    assert [len(row) for row in results] == [2, 1, 2, 0]
    for request, row in zip(REQUESTS, results, strict=True):
        for response, score in zip(request.responses, row, strict=True):
            ids = tuple(model.encode_response(response))
            prefix = tuple(model.encode_prompt(request.messages))
            ((expected,),) = score_queries(model.model, [Query(prefix, (ids,))])
            assert score.log_prob == pytest.approx(expected, abs=1e-4)
            assert score.tokens == len(ids)
            assert score.per_token == score.log_prob / len(ids)


def test_a_response_without_text_is_its_end_token(model: CausalLM) -> None:
    ((score,),) = Scorer(model).score([ScoringRequest(DNS, ("",))])
    assert score.tokens == 1
    assert score.log_prob < 0


def test_equal_prompts_and_responses_are_computed_once(model: CausalLM) -> None:
    with forward_passes(model.model) as passes:
        results = Scorer(model).score([REQUESTS[0], REQUESTS[2]])
    prefix = model.encode_prompt(DNS)
    responses = {"A phone book.", "It turns names into addresses.", ""}
    assert [shape[0] for shape, _ in passes] == [1]
    assert passes[0][0][1] == len(prefix) - 1 + sum(len(model.encode_response(text)) for text in responses)
    assert results[0][0] == results[1][1]


@pytest.mark.parametrize("token_budget", [1, 60, 8192])
def test_progress(model: CausalLM, token_budget: int) -> None:
    reports: list[tuple[int, int]] = []
    results = Scorer(model, token_budget=token_budget).score(
        REQUESTS, lambda done, total: reports.append((done, total))
    )
    assert reports[-1] == (5, 5)
    assert reports == sorted(set(reports))
    assert results[1][0].log_prob == pytest.approx(Scorer(model).score(REQUESTS)[1][0].log_prob, abs=1e-4)


def test_nothing_to_score(model: CausalLM) -> None:
    reports: list[tuple[int, int]] = []
    assert Scorer(model).score([], lambda done, total: reports.append((done, total))) == []
    assert reports == []


def test_two_megabytes_are_refused_at_once(model: CausalLM) -> None:
    started = time.perf_counter()
    with pytest.raises(ScoringError, match=r"Response 1 of request 0 has 2,000,000 characters, .* reads 256 tokens"):
        Scorer(model).score([ScoringRequest(DNS, ("short", "b" * 2_000_000))])
    with pytest.raises(ScoringError, match="The prompt of request 0 has 2,000,000 characters"):
        Scorer(model).score([ScoringRequest(_ask("b" * 2_000_000), ("short",))])
    assert time.perf_counter() - started < 1


def test_a_response_that_does_not_fit_is_named(model: CausalLM) -> None:
    long = "red, green, blue. " * 60
    with pytest.raises(ScoringError, match=r"Response 0 of request 1 does not fit: .* the model reads 256"):
        Scorer(model).score([REQUESTS[0], ScoringRequest(DNS, (long,))])


class _Raw:
    """A model without a chat template: ids are bytes."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.max_length = 256

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        return list(messages[-1]["content"].encode())

    def encode_response(self, text: str) -> list[int]:
        return list(text.encode())


def test_any_object_with_these_four_will_do() -> None:
    ((score,),) = Scorer(_Raw(tiny_model("qwen2"))).score([ScoringRequest(_ask("ab"), ("cd",))])
    assert score == ResponseScore(score.log_prob, 2)


def test_what_encodes_to_nothing_is_named() -> None:
    scorer = Scorer(_Raw(tiny_model("llama")))
    with pytest.raises(ScoringError, match="The prompt of request 1 is empty"):
        scorer.score([ScoringRequest(_ask("ab"), ("c",)), ScoringRequest(_ask(""), ("c",))])
    with pytest.raises(ScoringError, match="Response 1 of request 0 is empty"):
        scorer.score([ScoringRequest(_ask("ab"), ("c", ""))])


def test_what_is_not_finite_is_named_as_it_was_asked() -> None:
    model = tiny_model("llama", tie_word_embeddings=False)
    with torch.no_grad():
        model.model.embed_tokens.weight[ord("~")] = float("nan")
    with pytest.raises(ScoringError, match="Response 1 of request 2 has the log-probability nan"):
        Scorer(_Raw(model)).score(
            [
                ScoringRequest(_ask("a longer prompt than the other"), ("fine", "good")),
                ScoringRequest(_ask("ab"), ()),
                ScoringRequest(_ask("a prompt of some length"), ("fine", "b~d", "also")),
            ]
        )
