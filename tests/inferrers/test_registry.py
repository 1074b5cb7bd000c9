"""Inferrers by name: built-ins, backends, plug-ins, objects, and who closes what."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from popi_sdk import (
    ConfigurationError,
    HeuristicInferrer,
    PreferenceInferrer,
    PreferenceSummary,
    PromptedInferrer,
    Statement,
    create_inferrer,
)
from popi_sdk.generators import registry as generator_registry
from popi_sdk.inferrers import inferrer_names
from popi_sdk.inferrers import registry as inferrer_registry
from popi_sdk.models.engine import engines
from popi_sdk.testing import EchoGenerator, FixedInferrer


class Plugin(PreferenceInferrer):
    name = "plugin"
    given: tuple[Any, dict[str, Any]]

    @classmethod
    def from_spec(cls, spec: Any, *, tone: str = "") -> Plugin:
        built = cls()
        built.given = (spec, {"tone": tone})
        return built

    def infer(self, signals: Any, **call: Any) -> PreferenceSummary:
        raise NotImplementedError


class BuildsSomethingElse(Plugin):
    @classmethod
    def from_spec(cls, spec: Any, **options: Any) -> Any:
        return "no inferrer"


class PluginGenerator(EchoGenerator):
    backend = "myserver"
    closed = 0

    @classmethod
    def from_spec(cls, spec: Any, **options: Any) -> PluginGenerator:
        return cls()

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 10


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Plugin.__module__
    objects = {"plugin": Plugin, "odd": BuildsSomethingElse, "wrong": EchoGenerator, "myserver": PluginGenerator}

    class Point(EntryPoint):
        def load(self) -> Any:
            if self.name == "broken":
                raise ImportError("no module named nothing")
            return objects[self.name]

    def points(group: str, **selection: str) -> list[EntryPoint]:
        names = {"popi_sdk.inferrers": ["plugin", "odd", "wrong", "broken"], "popi_sdk.generators": ["myserver"]}[group]
        found = [Point(name, f"{here}:{name}", group) for name in names]
        return [point for point in found if selection.get("name", point.name) == point.name]

    monkeypatch.setattr(inferrer_registry, "entry_points", points)
    monkeypatch.setattr(generator_registry, "entry_points", points)


@pytest.mark.parametrize("name", ["local", "heuristic", " local "])
def test_model_free_names(name: str) -> None:
    assert type(create_inferrer(name)) is HeuristicInferrer


def test_objects_come_back_as_they_are() -> None:
    inferrer, generator = FixedInferrer("Short."), EchoGenerator()
    assert create_inferrer(inferrer) is inferrer
    built = create_inferrer(generator)
    assert type(built) is PromptedInferrer
    assert built.generator is generator


def test_backend_strings_are_prompted_inferrers_over_them(gguf: Path) -> None:
    for text, backend in [
        ("compatible:m@http://127.0.0.1:1/v1", "compatible"),
        (f"llamacpp:{gguf}", "llamacpp"),
        (f"local:{gguf}", "llamacpp"),
    ]:
        built = create_inferrer(text, timeout=3)
        assert isinstance(built, PromptedInferrer)
        assert built.generator.backend == backend
        assert built.generator.timeout == 3
    assert gguf not in engines.running()


def test_names_and_plugins(plugins: None) -> None:
    assert inferrer_names() == ["broken", "heuristic", "local", "odd", "plugin", "trained", "wrong"]
    built = create_inferrer("plugin:model@http://x", tone="kind")
    assert isinstance(built, Plugin)
    spec, options = built.given
    assert (spec.name, spec.model, spec.url, options) == ("plugin", "model", "http://x", {"tone": "kind"})


async def test_a_generator_plugin_is_a_backend_like_any_other_and_is_closed_with_the_inferrer(plugins: None) -> None:
    built = create_inferrer("myserver")
    assert isinstance(built, PromptedInferrer)
    generator = built.generator
    assert isinstance(generator, PluginGenerator)
    with built:
        assert built.infer([Statement(text="Short.")]).text
    assert generator.closed == 1
    async with built:
        pass
    assert generator.closed == 11


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        (
            "nothing",
            {},
            "The inferrer 'nothing' is unknown. Known: broken, heuristic, local, odd, plugin, trained, wrong, and",
        ),
        ("", {}, "is not a backend"),
        (5, {}, "An inferrer is a string, a PreferenceInferrer or a Generator, not 5"),
        (None, {}, "An inferrer is a string"),
        ("heuristic:model", {}, "The heuristic inferrer has no model. Write 'heuristic'."),
        ("heuristic@http://x", {}, "The heuristic inferrer has no model"),
        ("local@http://x", {}, "has no URL"),
        ("local", {"timeout": 3}, "The inferrer 'local' takes no options, and was given: timeout."),
        (FixedInferrer("x"), {"timeout": 3}, "takes no options"),
        (EchoGenerator(), {"timeout": 3, "max_retries": 1}, "takes no options, and was given: timeout, max_retries."),
        ("function", {}, "function has no string form"),
        ("compatible:m@http://127.0.0.1:1", {"colour": "red"}, "colour"),
        ("plugin", {"colour": "red"}, "colour"),
        ("odd", {}, "built 'no inferrer', which is no PreferenceInferrer"),
        ("wrong", {}, "is not a PreferenceInferrer with a classmethod from_spec"),
        ("broken", {}, "cannot be loaded: no module named nothing"),
    ],
)
def test_what_cannot_be_built_says_why(plugins: None, given: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        create_inferrer(given, **options)
    assert words in str(caught.value)


async def test_what_was_built_from_a_string_closes_its_engine(gguf: Path) -> None:
    for close_in_a_loop in (False, True):
        inferrer = create_inferrer(f"llamacpp:{gguf}")
        assert isinstance(inferrer, PromptedInferrer)
        inferrer.generator.count_tokens("start")
        running = engines.running()
        assert gguf.resolve() in [path.resolve() for path in running]
        if close_in_a_loop:
            await inferrer.aclose()
        else:
            inferrer.close()
        inferrer.close()
        assert len(engines.running()) == len(running) - 1
