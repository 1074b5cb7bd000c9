"""A directory with a trained model, as a row of the table: `popi.json` says what is in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..errors import ConfigurationError
from ..summary import DEFAULT_BUDGET
from .fingerprint import check_base
from .folders import hub_folder

if TYPE_CHECKING:
    from .causal_lm import CausalLM

__all__ = ["MANIFEST", "PARTS", "SHIPPED", "TrainedModel", "is_adapter", "load_part", "read_trained", "trained_folder"]

MANIFEST = "popi.json"
FORMAT = 1
PARTS = ("inferrer", "generator")
SHIPPED = {"popi-135m": Path(__file__).parent / "shipped" / "popi-135m"}
"""Trained models that come with the package, by name; docs/training.md says what they are good for."""

_HUB_ID = re.compile(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}")


def _inside(name: str) -> str:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError("it lies outside of the directory")
    return name


_Inside = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_inside)]
"""A folder of the directory."""


class TrainedModel(BaseModel):
    """What training left in a directory.

    Attributes:
        format: Version of this form.
        base_model: What it was trained from: a name, an id or a path, as for `load_causal_lm`.
        base_digest: Of the base's weights, as `base_digest` gives it; None where it was not kept.
        context: What its generator reads beside the prompt.
        inferrer: Folder in the directory with the trained inference model (an adapter or a whole model).
        generator: Folder with the trained generator; None for the base model.
        budget: Most tokens of a summary that it was trained for.
        input_budget: Most tokens of signals that its inferrer was shown; of `signals`, its generator.
        templates: Digest of each prompt template that it was trained with.
        config: Options of the run that made it, as far as they were kept.
        popi_sdk: The version that wrote it.
        name: The row's name (not in the file).
        directory: Where it lies (not in the file).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")  # training writes more than evaluation reads

    format: Literal[1] = 1
    base_model: str
    base_digest: str | None = None
    context: Literal["none", "signals", "summary"] = "summary"
    inferrer: _Inside | None = None
    generator: _Inside | None = None
    budget: Annotated[int, Field(gt=0)] = DEFAULT_BUDGET
    input_budget: Annotated[int, Field(gt=0)] = 1_024
    templates: dict[str, str] = {}
    config: dict[str, Any] = {}
    popi_sdk: str | None = None
    name: str = ""
    directory: Path = Path()

    @property
    def inferrer_path(self) -> Path | None:
        """Where the trained inference model lies."""
        return self.directory / self.inferrer if self.inferrer else None

    @property
    def generator_path(self) -> Path | None:
        """Where the trained generator lies."""
        return self.directory / self.generator if self.generator else None


def load_part(trained: TrainedModel, part: Path, like: CausalLM) -> CausalLM:
    """Load the trained inferrer or generator, an adapter or a whole model, in the type and on the device of another.

    Raises:
        ConfigurationError: If it cannot be read, its base model is not there, or has other weights than it had.
    """
    from .causal_lm import load_causal_lm

    dtype, device = str(like.dtype).removeprefix("torch."), str(like.device)
    if is_adapter(part):
        check_base(trained.base_model, trained.base_digest, str(trained.directory))
        return load_causal_lm(trained.base_model, adapter=part, dtype=dtype, device=device)
    return load_causal_lm(part, dtype=dtype, device=device)


def trained_folder(source: str | Path) -> Path:
    """The directory with a trained model: as it is, of a name in `SHIPPED`, or, for `owner/name`, the hub's snapshot.

    What lies here goes before what is only called so.

    Raises:
        ConfigurationError: If the hub is needed, and has no such repository or cannot be asked.
        MissingExtraError: If its client is needed and not installed.
    """
    path = Path(source).expanduser()
    if source in SHIPPED and not path.exists():
        return SHIPPED[str(source)]
    if path.exists() or not (isinstance(source, str) and _HUB_ID.fullmatch(source)):
        return path
    return hub_folder(source, "trained model", inside=PARTS, files=[MANIFEST]).path


def is_adapter(part: Path) -> bool:
    """Whether a folder holds an adapter and not a whole model."""
    return (part / "adapter_config.json").is_file()


def read_trained(name: str, directory: Path) -> TrainedModel:
    """Read what a directory says of itself.

    Raises:
        ConfigurationError: If there is no such directory, no readable `popi.json`, or a folder it names is missing.
    """
    path = directory / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{name}={directory}: cannot read {MANIFEST} there ({getattr(error, 'strerror', None) or error}), so it "
            "is no trained model. Give the directory that popi train --output DIR wrote."
        ) from error
    try:
        trained = TrainedModel.model_validate_json(text).model_copy(update={"name": name, "directory": directory})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigurationError(f"{path}: {field}: {first['msg']}.") from error
    for folder in (trained.inferrer_path, trained.generator_path):
        if folder is not None and not folder.is_dir():
            raise ConfigurationError(f"{path} names {folder.name!r}, and there is no such folder beside it.")
    if trained.context != "summary" and trained.generator is None:
        raise ConfigurationError(
            f"{path}: its context is {trained.context!r}, but no generator is named that was trained."
        )
    if trained.context == "summary" and trained.inferrer is None:
        raise ConfigurationError(f"{path}: its generator reads summaries, but no inferrer is named to write them.")
    return trained
