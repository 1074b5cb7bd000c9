"""Models with adapters, of families that are not known, with attention that takes no mask: exact, or refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from support.scoring_models import SIZES, corner_queries, forward_passes, tiny
from transformers import AutoModelForCausalLM, FalconH1Config, MambaConfig, MixtralConfig, Qwen3NextConfig

from popi_sdk.errors import ConfigurationError, ScoringError
from popi_sdk.scoring import Query, score_naive, score_queries, score_queries_with_grad
from popi_sdk.scoring.anatomy import dissect
from popi_sdk.scoring.plan import budget_for

# peft asks transformers for what it calls deprecated, and warns of heads tied to embeddings.
pytestmark = pytest.mark.filterwarnings("ignore:.*_checkpointing:FutureWarning", "ignore:.*tie:UserWarning")

QUERIES = corner_queries()
PAIR = Query(tuple(range(10, 40)), ((5, 6, 7), (8, 9)))


def _check(model: Any) -> None:
    """Sums and gradients are those of the naive loop."""
    scores = score_queries_with_grad(model, QUERIES)
    expected = score_naive(model, QUERIES)
    for row, wanted in zip(scores, expected, strict=True):
        for value, want in zip(row.tolist(), wanted, strict=True):
            assert abs(value - want.item()) <= 1e-6 * abs(want.item()) + 1e-4
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    found = torch.autograd.grad(torch.cat(scores).sum(), parameters.values(), allow_unused=True)
    flat = torch.stack([value for row in expected for value in row])
    wanted_gradients = torch.autograd.grad(flat.sum(), parameters.values(), allow_unused=True)
    for name, value, want in zip(parameters, found, wanted_gradients, strict=True):
        assert (value is None) == (want is None), name
        if value is not None:
            assert torch.linalg.norm(value - want) <= 1e-5 * torch.linalg.norm(want) + 1e-5, name
    assert any(value is not None and value.abs().max() > 0 for value in found)


def _lora(model: Any, **options: Any) -> Any:
    wrapped = get_peft_model(model, LoraConfig(r=2, task_type="CAUSAL_LM", init_lora_weights=False, **options))
    return wrapped.eval()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3", "mistral"])
def test_lora(kind: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        gpt2 = kind == "gpt2"
        model = _lora(tiny(kind), target_modules=["c_attn"] if gpt2 else ["q_proj", "v_proj"], fan_in_fan_out=gpt2)
    with forward_passes(model) as passes:
        adapted = score_queries(model, [PAIR], packed=True)
        with model.disable_adapter():
            base = score_queries(model, [PAIR])
    assert all(masked for _, masked in passes)
    assert base == score_queries(tiny(kind), [PAIR])
    assert abs(adapted[0][0] - base[0][0]) > 0.01
    _check(model)


@pytest.mark.parametrize(
    "options", [{"target_modules": ["q_proj", "lm_head"]}, {"modules_to_save": ["lm_head"]}], ids=["adapted", "copied"]
)
def test_lora_on_the_head(options: dict[str, Any]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _check(_lora(tiny("llama"), **{"target_modules": ["q_proj"], **options}))


def test_lora_with_gradient_checkpointing() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _lora(tiny("llama"), target_modules=["q_proj", "v_proj"])
    scores = score_queries_with_grad(model, QUERIES)
    wanted = torch.autograd.grad(torch.cat(scores).sum(), [p for p in model.parameters() if p.requires_grad])
    core = model.get_base_model()
    core.activation_checkpointing_enable({"use_reentrant": False})
    model.train()
    scores = score_queries_with_grad(model, QUERIES)
    found = torch.autograd.grad(torch.cat(scores).sum(), [p for p in model.parameters() if p.requires_grad])
    for value, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(value, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [PromptTuningConfig, PrefixTuningConfig])
def test_virtual_tokens_go_through_the_models_own_call(config: Any) -> None:
    model = get_peft_model(tiny("llama"), config(task_type="CAUSAL_LM", num_virtual_tokens=3)).eval()
    assert dissect(model) is None
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.linspace(-3, 3, parameter.numel()).view_as(parameter))
    _check(model)
    assert score_queries(model, [PAIR])[0][0] != pytest.approx(score_queries(tiny("llama"), [PAIR])[0][0], abs=0.01)


SMALL = {key: SIZES[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "initializer_range")}
UNKNOWN = {
    "mamba": MambaConfig(**SMALL, state_size=4),
    "mixtral": MixtralConfig(**SIZES, num_local_experts=2),
    "qwen3_next": Qwen3NextConfig(
        **SIZES,
        head_dim=8,
        linear_num_value_heads=2,
        linear_num_key_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        layer_types=["linear_attention", "full_attention"],
        num_experts=2,
        num_experts_per_tok=1,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
    ),
    "falcon_h1": FalconH1Config(**SIZES, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_d_state=4),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_unknown_families_and_linear_attention_are_exact(kind: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(UNKNOWN[kind], dtype=torch.float32).eval()
    assert dissect(model) is None
    _check(model)
    with pytest.raises(ConfigurationError, match="packed='auto'"):
        score_queries(model, [PAIR], packed=True)


def test_a_known_family_with_a_layer_of_an_unknown_kind_is_not_packed() -> None:
    model = tiny("qwen3")
    model.config.layer_types = ["full_attention", "linear_attention"]
    anatomy = dissect(model)
    assert anatomy is not None
    assert not anatomy.packs


def test_flash_attention_takes_no_mask() -> None:
    model = tiny("llama")
    model.config._attn_implementation_internal = "flash_attention_2"
    anatomy = dissect(model)
    assert anatomy is not None
    assert not anatomy.packs
    with pytest.raises(ConfigurationError, match="attn_implementation='sdpa'"):
        score_queries(model, [PAIR], packed=True)


def test_a_model_without_packing_is_scored_row_by_row() -> None:
    model = tiny("qwen3", layer_types=["full_attention", "full_attention"])
    expected = score_queries(model, QUERIES)
    model.config.layer_types = ["full_attention", "new_attention"]
    model.model.config = tiny("qwen3").config
    with forward_passes(model) as passes:
        scores = score_queries(model, QUERIES)
    assert not any(masked for _, masked in passes)
    for row, want in zip(scores, expected, strict=True):
        assert row == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named(poison: float) -> None:
    model = tiny("llama", tie_word_embeddings=False)
    with torch.no_grad():
        model.model.embed_tokens.weight[77] = poison
    queries = [PAIR, Query((3, 4) * 9, ((5, 6), (9, 77, 6)))]
    assert len(score_queries(model, queries[:1])) == 1
    for score in (score_queries, score_queries_with_grad):
        with pytest.raises(ScoringError, match="Continuation 1 of query 1 has the log-probability nan"):
            score(model, queries)  # type: ignore[operator]


def test_what_does_not_fit_is_named() -> None:
    query = Query((5,) * 200, ((6,), (7,) * 57))
    for score in (score_queries, score_queries_with_grad):
        with pytest.raises(ScoringError, match=r"Continuation 1 of query 0 does not fit.* 257, .* the model reads 256"):
            score(tiny("gpt2"), [query])  # type: ignore[operator]
    assert len(score_queries(tiny("gpt2"), [Query((5,) * 200, ((6,), (7,) * 56))])[0]) == 2


def test_an_id_beyond_the_vocabulary_is_named() -> None:
    with pytest.raises(ScoringError, match="token id 300"):
        score_queries(tiny("llama"), [Query((5,), ((300,),))])


@pytest.mark.parametrize("options", [{"token_budget": 0}, {"temperature": 0.0}, {"temperature": float("nan")}])
def test_options_are_positive(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        score_queries(tiny("llama"), [PAIR], **options)


def test_the_budget_suits_the_device() -> None:
    assert budget_for(torch.device("cpu")) == 2048
    assert budget_for(torch.device("cuda")) == 8192
    assert budget_for(torch.device("cuda"), 7) == 7


def test_nothing_asked() -> None:
    model = tiny("llama")
    assert score_queries(model, []) == []
    assert score_queries(model, [Query((3,), ())]) == [[]]
    (nothing,) = score_queries_with_grad(model, [Query((3,), ())])
    assert nothing.shape == (0,)


def test_the_mode_and_gradients_of_the_caller_stay() -> None:
    model = tiny("llama").train()
    assert torch.is_grad_enabled()
    score_queries(model, [PAIR])
    assert torch.is_grad_enabled()
    assert model.training
    with torch.no_grad():
        (scores,) = score_queries_with_grad(model, [PAIR])
        assert not torch.is_grad_enabled()
    assert scores.requires_grad


def test_parameters_that_are_frozen_give_no_graph() -> None:
    model = tiny("llama").requires_grad_(False)
    (scores,) = score_queries_with_grad(model, [PAIR])
    assert not scores.requires_grad
