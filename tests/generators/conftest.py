"""Servers, generators and a tiny model that the tests of the backends share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fault_server import FaultServer
from support.hf import none_left

from popi_sdk.generators import Generator

if TYPE_CHECKING:
    from popi_sdk.generators.hf import HfGenerator
    from popi_sdk.models.causal_lm import CausalLM


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A server that does what a test plans."""
    with FaultServer() as server:
        yield server


@pytest.fixture
def make(server: FaultServer) -> Iterator[Callable[..., Generator]]:
    """Generators that reach `server`, closed after the test."""
    with ExitStack() as stack:

        def make(backend: str, **options: Any) -> Generator:
            return stack.enter_context(server.generator(backend, **{"timeout": 5, **options}))

        yield make


@pytest.fixture(scope="module")
def hf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of transformers that never ends by itself."""
    from support.tiny_models import save_tiny

    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", eos_token_id=None)


@pytest.fixture(scope="module")
def hf_model(hf_folder: Path) -> CausalLM:
    """The same, loaded."""
    from popi_sdk.models.causal_lm import load_causal_lm

    return load_causal_lm(hf_folder, dtype="float32")


@pytest.fixture
def hf_generator(hf_model: CausalLM) -> Iterator[HfGenerator]:
    """A generator over it, whose worker is gone after the test."""
    from popi_sdk.generators.hf import HfGenerator

    with HfGenerator.from_model(hf_model) as generator:
        yield generator
    assert none_left()
