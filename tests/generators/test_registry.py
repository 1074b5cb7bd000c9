"""Backends by name: built in, from other packages, broken, missing."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from support.scripts import run

import popi_sdk
from popi_sdk.errors import ConfigurationError, MissingExtraError
from popi_sdk.generators import GENERATORS, FunctionGenerator, create_generator, generator_names
from popi_sdk.generators.registry import load_plugin
from popi_sdk.testing import EchoGenerator

ROOT = Path(__file__).parents[2]
EXTRAS = {
    "local": "local",
    "llamacpp": "local",
    "hf": "hf",
    "openai": "openai",
    "anthropic": "anthropic",
    "compatible": None,
}

PLUGIN = """
from popi_sdk.generators import Generation, Generator

class Mine(Generator):
    backend = "mine"

    def __init__(self, model, *, shout=False):
        self.model = model
        self.shout = shout

    @classmethod
    def from_spec(cls, spec, **options):
        if spec.model == "bug":
            return None + 1
        if spec.model == "inner":
            return helper(wrong=3)
        if spec.model == "other":
            return 7
        if spec.model == "bare":
            return cls(**options)
        return cls(spec.model, **options)

    def generate(self, messages, options=None, *, timeout=None, max_retries=None):
        return Generation(text="mine", model=self.model)

def helper(*, right):
    return right

class NoSpec(Generator):
    pass

nothing = 7
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A distribution on the path that offers backends, as `pip install` would leave it."""
    info = tmp_path / "my_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-plugin\nVersion: 1.0\n")
    points = {
        "mine": "my_plugin:Mine",
        "openai": "my_plugin:Mine",
        "no-module": "my_plugin_that_is_not_there:Mine",
        "no-name": "my_plugin:Other",
        "no-class": "my_plugin:nothing",
        "no-spec": "my_plugin:NoSpec",
        "no-generator": "pathlib:Path",
        "explodes": "my_exploding_plugin:Mine",
        "wants-extra": "my_plugin_with_an_extra:Mine",
        "malformed": "my plugin!",
    }
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[popi_sdk.generators]\n{lines}")
    (tmp_path / "my_plugin.py").write_text(PLUGIN)
    (tmp_path / "my_exploding_plugin.py").write_text("raise ValueError('boom')\n")
    (tmp_path / "my_plugin_with_an_extra.py").write_text(
        "from popi_sdk.errors import MissingExtraError\nraise MissingExtraError('mine', 'torch_of_mine')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield points
    for name in [name for name in sys.modules if name.startswith("my_")]:
        monkeypatch.delitem(sys.modules, name)


def test_the_names():
    assert generator_names() == sorted(GENERATORS) == ["anthropic", "compatible", "hf", "llamacpp", "local", "openai"]
    assert set(EXTRAS) == set(GENERATORS)


def test_every_backend_has_its_extra_in_pyproject():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in filter(None, EXTRAS.values()):
        assert extra in extras
        assert extra in extras["all"][0]


def test_an_object_is_returned_as_it_is():
    echo = EchoGenerator()
    assert create_generator(echo) is echo
    with pytest.raises(ConfigurationError, match="is built already: it takes no timeout"):
        create_generator(echo, timeout=3)


def test_what_is_neither_a_string_nor_a_generator():
    for thing in (None, 3, len, EchoGenerator):
        with pytest.raises(ConfigurationError, match=r"Wrap a callable: FunctionGenerator\(callable\)"):
            create_generator(thing)


def test_function_has_no_string_form():
    for text in ("function", "function:f"):
        with pytest.raises(ConfigurationError, match="FunctionGenerator"):
            create_generator(text)


def test_unknown_names_list_what_is_known(plugins):
    with pytest.raises(ConfigurationError, match=r"'opnai' is unknown. Known: anthropic, compatible, .*mine.*openai"):
        create_generator("opnai:gpt")


def test_a_url_where_there_is_no_server():
    for name in ("local", "llamacpp"):
        with pytest.raises(ConfigurationError, match=f"{name} runs in this process and has no URL"):
            create_generator(f"{name}@http://127.0.0.1:1")


@pytest.mark.parametrize("name", GENERATORS)
def test_unknown_options_are_the_callers_mistake(name, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    text = {"compatible": "compatible:m@http://127.0.0.1:1", "openai": "openai:m", "anthropic": "anthropic:m"}
    with pytest.raises(ConfigurationError, match=f"{name}: .*got an unexpected keyword argument 'tiemout'"):
        create_generator(text.get(name, name), tiemout=3)


def test_a_plugin(plugins):
    generator = create_generator("mine:m@x:y", shout=True)
    assert (type(generator).__name__, generator.model, generator.shout) == ("Mine", "m@x:y", True)
    assert "mine" in generator_names()
    assert generator.generate("hi").text == generator.stream("hi").read().text == "mine"


def test_a_plugin_cannot_take_the_name_of_a_built_in(plugins, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert type(create_generator("openai:m")).__module__ == "popi_sdk.generators.openai"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-module", "cannot be loaded: No module named 'my_plugin_that_is_not_there'"),
        ("no-name", "cannot be loaded: module 'my_plugin' has no attribute 'Other'"),
        ("no-class", "is not a Generator with a classmethod from_spec"),
        ("no-spec", "is not a Generator with a classmethod from_spec"),
        ("no-generator", "is not a Generator with a classmethod from_spec"),
        ("explodes", "cannot be loaded: boom"),
        ("malformed", "cannot be loaded"),
    ],
)
def test_a_broken_plugin_is_named(plugins, name, message):
    with pytest.raises(ConfigurationError) as caught:
        create_generator(f"{name}:m")
    assert f"The plug-in '{name}' ({plugins[name]})" in str(caught.value)
    assert message in str(caught.value)


def test_a_plugin_may_miss_an_extra_of_its_own(plugins):
    with pytest.raises(MissingExtraError, match="torch_of_mine"):
        create_generator("wants-extra:m")


def test_no_plugin_of_that_name():
    assert load_plugin("popi_sdk.generators", "nobody", EchoGenerator) is None


@pytest.mark.parametrize("options", [{"unknown": 1}, {"shout": 1, "loud": 2}])
def test_options_that_a_plugin_does_not_know(plugins, options):
    with pytest.raises(ConfigurationError, match=r"mine: Mine\.__init__\(\) got an unexpected keyword argument"):
        create_generator("mine:m", **options)


def test_arguments_that_a_plugin_misses(plugins):
    with pytest.raises(ConfigurationError, match="missing 1 required positional argument: 'model'"):
        create_generator("mine:bare")


@pytest.mark.parametrize("model", ["bug", "inner"])
def test_a_bug_in_a_plugin_stays_a_bug(plugins, model):
    with pytest.raises(TypeError):
        create_generator(f"mine:{model}")


def test_a_plugin_that_builds_something_else(plugins):
    with pytest.raises(ConfigurationError, match="from_spec gave int instead of a Generator"):
        create_generator("mine:other")


BLOCKED = """
    import sys
    for name in {blocked!r}:
        sys.modules[name] = None
    from popi_sdk.errors import MissingExtraError
    from popi_sdk.generators import create_generator
    try:
        generator = create_generator({spec!r}{options})
        generator.generate("hi")
    except MissingExtraError as error:
        print(error)
        print(error.extra, error.module)
