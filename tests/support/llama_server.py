"""A real llama.cpp server inside the test process, reached over HTTP like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from popi_sdk.generators import Generator, create_generator
from popi_sdk.models.engine import load_library


class LlamaServer:
    """Greedy, one slot, no prompt cache: what it answers can be compared between backends."""

    key = "test-key"
    backends = ("openai", "anthropic", "compatible")

    def __init__(self, gguf: Path, context: int = 2048) -> None:
        xllamacpp = load_library()
        params = xllamacpp.CommonParams()
        params.model.path = str(gguf)
        params.n_ctx = context
        params.n_parallel = 1
        params.cache_prompt = False
        params.cache_ram_mib = 0
        params.warmup = False
        params.verbosity = -1
        params.api_keys = [self.key]
        params.sampling.temp = 0.0
        self._server: Any = xllamacpp.Server(params)
        self.url: str = self._server.listening_address

    def spec(self, backend: str, model: str = "smollm2") -> str:
        """The backend string that reaches this server."""
        return f"{backend}:{model}@{self.url}{'' if backend == 'anthropic' else '/v1'}"

    def generator(self, backend: str, **options: Any) -> Generator:
        return create_generator(self.spec(backend), **{"api_key": self.key, **options})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server = None
