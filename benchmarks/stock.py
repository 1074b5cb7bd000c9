"""Stock TRL instead of `PopiTrainer`: `GRPOTrainer` with a reward function, `DPOTrainer` on its summaries, in turns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import islice
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import GRPOTrainer

from popi_sdk.train import PopiTrainer, TrainConfig
from popi_sdk.train.examples import batches

from .train_step_stock import Theta, grpo_config


def train(
    both: PopiTrainer,
    config: TrainConfig,
    look: Callable[[], bool | None],
    *,
    every: int,
    lora: LoraConfig | None = None,
) -> None:
    """Go on with the two networks of a trainer, in place; look every so many steps, until a look returns True.

    With `lora`, what is trained is an adapter put into each of them, and the divergence is measured from the inferrer
    as it is given.
    """
    networks, encoder, lm = both.networks, both.encoder, both.networks.lm
    drawn = [user for some in islice(batches(len(both.train_examples), config), config.steps) for user in some]
    number = {user: at for at, user in enumerate(dict.fromkeys(drawn))}
    examples = [both.train_examples[user] for user in number]
    with tempfile.TemporaryDirectory() as scratch:
        with networks.generating() as generator, networks.frozen() as base:
            theta = Theta(generator, lm, config, encoder, examples, scratch, base, lora)
        rows = [
            {"prompt": lm.tokenizer.decode(examples[at].request_ids), "user": at}
            for at in (number[user] for user in drawn)
        ]
        trainer = GRPOTrainer(
            model=networks.inferrer,
            reward_funcs=theta.reward,
            args=grpo_config(config, scratch, warmup_steps=round(config.warmup * config.steps)),
            train_dataset=Dataset.from_list(rows),
            processing_class=lm.tokenizer,
            peft_config=lora,
            callbacks=[Turns(theta, look, every)],
        )
        trainer.train()


class Turns(TrainerCallback):
    """After the step of the one trainer that of the other."""

    def __init__(self, theta: Theta, look: Callable[[], bool | None], every: int) -> None:
        self.theta = theta
        self.look = look
        self.every = every

    def on_step_end(self, _: Any, state: Any, control: Any, **__: Any) -> None:
        self.theta.step()
        if state.global_step % self.every == 0 and self.look():
            control.should_training_stop = True
