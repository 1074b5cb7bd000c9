"""Every script of examples/ runs as it is: offline, from any folder, with something to see and no noise."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.llama_server import LlamaServer
from support.pages import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
_SECONDS = 300


def _run(script: Path, *arguments: str, folder: Path, **environment: str) -> str:
    """What a script prints; it may write nothing but progress of a pull to stderr, and warnings are errors."""
    result = subprocess.run(
        [sys.executable, "-W", "error", str(script), *arguments],
        check=False,
        cwd=folder,
        env={**os.environ, "POPI_OFFLINE": "1", "POPI_TIMEOUT": str(_SECONDS), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_SECONDS,
    )
    noise = [line for line in result.stderr.splitlines() if not line.startswith(("Pulling ", "Pulled "))]
    assert result.returncode == 0, f"{script.name}: {result.stdout}{result.stderr}"
    assert not noise, f"{script.name} wrote to stderr: {noise}"
    assert result.stdout.strip(), f"{script.name} printed nothing"
    return result.stdout


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5


@pytest.mark.usefixtures("gguf")
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_example_runs(script: Path, tmp_path: Path) -> None:
    _run(script, folder=tmp_path)


@pytest.mark.parametrize("backend", LlamaServer.backends)
def test_swap_backend_with_each_api(backend: str, llama_server: LlamaServer, tmp_path: Path) -> None:
    printed = _run(
        ROOT / "examples" / "swap_backend.py",
        llama_server.spec(backend),
        folder=tmp_path,
        OPENAI_API_KEY=llama_server.key,
        ANTHROPIC_API_KEY=llama_server.key,
        POPI_COMPATIBLE_API_KEY=llama_server.key,
    )
    assert printed.count("answered by") == 2


def test_swap_backend_says_what_is_wrong(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "examples" / "swap_backend.py"), "openai:gpt-5-mini"]
    result = subprocess.run(script, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=_SECONDS)
    assert result.returncode == 1
    assert "OPENAI_API_KEY" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_example_is_short_and_says_how_to_run_it(script: Path) -> None:
    source = script.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert len(source.splitlines()) <= 50
    assert f"python examples/{script.name}" in (ast.get_docstring(tree) or "")
    assert any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)
