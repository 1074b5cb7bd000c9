"""`PopiTrainer`: both models of POPI, trained under one preference objective."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, needs_extra
from ..models._quiet import quiet
from .config import TrainConfig
from .dev import DevScores, look_at_dev
from .examples import Encoder, Example
from .joint import Step
from .learner import GeneratorLearner
from .networks import Networks, build_networks
from .reference import References
from .rollout import sample_summaries

if TYPE_CHECKING:
    from ..data.record import UserRecord
    from ..models.causal_lm import CausalLM

__all__ = ["PopiTrainer"]


class PopiTrainer:
    """Trains an inferrer and a generator on users with held-out pairs (arXiv 2510.17881).

    Args:
        config: What to do.
        train: Users to learn from.
        dev: Other users, to look at on the way; none for none.
        model: A base model that is loaded, instead of `config.base_model`; it is trained in place.
        output: Where curves and checkpoints go; None for a run that leaves nothing.

    Attributes:
        history: What was measured, by step.

    Raises:
        TrainingError: If no user is left to train with.
        ConfigurationError: If users of train and dev are the same.
    """

    def __init__(
        self,
        config: TrainConfig,
        train: Iterable[UserRecord],
        dev: Iterable[UserRecord] = (),
        *,
        model: CausalLM | None = None,
        output: str | Path | None = None,
    ) -> None:
        with needs_extra("train"):
            import trl  # noqa: F401
        from ..models.causal_lm import load_causal_lm

        self.config = config
        self.output = None if output is None else Path(output)
        self.history: list[dict[str, float]] = []
        lm = model or load_causal_lm(config.base_model, dtype=config.dtype, device=config.device)
        self.encoder = Encoder(lm, budget=config.budget, input_budget=config.input_budget)
        self.train_examples = self.encoder.examples(train)
        dev_records = list(dev)
        self.dev_examples = self.encoder.examples(dev_records)[: config.eval_users] if dev_records else []
        shared = {one.user_id for one in self.train_examples} & {one.user_id for one in self.dev_examples}
        if shared:
            raise ConfigurationError(
                f"User {min(shared)!r} is in train and in dev: what is measured must be new users."
            )
        self.references = References(lm.identity, None if self.output is None else self.output)
        everyone = [*self.train_examples, *self.dev_examples]
        self.references.compute(lm.model, (pair for example in everyone for pair in example.pairs))
        self.networks: Networks = build_networks(lm, config)

    def train(self) -> PopiTrainer:
        """Run the whole schedule."""
        if self.config.schedule == "joint":
            self._reinforce(learn=True)
        return self

    def evaluate(self) -> DevScores:
        """Accuracy on the dev users as it is now: own, another user's, and the frozen base's."""
        return look_at_dev(self.networks, self._learner(1), self.dev_examples, self.config)

    def summaries(self, examples: Sequence[Example]) -> list[str]:
        """The most likely summary of each user."""
        rows = sample_summaries(self.networks, self.encoder, examples, count=1, temperature=0.0, seed="greedy")
        return [row[0].text for row in rows]

    def _learner(self, steps: int) -> GeneratorLearner:
        return GeneratorLearner(self.networks, self.config, self.encoder, self.references, steps=steps)

    def _reinforce(self, *, learn: bool) -> None:
        from datasets import Dataset
        from transformers import PrinterCallback

        from .policy import PackedGRPOTrainer

        config = self.config
        learner = self._learner(config.steps)
        step = Step(self.networks, learner, self.train_examples, config, learn=learn)
        rows = [{"prompt": list(one.request), "example": at} for at, one in enumerate(self.train_examples)]
        with quiet():
            trainer = PackedGRPOTrainer(
                model=self.networks.inferrer,
                reward_funcs=step.reward,
                args=_grpo_arguments(config, self.networks, self.output),
                train_dataset=Dataset.from_list(rows),
                processing_class=self.networks.lm.tokenizer,
                rollout_func=step.rollout,
                callbacks=[_callback(self, learner)],
            )
        # Only now: given at once, TRL would load a third model, or copy the adapter, for the reference.
        trainer.beta = config.kl
        step.trainer = trainer
        trainer.remove_callback(PrinterCallback)  # the view is ours
        trainer.train()


def _grpo_arguments(config: TrainConfig, networks: Networks, output: Path | None) -> Any:
    import tempfile

    from trl import GRPOConfig

    folder = str(output) if output is not None else tempfile.mkdtemp(prefix="popi-train-")
    on_cpu = networks.lm.device.type == "cpu"
    return GRPOConfig(
        output_dir=folder,
        max_steps=config.steps,
        per_device_train_batch_size=config.users_per_step * config.group_size,
        num_generations=config.group_size,
        steps_per_generation=1,
        gradient_accumulation_steps=1,
        max_completion_length=config.budget,
        temperature=config.temperature,
        beta=0.0,
        scale_rewards="none",
        loss_type="dr_grpo",
        entropy_coef=config.entropy_bonus,
        learning_rate=config.inferrer_lr,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(config.warmup * config.steps),
        max_grad_norm=config.max_grad_norm,
        weight_decay=0.0,
        seed=config.seed,
        use_cpu=on_cpu,
        bf16=False,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )


def _callback(trainer: PopiTrainer, learner: GeneratorLearner) -> Any:
    from transformers import TrainerCallback

    class Record(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "reward" in (logs or {}):
                trainer.history.append({"step": state.global_step, **logs, **learner.metrics})

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            every = trainer.config.eval_every
            if trainer.dev_examples and every and state.global_step % every == 0:
                scores = look_at_dev(trainer.networks, learner, trainer.dev_examples, trainer.config)
                trainer.history.append({"step": state.global_step, **scores.as_metrics()})

    return Record()