"""


@pytest.mark.parametrize(
    ("spec", "blocked", "extra"),
    [
        ("openai:m", "openai", "openai"),
        ("openai:m", "httpx2", "openai"),
        ("anthropic:m", "anthropic", "anthropic"),
        ("anthropic:m", "httpx2", "anthropic"),
        ("local", "xllamacpp", "local"),
    ],
)
def test_a_missing_extra_names_the_pip_line(gguf, spec, blocked, extra):
    options = "" if spec == "local" else ", api_key='k'"
    done = run(BLOCKED.format(blocked=[blocked], spec=spec, options=options))
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"'{blocked}' is not installed. Run: pip install 'popi-sdk[{extra}]'",
        f"{extra} {blocked}",
    ]


def test_compatible_needs_no_extra():
    script = BLOCKED.format(
        blocked=["openai", "anthropic", "httpx2", "xllamacpp"],
        spec="compatible:m@http://127.0.0.1:1",
        options=", max_retries=0",
    )
    done = run(script)
    assert "BackendConnectionError" in done.stderr


def test_importing_the_package_loads_no_backend():
    script = "import sys, popi_sdk; print([m for m in sys.modules if m in %r])"
    heavy = {"openai", "anthropic", "httpx", "httpx2", "xllamacpp", "tenacity"}
    done = run(script % heavy)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_functions_generator_is_public():
    assert popi_sdk.FunctionGenerator is FunctionGenerator
