"""Inferrers by name; a generator string is a `PromptedInferrer` over it."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from ..errors import ConfigurationError
from ..generators import GENERATORS, BackendSpec, Generator, create_generator, generator_names, parse_backend
from ..generators.registry import load_plugin
from .base import PreferenceInferrer
from .heuristic import HeuristicInferrer
from .prompted import PromptedInferrer

__all__ = ["GROUP", "create_inferrer", "inferrer_names"]

GROUP = "popi_sdk.inferrers"

_MODEL_FREE = ("heuristic", "local")
"""`local` is the inferrer that measurements speak for most among those that run offline (docs/results): none of the
untrained ones is better throughout, and the prompted one is significantly worse than its control on polis."""


def create_inferrer(inferrer: str | PreferenceInferrer | Generator, **options: Any) -> PreferenceInferrer:
    """Build an inferrer.

    Args:
        inferrer: `local`, `heuristic`, `trained:DIR` (what training wrote), the name of a plug-in, any backend string,
            or a generator (both become a `PromptedInferrer`); an inferrer is returned as it is. Closing one that was
            built from a string closes its generator; a generator that was passed in stays open.
        options: For the generator behind a backend string, or for the plug-in, for example `timeout`.

    Raises:
        ConfigurationError: If the name is unknown, the backend misses something, or the options fit nothing.
    """
    if isinstance(inferrer, PreferenceInferrer | Generator):
        _refuse(options, repr(inferrer))
        return inferrer if isinstance(inferrer, PreferenceInferrer) else PromptedInferrer(inferrer)
    if not isinstance(inferrer, str):
        raise ConfigurationError(f"An inferrer is a string, a PreferenceInferrer or a Generator, not {inferrer!r:.80}.")
    spec = parse_backend(inferrer)
    if spec.name == "heuristic" and (spec.model or spec.url):
        raise ConfigurationError("The heuristic inferrer has no model. Write 'heuristic'.")
    if spec.name in _MODEL_FREE and not (spec.model or spec.url):
        _refuse(options, f"The inferrer {spec.name!r}")
        return HeuristicInferrer()
    if spec.name == "trained":
        from .trained import TrainedInferrer

        return TrainedInferrer.from_spec(spec, **options)
    if spec.name not in GENERATORS and (plugin := load_plugin(GROUP, spec.name, PreferenceInferrer)):
        return _from_plugin(plugin, spec, options)
    if spec.name not in [*generator_names(), "function"]:
        raise ConfigurationError(
            f"The inferrer {spec.name!r} is unknown. Known: {', '.join(inferrer_names())}, "
            "and every backend, for example 'openai:gpt-5-mini'."
        )
    return _OwningInferrer(create_generator(inferrer, **options))


def _refuse(options: dict[str, Any], what: str) -> None:
    if options:
        raise ConfigurationError(f"{what} takes no options, and was given: {', '.join(options)}.")


def _from_plugin(plugin: Any, spec: BackendSpec, options: dict[str, Any]) -> PreferenceInferrer:
    try:
        built = plugin.from_spec(spec, **options)
    except TypeError as error:
        raise ConfigurationError(f"{spec.name}: {error}.") from error
    if not isinstance(built, PreferenceInferrer):
        raise ConfigurationError(f"The plug-in {spec.name!r} built {built!r:.80}, which is no PreferenceInferrer.")
    return built


def inferrer_names() -> list[str]:
    """Names of inferrers that can be used now, plug-ins included; every backend name can be used beside them."""
    return sorted({*_MODEL_FREE, "trained", *(point.name for point in entry_points(group=GROUP))})


class _OwningInferrer(PromptedInferrer):
    """Built from a string, so the generator is ours to close."""

    def close(self) -> None:
        self.generator.close()

    async def aclose(self) -> None:
        await self.generator.aclose()
