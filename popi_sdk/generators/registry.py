"""Backends by name: a table of loaders, and whatever other packages offer as entry points.

A plug-in names its class in its pyproject.toml, and built-ins go through the same door:

    [project.entry-points."popi_sdk.generators"]
    mine = "my_package:MyGenerator"

The class needs a classmethod `from_spec(spec: BackendSpec, **options)`.
"""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ..errors import ConfigurationError, PopiError
from .base import Generator
from .spec import BackendSpec, parse_backend

__all__ = ["GENERATORS", "GROUP", "create_generator", "generator_names", "load_plugin"]

GROUP = "popi_sdk.generators"

GENERATORS = {
    "local": "popi_sdk.generators.llamacpp:LlamaCppGenerator",
    "llamacpp": "popi_sdk.generators.llamacpp:LlamaCppGenerator",
    "hf": "popi_sdk.generators.hf:HfGenerator",
    "openai": "popi_sdk.generators.openai:OpenAIGenerator",
    "anthropic": "popi_sdk.generators.anthropic:AnthropicGenerator",
    "compatible": "popi_sdk.generators.compatible:CompatibleGenerator",
}
"""Built-in backends: name to the class that is loaded at first use. `function` is built from a callable, not a name."""


def create_generator(backend: str | Generator, **options: Any) -> Generator:
    """Build a generator from a backend string; a generator is returned as it is.

    Args:
        backend: `name`, `name:model` or `name:model@URL`.
        options: For the backend's constructor, for example `timeout`, `max_retries`, `api_key`.

    Raises:
        ConfigurationError: If the backend is unknown, or misses a model, a key, a URL or an extra.
    """
    if isinstance(backend, Generator):
        if options:
            raise ConfigurationError(f"{backend!r} is built already: it takes no {', '.join(options)}.")
        return backend
    if not isinstance(backend, str):
        raise ConfigurationError(
            f"A generator is a backend string or a Generator, not {type(backend).__name__}. "
            "Wrap a callable: FunctionGenerator(callable)."
        )
    spec = parse_backend(backend)
    found = _class_of(spec)
    try:
        generator = found.from_spec(spec, **options)
    except TypeError as error:
        if not _is_about_arguments(error, found):
            raise
        raise ConfigurationError(f"{spec.name}: {error}.") from error
    if not isinstance(generator, Generator):
        raise ConfigurationError(f"{spec.name}: from_spec gave {type(generator).__name__} instead of a Generator.")
    return generator


def generator_names() -> list[str]:
    """All names that can be used now, plug-ins included."""
    return sorted({*GENERATORS, *(point.name for point in entry_points(group=GROUP))})


def load_plugin(group: str, name: str, base: type) -> Any:
    """The class behind an entry point, or None if there is none of that name.

    Raises:
        ConfigurationError: If it cannot be loaded, or is not a subclass of `base` with `from_spec`.
    """
    points = list(entry_points(group=group, name=name))
    if not points:
        return None
    found = _loaded(points[0])
    if not (isinstance(found, type) and issubclass(found, base) and hasattr(found, "from_spec")):
        raise ConfigurationError(
            f"The plug-in {name!r} ({points[0].value}) is not a {base.__name__} with a classmethod from_spec."
        )
    return found


def _loaded(point: EntryPoint) -> Any:
    try:
        return point.load()
    except PopiError:
        raise  # a missing extra of the plug-in's, with its remedy
    except Exception as error:
        raise ConfigurationError(f"The plug-in {point.name!r} ({point.value}) cannot be loaded: {error}.") from error


def _is_about_arguments(error: TypeError, found: type) -> bool:
    """Whether a call of the class itself did not fit its signature; another TypeError is a bug and stays one."""
    called = re.match(r"([\w.<>]+)\.(__init__|from_spec)\(\) (got|missing|takes) ", str(error))
    return called is not None and called[1] in {parent.__qualname__ for parent in found.__mro__}


def _class_of(spec: BackendSpec) -> Any:
    if target := GENERATORS.get(spec.name):
        module, _, name = target.partition(":")
        return getattr(import_module(module), name)
    if found := load_plugin(GROUP, spec.name, Generator):
        return found
    if spec.name == "function":
        raise ConfigurationError("function has no string form. Pass FunctionGenerator(callable).")
    raise ConfigurationError(f"The backend {spec.name!r} is unknown. Known: {', '.join(generator_names())}.")
