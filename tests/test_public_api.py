"""The public surface: complete, documented, typed, and light to import."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import popi_sdk

ROOT = Path(popi_sdk.__file__).parent
# Those that stand on an optional dependency are imported too: the test environment has all extras.
MODULES = sorted(
    found.name for found in pkgutil.walk_packages(popi_sdk.__path__, "popi_sdk.") if not found.name.endswith("__main__")
)

TRAINING = ["torch", "transformers", "trl", "peft", "datasets", "accelerate", "numpy", "ray"]
SERVICES = [
    "openai",
    "anthropic",
    "httpx",
    "httpx2",
    "httpcore",
    "xllamacpp",
    "sqlalchemy",
    "fastapi",
    "starlette",
    "uvicorn",
]
HEAVY = [*TRAINING, *SERVICES, "typer", "rich", "click", "jinja2", "tenacity"]


def run(code: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environ},
        timeout=120,
    )
    return done.stdout


@pytest.fixture(params=["popi_sdk", *MODULES])
def module(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


def test_every_module_says_what_is_public_and_tells_the_truth(module: ModuleType) -> None:
    names = module.__all__
    assert len(names) == len(set(names))
    for name in names:
        assert hasattr(module, name), f"{module.__name__}.__all__ names {name}, which is not there"
        assert not name.startswith("_")


def test_every_module_has_a_docstring_and_stays_small(module: ModuleType) -> None:
    assert module.__doc__
    assert module.__file__
    lines = Path(module.__file__).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 400
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.body[0].lineno < 60, f"{module.__name__}.{node.name} is too long"


@pytest.mark.parametrize(
    "name", [name for name in MODULES if name.split(".")[1] not in ("cli", "generators", "models")]
)
def test_what_a_module_of_the_core_defines_and_does_not_hide_is_in_its_list(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    defined = {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}
    assert defined <= set(module.__all__)


@pytest.mark.parametrize("name", popi_sdk.__all__)
def test_every_public_name_has_a_docstring(name: str) -> None:
    public = getattr(popi_sdk, name)
    if name == "Signal":  # an alias of a union: documented by the string behind it
        assert '"""Any signal, told apart by `kind`."""' in (ROOT / "signals" / "types.py").read_text(encoding="utf-8")
        return
    assert inspect.getdoc(public), f"{name} has no docstring"
    if inspect.isclass(public):
        for method, function in vars(public).items():
            if inspect.isfunction(function) and not method.startswith("_"):
                assert inspect.getdoc(getattr(public, method)), f"{name}.{method} has no docstring"


def test_the_public_names_are_sorted_and_all_of_what_init_imports() -> None:
    assert popi_sdk.__all__ == sorted(popi_sdk.__all__)
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == set(popi_sdk.__all__)
    namespace: dict[str, object] = {}
    exec("from popi_sdk import *", namespace)
    assert set(popi_sdk.__all__) <= set(namespace)


def test_every_error_and_every_signal_is_public() -> None:
    from popi_sdk import errors
    from popi_sdk.signals import types

    assert {name for name in errors.__all__ if name.endswith("Error")} <= set(popi_sdk.__all__)
    kinds = {kind.__name__ for kind in types._BaseSignal.__subclasses__()}
    assert kinds <= set(popi_sdk.__all__)
    for name in errors.__all__:
        if name.endswith("Error"):
            assert issubclass(getattr(popi_sdk, name), popi_sdk.PopiError)


def test_the_package_is_marked_as_typed_and_has_a_version() -> None:
    assert (ROOT / "py.typed").exists()
    assert [int(part) for part in popi_sdk.__version__.split(".")]


def test_an_import_loads_nothing_heavy() -> None:
    loaded = run("import popi_sdk, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))").split()
    assert "pydantic" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_signals_and_summaries_without_a_model_load_nothing_heavy() -> None:
    code = (
        "import sys; from popi_sdk import Statement, create_inferrer;"
        "assert create_inferrer('local').infer([Statement(text='Short, please.')]).text;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = run(code).split()
    assert [name for name in HEAVY if name in loaded] == []


def test_an_import_does_nothing() -> None:
    code = (
        "import threading, sys, os; before = (threading.active_count(), dict(os.environ), list(sys.meta_path));"
        "import popi_sdk, logging;"
        "assert before == (threading.active_count(), dict(os.environ), list(sys.meta_path));"
        "assert not logging.getLogger().handlers; print('nothing')"
    )
    assert run(code, POPI_TIMEOUT="not a number") == "nothing\n"


def test_users_get_types() -> None:
    root = ROOT.parent
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(Path(__file__).with_name("typing_checks.py"))],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, "Success: no issues found in 1 source file\n"), (
        done.stdout + done.stderr
    )
