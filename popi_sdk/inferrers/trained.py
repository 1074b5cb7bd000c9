"""`TrainedInferrer`: the inference model of POPI, from the directory that training wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from ..errors import ConfigurationError
from ..generators import BackendSpec, GenerationOptions, Generator
from ..generators.hf import HfGenerator
from ..models.trained import TrainedModel, is_adapter, read_trained
from .prompted import PromptedInferrer

__all__ = ["TrainedInferrer", "part_generator"]


class TrainedInferrer(PromptedInferrer):
    """A `PromptedInferrer` over trained weights, asked as it was in training.

    Args:
        directory: What `PopiTrainer.save_pretrained` wrote.
        options: For `HfGenerator`: `dtype`, `device`, `batch_size`, `timeout`.

    Attributes:
        trained: What the directory says of itself.

    Raises:
        ConfigurationError: If it is not there, or has no inferrer.
    """

    name = "trained"

    def __init__(self, directory: str | Path, **options: Any) -> None:
        self.trained = read_trained("trained", Path(directory).expanduser())
        path = self.trained.inferrer_path
        if path is None:
            raise ConfigurationError(
                f"{directory} has no inferrer: its context is {self.trained.context!r}. Train with schedule 'joint' or "
                "'sequential'."
            )
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
            raise ConfigurationError("Name the directory that training wrote: 'trained:DIR'.")
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
    return HfGenerator(trained.base_model, adapter=part, **options)
