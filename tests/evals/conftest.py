"""Tiny models and the configuration of a run on them, which the tests of whole evaluations share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.evaluations import USERS

from popi_sdk.data.tinyworld import save_tiny_model
from popi_sdk.evals import as_config


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("models") / "first", seed=1))


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("models") / "second", seed=2))


@pytest.fixture
def config(model: str) -> Callable[..., Any]:
    def build(**changes: Any) -> Any:
        values = {"data": "tinyworld", "limit": USERS, "methods": ("raw", "heuristic", "gold"), "model": model}
        return as_config(**values | changes)

    return build
