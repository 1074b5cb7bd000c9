"""`TrainedInferrer`: the inference model of POPI, from the directory that training wrote."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Self

from ..errors import ConfigurationError
from ..generators import BackendSpec, GenerationOptions, Generator
from ..generators.hf import HfGenerator
from ..models.trained import TrainedModel, is_adapter, read_trained, trained_folder
from ..prompts import template_digest
from .prompted import PromptedInferrer

__all__ = ["TrainedInferrer", "check_templates", "part_generator"]

_TEMPLATES = ("infer", "answer_summary", "answer_signals", "plain")


class TrainedInferrer(PromptedInferrer):
    """A `PromptedInferrer` over trained weights, asked as it was in training.

    Args:
        directory: What `PopiTrainer.save_pretrained` wrote, or its id on the hub, `owner/name`.
        base_model: Where the weights lie that it was trained on, if not where `popi.json` says; they must be the same.
        options: For `HfGenerator`: `dtype`, `device`, `batch_size`, `timeout`.

    Attributes:
        trained: What the directory says of itself.

    Raises:
        ConfigurationError: If it is not there, or has no inferrer; at first use, if its base has other weights now.
    """

    name = "trained"

    def __init__(self, directory: str | Path, *, base_model: str | Path | None = None, **options: Any) -> None:
        trained = read_trained("trained", trained_folder(directory))
        self.trained = trained if base_model is None else trained.model_copy(update={"base_model": str(base_model)})
        path = self.trained.inferrer_path
        if path is None:
            raise ConfigurationError(
                f"{directory} has no inferrer: its context is {self.trained.context!r}. Train with schedule 'joint' or "
                "'sequential'."
            )
        check_templates(self.trained)
        super().__init__(
            part_generator(self.trained, path, **options),
            input_budget=self.trained.input_budget,
            options=GenerationOptions(max_tokens=self.trained.budget),  # where sampling ended in training
        )

    @classmethod
    def from_spec(cls, spec: BackendSpec, **options: Any) -> Self:
        """Build from `trained:DIR`.

        Raises:
            ConfigurationError: If no directory is named.
        """
        if not spec.model or spec.url:
            raise ConfigurationError("Name the directory that training wrote, or its id on the hub: 'trained:DIR'.")
        return cls(spec.model, **options)

    def close(self) -> None:
        """Give back the model."""
        self.generator.close()

    async def aclose(self) -> None:
        """`close`, awaited."""
        await self.generator.aclose()


def part_generator(trained: TrainedModel, part: Path | None, **options: Any) -> Generator:
    """A generator over one half of a trained model; over the base where that half was not trained.

    Args:
        trained: What `read_trained` gave.
        part: Its `inferrer_path` or `generator_path`.
        options: For `HfGenerator`.
    """
    if part is not None and not is_adapter(part):
        return HfGenerator(part, **options)
    return HfGenerator(trained.base_model, adapter=part, base_digest=trained.base_digest, **options)


def check_templates(trained: TrainedModel) -> None:
    """Warn where the model would be asked in other words than those it was trained with: it works, but less well."""
    changed = [name for name in _TEMPLATES if trained.templates.get(name, here := template_digest(name)) != here]
    if changed:
        warnings.warn(
            f"{trained.directory} was trained with other prompt templates ({', '.join(changed)}) than this popi_sdk "
            f"has: what it was measured at no longer holds. Use popi_sdk {trained.popi_sdk or 'as then'}, or train "
            "again.",
            UserWarning,
            stacklevel=4,
        )
