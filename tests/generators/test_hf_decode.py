"""Many rows at once give what each gives alone, and what transformers itself generates."""

from __future__ import annotations

import random

import pytest
import torch
from support.tiny_models import KINDS, tiny_model
from transformers import AutoModelForCausalLM as AutoModel
from transformers import (
    BloomConfig,
    DynamicCache,
    Gemma3TextConfig,
    MambaConfig,
    MistralConfig,
    Qwen3NextConfig,
    RwkvConfig,
)

from popi_sdk.generators import hf_cache, hf_decode
from popi_sdk.generators.hf_decode import decode
from popi_sdk.generators.hf_row import Row

DRAW = random.Random(0)
PROMPTS = [[DRAW.randrange(3, 320) for _ in range(length)] for length in (3, 17, 9, 30, 1)]
ROOMS = [20, 5, 12, 9, 15]
SMALL = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 2, "initializer_range": 0.3}
LLAMA = {**SMALL, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0}
WINDOW = {**LLAMA, "max_position_embeddings": 256, "sliding_window": 8, "eos_token_id": None}
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}
OTHERS = {
    "sliding window": lambda: MistralConfig(**WINDOW),
    "every other layer a window": lambda: Gemma3TextConfig(**WINDOW, head_dim=8),
    "no positions": lambda: BloomConfig(vocab_size=320, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3),
    "states": lambda: MambaConfig(**SMALL, state_size=8),
    "states and attention": lambda: Qwen3NextConfig(
        **LLAMA, **LINEAR, **MOE, head_dim=8, layer_types=["linear_attention", "full_attention"], eos_token_id=None
    ),
    "no cache, no padding": lambda: RwkvConfig(
        vocab_size=320, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32
    ),
}


