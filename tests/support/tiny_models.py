"""Tiny models with random weights and a tiny real tokenizer, built in this process: nothing is downloaded."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
PLAIN_ADDED = ("<think>", "</think>", "<tool_call>")
VOCABULARY = 320
TEXT = (
    "Keep answers short: one or two sentences. What is a firewall? A firewall decides which traffic may pass.",
    "system user assistant You are a helpful assistant. Name three colours. red, green, blue.",
    "Explain DNS to me. The Domain Name System turns names into addresses, like a phone book.",
)
KINDS = ("llama", "qwen2", "gpt2")


def tiny_tokenizer(template: str | None = CHATML, **options: Any) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on a few sentences: 320 tokens, three special ones and three added ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(PLAIN_ADDED),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in PLAIN_ADDED])
    settings = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"} | options
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings)
    fast.chat_template = template
    return fast


def tiny_model(kind: str = "llama", *, seed: int = 0, vocabulary: int = VOCABULARY, **config: Any) -> PreTrainedModel:
    """A model of 2 layers, width 32, in float32 and eval mode; `kind` is one of KINDS.

    Its weights are larger than those of a new model, so that its answers depend on what it reads.
    """
    shape = {"vocab_size": vocabulary, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    if kind == "gpt2":
        model_class, made = (
            GPT2LMHeadModel,
            GPT2Config(**{"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, **shape, **config}),
        )
    else:
        model_class, config_class = {
            "llama": (LlamaForCausalLM, LlamaConfig),
            "qwen2": (Qwen2ForCausalLM, Qwen2Config),
        }[kind]
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.3}
        made = config_class(**{**sizes, **shape, **config})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(made).eval()


def save_tiny(folder: Path, kind: str = "llama", *, template: str | None = CHATML, **config: Any) -> Path:
    """A directory as `save_pretrained` leaves it: a model and its tokenizer."""
    tiny_model(kind, **config).save_pretrained(folder)
    tiny_tokenizer(template).save_pretrained(folder)
    return folder


def save_tiny_adapter(
    folder: Path,
    kind: str = "llama",
    *,
    seed: int = 1,
    rank: int = 2,
    targets: Sequence[str] = ("q_proj", "v_proj"),
    scale: float = 1.0,
    **config: Any,
) -> Path:
    """A LoRA adapter that changes what the tiny model answers."""
    from peft import LoraConfig, get_peft_model

    modules = ["c_attn"] if kind == "gpt2" else list(targets)
    lora = LoraConfig(r=rank, target_modules=modules, task_type="CAUSAL_LM", fan_in_fan_out=kind == "gpt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft asks transformers for what it calls deprecated
        model = get_peft_model(tiny_model(kind, **config), lora)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data = scale * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return folder


def save_tiny_gguf(path: Path, *, dtype: str = "float32", **config: Any) -> PreTrainedModel:
    """The tiny Llama as a GGUF file, as llama.cpp's converter writes it; returns the model."""
    import gguf

    model, tokenizer = tiny_model("llama", **config), tiny_tokenizer()
    shape = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(shape.max_position_embeddings)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.num_hidden_layers)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.num_attention_heads)
    writer.add_head_count_kv(shape.num_key_value_heads)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(shape.hidden_size // shape.num_attention_heads)
    writer.add_vocab_size(shape.vocab_size)
    _write_tokenizer(writer, tokenizer)
    for name, weight in model.state_dict().items():
        kind = np.float32 if weight.ndim == 1 else np.dtype(dtype)
        writer.add_tensor(_gguf_name(name), _permuted(name, weight, shape).numpy().astype(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _write_tokenizer(writer: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    data = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    added = {token.content: 3 if token.special else 4 for token in tokenizer.added_tokens_decoder.values()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([added.get(token, 1) for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in data["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template(tokenizer.chat_template)


def _gguf_name(name: str) -> str:
    parts = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "lm_head": "output",
        "model.layers": "blk",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "post_attention_layernorm": "ffn_norm",
        "input_layernorm": "attn_norm",
    }
    for old, new in parts.items():
        name = name.replace(old, new)
    return name


def _permuted(name: str, weight: torch.Tensor, shape: Any) -> torch.Tensor:
    """llama.cpp rotates pairs of neighbours, transformers pairs half a head apart."""
    heads = {"q_proj": shape.num_attention_heads, "k_proj": shape.num_key_value_heads}.get(name.split(".")[-2])
    if heads is None:
        return weight
    return weight.reshape(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
