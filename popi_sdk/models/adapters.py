"""LoRA adapters in a model of transformers: attached by name, switched on and off without another copy of the model."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigurationError, needs_extra
from ._quiet import quiet
from .folders import Folder

_WEIGHTS = "adapter_model.safetensors"

__all__ = ["attach_adapter", "put_weights", "read_adapter", "switch_adapter"]


def attach_adapter(model: Any, folder: Folder, name: str) -> None:
    """Put an adapter's weights into the model, beside others it may have; it does not take part yet.

    Raises:
        MissingExtraError: If peft is not installed.
        ConfigurationError: If it was trained on another base, or cannot be read; the model is as before.
    """
    config, weights = read_adapter(folder)
    config.inference_mode = True
    try:
        with quiet():
            fault = _put(model, config, weights, name)
    except (ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        fault = _words(error)
    if fault:
        _remove(model, name)
        raise ConfigurationError(
            f"The adapter {folder.name} does not fit this model: {fault} It was trained on "
            f"{config.base_model_name_or_path}: load it with that base."
        )


def read_adapter(folder: Folder) -> tuple[Any, dict[str, Any]]:
    """What an adapter's configuration says, as peft reads it, and its weights.

    Raises:
        MissingExtraError: If peft is not installed.
        ConfigurationError: If it cannot be read.
    """
    with needs_extra("hf"):
        from peft import PeftConfig
        from peft.utils import load_peft_weights
    if not (folder.path / _WEIGHTS).is_file():  # peft would ask the hub for it, by whatever the path is called
        raise ConfigurationError(
            f"The adapter {folder.name} cannot be read: there is no {_WEIGHTS} in it. Give it as safetensors."
        )
    try:
        with quiet():
            config = PeftConfig.from_pretrained(str(folder.path))
            return config, load_peft_weights(str(folder.path), device="cpu")
    except Exception as error:
        raise ConfigurationError(f"The adapter {folder.name} cannot be read: {_words(error)}") from error


def put_weights(model: Any, weights: dict[str, Any], name: str) -> str:
    """Give an adapter that is there its weights.

    Returns:
        What does not fit; empty if all does.
    """
    from peft.utils import set_peft_model_state_dict

    result = set_peft_model_state_dict(model, weights, adapter_name=name)
    if result.unexpected_keys:
        return f"it has weights for {result.unexpected_keys[0]}, which the model lacks."
    lacking = [key for key in result.missing_keys if f".{name}." in key or key.endswith(f".{name}")]
    return f"it has no weights for {lacking[0]}." if lacking else ""


def switch_adapter(model: Any, name: str | None) -> None:
    """Let one adapter take part, or none. Which parameters are trained stays as it is."""
    layers = _layers(model)
    trained = {parameter: parameter.requires_grad for parameter in model.parameters()} if layers else {}
    for layer in layers:
        layer.enable_adapters(name is not None)
        if name is not None:
            layer.set_adapter(name)
    for parameter, wanted in trained.items():
        parameter.requires_grad = wanted


def _put(model: Any, config: Any, weights: dict[str, Any], name: str) -> str:
    """Returns what does not fit; empty if all does."""
    trained = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.add_adapter(config, name)
    for parameter in model.parameters():  # peft freezes the model for its new adapter's training
        parameter.requires_grad = trained.get(parameter, False)
    return put_weights(model, weights, name)


def _remove(model: Any, name: str) -> None:
    if name in getattr(model, "peft_config", {}):
        with quiet():
            model.delete_adapter(name)
    model._hf_peft_config_loaded = bool(getattr(model, "peft_config", None))  # transformers leaves it set


def _layers(model: Any) -> list[Any]:
    if not (getattr(model, "_hf_peft_config_loaded", False) or hasattr(model, "get_base_model")):
        return []
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    return [module for module in model.modules() if isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper))]


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())[:300] or type(error).__name__
    return text if text.endswith(".") else f"{text}."
