"""The method works: inferrer and generator learn TinyWorld together, and what they learn is about the user."""

from __future__ import annotations

from pathlib import Path

from popi_sdk.data import tinyworld
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.train import PopiTrainer, as_train_config


def learnt(folder: Path, seed: int) -> PopiTrainer:
    config = as_train_config(
        adapters=None,
        steps=100,
        warm_start=100,
        users_per_step=16,
        pairs_per_summary=4,
        budget=4,
        beta=1.0,
        reward_frozen=0.0,
        entropy_bonus=0.02,
        entropy_floor=0.3,
        kl=0.0,
        inferrer_lr=2e-3,
        generator_lr=2e-3,
        eval_every=0,
        seed=seed,
    )
    model = load_causal_lm(tinyworld.save_tiny_model(folder, seed=seed), dtype="float32")
    return PopiTrainer(config, tinyworld.generate("train", 1024), tinyworld.generate("dev", 64), model=model)


def test_joint_training_reaches_what_there_is_to_learn(tmp_path: Path) -> None:
    trainer = learnt(tmp_path / "model", seed=0)
    before = trainer.evaluate()
    after = trainer.train().evaluate()
    assert 0.35 <= before.own <= 0.65
    assert after.own >= 0.90
    assert after.shuffled <= 0.60
