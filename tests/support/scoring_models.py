"""Tiny models of every family that is scored packed, and queries that reach every corner of the layout."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from popi_sdk.scoring import Query

VOCABULARY = 300
# Weights larger than those of a new model: what it attends to must decide what it says.
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
BOTH = ["sliding_attention", "full_attention"]
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "bos_token_id": 1}
CONFIGS: dict[str, Callable[..., Any]] = {
    "llama": lambda **more: LlamaConfig(**SIZES | more),
    "qwen2": lambda **more: Qwen2Config(**SIZES | more),
    "qwen2-sliding": lambda **more: Qwen2Config(
        **SIZES | {"use_sliding_window": True, "sliding_window": 5, "layer_types": BOTH} | more
    ),
    "qwen3": lambda **more: Qwen3Config(**SIZES | {"head_dim": 8} | more),
    "gpt2": lambda **more: GPT2Config(**GPT2 | {"eos_token_id": 2, "initializer_range": 0.2} | more),
    "gpt_neox": lambda **more: GPTNeoXConfig(**SIZES | {"num_key_value_heads": 4} | more),
    "gemma3": lambda **more: Gemma3TextConfig(
        **SIZES
        | {"head_dim": 8, "sliding_window": 5, "layer_types": BOTH, "final_logit_softcapping": 3.0, "pad_token_id": 0}
        | more
    ),
    "mistral": lambda **more: MistralConfig(**SIZES | {"sliding_window": 5} | more),
}

__all__ = ["CONFIGS", "VOCABULARY", "corner_queries", "forward_passes", "tiny"]


def tiny(kind: str, attention: str = "sdpa", **config: Any) -> PreTrainedModel:
    """A model of 2 layers, width 32, in float32 and eval mode, by the name of its family."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = CONFIGS[kind](**config)
        return AutoModelForCausalLM.from_config(made, attn_implementation=attention, dtype=torch.float32).eval()


def ids(rng: random.Random, count: int) -> tuple[int, ...]:
    return tuple(rng.randrange(3, VOCABULARY) for _ in range(count))


def corner_queries() -> list[Query]:
    """Prefixes of 1, 2 and many tokens; 0 to 4 continuations of 1 to 17 tokens; longer than a window of 5."""
    rng = random.Random(0)
    shapes: list[tuple[int, Sequence[int]]] = [
        (1, (3,)),
        (1, (4, 1)),
        (2, (9, 9)),
        (9, (17,)),
        (12, (5, 8)),
        (30, (2, 6, 6, 1)),
        (21, (7, 7, 7)),
        (3, ()),
        (14, (1, 1)),
    ]
    return [Query(ids(rng, prefix), tuple(ids(rng, length) for length in lengths)) for prefix, lengths in shapes]


@contextmanager
def forward_passes(model: Any) -> Iterator[list[tuple[torch.Size, bool]]]:
    """What the layers of a model are given: the shape of the ids, and whether a mask of branches came with them."""
    passes: list[tuple[torch.Size, bool]] = []

    def look(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        passes.append((kwargs["input_ids"].shape, kwargs.get("attention_mask") is not None))

    core = model.get_base_model() if hasattr(model, "get_base_model") else model
    handle = core.base_model.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield passes
    finally:
        handle.remove()