def model_of(kind: str):
    if kind in KINDS:
        return tiny_model(kind, eos_token_id=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModel.from_config(OTHERS[kind]()).eval()


def row(prompt, room, **options) -> Row:
    return Row(prompt, **{"room": room, "ends": [], "decode": lambda ids: "".join(map(chr, ids)), **options})


def answered(model, rows) -> list[list[int]]:
    decode(model, rows)
    return [[ord(char) for char in row.text] for row in rows]


@pytest.mark.parametrize("kind", [*KINDS, *OTHERS])
def test_a_batch_gives_what_each_row_gives_alone_and_what_transformers_gives(kind, monkeypatch):
    model = model_of(kind)
    alone = [answered(model, [row(prompt, room)])[0] for prompt, room in zip(PROMPTS, ROOMS, strict=True)]
    assert [len(ids) for ids in alone] == ROOMS
    assert answered(model, [row(*each) for each in zip(PROMPTS, ROOMS, strict=True)]) == alone
    monkeypatch.setattr(hf_decode, "_CHUNK", 20)
    assert answered(model, [row(*each) for each in zip(PROMPTS, ROOMS, strict=True)]) == alone
    for prompt, room, expected in zip(PROMPTS, ROOMS, alone, strict=True):
        if kind == "no cache, no padding":
            continue  # its generate() wants a tokenizer's end token
        ids = torch.tensor([prompt])
        made = model.generate(ids, attention_mask=ids * 0 + 1, max_new_tokens=room, do_sample=False, pad_token_id=0)
        assert made[0, len(prompt) :].tolist() == expected


@pytest.mark.parametrize("room", [0, 1, 3])
def test_what_was_read_is_kept_whenever_its_room_ends(room, monkeypatch):
    model = model_of("llama")
    rows = [(PROMPTS[0], 20), (PROMPTS[0], 4), (PROMPTS[1], 12)]  # shared at first, then taken out one by one
    expected = answered(model, [row(*each) for each in rows])
    monkeypatch.setattr(hf_cache, "_ROOM", room)
    assert answered(model, [row(*each) for each in rows]) == expected
    monkeypatch.setattr(hf_decode, "cache_for", lambda model: DynamicCache(config=model.config))
    assert answered(model, [row(*each) for each in rows]) == expected


def test_a_row_ends_at_its_own_end_token():
    model = tiny_model()
    (whole,) = answered(model, [row(PROMPTS[0], 20)])
    end = next(index for index, token in enumerate(whole) if index > 2 and token not in whole[:index])
    rows = [row(PROMPTS[0], 20, ends=[whole[end]]), row(PROMPTS[1], 20)]
    short, long = answered(model, rows)
    assert short == whole[:end]
    assert (rows[0].finish_reason, rows[0].tokens) == ("stop", end + 1)
    assert len(long) == 20


def test_finished_rows_are_taken_out(monkeypatch):
    model = tiny_model()
    sizes = []
    model.register_forward_pre_hook(lambda m, a, kw: sizes.append(len(kw["input_ids"])), with_kwargs=True)
    decode(model, [row([5, room], room) for room in (1, 2, 3, 9)])
    assert sizes == [4, 3, 2, 1, 1, 1, 1, 1, 1]
    sizes.clear()
    decode(model, [row([5, at], room) for at, room in enumerate((1, 5, 5, 5, 5, 5, 5, 5))])
    assert sizes == [8] * 5  # one in eight is not worth the copy


@pytest.mark.parametrize("kind", [*KINDS, *OTHERS])
def test_neighbours_with_the_same_prompt_share_its_computation(kind, monkeypatch):
    monkeypatch.setattr(hf_decode, "_CHUNK", 10)  # read in chunks
    model = model_of(kind)
    asked = [(PROMPTS[at], {"room": 6, "temperature": 0.7, "seed": seed}) for seed, at in enumerate((0, 0, 0, 1, 2, 2))]
    alone = [answered(model, [row(prompt, **options)])[0] for prompt, options in asked]
    sizes = []
    model.register_forward_pre_hook(lambda m, a, kw: sizes.append(len(kw["input_ids"])), with_kwargs=True)
    assert answered(model, [row(prompt, **options) for prompt, options in asked]) == alone
    if kind not in ("states", "no cache, no padding"):  # those are read one by one
        chunks = -(-max(map(len, PROMPTS[:3])) // (10 // 3))
        assert sizes == [3] * chunks + [6] * 5


def test_a_row_that_is_given_up_stops_and_the_others_go_on():
    model = tiny_model()
    expected = answered(model, [row(PROMPTS[1], 12)])
    rows = [row(PROMPTS[0], 50), row(PROMPTS[1], 12)]
    decode(model, rows, lambda each: each is rows[1] or each.tokens < 4)
    assert (rows[0].finish_reason, rows[0].tokens) == (None, 4)
    assert [[ord(char) for char in rows[1].text]] == expected


def test_nothing_is_read_for_rows_that_are_given_up_before(monkeypatch):
    monkeypatch.setattr(hf_decode, "_CHUNK", 4)
    model, read = tiny_model(), []
    model.register_forward_pre_hook(lambda m, a, kw: read.append(kw["input_ids"].shape[1]), with_kwargs=True)
    long = row(PROMPTS[3], 5)
    decode(model, [long], lambda each: len(read) < 2)
    assert read == [4, 4]
    assert long.tokens == 0


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_a_sample_depends_on_its_seed_and_not_on_its_neighbours(temperature):
    model = tiny_model()

    def sampled(*seeds):
        return answered(model, [row(PROMPTS[0], 12, temperature=temperature, seed=seed) for seed in seeds])

    first, second = sampled(1)[0], sampled(2)[0]
    assert sampled(1, 2, 1) == [first, second, first]
    mixed = [row(PROMPTS[1], 3), row(PROMPTS[0], 12, temperature=temperature, seed=1), row(PROMPTS[2], 12)]
    greedy = answered(model, [row(PROMPTS[2], 12)])[0]
    assert answered(model, mixed)[1:] == [first, greedy]
    assert first != second


def test_samples_have_the_models_shares():
    model, counts = tiny_model(), torch.zeros(320)
    with torch.inference_mode():
        shares = (model(torch.tensor([[5, 6, 7]])).logits[0, -1].double() / 1.5).softmax(0)
    for start in range(0, 4000, 500):
        rows = [row([5, 6, 7], 1, temperature=1.5, seed=seed) for seed in range(start, start + 500)]
        for (token,) in answered(model, rows):
            counts[token] += 1
    expected, seen = shares * 4000, counts.double()
    likely = expected > 20
    assert likely.sum() > 3
    deviations = (seen - expected)[likely] / (expected * (1 - shares))[likely].sqrt()
    assert deviations.abs().max() < 4.5
