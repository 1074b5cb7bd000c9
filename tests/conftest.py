"""What all tests share: a clean environment, no connection but loopback, the real model, a real local server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.llama_server import LlamaServer

from popi_sdk.models import is_pulled
from popi_sdk.settings import get_settings
from popi_sdk.testing import no_requests

_FOREIGN = ("POPI_", "OPENAI_", "ANTHROPIC_", "HF_")
_KEPT = {"POPI_CACHE"}


_LONGEST = ("train/test_tinyworld.py", "docs/test_code_blocks.py", "train/test_processes.py")
"""Files that take a minute or so: first, so that at the end no worker is left alone with one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.as_posix().endswith(_LONGEST))


@pytest.fixture(scope="session", autouse=True)
def _only_loopback() -> Iterator[None]:
    with no_requests():
        yield


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No key, URL or setting of the developer's machine decides a test."""
    for name in os.environ:
        if name.startswith(_FOREIGN) and name not in _KEPT:
            monkeypatch.delenv(name)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The default model, pulled before the tests: they download nothing."""
    path = is_pulled()
    if path is None:
        pytest.fail("The default model is not there. Run `make test`, or `popi pull` first.")
    return path


@pytest.fixture(scope="session")
def llama_server(gguf: Path) -> Iterator[LlamaServer]:
    """A real llama.cpp server in this process: speaks chat completions and messages, wants its key."""
    with LlamaServer(gguf) as server:
        yield server
