"""A language model in this process, with its tokenizer: to generate, to score, to train."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, needs_extra
from ..messages import Message
from ..settings import get_settings
from ._quiet import quiet
from .catalog import CATALOG, DEFAULT_MODEL
from .chat import ChatEncoder
from .convert import gguf_to_safetensors
from .resolve import resolve_gguf

with needs_extra("hf"):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

__all__ = ["CausalLM", "load_causal_lm"]


class CausalLM:
    """A language model and its tokenizer; use `load_causal_lm`."""

    def __init__(self, model: Any, tokenizer: Any, *, name: str, identity: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.chat = ChatEncoder(tokenizer)
        self.name = name
        self.identity = identity
        self.active: str | None = None

    @property
    def device(self) -> Any:
        return self.model.device

    @property
    def dtype(self) -> Any:
        return self.model.dtype

    @property
    def max_length(self) -> int:
        return int(self.model.config.max_position_embeddings)

    @property
    def stop_ids(self) -> tuple[int, ...]:
        return (self.tokenizer.eos_token_id,)

    @property
    def tokenizer_name(self) -> str:
        return f"hf:{self.name}"

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        return self.chat.encode_prompt(messages)

    def encode_response(self, text: str) -> list[int]:
        return self.chat.encode_response(text)

    def count_tokens(self, text: str) -> int:
        return len(self.chat.encode_text(text))

    def attach(self, adapter: str | Path, name: str) -> None:
        with quiet():
            self.model.load_adapter(str(adapter), adapter_name=name)
        self._switch(self.active)

    @contextmanager
    def use(self, name: str | None) -> Iterator[None]:
        before = self.active
        self._switch(name)
        try:
            yield
        finally:
            self._switch(before)

    def _switch(self, name: str | None) -> None:
        if name is None:
            if getattr(self.model, "_hf_peft_config_loaded", False):
                self.model.disable_adapters()
        else:
            self.model.enable_adapters()
            self.model.set_adapter(name)
        self.active = name


def load_causal_lm(
    source: str | Path | None = None,
    *,
    adapter: str | Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
) -> CausalLM:
    """Load a model."""
    if source is None or source in CATALOG or str(source).endswith(".gguf"):
        where = str(gguf_to_safetensors(resolve_gguf(source)))
        name = DEFAULT_MODEL.name if source is None else str(source)
    else:
        where = name = str(source)
    kind = torch.bfloat16 if dtype == "auto" and torch.cpu._is_avx512_bf16_supported() else torch.float32
    if dtype != "auto":
        kind = getattr(torch, dtype)
    offline = get_settings().offline
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=offline)
            model = AutoModelForCausalLM.from_pretrained(where, dtype=kind, local_files_only=offline)
    except OSError as error:
        raise ConfigurationError(str(error)) from error
    if device != "auto":
        model = model.to(device)
    identity = hashlib.sha256(f"{where} {kind} {adapter}".encode()).hexdigest()[:16]
    loaded = CausalLM(model.eval(), tokenizer, name=name, identity=identity)
    if adapter is not None:
        loaded.attach(adapter, "default")
        loaded._switch("default")
    return loaded
