"""Tiny models with random weights and a tiny real tokenizer, built in this process: nothing is downloaded."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

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


def save_tiny_adapter(folder: Path, kind: str = "llama", *, seed: int = 1, rank: int = 2, **config: Any) -> Path:
    """A LoRA adapter that changes what the tiny model answers."""
    from peft import LoraConfig, get_peft_model

    targets = ["c_attn"] if kind == "gpt2" else ["q_proj", "v_proj"]
    lora = LoraConfig(r=rank, target_modules=targets, task_type="CAUSAL_LM", fan_in_fan_out=kind == "gpt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft asks transformers for what it calls deprecated
        model = get_peft_model(tiny_model(kind, **config), lora)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data = torch.randn_like(parameter)
    model.save_pretrained(folder)
    return folder
