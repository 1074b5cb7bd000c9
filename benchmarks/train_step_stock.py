"""The rival of `train_step`: TRL as it comes, `GRPOTrainer` with a reward function, `DPOTrainer` on its summaries."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer

from popi_sdk.models.causal_lm import CausalLM, load_causal_lm
from popi_sdk.scoring import Query
from popi_sdk.train.config import TrainConfig, as_train_config
from popi_sdk.train.examples import Encoder, Example
from popi_sdk.train.objective import Objective

from .train_step import DEVICE, GROUP, MICRO_BATCH, OPTIONS, SUMMARY, Phases, records, wrap_grpo, written


def run(lm: CausalLM, phases: Phases) -> None:
    config = as_train_config(**OPTIONS)
    encoder = Encoder(lm, budget=config.budget, input_budget=config.input_budget)
    examples = encoder.examples(records(lm))
    with tempfile.TemporaryDirectory() as scratch:
        model = load_causal_lm(dtype="bfloat16", device=DEVICE).model
        theta = Theta(model, lm, config, encoder, examples, scratch)
        trainer = Scripted(
            model=lm.model,
            reward_funcs=theta.reward,
            args=grpo_config(config, scratch, generation_kwargs={"suppress_tokens": [lm.tokenizer.eos_token_id]}),
            train_dataset=Dataset.from_list(
                [
                    {"prompt": lm.tokenizer.decode(one.request_ids), "user": at}
                    for _ in range(config.steps)
                    for at, one in enumerate(examples)
                ]
            ),
            processing_class=lm.tokenizer,
            peft_config=_lora(config),
            callbacks=[Turns(theta, phases)],
        )
        trainer.lm, trainer.known = lm, [one.request_ids for one in examples]
        wrap_grpo(phases, GRPOTrainer)
        phases.wrap(trainer, "_generate_single_turn", lambda: "sampling")
        phases.wrap(trainer, "_calculate_rewards", lambda: "reward and theta")
        phases.report()
        trainer.train()


class Scripted(GRPOTrainer):
    """Stock, but for the tokens: after they were sampled, those of the script take their place."""

    lm: CausalLM
    known: list[tuple[int, ...]]

    def _generate_single_turn(self, prompt_ids: list[list[int]], *args: Any, **options: Any) -> Any:
        assert [tuple(ids) for ids in prompt_ids] == [ids for ids in self.known for _ in range(GROUP)]
        ids, _ = super()._generate_single_turn(prompt_ids, *args, **options)
        assert all(len(one) == SUMMARY for one in ids)
        return written(self.lm, self.state.global_step), None


class Theta:
    """The second model: it scores summaries for the reward, and takes DPO steps on them.

    A user's first `pairs_per_summary` pairs judge each of its summaries; the reference is the model as it comes:
    with its adapter off, or another, `reference`, which then is the frozen reader too.
    """

    def __init__(  # noqa: PLR0917 - called twice
        self,
        model: Any,
        lm: CausalLM,
        config: TrainConfig,
        encoder: Encoder,
        examples: Sequence[Example],
        scratch: str,
        reference: Any = None,
        lora: LoraConfig | None = None,
    ) -> None:
        self.encoder = encoder
        self.pairs = [one.pairs[: config.pairs_per_summary] for one in examples]
        self.objective = Objective(config)
        self.config = config
        self.rows: list[dict[str, Any]] = []
        self.rewards: list[float] = []
        self.reference = reference
        row = {"prompt": "Tell me a story.", "chosen": " Yes.", "rejected": " No."}
        self.dpo = DPOTrainer(
            model=model,
            ref_model=reference,
            args=_dpo_config(config, scratch),
            train_dataset=Dataset.from_list([row] * _rows(config)),
            processing_class=lm.tokenizer,
            peft_config=lora or _lora(config),
        )
        self.dpo.create_optimizer_and_scheduler(config.steps)
        self.dpo.current_gradient_accumulation_steps = self.dpo.args.gradient_accumulation_steps
        plain = [[Query(one.plain, (one.chosen, one.rejected)) for one in pairs] for pairs in self.pairs]
        with torch.no_grad():
            scores = iter(self._scores([_row(query) for queries in plain for query in queries], reference))
        self.references = [[next(scores) for _ in queries] for queries in plain]

    def reward(self, prompts: Any, completions: Any, completion_ids: Any, user: Sequence[int], **_: Any) -> list[float]:
        """Minus the loss of the user's pair behind the summary: half by the generator, half by the frozen base."""
        self.rows = [
            _row(self.encoder.reading(self.encoder.summary(ids), pair))
            for ids, number in zip(completion_ids, user, strict=True)
            for pair in self.pairs[number]
        ]
        with torch.no_grad():
            current = self._deltas(user)
            frozen: list[Any] = [None] * len(user)
            if self.config.reward_frozen:
                with nullcontext() if self.reference else self.dpo.model.disable_adapter():
                    frozen = self._deltas(user, self.reference)
        self.rewards = [self.objective.reward(*both) for both in zip(current, frozen, strict=True)]
        return self.rewards

    def step(self) -> None:
        """One step of DPO on the summaries of the last reward."""
        for start in range(0, len(self.rows), MICRO_BATCH):
            self.dpo.training_step(self.dpo.model, self.dpo.data_collator(self.rows[start : start + MICRO_BATCH]))
        self.dpo.accelerator.clip_grad_norm_(self.dpo.model.parameters(), self.config.max_grad_norm)
        self.dpo.optimizer.step()
        self.dpo.lr_scheduler.step()
        self.dpo.optimizer.zero_grad()

    def _scores(self, rows: Sequence[dict[str, Any]], model: Any = None) -> list[list[float]]:
        """Log-probabilities of chosen and rejected by row, from padded batches; None: by the model that learns."""
        found: list[list[float]] = []
        for start in range(0, len(rows), MICRO_BATCH):
            batch = self.dpo.data_collator(rows[start : start + MICRO_BATCH])
            inputs = {name: tensor.to(DEVICE) for name, tensor in batch.items()}
            mask = inputs.pop("completion_mask")
            labels = inputs["input_ids"].masked_fill(mask == 0, -100)
            output = (model or self.dpo.model)(**inputs, labels=labels, fused_lm_head=True, use_cache=False)
            found += torch.stack(output.log_probs.sum(dim=1).chunk(2), dim=1).tolist()
        return found

    def _deltas(self, user: Sequence[int], model: Any = None) -> list[list[float]]:
        """Of each summary the margins of its pairs, by the model as it is, or another."""
        scores = iter(self._scores(self.rows, model))
        return [
            [
                self.objective.delta(pair, next(scores), reference)
                for pair, reference in zip(self.pairs[number], self.references[number], strict=True)
            ]
            for number in user
        ]


