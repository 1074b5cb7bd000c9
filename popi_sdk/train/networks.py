"""Inferrer, generator and frozen base: two adapters on one model, or whole models of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, needs_extra
from ..models._quiet import quiet
from ..models.adapters import put_weights, read_adapter, switch_adapter
from ..models.folders import Folder
from ..models.trained import is_adapter
from .config import LoraSettings, TrainConfig

if TYPE_CHECKING:
    from ..models.causal_lm import CausalLM

__all__ = ["AdapterNetworks", "Networks", "WholeNetworks", "build_networks"]

INFERRER, GENERATOR = "default", "generator"
"""Names of the adapters in the model; the first one is what peft and TRL call the adapter that they train."""

_ANCHOR = "ref"  # what TRL calls the adapter that the divergence is measured from, where there is one


class Networks:
    """Who computes. A network takes part within its block, and outside of all blocks the inferrer does.

    Attributes:
        lm: The base model with its tokenizer; its model carries the inferrer.
        inferrer: The module that the reinforcement learning trains.
        untouched: Whether the generator is still the base model.
    """

    lm: CausalLM
    inferrer: Any
    untouched = True

    def generator_parameters(self) -> list[Any]:
        """What the generator's optimizer changes."""
        raise NotImplementedError

    def anchor(self) -> Any:
        """What the inferrer's divergence is measured from; None for an adapter, or the model with its adapters off."""
        raise NotImplementedError

    def keep_anchor(self) -> None:
        """Measure the divergence from the inferrer as it is now, no longer from the base."""
        raise NotImplementedError

    def save_inferrer(self, folder: Path) -> None:
        """Write the inferrer: an adapter, or a whole model with its tokenizer."""
        raise NotImplementedError

    def save_generator(self, folder: Path) -> None:
        """Write the generator in the same form."""
        raise NotImplementedError

    def load_inferrer(self, folder: Path) -> None:
        """Take over what `save_inferrer` wrote.

        Raises:
            ConfigurationError: If it has another form or shape, or cannot be read.
        """
        raise NotImplementedError

    def load_generator(self, folder: Path) -> None:
        """Take over what `save_generator` wrote; raises as `load_inferrer`."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """What training changes, in inferrer and generator."""
        raise NotImplementedError

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        raise NotImplementedError

    def generating(self) -> Any:
        """A block in which the generator computes and its parameters take gradients; gives its module."""
        raise NotImplementedError

    def frozen(self) -> Any:
        """A block in which the untouched base model computes; gives its module."""
        raise NotImplementedError

    @contextmanager
    def inferring(self) -> Iterator[Any]:
        """A block in which the inferrer computes without being trained; gives its module."""
        training = self.inferrer.training
        self.inferrer.eval()
        try:
            # Adapters sit inside its layers. What peft wraps around hides from `decode` that it keeps what it read.
            yield self.lm.model
        finally:
            self.inferrer.train(training)


class AdapterNetworks(Networks):
    """Two LoRA adapters on one base; with both off it is the reference and the frozen reader.

    Args:
        lm: The base; its weights stay what they are.
        settings: Of both adapters.
        seed: Of their first weights: A is drawn, B is 0, so both models are the base at step 0.

    Raises:
        ConfigurationError: If the model carries adapters already.
    """

    def __init__(self, lm: CausalLM, settings: LoraSettings, seed: int) -> None:
        with needs_extra("train"):
            import torch
            from peft import LoraConfig, get_peft_model
        if getattr(lm.model, "peft_config", None):
            raise ConfigurationError(f"{lm.name} carries adapters already. Load the base model anew to train on it.")
        config = LoraConfig(
            r=settings.rank, lora_alpha=settings.alpha, task_type="CAUSAL_LM", **_places(lm.model, settings)
        )
        try:
            with quiet(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.inferrer = get_peft_model(lm.model, config, adapter_name=INFERRER)
                self.inferrer.add_adapter(GENERATOR, config)
        except (ValueError, re.error) as error:
            words = " ".join(str(error).split())
            raise ConfigurationError(f"adapters.targets={settings.targets!r} do not fit {lm.name}: {words}") from error
        for one in self.inferrer.peft_config.values():
            one.base_model_name_or_path = lm.name  # peft's own is a path of this machine
        self.lm = lm
        self._lora = config
        self._parts = {name: self._weights(name) for name in (INFERRER, GENERATOR)}
        self._rest()

    def _weights(self, name: str) -> list[Any]:
        return [parameter for key, parameter in self.inferrer.named_parameters() if f".{name}." in key]

    def generator_parameters(self) -> list[Any]:
        return self._parts[GENERATOR]

    def anchor(self) -> None:
        return None

    def keep_anchor(self) -> None:
        import torch

        if _ANCHOR not in self.inferrer.peft_config:
            with quiet(), torch.random.fork_rng(devices=[]):  # its first weights are drawn, and then not used
                self.inferrer.add_adapter(_ANCHOR, self._lora)
        anchor = self._weights(_ANCHOR)
        _copy(self._parts[INFERRER], anchor)
        for parameter in anchor:
            parameter.requires_grad = False
        self._rest()

    def save_inferrer(self, folder: Path) -> None:
        self._save(INFERRER, folder)

    def save_generator(self, folder: Path) -> None:
        self._save(GENERATOR, folder)

    def load_inferrer(self, folder: Path) -> None:
        self._load(INFERRER, folder)

    def load_generator(self, folder: Path) -> None:
        self._load(GENERATOR, folder)

    def state_dict(self) -> dict[str, Any]:
        return {"untouched": self.untouched, **{name: list(parts) for name, parts in self._parts.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        _copy(
            [one for name in self._parts for one in state[name]],
            [one for parts in self._parts.values() for one in parts],
        )
        self.untouched = state["untouched"]

    def _save(self, name: str, folder: Path) -> None:
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        # Embeddings are not trained, and peft would ask the hub whether they are.
        weights = get_peft_model_state_dict(self.inferrer, adapter_name=name, save_embedding_layers=False)
        save_file({key: value.contiguous() for key, value in weights.items()}, folder / "adapter_model.safetensors")
        self.inferrer.peft_config[name].save_pretrained(str(folder))

    def _load(self, name: str, folder: Path) -> None:
        config, weights = read_adapter(Folder(folder, str(folder), ""))
        shape = {"rank": (config.r, self._lora.r), "alpha": (config.lora_alpha, self._lora.lora_alpha)}
        for what, (found, wanted) in shape.items():
            if found != wanted:
                raise ConfigurationError(f"The adapter {folder} has {what} {found}: set adapters.{what}={found}.")
        try:
            fault = put_weights(self.inferrer, weights, name)
        except (RuntimeError, KeyError, TypeError) as error:
            fault = f"{' '.join(str(error).split())[:200]}."
        if fault:
            raise ConfigurationError(
                f"The adapter {folder} does not fit: {fault} Give adapters.targets and adapters.last as it had them."
            )

    @contextmanager
    def generating(self) -> Iterator[Any]:
        switch_adapter(self.inferrer, GENERATOR)
        self._train(GENERATOR)
        try:
            yield self.inferrer
        finally:
            self._rest()

    @contextmanager
    def frozen(self) -> Iterator[Any]:
        switch_adapter(self.inferrer, None)
        try:
            yield self.inferrer
        finally:
            self._rest()

    def _rest(self) -> None:
        """The inferrer takes part, and it alone is seen by whoever collects what is to be trained."""
        switch_adapter(self.inferrer, INFERRER)
        self._train(INFERRER)

    def _train(self, name: str) -> None:
        for part, parameters in self._parts.items():
            for parameter in parameters:
                parameter.requires_grad = part == name


def _places(model: Any, settings: LoraSettings) -> dict[str, Any]:
    """Where the adapters go, in peft's terms.

    Raises:
        ConfigurationError: If the model has fewer layers than are asked for.
    """
    targets = settings.targets if isinstance(settings.targets, str) else list(settings.targets)
    if settings.last is None:
        return {"target_modules": targets}
    count = model.config.num_hidden_layers
    if settings.last > count:
        raise ConfigurationError(f"adapters.last={settings.last}: the model has {count} layers.")
    if targets == "all-linear":  # peft takes layers by number beside names alone
        import torch

        head = model.get_output_embeddings()
        linear = [name for name, one in model.named_modules() if isinstance(one, torch.nn.Linear) and one is not head]
        targets = sorted({name.rpartition(".")[2] for name in linear})
    return {"target_modules": targets, "layers_to_transform": list(range(count - settings.last, count))}


class WholeNetworks(Networks):
    """Two whole models that start as the same, and the untouched third.

    Args:
        lm: The model that becomes the inferrer.
    """

    def __init__(self, lm: CausalLM) -> None:
        from copy import deepcopy

        self.lm = lm
        self.inferrer = lm.model
        self._generator = deepcopy(lm.model)
        self._base = deepcopy(lm.model).requires_grad_(False)
        self._anchor = self._base

    def generator_parameters(self) -> list[Any]:
        return list(self._generator.parameters())

    def anchor(self) -> Any:
        return self._anchor

    def keep_anchor(self) -> None:
        from copy import deepcopy

        self._anchor = deepcopy(self.inferrer).requires_grad_(False)

    def save_inferrer(self, folder: Path) -> None:
        self._save(self.inferrer, folder)

    def save_generator(self, folder: Path) -> None:
        self._save(self._generator, folder)

    def load_inferrer(self, folder: Path) -> None:
        self._load(self.inferrer, folder)

    def load_generator(self, folder: Path) -> None:
        self._load(self._generator, folder)

    def state_dict(self) -> dict[str, Any]:
        both = {INFERRER: self.inferrer, GENERATOR: self._generator}
        return {"untouched": self.untouched, **{name: list(model.parameters()) for name, model in both.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        _copy(state[INFERRER], list(self.inferrer.parameters()))
        _copy(state[GENERATOR], list(self._generator.parameters()))
        self.untouched = state["untouched"]

    def _save(self, model: Any, folder: Path) -> None:
        with quiet():
            model.save_pretrained(folder)
            self.lm.tokenizer.save_pretrained(folder)

    def _load(self, model: Any, folder: Path) -> None:
        from ..models.causal_lm import load_causal_lm

        if is_adapter(folder):
            raise ConfigurationError(f"{folder} holds an adapter, and adapters=None trains whole models. Set adapters.")
        dtype = str(self.lm.dtype).removeprefix("torch.")
        found = load_causal_lm(folder, dtype=dtype, device=str(self.lm.device)).model
        try:
            model.load_state_dict(found.state_dict())
        except RuntimeError as error:
            raise ConfigurationError(f"{folder} has other weights than {self.lm.name}: {error}") from error

    @contextmanager
    def generating(self) -> Iterator[Any]:
        yield self._generator

    @contextmanager
    def frozen(self) -> Iterator[Any]:
        yield self._base


def _copy(values: Sequence[Any], parameters: Sequence[Any]) -> None:
    for value, parameter in zip(values, parameters, strict=True):
        parameter.data.copy_(value.data)


def build_networks(lm: CausalLM, config: TrainConfig) -> Networks:
    """Networks as configured, over a model that is loaded."""
    if config.adapters is not None:
        return AdapterNetworks(lm, config.adapters, config.seed)
    return WholeNetworks(lm)
