"""What one evaluation measures, and what it was measured with."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ConfigurationError
from ..summary import DEFAULT_BUDGET
from .methods import DEFAULT_METHODS

__all__ = ["EvalConfig", "as_config", "machine_facts"]

_PACKAGES = ("popi-sdk", "torch", "transformers", "peft", "numpy", "pydantic", "jinja2")


class EvalConfig(BaseModel):
    """An evaluation: the same configuration on the same data gives the same result.

    Attributes:
        data: What `open_data` takes: a file, a folder, a benchmark, a generated world.
        split: Which users.
        methods: Rows of the table; see `methods_for`.
        model: Who reads the contexts, and who is asked for summaries in the row `prompted`; None for the default.
        readers: Further models that read the same summaries: transfer.
        limit: Most users; None for all.
        seed: Of the choice of users, donors and bootstrap.
        budget: Most tokens of a summary.
        raw_budget: Most tokens of the signals in the row `raw`, and of what the row `prompted` reads.
        dtype: Of the weights; policy and reference are always scored by one code path.
        device: Where to compute.
        skip_faults: Leave users that cannot be measured with out, and count them; otherwise the first is an error.
        over_personalisation: Also run the checkable tasks, with and without a summary.
        judge: A backend string: also let it judge personalised against plain answers; None for no win rate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    split: str = "dev"
    methods: tuple[str, ...] = DEFAULT_METHODS
    model: str | None = None
    readers: tuple[str, ...] = ()
    limit: Annotated[int, Field(gt=0)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    budget: Annotated[int, Field(gt=0)] = DEFAULT_BUDGET
    raw_budget: Annotated[int, Field(gt=0)] = 1_024
    dtype: str = "float32"
    device: str = "auto"
    skip_faults: bool = False
    over_personalisation: bool = False
    judge: str | None = None


def as_config(**values: Any) -> EvalConfig:
    """A checked configuration.

    Raises:
        ConfigurationError: If a value is unknown or out of range.
    """
    try:
        return EvalConfig(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigurationError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def machine_facts() -> dict[str, Any]:
    """Versions, commit and machine, so that a figure can be traced."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "commit": _commit(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this source tree, marked where it was changed since; None outside a checkout."""
    here = Path(__file__).resolve().parent.parent.parent
    if not (here / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "popi_sdk")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
