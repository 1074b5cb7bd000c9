"""A language model of transformers in this process: to generate, to score, to train."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, needs_extra
from ..messages import Message
from ._quiet import quiet
from ._torch import device_of, dtype_of
from .adapters import attach_adapter, switch_adapter
from .chat import ChatEncoder
from .folders import Folder, adapter_folder, model_folder

with needs_extra("hf"):
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer

__all__ = ["CausalLM", "load_causal_lm"]

ADAPTER = "default"
"""The name of the adapter that `load_causal_lm` attaches."""

_NO_LIMIT = 1_000_000_000  # a tokenizer that knows no limit says 10 ** 30
_UNSAID = 2048  # tokens that a model reads whose configuration does not say


class CausalLM:
    """A language model, its tokenizer and its chat template.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer.
        name: What people call it.
        identity: What decides its outputs beside its adapter: the source and the state of its weights.

    Attributes:
        model: The model, in eval mode.
        tokenizer: Its tokenizer.
        chat: Its chat template with the tokenizer.
        name: What people call it.
        adapter: The adapter that takes part now; None for the base alone.
        folder: Where it was loaded from; None if it was built in this process.
        lock: Held while somebody relies on which adapter takes part; `use` takes it.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str, identity: str) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.chat = ChatEncoder(tokenizer, name)
        self.name = name
        self.adapter: str | None = None
        self.folder: Path | None = None
        self.lock = threading.RLock()
        self._identity = identity
        self._adapters: dict[str, Folder] = {}
        rows = model.get_input_embeddings().weight.shape[0]
        if len(tokenizer) > rows:
            raise ConfigurationError(f"{name}: its tokenizer has {len(tokenizer)} tokens, its model only {rows}.")

    @property
    def identity(self) -> str:
        """What decides its outputs: the source and state of the weights, the adapter that takes part, the type."""
        adapter = f"+{self._adapters[self.adapter].identity}" if self.adapter else ""
        return f"{self._identity}{adapter}:{str(self.dtype).removeprefix('torch.')}"

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapters that are attached."""
        return tuple(self._adapters)

    @property
    def device(self) -> Any:
        """Where it computes: a torch.device."""
        return self.model.device

    @property
    def dtype(self) -> Any:
        """What it computes in: a torch.dtype."""
        return self.model.dtype

    @property
    def max_length(self) -> int:
        """Tokens that the model can read, prompt and answer together."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if isinstance(limit, int) and limit > 0:
            return limit
        told = self.tokenizer.model_max_length
        return int(told) if told < _NO_LIMIT else _UNSAID

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """The tokens at which an answer ends."""
        configured = getattr(self.model.generation_config, "eos_token_id", None)
        found = configured if isinstance(configured, (list, tuple)) else [configured]
        return tuple(
            dict.fromkeys(i for i in (*self.chat.end_ids, *found, self.tokenizer.eos_token_id) if i is not None)
        )

    @property
    def tokenizer_name(self) -> str:
        """Whose tokens `count_tokens` counts."""
        return f"hf:{self.name}"

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat, up to where the answer begins; see `ChatEncoder.encode_prompt`."""
        return self.chat.encode_prompt(messages)

    def encode_response(self, text: str) -> list[int]:
        """Token ids of an answer with the token that ends the turn; see `ChatEncoder.encode_response`."""
        return self.chat.encode_response(text)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text alone."""
        return len(self.chat.encode_text(text))

    def attach(self, adapter: str | Path, name: str) -> None:
        """Load a LoRA adapter beside those that are there; it takes part within `use(name)`.

        Args:
            adapter: A folder that peft wrote, or a hub id.
            name: What it is called here.

        Raises:
            ConfigurationError: If the name is taken, or the adapter cannot be read or belongs to another base.
        """
        if name in self._adapters or not name.isidentifier():
            raise ConfigurationError(f"An adapter cannot be called {name!r} here: take a new name, of letters.")
        folder = adapter_folder(adapter)
        with self.lock:
            try:
                attach_adapter(self.model, folder, name)
                self._adapters[name] = folder
            finally:
                switch_adapter(self.model, self.adapter)

    @contextmanager
    def use(self, name: str | None) -> Iterator[None]:
        """Compute with one adapter (None: the base alone) inside the block; other threads that want to, wait.

        Raises:
            ConfigurationError: If no adapter of that name is attached.
        """
        if name is not None and name not in self._adapters:
            known = ", ".join(self._adapters) or "none"
            raise ConfigurationError(f"{self.name} has no adapter {name!r} (attached: {known}). Call attach() first.")
        with self.lock:
            before = self.adapter
            self._switch(name)
            try:
                yield
            finally:
                self._switch(before)

    def _switch(self, name: str | None) -> None:
        if name != self.adapter:
            switch_adapter(self.model, name)
            self.adapter = name

    def __repr__(self) -> str:
        return f"<CausalLM {self.identity} on {self.device}>"


