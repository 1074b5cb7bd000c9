"""The rows of an accuracy table: what each puts into the prompt, and which generator reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import ConfigurationError
from ..models.trained import TrainedModel, read_trained, trained_folder

__all__ = ["DEFAULT_METHODS", "NONE", "UNTRAINED", "Method", "methods_for"]

UNTRAINED = {
    "none": "the plain model, without anything about the user: the reference",
    "raw": "the signals themselves in the prompt, clipped by the selector",
    "heuristic": "a summary without a model: measured differences, said in sentences",
    "prompted": "a summary that the untrained model was asked for",
    "gold": "the data's own description of the user as the summary",
}
"""Rows that need no training, and what they are."""

DEFAULT_METHODS = tuple(UNTRAINED)

NONE = "none"

_SUMMARIES = ("heuristic", "prompted", "gold")


@dataclass(frozen=True, slots=True)
class Method:
    """One row.

    Attributes:
        name: As it stands in tables.
        context: What goes into the prompt.
        writer: Who writes the summary: `heuristic`, `prompted`, `gold`, or the name of a trained model.
        shuffled: Another user's summary instead of the user's own: what is left is not personal.
        source: The trained model whose inferrer writes it, if one does.
        trained: The trained model whose generator reads it; None for the untouched base model.
        about: One line for people.
    """

    name: str
    context: Literal["none", "signals", "summary"]
    writer: str | None = None
    shuffled: bool = False
    source: TrainedModel | None = None
    trained: TrainedModel | None = None
    about: str = ""

    @property
    def own(self) -> str:
        """Name of the row with the user's own summary."""
        return self.name.removesuffix(_SHUFFLED)


_SHUFFLED = ":shuffled"


def methods_for(names: Sequence[str], *, gold: bool) -> list[Method]:
    """The rows for what a user asked to compare; `none` always comes first, every summary row brings its control.

    Args:
        names: Of `UNTRAINED`, or `NAME=DIR` for a trained model (see `trained_folder`): `population`, `raw-trained`,
            `sequential`, `joint`, or any other name.
        gold: Whether the data has gold descriptions; without them the row `gold` is left out.

    Raises:
        ConfigurationError: If a name is unknown or given twice, or a directory holds no trained model.
    """
    _refuse_repeats(names)
    rows = [Method(NONE, "none", about=UNTRAINED[NONE])]
    has_gold = gold and "gold" in names
    for name in names:
        label, _, directory = name.partition("=")
        if directory:
            rows += _trained_rows(label, read_trained(label, trained_folder(directory)), has_gold)
        elif name in _SUMMARIES:
            if name != "gold" or gold:
                rows += _with_control(Method(name, "summary", name, about=UNTRAINED[name]))
        elif name == "raw":
            rows.append(Method("raw", "signals", about=UNTRAINED["raw"]))
        elif name != NONE:
            raise ConfigurationError(
                f"There is no method {name!r}. There are: {', '.join(UNTRAINED)}, and NAME=DIR for a trained model, "
                "for example joint=runs/my-popi."
            )
    return rows


def _trained_rows(label: str, trained: TrainedModel, gold: bool) -> list[Method]:
    """A trained model with its own generator, and its summaries with the frozen base one: transfer is a gate."""
    if trained.context != "summary":
        about = "trained on the bare prompts" if trained.context == "none" else "trained with the signals in the prompt"
        return [Method(label, trained.context, trained=trained, about=about)]
    rows: list[Method] = []
    if trained.generator:
        about = "its own trained generator reads its summaries"
        rows += _with_control(Method(label, "summary", label, source=trained, trained=trained, about=about))
    about = "the untouched base model reads its summaries"
    rows += _with_control(Method(f"{label}:frozen", "summary", label, source=trained, about=about))
    if gold and trained.generator:
        about = "its trained generator reads gold descriptions"
        rows += _with_control(Method(f"{label}:gold", "summary", "gold", trained=trained, about=about))
    return rows


def _with_control(method: Method) -> list[Method]:
    about = f"the control of {method.name}: another user's summary"
    return [method, replace(method, name=method.name + _SHUFFLED, shuffled=True, about=about)]


def _refuse_repeats(names: Sequence[str]) -> None:
    labels = [name.partition("=")[0] for name in names]
    for label, name in zip(labels, names, strict=True):
        if labels.count(label) > 1:
            raise ConfigurationError(f"The method {label!r} is there twice. Name each once.")
        if "=" in name and (label in UNTRAINED or not re.fullmatch(r"[\w.-]+", label, re.ASCII)):
            raise ConfigurationError(
                f"{name!r}: a trained model needs a name of its own, of letters, digits, '-', '_' and '.': joint=DIR."
            )
