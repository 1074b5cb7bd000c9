"""A cache of one's own for the models of a test."""

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
