"""What a run says of itself: configuration, data, weights, versions; and what may change when it goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, UsageError
from ..models.fingerprint import check_base
from ..models.trained import TrainedModel, is_adapter
from .config import EvalConfig, machine_facts
from .files import write_atomically
from .journal import read_rows
from .methods import Method

if TYPE_CHECKING:
    from ..models.causal_lm import CausalLM

__all__ = ["FACTS", "ITEMS", "MANIFEST", "SUMMARIES", "check_models", "describe", "read_manifest", "write_manifest"]

MANIFEST, SUMMARIES, ITEMS = "run.json", "summaries.jsonl", "items.jsonl"

FACTS = ("commit", "versions", "machine")
"""With what a run was computed; a resumed one may have several."""

_TWICE = "A reader is there twice, or is the model itself. Name each model once."
_MAY_GROW = ("methods", "readers", "over_personalisation", "judge")


def check_models(config: EvalConfig, methods: Sequence[Method]) -> dict[str, str]:
    """Find all weights before the long work.

    Returns:
        Name and state of the weights of each reader and each trained model.

    Raises:
        ConfigurationError: If a model is not there, is named twice, or an adapter was trained from another base.
    """
    from ..models.folders import model_folder, model_identity

    base = model_identity(config.model)
    weights = {"": base}
    if len({config.model, *config.readers}) <= len(config.readers):
        raise ConfigurationError(_TWICE)
    for name in config.readers:
        model_folder(name)  # a download that fails shall fail now
        weights[name] = model_identity(name)
    if len(set(weights.values())) < len(weights):
        raise ConfigurationError(_TWICE)
    for trained in {model.name: model for method in methods for model in _of(method)}.values():
        if _is_adapter(trained) and model_identity(trained.base_model) != base:
            raise ConfigurationError(
                f"{trained.name}={trained.directory} was trained from {trained.base_model}, which is not the model "
                f"that reads here. Give --model {trained.base_model}."
            )
        if _is_adapter(trained):
            check_base(config.model, trained.base_digest, f"{trained.name}={trained.directory}")
        weights[f"{trained.name}=" if trained.name in config.readers else trained.name] = _state(trained)
    return weights


def describe(
    config: EvalConfig, data: Mapping[str, Any], model: CausalLM, methods: Sequence[Method], weights: Mapping[str, str]
) -> dict[str, Any]:
    """The manifest of a run that begins."""
    return {
        "format": 1,
        "config": config.model_dump(mode="json"),
        "data": dict(data),
        "model": {"name": model.name, "dtype": str(model.dtype).removeprefix("torch."), "device": str(model.device)},
        "weights": dict(weights),
        "rows": {method.name: method.about for method in methods},
        "trained": [method.name for method in methods if method.trained],
        **machine_facts(),
    }


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Say what the run is. Where the folder says it already they must agree, but for rows and readers that are new.

    Raises:
        ConfigurationError: If the folder holds a run of something else; says what differs.
    """
    if (folder / MANIFEST).exists():
        before = read_manifest(folder)
        _refuse_difference(folder, before, manifest)
        _refuse_loss(folder, before["config"], manifest["config"])
        manifest = manifest | _history(before, manifest)
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a run in a folder says of itself.

    Raises:
        UsageError: If there is none, or it cannot be read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{folder} holds no run that can be read ({error}). Give a folder that `popi eval` wrote."
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format") != 1:
        raise UsageError(f"{folder / MANIFEST} has another form than this version reads. Run the evaluation again.")
    return manifest


def _refuse_difference(folder: Path, before: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    now = _decisive(manifest)
    for part, was in _decisive(before).items():
        if part in now and was != now[part]:
            raise ConfigurationError(
                f"{folder} holds another run: {part} was {_short(was)}, and is {_short(now[part])}. "
                "Give the same options and data, or another folder."
            )


def _decisive(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What cannot change within a run."""
    config = {name: value for name, value in manifest["config"].items() if name not in _MAY_GROW}
    weights = {f"the weights of {name or 'the model'}": state for name, state in manifest.get("weights", {}).items()}
    return config | {"the users": manifest["data"], "the model": manifest["model"]} | weights


def _refuse_loss(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Rows and readers may be left out again only as long as nothing of them was computed."""
    items = list(_names(folder / ITEMS))
    for part, position in (("readers", 0), ("methods", 1)):
        computed = {names[position] for names in items}
        labels = {name.partition("=")[0] for name in now[part]} if part == "methods" else set(now[part])
        for name in before[part]:
            label = name.partition("=")[0] if part == "methods" else name
            has_items = any(one == label or (position and one.startswith(f"{label}:")) for one in computed)
            if label not in labels and has_items:
                raise ConfigurationError(
                    f"{folder} has {part} that are not asked for now: {label}. Name them too (more can be added), or "
                    "give another folder."
                )


def _names(items: Path) -> Iterable[tuple[str, str]]:
    if items.is_file():
        yield from {(row["reader"], row["row"]) for row in read_rows(items)}


def _history(before: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The versions of the beginning stay; each other one that computed a part is added."""
    first = {name: before.get(name) for name in FACTS}
    others = list(before.get("resumed", []))
    now = {name: manifest[name] for name in FACTS}
    if now not in (first, *others):
        others.append(now)
    return first | ({"resumed": others} if others else {})


def _of(method: Method) -> list[TrainedModel]:
    return [trained for trained in (method.source, method.trained) if trained is not None]


def _parts(trained: TrainedModel) -> list[Path]:
    return [path for path in (trained.inferrer_path, trained.generator_path) if path is not None]


def _is_adapter(trained: TrainedModel) -> bool:
    return any(is_adapter(path) for path in _parts(trained))


def _state(trained: TrainedModel) -> str:
    """Digest over what counts in the directory: names, sizes and times of its files, and what is read of popi.json.

    Training writes more into popi.json, for the model card: another card does not make another model.
    """
    digest = hashlib.sha256(trained.model_dump_json(exclude={"name", "directory"}).encode())
    for part in _parts(trained):
        for file in sorted(part.iterdir()):
            status = file.stat()
            digest.update(f"{part.name}/{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 300 else f"{text[:300]} ..."
