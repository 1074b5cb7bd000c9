"""5. Backends: messages in, text out."""

from .base import Generator
from .function import FunctionGenerator
from .generation import Generation, GenerationOptions, Usage, as_options
from .registry import GENERATORS, create_generator, generator_names
from .spec import BackendSpec, parse_backend
from .streams import AsyncGenerationStream, AsyncStream, GenerationStream, Stream

__all__ = [
    "GENERATORS",
    "AsyncGenerationStream",
    "AsyncStream",
    "BackendSpec",
    "FunctionGenerator",
    "Generation",
    "GenerationOptions",
    "GenerationStream",
    "Generator",
    "Stream",
    "Usage",
    "as_options",
    "create_generator",
    "generator_names",
    "parse_backend",
]
