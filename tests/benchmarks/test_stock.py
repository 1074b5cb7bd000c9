"""Stock TRL as a rival: it trains what it says it trains, from where it says, and ends when a look says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig

from benchmarks.stock import train
from popi_sdk.data import tinyworld
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.train import PopiTrainer, TrainConfig, as_train_config


def built(folder: Path) -> tuple[PopiTrainer, TrainConfig]:
    config = as_train_config(
        adapters=None,
        dtype="float32",
        steps=4,
        users_per_step=2,
        group_size=4,
        pairs_per_summary=2,
        budget=4,
        generator_likelihood=1.0,
        reward_frozen=0.5,
        entropy_bonus=0.0,
        warmup=0.0,
        inferrer_lr=1e-2,
        generator_lr=1e-2,
        eval_users=4,
    )
    model = load_causal_lm(folder, dtype="float32")
    return PopiTrainer(config, tinyworld.generate("train", 8), tinyworld.generate("dev", 4), model=model), config


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")  # TRL's own default has that name
@pytest.mark.parametrize("adapters", [True, False])
def test_both_models_learn_and_a_look_ends_it(tmp_path: Path, adapters: bool) -> None:
    both, config = built(tinyworld.save_tiny_model(tmp_path / "tiny"))
    with both.networks.generating() as generator:
        models = {"inferrer": both.networks.inferrer, "generator": generator}
    before = {name: {key: one.clone() for key, one in model.state_dict().items()} for name, model in models.items()}
    base = {key: one.clone() for key, one in both.networks._base.state_dict().items()}  # type: ignore[attr-defined]
    looks: list[float] = []

    def look() -> bool:
        looks.append(both.evaluate().own)
        return len(looks) == 2

    lora = LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM") if adapters else None
    train(both, config, look, every=1, lora=lora)
    assert len(looks) == 2, "of four steps"
    for name, model in models.items():
        after = model.state_dict()
        if adapters:
            grown = [one for key, one in after.items() if ".lora_B." in key]
            assert grown, name
            assert all(one.abs().sum() > 0 for one in grown), name
            kept = {key.replace(".base_layer", ""): one for key, one in after.items() if ".lora_" not in key}
            assert all(torch.equal(one, kept[key]) for key, one in before[name].items()), name
        else:
            assert any(not torch.equal(one, after[key]) for key, one in before[name].items()), name
    with both.networks.frozen() as frozen:
        assert all(torch.equal(one, frozen.state_dict()[key]) for key, one in base.items())
