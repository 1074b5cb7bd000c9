"""4. Where weights come from: the catalog, pulling, and resolving a name or path to a GGUF file."""

from .catalog import CATALOG, DEFAULT_MODEL, ModelFile, find_model
from .pull import PullProgress, is_pulled, pull, verify
from .resolve import resolve_gguf

__all__ = [
    "CATALOG",
    "DEFAULT_MODEL",
    "ModelFile",
    "PullProgress",
    "find_model",
    "is_pulled",
    "pull",
    "resolve_gguf",
    "verify",
]
