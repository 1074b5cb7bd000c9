"""Everything that decides what training does."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import ConfigurationError
from ..summary import DEFAULT_BUDGET
from .stopping import StopSettings

__all__ = ["LoraSettings", "TrainConfig", "as_train_config"]

_Share = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[int, Field(gt=0)]
_Rate = Annotated[float, Field(gt=0)]

_READS: dict[str, Literal["signals", "none"]] = {"population": "none", "raw-trained": "signals"}


class LoraSettings(BaseModel):
    """Two low-rank adapters on one base: inferrer and generator; the reference is the base with both off.

    Attributes:
        rank: Rank of the update of each weight matrix.
        alpha: Scale of the update; it is multiplied by alpha / rank.
        targets: The weight matrices that get one: peft's `all-linear`, or names.
        last: Only in the last so many layers of the model; None for all. The backward pass ends at the first of them,
            which makes every step cheaper.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rank: _Positive = 8
    alpha: _Positive = 16
    targets: str | tuple[str, ...] = "all-linear"
    last: _Positive | None = None


class TrainConfig(BaseModel):
    """Configuration of a training run; formulas are those of the paper (arXiv 2510.17881).

    Attributes:
        base_model: What both models start from, as for `load_causal_lm`: a hub id, a folder, a .gguf file; None for the
            default model.
        start: A trained directory, a repository of the hub, or `popi-135m`, whose inferrer and generator this run goes
            on from; None for the base itself. Its `adapters`, `budget` and `input_budget` hold where none are given.
        schedule: `joint`: every step updates inferrer and generator, and the forward pass that gives a summary's reward
            gives the generator's gradient. `sequential`: the inferrer against the generator as it is, which is the
            base where nothing has trained it yet; then the generator on a stored summary of each user that it draws;
            `rounds` repeats it. `population` and `raw-trained` are the rivals: the generator
            alone, on the same pairs behind bare prompts, or behind the clipped signals themselves.
        steps: Optimizer steps; of `sequential`: of each model in each round.
        rounds: Of `sequential`.
        adapters: Two LoRA adapters on one base; None for two whole networks, fully fine-tuned.
        dtype: Of the weights: `auto` (bfloat16 where the machine has it), `float32`, `bfloat16`, `float16`.
        device: `auto`, `cpu`, `cuda`, `mps`.
        token_budget: Most positions of one forward pass that is learnt from, padding included; None for what suits the
            device: 8,192 on a GPU, which a small model on a large one does not fill, 2,048 on a CPU. What decides how
            much memory a run takes; a run that is resumed may have another.
        objective: `dpo` or `ipo`.
        beta: How sharply a margin counts; for `ipo` the wanted margin is 1 / (2 beta) nats.
        length_normalised: Divide each response's log-probability by its tokens: else long responses rule the reward.
        users_per_step: Users in an optimizer step, over all processes.
        group_size: Summaries sampled for each user, G in GRPO.
        pairs_per_summary: Held-out pairs that a summary is judged by in a step; more make the reward less noisy, and a
            step longer. All of a user who has fewer.
        summaries_for_generator: Of the G summaries of a user, those whose pairs train the generator; None for all.
        generator_contrast: Weight of a second part of the generator's loss: a pair's margin behind the user's summary
            has to be above that behind another user's of the same step. It costs a second pass over the pairs.
        generator_likelihood: Weight of the chosen answer's own likelihood in the generator's loss, nats a token
            (arXiv 2404.19733). Without it a margin may grow while both answers become unlikely, and what the generator
            writes of its own accord gets worse. It costs nothing.
        warm_start: Supervised steps of the inferrer on gold descriptions, before all else.
        warm_start_generator: Then steps of the generator on the users' pairs behind gold descriptions, by the same loss
            and at `generator_lr`: it learns to follow a description before the inferrer is rewarded by it.
        warm_start_users: Users in a step of both; None for `users_per_step`. They cost no sampling: more are cheap.
        warm_start_contrast: Weight of telling descriptions apart, in the inferrer's supervised loss: of two users and
            their two descriptions, whose is whose. Likelihood alone teaches the form of a description first, and what
            it says of this user late.
        warm_start_lr: Peak learning rate of the supervised steps; None for `inferrer_lr`.
        warm_start_decay: Share of the supervised steps, the last ones, in which the rate falls to 0. With 0 it never
            falls: an inferrer that is too sure of itself has nothing to be rewarded for.
        temperature: At which summaries are sampled, and their probabilities taken.
        budget: Most tokens of a summary: sampling ends there.
        input_budget: Most tokens of signals that the inferrer reads.
        reward_frozen: Share of the reward that comes from the untouched base model reading the summary: what keeps
            inferrer and generator from a private code.
        reward_over_empty: Subtract what the plain prompt earns under the same models, so that 0 means: no better than
            none. A constant of the user's group: it makes the figures readable, the gradient is the same.
        length_penalty: Subtracted from the reward of a summary that fills the budget; in proportion below.
        overlap_penalty: Subtracted, times the share of the summary's 4-grams that stand in the signals: a summary
            describes, it does not quote.
        entropy_bonus: Weight of the entropy of the summary's tokens in the inferrer's loss: against early collapse.
        entropy_floor: The bonus counts only while the mean entropy of a token, nats, is below this; None: always. One
            that always counts is what the optimizer follows first, while rewards are still noise.
        kl: Weight of the divergence from the initial inferrer: the base, or `start`, or what the warm start
            made of it.
        inferrer_lr: Peak learning rate of the inferrer.
        generator_lr: Peak learning rate of the generator.
        warmup: Share of the steps in which the rates rise, from 0 in the first; then they fall as a cosine.
        max_grad_norm: To which each model's gradient is clipped.
        eval_every: Steps between two looks at the dev users; 0 for the end only.
        eval_users: Most dev users that are looked at.
        eval_pairs: Most pairs of each of them.
        keep_best: Keep the weights of the best look at dev in each phase, instead of the last ones.
        stop: What ends a phase early, see `StopSettings`; None for nothing.
        save_every: Steps between two checkpoints, where the run has an output directory.
        seed: Of everything that is drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    base_model: str | None = None
    start: str | None = None
    schedule: Literal["joint", "sequential", "population", "raw-trained"] = "joint"
    steps: _Positive = 200
    rounds: _Positive = 1
    adapters: LoraSettings | None = LoraSettings()
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    token_budget: _Positive | None = None

    objective: Literal["dpo", "ipo"] = "dpo"
    beta: _Rate = 0.1
    length_normalised: bool = False

    users_per_step: _Positive = 4
    group_size: Annotated[int, Field(ge=2)] = 8
    pairs_per_summary: _Positive = 4
    summaries_for_generator: _Positive | None = None
    generator_contrast: Annotated[float, Field(ge=0)] = 0.0
    generator_likelihood: Annotated[float, Field(ge=0)] = 0.0
    warm_start: Annotated[int, Field(ge=0)] = 0
    warm_start_generator: Annotated[int, Field(ge=0)] = 0
    warm_start_users: _Positive | None = None
    warm_start_contrast: Annotated[float, Field(ge=0)] = 0.0
    warm_start_lr: _Rate | None = None
    warm_start_decay: _Share = 0.0
    temperature: _Rate = 1.0
    budget: _Positive = DEFAULT_BUDGET // 2
    input_budget: _Positive = 1_024

    reward_frozen: _Share = 0.5
    reward_over_empty: bool = False
    length_penalty: Annotated[float, Field(ge=0)] = 0.0
    overlap_penalty: Annotated[float, Field(ge=0)] = 0.0
    entropy_bonus: Annotated[float, Field(ge=0)] = 0.05
    entropy_floor: _Rate | None = 0.5
    kl: Annotated[float, Field(ge=0)] = 0.002

    inferrer_lr: _Rate = 1e-4
    generator_lr: _Rate = 1e-4
    warmup: _Share = 0.05
    max_grad_norm: _Rate = 1.0

    eval_every: Annotated[int, Field(ge=0)] = 50
    eval_users: _Positive = 64
    eval_pairs: _Positive = 4
    keep_best: bool = True
    stop: StopSettings | None = StopSettings()
    save_every: _Positive = 25
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @property
    def reads(self) -> Literal["summary", "signals", "none"]:
        """What the generator of this schedule reads beside the prompt."""
        return _READS.get(self.schedule, "summary")

    @property
    def phases(self) -> dict[str, int]:
        """What a run does one after the other, and the steps of each."""
        names: list[str] = [self.schedule]
        if self.schedule == "sequential":
            names = [f"{who} {number}" for number in range(1, self.rounds + 1) for who in ("inferrer", "generator")]
        before = {"warm start": self.warm_start, "generator warm start": self.warm_start_generator}
        return {name: steps for name, steps in before.items() if steps} | dict.fromkeys(names, self.steps)

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        if self.summaries_for_generator is not None and self.summaries_for_generator > self.group_size:
            raise ValueError(
                f"summaries_for_generator={self.summaries_for_generator} is more than group_size={self.group_size}"
            )
        if self.schedule != "sequential" and self.rounds != 1:
            raise ValueError("rounds belongs to schedule='sequential'; others have steps alone")
        if self.reads != "summary" and (self.warm_start or self.warm_start_generator):
            raise ValueError(f"a warm start is for what reads summaries; schedule={self.schedule!r} reads none")
        return self

    @classmethod
    def paper(cls, **changes: Any) -> TrainConfig:
        """The released recipe: two networks, sequential, DPO with beta 0.01, G = 8, T = 0.6, KL 2e-3, no extras."""
        recipe: dict[str, Any] = {
            "schedule": "sequential",
            "steps": 2_500,
            "rounds": 1,
            "adapters": None,
            "objective": "dpo",
            "beta": 0.01,
            "length_normalised": False,
            "users_per_step": 8,
            "group_size": 8,
            "pairs_per_summary": 1,
            "summaries_for_generator": 1,
            "generator_contrast": 0.0,
            "generator_likelihood": 0.0,
            "warm_start": 0,
            "warm_start_generator": 0,
            "temperature": 0.6,
            "reward_frozen": 0.0,
            "reward_over_empty": False,
            "length_penalty": 0.0,
            "overlap_penalty": 0.0,
            "entropy_bonus": 0.0,
            "kl": 0.002,
            "inferrer_lr": 1e-6,
            "generator_lr": 1e-6,
            "warmup": 150 / 2_500,
            "keep_best": False,
            "stop": None,
        }
        return as_train_config(**recipe | changes)


def as_train_config(*, preset: str | None = None, **options: Any) -> TrainConfig:
    """Build a configuration.

    Args:
        preset: Whose defaults hold where no option says otherwise: `paper` for `TrainConfig.paper`; None for our own.
        options: Fields of `TrainConfig`.

    Raises:
        ConfigurationError: If an option or the preset is unknown, or a value is not allowed; it names the option.
    """
    if preset is not None:
        if preset != "paper":
            said = repr(preset) if isinstance(preset, str) else f"of type {type(preset).__name__}"
            raise ConfigurationError(f"Training: there is no preset {said}. Use 'paper', or none.")
        return TrainConfig.paper(**options)
    try:
        return TrainConfig(**options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the configuration"
        if first["type"] == "extra_forbidden":
            raise ConfigurationError(f"Training: there is no option {where!r}. {_instead(*first['loc'])}") from error
        raise ConfigurationError(f"Training: {where}: {first['msg'].removeprefix('Value error, ')}.") from error


def _instead(*place: str | int) -> str:
    """What may have been meant by the name of an option that is none."""
    *groups, name = map(str, place)
    inside: dict[str, type[BaseModel]] = {"adapters": LoraSettings, "stop": StopSettings}
    model = inside[groups[0]] if groups else TrainConfig
    close = difflib.get_close_matches(name, model.model_fields, n=1)
    if close:
        return f"Did you mean {'.'.join([*groups, close[0]])!r}?"
    return f"There are {', '.join(sorted(model.model_fields))}."
