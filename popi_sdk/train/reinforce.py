"""The reinforcement learning of the inferrer, on TRL's GRPO; in a joint run the generator learns in the same steps."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import TrainingError
from ..models._quiet import quiet
from .checkpoint import Checkpoints
from .config import TrainConfig
from .examples import Example, batches
from .joint import Step
from .learner import GeneratorLearner
from .networks import Networks

__all__ = ["reinforce"]

Record = Callable[[int, dict[str, Any]], object]
"""Called after each step with its number and figures; training ends with it if that returns True."""


def reinforce(
    networks: Networks,
    learner: GeneratorLearner,
    examples: Sequence[Example],
    config: TrainConfig,
    record: Record,
    *,
    learn: bool,
    phase: str,
    checkpoints: Checkpoints,
) -> None:
    """Train the inferrer for `config.steps` steps.

    Args:
        networks: Whose inferrer is trained.
        learner: Judges summaries, and if `learn`, trains the generator with the same pass.
        examples: The users.
        config: All numbers.
        record: Told of every step.
        learn: Whether the generator learns too (`joint`).
        phase: What it is called in the checkpoints.
        checkpoints: Where it goes on from, and keeps its state.

    Raises:
        TrainingError: If a reward or a loss is not finite.
    """
    step = Step(networks, learner, examples, config, learn=learn)
    # One pass over an order of our own: TRL's sampler does not know where it was when a run goes on in a later epoch.
    order = islice(batches(len(examples), config), config.steps)
    rows = [
        {"prompt": f"{at} {batch[:place].count(at)}", "example": at}
        for batch in order
        for place, at in enumerate(batch)
    ]
    with tempfile.TemporaryDirectory(prefix="popi-train-") as scratch:
        output = checkpoints.trl_folder(phase)
        trainer = _trainer(step, rows, output or Path(scratch), record, checkpoints)
        step.trainer = trainer
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TRL's to mend, not the user's
            trainer.train(resume_from_checkpoint=_restored(phase, checkpoints, networks, learner))


def _trainer(step: Step, rows: Sequence[dict[str, Any]], output: Path, record: Record, checkpoints: Checkpoints) -> Any:
    from datasets import Dataset
    from transformers import PrinterCallback

    from .policy import PackedGRPOTrainer

    networks, processes = step.networks, step.processes
    save_every = None if checkpoints.folder is None else checkpoints.every
    with quiet():
        trainer = PackedGRPOTrainer(
            model=networks.inferrer,
            reward_funcs=step.reward,
            args=_arguments(step.config, networks, output, save_every, processes.count),
            train_dataset=Dataset.from_list(list(rows)),
            processing_class=networks.lm.tokenizer,
            rollout_func=step.rollout,
            callbacks=[_callback(record, step, step.learner, checkpoints)],
        )
    trainer.processes = processes
    trainer.token_budget = step.config.token_budget
    if processes.count > 1:
        # The mark of what needs no wrapper: DistributedDataParallel would keep room for gradients it never sees.
        networks.inferrer._is_accelerate_prepared = True
    if step.config.kl:
        # Only now: given at once, TRL would load a third model, or copy the adapter, for the reference.
        trainer.beta = step.config.kl
        trainer.ref_model = networks.anchor()
    trainer.remove_callback(PrinterCallback)  # the view is ours
    return trainer


def _restored(phase: str, checkpoints: Checkpoints, networks: Networks, learner: GeneratorLearner) -> str | None:
    """Built fresh, then loaded: the anchor of the divergence is the model as it was before training."""
    found = checkpoints.latest(phase)
    if found is None:
        return None
    folder, extras = found
    networks.load_state_dict(extras["networks"])
    learner.load_state_dict(extras["learner"])
    learner.untouched = networks.untouched
    return str(folder)


def _arguments(config: TrainConfig, networks: Networks, output: Path, save_every: int | None, processes: int) -> Any:
    from trl import GRPOConfig

    arguments = GRPOConfig(
        output_dir=str(output),
        max_steps=config.steps,
        per_device_train_batch_size=config.users_per_step // processes * config.group_size,
        num_generations=config.group_size,
        steps_per_generation=1,
        gradient_accumulation_steps=1,
        max_completion_length=config.budget,
        temperature=config.temperature,
        beta=0.0,
        scale_rewards="none",
        loss_type="dr_grpo",
        **_entropy(config),
        learning_rate=config.inferrer_lr,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(config.warmup * config.steps),
        max_grad_norm=config.max_grad_norm,
        weight_decay=0.0,
        seed=config.seed,
        use_cpu=networks.lm.device.type == "cpu",
        bf16=False,  # the weights have their type already
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no" if save_every is None else "steps",
        save_steps=save_every or config.steps,
        save_total_limit=2,  # the newest may be half-written
        report_to=[],
        disable_tqdm=True,
        shuffle_dataset=False,
        remove_unused_columns=False,
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # else transformers copies the model to every GPU, and multiplies the batch
    return arguments


def _entropy(config: TrainConfig) -> dict[str, Any]:
    bonus = config.entropy_bonus
    if config.entropy_floor is None or not bonus:
        return {"entropy_coef": bonus}
    # TRL's controller with a coefficient that does not move: what is left of it is the target, below which it counts.
    fixed = {"entropy_coef_min": bonus, "entropy_coef_max": bonus, "entropy_coef_delta": 0.0}
    return {"entropy_coef": bonus, "use_adaptive_entropy": True, "entropy_target": config.entropy_floor, **fixed}


_KEPT = {
    "reward": "reward/mean",
    "reward_std": "reward/std",
    "entropy": "inferrer/entropy",
    "kl": "inferrer/kl",
    "grad_norm": "inferrer/grad_norm",
    "learning_rate": "inferrer/learning_rate",
    "completions/mean_length": "summaries/tokens",
    "frac_reward_zero_std": "reward/equal",
}
"""Of TRL's figures, those that say something here, and what they are called."""


def _callback(record: Record, step: Step, learner: GeneratorLearner, checkpoints: Checkpoints) -> Any:
    from transformers import TrainerCallback

    class Recorder(TrainerCallback):  # type: ignore[misc] # transformers is Any to mypy
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "reward" in logs:
                figures = {name: float(logs[key]) for key, name in _KEPT.items() if logs.get(key) is not None}
                if not math.isfinite(figures.get("inferrer/grad_norm", 0.0)):
                    raise TrainingError(
                        f"The inferrer's gradient is {figures['inferrer/grad_norm']} at step {state.global_step}. "
                        "Lower inferrer_lr, or raise temperature if it is close to 0."
                    )
                if record(state.global_step, figures | step.metrics | learner.metrics) is True:
                    control.should_training_stop = True

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            extras = {"networks": step.networks.state_dict(), "learner": learner.state_dict()}
            checkpoints.complete(Path(args.output_dir) / f"checkpoint-{state.global_step}", extras)

    return Recorder()