class Turns(TrainerCallback):
    """After the step of the one trainer that of the other; then wait."""

    def __init__(self, theta: Theta, phases: Phases) -> None:
        self.theta = theta
        self.phases = phases

    def on_step_end(self, *_: Any, **__: Any) -> None:
        with self.phases("reward and theta"):
            self.theta.step()
        self.phases.report(rewards=self.theta.rewards)


def _row(query: Query) -> dict[str, Any]:
    chosen, rejected = query.continuations
    return {"prompt_ids": list(query.prefix), "chosen_ids": list(chosen), "rejected_ids": list(rejected)}


def _rows(config: TrainConfig) -> int:
    """Readings of a step."""
    return config.users_per_step * config.group_size * config.pairs_per_summary


def _lora(config: TrainConfig) -> LoraConfig | None:
    return config.adapters and LoraConfig(
        r=config.adapters.rank,
        lora_alpha=config.adapters.alpha,
        target_modules=config.adapters.targets,
        task_type="CAUSAL_LM",
    )


def _shared(config: TrainConfig, scratch: str, rows: int) -> dict[str, Any]:
    return {
        "output_dir": scratch,
        "max_steps": config.steps,
        "per_device_train_batch_size": MICRO_BATCH,
        "gradient_accumulation_steps": rows // MICRO_BATCH,
        "lr_scheduler_type": "cosine",
        "max_grad_norm": config.max_grad_norm,
        "weight_decay": 0.0,
        "use_cpu": DEVICE == "cpu",
        "bf16": False,  # the weights are
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }


def grpo_config(config: TrainConfig, scratch: str, **options: Any) -> GRPOConfig:
    """What `PopiTrainer` does with this configuration, in words of TRL."""
    return GRPOConfig(
        **_shared(config, scratch, config.users_per_step * config.group_size),
        learning_rate=config.inferrer_lr,
        num_generations=config.group_size,
        max_completion_length=config.budget,
        temperature=config.temperature,
        beta=config.kl,
        scale_rewards="none",
        loss_type="dr_grpo",
        entropy_coef=config.entropy_bonus,
        shuffle_dataset=False,
        remove_unused_columns=False,
        **options,
    )


def _dpo_config(config: TrainConfig, scratch: str) -> DPOConfig:
    shared = _shared(config, scratch, _rows(config))
    kinds: dict[str, Any] = {}
    if config.generator_likelihood:  # ours is divided by beta
        kinds = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, config.beta * config.generator_likelihood]}
    return DPOConfig(**shared, **kinds, learning_rate=config.generator_lr, beta=config.beta)
