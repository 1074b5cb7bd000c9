"""The error tree: as drawn, and able to cross a process boundary."""

from __future__ import annotations

import copy
import inspect
import pickle
from importlib import import_module

import pytest

import popi_sdk
from popi_sdk import errors
from popi_sdk.errors import BackendError, ConfigurationError, MissingExtraError, PopiError, SignalError, needs_extra

CLASSES = [item for item in vars(errors).values() if inspect.isclass(item) and issubclass(item, PopiError)]


def drawn() -> dict[str, str | None]:
    """The tree in the docstring: class to parent."""
    tree: dict[str, str | None] = {}
    path: list[tuple[int, str]] = []
    _, picture, _ = (errors.__doc__ or "").split("```")
    for line in picture.strip("\n").splitlines():
        depth, name = len(line) - len(line.lstrip()), line.split()[0]
        while path and path[-1][0] >= depth:
            path.pop()
        tree[name] = path[-1][1] if path else None
        path.append((depth, name))
    return tree


def test_the_tree_is_as_drawn():
    real = {cls.__name__: None if cls is PopiError else cls.__base__.__name__ for cls in CLASSES}
    assert drawn() == real


def test_all_are_public():
    names = {cls.__name__ for cls in CLASSES}
    assert names <= set(errors.__all__)
    assert names <= set(popi_sdk.__all__)


def examples() -> list[PopiError]:
    made: list[PopiError] = []
    for cls in CLASSES:
        if issubclass(cls, BackendError):
            full = cls(
                "no",
                backend="openai",
                model="m",
                retryable=True,
                status_code=503,
                request_id="r",
                retry_after=1.5,
            )
            made += [cls("no", backend="openai"), full]
        elif issubclass(cls, MissingExtraError):
            made.append(cls("openai", "httpx2"))
        elif issubclass(cls, ConfigurationError):
            made += [cls("no"), cls("no", backend="openai", model="m", status_code=404, request_id="r")]
        elif issubclass(cls, SignalError):
            made += [cls("no"), cls("no", line=3, index=2, field="a.b")]
        else:
            made.append(cls("no"))
    return made


@pytest.mark.parametrize("error", examples(), ids=lambda error: type(error).__name__)
def test_errors_cross_a_process_boundary(error):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        there = pickle.loads(pickle.dumps(error, protocol))
        assert type(there) is type(error)
        assert str(there) == str(error)
        assert there.args == error.args
        assert vars(there) == vars(error)
    assert vars(copy.copy(error)) == vars(copy.deepcopy(error)) == vars(error)


def test_notes_cross_too():
    error = BackendError("no", backend="x")
    error.add_note("while personalising")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["while personalising"]


def test_nothing_else_is_retryable():
    assert not any(hasattr(error, "retryable") for error in examples() if not isinstance(error, BackendError))
    assert BackendError("no", backend="x").retryable is False


def test_a_missing_module_names_the_pip_line():
    with pytest.raises(MissingExtraError) as caught, needs_extra("hf"):
        import_module("a_module_that_is_not_there")
    assert str(caught.value) == "'a_module_that_is_not_there' is not installed. Run: pip install 'popi-sdk[hf]'"
    assert (caught.value.extra, caught.value.module) == ("hf", "a_module_that_is_not_there")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_the_outermost_extra_is_named_for_it_brings_the_inner_ones():
    with (
        pytest.raises(MissingExtraError, match=r"'popi-sdk\[train\]'") as caught,
        needs_extra("train"),
        needs_extra("hf"),
    ):
        import_module("a_module_that_is_not_there")
    assert (caught.value.extra, caught.value.module) == ("train", "a_module_that_is_not_there")


def test_a_module_that_does_not_load():
    """As when a shared library is missing."""
    with (
        pytest.raises(ConfigurationError, match=r"extra 'hf' .* does not load: .*libgomp.*--force-reinstall"),
        needs_extra("hf"),
    ):
        raise ImportError("libgomp.so.1: cannot open shared object file")


def test_a_missing_module_of_ours_is_a_bug():
    with pytest.raises(ModuleNotFoundError), needs_extra("hf"):
        import_module("popi_sdk.not_there")


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), needs_extra("hf"):
        _ = 1 / 0