def load_causal_lm(
    source: str | Path | None = None,
    *,
    adapter: str | Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
) -> CausalLM:
    """Load a model with its tokenizer, and an adapter if one is given, which then takes part.

    Code that comes with a model is never run. With POPI_OFFLINE or HF_HUB_OFFLINE nothing is downloaded.

    Args:
        source: None or a name of the catalog, the path of a GGUF (both are converted once, into the cache), a folder
            that `save_pretrained` wrote, or a hub id.
        adapter: The folder of a LoRA adapter, or its hub id.
        dtype: `float32`, `bfloat16`, `float16`; `auto` is bfloat16 where the device computes in it natively, else
            float32.
        device: `cpu`, `cuda`, `cuda:0`, `mps`; `auto` is a GPU if there is one.

    Raises:
        MissingExtraError: If the extra `hf` is not installed.
        ConfigurationError: If there is no such model, adapter, dtype or device, or its files cannot be used.
    """
    where = device_of(device)
    kind = dtype_of(dtype, where)
    folder = model_folder(source)
    with quiet():
        model = _model(folder, kind)
        tokenizer = _tokenizer(folder)
        loaded = CausalLM(model.to(where), tokenizer, name=folder.name, identity=folder.identity)
    loaded.folder = folder.path
    if adapter is not None:
        loaded.attach(adapter, ADAPTER)
        loaded._switch(ADAPTER)
    return loaded


def _model(folder: Folder, dtype: Any) -> Any:
    try:
        config = AutoConfig.from_pretrained(folder.path, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise _unusable(folder, "its configuration", error) from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or config.is_encoder_decoder or _is_masked(config):
        raise ConfigurationError(
            f"{folder.name} is not a causal language model ({', '.join(config.architectures or [config.model_type])}): "
            "give one that continues text."
        )
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder.path,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    except Exception as error:
        raise _unusable(folder, "its weights", error) from error
    if report["missing_keys"]:
        first = sorted(report["missing_keys"])[0]
        raise ConfigurationError(
            f"{folder.name} has no weights for {first} ({len(report['missing_keys'])} are missing): it is not a whole "
            "causal language model."
        )
    return model


def _is_masked(config: Any) -> bool:
    """BERT and its like have a class for causal models too, which reads their weights and continues no text."""
    return any(name.endswith(("ForMaskedLM", "ForPreTraining")) for name in config.architectures or ())


def _tokenizer(folder: Folder) -> Any:
    try:
        return AutoTokenizer.from_pretrained(folder.path, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise _unusable(folder, "its tokenizer", error) from error


def _unusable(folder: Folder, what: str, error: Exception) -> ConfigurationError:
    words = " ".join(str(error).split())[:300] or type(error).__name__
    return ConfigurationError(
        f"{folder.name}: {what} cannot be used ({type(error).__name__}: {words}). See that {folder.path} is complete. "
        "If it is a copy from a cache, delete it so that it is made again."
    )
