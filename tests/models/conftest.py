"""A cache of one's own for the models of a test, and a tiny model with two adapters."""

from __future__ import annotations

from pathlib import Path

import pytest

from popi_sdk.settings import get_settings


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _clean_environment: None) -> Path:
    """An empty cache."""
    monkeypatch.setenv("POPI_CACHE", str(tmp_path / "cache"))
    get_settings.cache_clear()
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model."""
    from support.tiny_models import save_tiny

    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter for it."""
    from support.tiny_models import save_tiny_adapter

    return save_tiny_adapter(tmp_path_factory.mktemp("adapters") / "one")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another adapter for it."""
    from support.tiny_models import save_tiny_adapter

    return save_tiny_adapter(tmp_path_factory.mktemp("adapters") / "two", seed=2)
