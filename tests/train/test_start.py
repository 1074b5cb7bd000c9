"""Training that goes on from what an earlier run left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from popi_sdk import ConfigurationError
from popi_sdk.data import tinyworld
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.train import PopiTrainer, as_train_config


@pytest.fixture
def built(small: Any, tiny_folder: Path) -> Any:
    def build(**options: Any) -> PopiTrainer:
        config = small(base_model=str(tiny_folder), dtype="float32", **options)
        return PopiTrainer(config, tinyworld.generate("train", 8), tinyworld.generate("dev", 4))

    return build


def weights(trainer: PopiTrainer) -> dict[str, list[torch.Tensor]]:
    state = trainer.networks.state_dict()
    return {name: [one.detach().clone() for one in part] for name, part in state.items() if name != "untouched"}


def same(one: dict[str, list[torch.Tensor]], two: dict[str, list[torch.Tensor]]) -> bool:
    return all(torch.equal(a, b) for name in one for a, b in zip(one[name], two[name], strict=True))


@pytest.mark.parametrize("adapters", [{"rank": 4, "alpha": 8}, None])
def test_it_begins_as_what_was_left(built: Any, tmp_path: Path, adapters: Any) -> None:
    first = built(adapters=adapters)
    fresh = weights(first)
    folder = first.train().save_pretrained(tmp_path / "first")
    second = built(adapters=adapters, start=str(folder))
    assert same(weights(second), weights(first))
    assert not same(weights(second), fresh)
    assert not second.networks.untouched
    assert second.evaluate() == first.evaluate()
    second.train()
    assert second.history[0]["inferrer/kl"] == pytest.approx(0.0, abs=1e-6)  # measured from where it began
    assert second.history[-1]["inferrer/kl"] > 0
    assert not same(weights(second), weights(first))
    saved = second.save_pretrained(tmp_path / "second")
    assert json.loads((saved / "popi.json").read_text())["config"]["start"] == str(folder)
    card = (saved / "README.md").read_text()
    assert "| `start` | first |" in card
    assert str(tmp_path) not in card


def test_what_does_not_fit_is_said(built: Any, lm: Any, small: Any, tmp_path: Path) -> None:
    folder = str(built(steps=1).train().save_pretrained(tmp_path / "ours"))
    with pytest.raises(ConfigurationError, match=r"has rank 8: set adapters\.rank=8"):
        built(start=folder, adapters={"rank": 4})
    with pytest.raises(ConfigurationError, match=r"adapters\.targets"):
        built(start=folder, adapters={"targets": ("q_proj",)})
    with pytest.raises(ConfigurationError, match="trains whole models"):
        built(start=folder, adapters=None)
    with pytest.raises(ConfigurationError, match="reads summaries, that of schedule='population' bare prompts"):
        built(start=folder, schedule="population")
    with pytest.raises(ConfigurationError, match=r"cannot read popi\.json"):
        built(start=str(tmp_path / "nowhere"))
    other = tinyworld.save_tiny_model(tmp_path / "other", seed=5)
    with pytest.raises(ConfigurationError, match="trained on other weights"):
        PopiTrainer(small(base_model=str(other), start=folder, dtype="float32"), tinyworld.generate("train", 4))


def test_a_model_that_was_loaded_before(built: Any, small: Any, lm: Any, tmp_path: Path) -> None:
    """The adapters are compared with the base that is there, not with the default model."""
    first = built(steps=1).train()
    folder = str(first.save_pretrained(tmp_path / "ours"))
    second = PopiTrainer(small(start=folder), tinyworld.generate("train", 4), model=lm)
    assert same(weights(second), weights(first))
    other = load_causal_lm(tinyworld.save_tiny_model(tmp_path / "other", seed=5), dtype="float32")
    with pytest.raises(ConfigurationError, match="trained on other weights"):
        PopiTrainer(small(start=folder), tinyworld.generate("train", 4), model=other)


def test_sizes_are_those_of_what_it_goes_on_from(tmp_path: Path, tiny_folder: Path) -> None:
    """Where none are asked for: the shape of the adapters has to be the same."""
    base = {"base_model": str(tiny_folder), "dtype": "float32", "users_per_step": 2, "group_size": 2, "steps": 1}
    users = list(tinyworld.generate("train", 4))
    sizes = {"adapters": {"rank": 4, "alpha": 8, "targets": ("q_proj", "v_proj")}, "budget": 5, "input_budget": 300}
    first = PopiTrainer(as_train_config(**base, **sizes), users)
    folder = str(first.save_pretrained(tmp_path / "first"))
    second = PopiTrainer(as_train_config(**base, start=folder), users)
    assert second.config == as_train_config(**base, **sizes, start=folder)
    assert same(weights(second), weights(first))
    assert PopiTrainer(as_train_config(**base, start=folder, budget=7), users).config.budget == 7


def test_a_rival_goes_on_too(built: Any, tmp_path: Path) -> None:
    first = built(schedule="population", steps=1).train()
    second = built(schedule="population", steps=1, start=str(first.save_pretrained(tmp_path / "rival")))
    assert all(
        torch.equal(one, two)
        for one, two in zip(first.networks.generator_parameters(), second.networks.generator_parameters(), strict=True)
    )
