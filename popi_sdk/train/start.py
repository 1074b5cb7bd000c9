"""Training that goes on from a trained directory: both halves begin as what an earlier run made of them."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigurationError
from ..models.fingerprint import check_base
from ..models.trained import read_trained, trained_folder
from .config import TrainConfig, as_train_config
from .networks import Networks

__all__ = ["as_it_was", "start_from"]


def as_it_was(config: TrainConfig) -> TrainConfig:
    """Take the adapters' shape and the budgets from what is gone on from, where nobody asked for others.

    Raises:
        ConfigurationError: If it cannot be read.
    """
    if config.start is None:
        return config
    trained = read_trained("start", trained_folder(config.start))
    sizes = {"budget": trained.budget, "input_budget": trained.input_budget}
    sizes |= {name: trained.config[name] for name in ("adapters",) if name in trained.config}
    asked = config.model_dump(include=config.model_fields_set)
    return as_train_config(**sizes | asked)


def start_from(networks: Networks, source: str | Path, config: TrainConfig, *, base: str | None) -> None:
    """Load both halves; the inferrer's divergence is measured from where it starts.

    Args:
        networks: Built anew.
        source: A directory that training wrote, or a repository of the hub.
        config: Of the new run.
        base: What `networks` were built on, to see that adapters fit it; None for a model that was not loaded from
            anywhere, of which nothing is known.

    Raises:
        ConfigurationError: If it cannot be read, belongs to another base or another form of generator, or its adapters
            have another shape than the new ones.
    """
    trained = read_trained("start", trained_folder(source))
    if trained.context != config.reads:
        raise ConfigurationError(
            f"start={source}: its generator reads {_READS[trained.context]}, that of schedule={config.schedule!r} "
            f"{_READS[config.reads]}. Take a directory of the same kind."
        )
    if config.adapters is not None and base is not None:
        check_base(base, trained.base_digest, str(source))
    for part, load in (
        (trained.inferrer_path, networks.load_inferrer),
        (trained.generator_path, networks.load_generator),
    ):
        if part is not None:
            load(part)
    networks.untouched = trained.generator_path is None
    if config.kl:
        networks.keep_anchor()


_READS = {"summary": "summaries", "signals": "signals", "none": "bare prompts"}
