"""`TrainedInferrer`: the inference model of POPI, from the directory that training wrote."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal, Self

from ..errors import ConfigurationError
from ..generators import BackendSpec, GenerationOptions, Generator
from ..generators.hf import HfGenerator
from ..generators.llamacpp import LlamaCppGenerator
from ..models.catalog import CATALOG, DEFAULT_MODEL
from ..models.trained import TrainedModel, is_adapter, read_trained, trained_folder
from ..prompts import template_digest
from ..summary import ESTIMATED, TokenCounter
from .prompted import PromptedInferrer, words_for

__all__ = ["Engine", "TrainedInferrer", "check_templates", "part_generator"]

Engine = Literal["transformers", "llamacpp"]

_TEMPLATES = ("infer", "answer_summary", "answer_signals", "plain")


class TrainedInferrer(PromptedInferrer):
    """A `PromptedInferrer` over trained weights, asked as it was in training.

    Args:
        directory: What `PopiTrainer.save_pretrained` wrote, or its id on the hub, `owner/name`.
        engine: `transformers`, or `llamacpp`: the embedded engine, with the adapter converted once into the cache.
        base_model: Where the weights lie that it was trained on, if not where `popi.json` says; they must be the same.
        gguf: For `llamacpp`, a GGUF of the base, where it was trained on something else or in another precision; it is
            not compared with the base that it was trained on.
        options: For the engine's generator. `transformers`: `dtype`, `device`, `batch_size`, `timeout`; `llamacpp`:
            `context`, `threads`, `timeout`.

    Attributes:
        trained: What the directory says of itself.
        counter: Its own tokenizer, which counts where the caller names nobody, or a generator that could only count
            bytes: a frozen API. A budget of 64 tokens would end its summaries after ten words.

    Raises:
        ConfigurationError: If it is not there, or has no inferrer; at first use, if its base has other weights now.
    """

    name = "trained"

    def __init__(
        self,
        directory: str | Path,
        *,
        engine: Engine = "transformers",
        base_model: str | Path | None = None,
        gguf: str | Path | None = None,
        **options: Any,
    ) -> None:
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
            part_generator(self.trained, path, engine=engine, gguf=gguf, **options),
            input_budget=self.trained.input_budget,
            options=GenerationOptions(max_tokens=self.trained.budget),  # where sampling ended in training
        )
        self.words = words_for(self.trained.budget)  # whatever the budget is now: another request was never seen
        self.counter = self.generator

    def _who_counts(self, asked: TokenCounter | None) -> TokenCounter:
        return self.counter if asked is None or asked.tokenizer == ESTIMATED else asked

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


def part_generator(
    trained: TrainedModel,
    part: Path | None,
    *,
    engine: Engine = "transformers",
    gguf: str | Path | None = None,
    **options: Any,
) -> Generator:
    """A generator over one half of a trained model; over the base where that half was not trained.

    Both halves share what they can: one copy of the base, or one embedded engine with both adapters.

    Args:
        trained: What `read_trained` gave.
        part: Its `inferrer_path` or `generator_path`.
        engine: `transformers` or `llamacpp`.
        gguf: As for `TrainedInferrer`.
        options: For the engine's generator.

    Raises:
        ConfigurationError: If the engine is unknown, or cannot run such a model.
    """
    if engine == "llamacpp":
        return _embedded(trained, part, gguf, options)
    if engine != "transformers":
        raise ConfigurationError(f"engine={engine!r} is unknown. Use 'transformers' or 'llamacpp'.")
    if gguf is not None:
        raise ConfigurationError("gguf= is for engine='llamacpp'. For other weights of the base give base_model=.")
    if part is not None and not is_adapter(part):
        return HfGenerator(part, **options)
    return HfGenerator(trained.base_model, adapter=part, base_digest=trained.base_digest, **options)


def _embedded(
    trained: TrainedModel, part: Path | None, gguf: str | Path | None, options: dict[str, Any]
) -> LlamaCppGenerator:
    parts = [path for path in (trained.inferrer_path, trained.generator_path) if path is not None]
    if whole := [path for path in parts if not is_adapter(path)]:
        raise ConfigurationError(
            f"{whole[0]} is a whole model, and engine='llamacpp' runs adapters. Use engine='transformers', or convert "
            "it with llama.cpp's own tools and use it as llamacpp:PATH.gguf."
        )
    base = trained.base_model
    if gguf is None and not (base in CATALOG or base.lower().endswith(".gguf")):
        raise ConfigurationError(
            f"{trained.directory} was trained on {base}, which is no GGUF, and engine='llamacpp' needs one: give "
            "gguf=PATH, made from the same weights with llama.cpp's convert_hf_to_gguf.py."
        )
    digest = trained.base_digest if gguf is None else None
    source = gguf or (None if base == DEFAULT_MODEL.name else base)  # None is pulled at first use
    return LlamaCppGenerator(source, adapter=part, adapters=parts, base_digest=digest, **options)


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
