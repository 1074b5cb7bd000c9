"""A tiny world and tiny models for training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from popi_sdk.data import tinyworld
from popi_sdk.models.causal_lm import CausalLM, load_causal_lm
from popi_sdk.train import PopiTrainer, TrainConfig, as_train_config

SMALL = {
    "steps": 2,
    "users_per_step": 2,
    "group_size": 3,
    "pairs_per_summary": 2,
    "budget": 4,
    "beta": 1.0,
    "inferrer_lr": 0.05,
    "generator_lr": 0.05,
    "warmup": 0.0,
    "eval_every": 0,
    "kl": 0.01,
}


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tinyworld.save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def lm(tiny_folder: Path) -> CausalLM:
    return load_causal_lm(tiny_folder, dtype="float32")


@pytest.fixture
def small() -> Callable[..., TrainConfig]:
    return lambda **options: as_train_config(**SMALL | options)


@pytest.fixture
def trainer(tiny_folder: Path, small: Callable[..., TrainConfig]) -> Callable[..., PopiTrainer]:
    def build(**options: Any) -> PopiTrainer:
        config = small(base_model=str(tiny_folder), **options)
        lm = load_causal_lm(tiny_folder, dtype="float32")
        return PopiTrainer(config, tinyworld.generate("train", 8), tinyworld.generate("dev", 4), model=lm)

    return build
