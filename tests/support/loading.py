"""A model that is loaded: what it computes, with which words it is refused, and folders with one broken file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from popi_sdk.errors import ConfigurationError
from popi_sdk.models.causal_lm import CausalLM, load_causal_lm

IDS = torch.tensor([[5, 6, 7, 8, 100, 42]])


def logits(model: CausalLM) -> torch.Tensor:
    with torch.inference_mode():
        return model.model(IDS).logits


def refusal(source: Any, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_causal_lm(source, **options)
    return str(caught.value)


def broken(folder: Path, tmp_path: Path, name: str, content: bytes | None) -> Path:
    copy = tmp_path / "broken"
    shutil.copytree(folder, copy)
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    return copy
