"""Stock TRL on TinyWorld: `GRPOTrainer` with a reward function and `DPOTrainer` on its summaries, step by step."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import islice
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOTrainer

from popi_sdk.train import PopiTrainer, TrainConfig
from popi_sdk.train.examples import batches

from .train_step_stock import Theta, grpo_config


def train(both: PopiTrainer, config: TrainConfig, look: Callable[[], None], *, every: int) -> None:
    """Go on with the two networks of a trainer, in place; look every so many steps."""
    networks, encoder, examples = both.networks, both.encoder, both.train_examples
    lm = networks.lm
    with tempfile.TemporaryDirectory() as scratch:
        with networks.generating() as generator, networks.frozen() as base:
            theta = Theta(generator, lm, config, encoder, examples, scratch, base)
        order = [user for some in islice(batches(len(examples), config), config.steps) for user in some]
        rows = [{"prompt": lm.tokenizer.decode(examples[user].request_ids), "user": user} for user in order]
        trainer = GRPOTrainer(
            model=networks.inferrer,
            reward_funcs=theta.reward,
            args=grpo_config(config, scratch, warmup_steps=round(config.warmup * config.steps)),
            train_dataset=Dataset.from_list(rows),
            processing_class=lm.tokenizer,
            callbacks=[Turns(theta, look, every)],
        )
        trainer.train()


class Turns(TrainerCallback):
    """After the step of the one trainer that of the other."""

    def __init__(self, theta: Theta, look: Callable[[], None], every: int) -> None:
        self.theta = theta
        self.look = look
        self.every = every

    def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        self.theta.step()
        if state.global_step % self.every == 0:
            self.look()
