"""Every fenced block of README.md, CONTRIBUTING.md and docs/ does what it says.

A page is one story: its blocks run from top to bottom in one namespace and one empty working directory that holds a
copy of `examples/`. What stands on the page is what runs, with one exception: in backend strings the address
`compatible:MODEL@http://localhost:8000/v1` is replaced by that of the local server, whose port is not known before.
`openai:` and `anthropic:` strings reach the same server through the environment variables of the SDKs.

| block | what is done with it |
| --- | --- |
| `python` | run, warnings as errors |
| `text` with the title "Output" | compared with what the `python` block before it printed |
| `bash`, `console` | `popi` lines run; `pip install`, `make`, `python`, `export` are checked; `git clone`, `cd` pass |
| `json`, `jsonl`, `toml` | parsed; lines of `jsonl` are read as signals |
| `yaml` | read as options of `popi train` |
| `text` | nothing |
| any with a file name as its title | saved under it; entry points of a `pyproject.toml` are installed |
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.llama_server import LlamaServer
from support.pages import PAGES, ROOT, Block, blocks_of, extras, make_targets

from popi_sdk import create_generator, read_signals
from popi_sdk.models.engine import engines
from popi_sdk.settings import Settings, get_settings

_ADDRESS = re.compile(r"(?<=@)http://localhost:8000/v1")
_IN_STRING = re.compile(r"compatible:[^@\s\"']+@http://localhost:8000/v1")
_KEYS = {"OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"}
_SECONDS = 300


@pytest.fixture(scope="module", autouse=True)
def _one_engine(gguf: Path) -> Iterator[None]:
    """All pages share one engine; what `personalize()` leaves running ends with this module."""
    with create_generator("local") as generator:
        generator.start()
        yield
    engines.close_all()


@pytest.fixture
def _server_in_environment(llama_server: LlamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{llama_server.url}/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", llama_server.url)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "POPI_COMPATIBLE_API_KEY"):
        monkeypatch.setenv(name, llama_server.key)
    monkeypatch.setenv("POPI_OFFLINE", "1")
    monkeypatch.setenv("POPI_TIMEOUT", str(_SECONDS))
    get_settings.cache_clear()


@pytest.mark.usefixtures("_server_in_environment")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_of_a_page(
    page: Path,
    tmp_path: Path,
    llama_server: LlamaServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = ModuleType(f"page_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    known = set(sys.modules)
    story = _Story(module, f"{llama_server.url}/v1", monkeypatch, lambda: capsys.readouterr().out)
    try:
        for block in blocks_of(page):
            story.tell(block)
    finally:
        for name in set(sys.modules) - known:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
                del sys.modules[name]


def _training_options(path: str) -> None:
    from popi_sdk.cli.train import _asked
    from popi_sdk.train import as_train_config

    as_train_config(**_asked(path, [], {})[0])


class _Story:
    """One page: what its blocks share."""

    def __init__(
        self, module: ModuleType, url: str, monkeypatch: pytest.MonkeyPatch, printed: Callable[[], str]
    ) -> None:
        self.module = module
        self.url = url
        self.monkeypatch = monkeypatch
        self.printed = printed
        self.output: str | None = None

    def tell(self, block: Block) -> None:
        if block.title == "Output":
            assert self.output is not None, f"{block}: no python block stands before this output"
            assert block.code.rstrip() == self.output.rstrip(), f"{block}: this is not what was printed"
            return
        self.output = None
        if block.title and re.fullmatch(r"[\w./-]+\.\w+", block.title):
            Path(block.title).write_text(block.code, encoding="utf-8")
        match block.language:
            case "python":
                self._run(block)
            case "bash" | "console":
                for line, command in _commands(block):
                    self._check(f"{block.page.relative_to(ROOT)}:{line}", command)
            case "json":
                _parsed(block, json.loads)
            case "jsonl":
                Path("block.jsonl").write_text(block.code, encoding="utf-8")
                _parsed(block, lambda _: read_signals("block.jsonl"))
            case "yaml":
                Path("block.yaml").write_text(block.code, encoding="utf-8")
                _parsed(block, lambda _: _training_options("block.yaml"))
            case "toml":
                _install(_parsed(block, tomllib.loads))
            case "text":
                pass
            case other:
                pytest.fail(f"{block}: a block of an unknown kind: {other!r}")

    def _run(self, block: Block) -> None:
        self.printed()
        try:
            # Line numbers of a traceback are those of the page.
            code = compile("\n" * (block.line - 1) + self._reachable(block.code), str(block.page), "exec")
            exec(code, self.module.__dict__)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            line = next((frame.lineno for frame in reversed(frames) if frame.filename == str(block.page)), block.line)
            where = f"{block.page.relative_to(ROOT)}:{line}"
            raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
        self.output = self.printed()

    def _reachable(self, text: str) -> str:
        return _IN_STRING.sub(lambda match: _ADDRESS.sub(self.url, match.group()), text)

    def _check(self, where: str, command: str) -> None:
        match shlex.split(command, comments=True):
            case ["popi", *_]:
                self._popi(where, command)
            case ["pip", "install", *requirements] if requirements:
                for requirement in requirements:
                    _check_requirement(where, requirement)
            case ["make", *targets]:
                assert set(targets) <= make_targets(), f"{where}: the Makefile has no such target: {command}"
            case ["python", "-m", module]:
                path = ROOT / module.replace(".", "/")
                assert path.is_dir() or path.with_suffix(".py").is_file(), f"{where}: there is no module {module}"
            case ["python", script, *_]:
                assert (ROOT / script).is_file(), f"{where}: there is no {script}"
            case ["export", setting]:
                name, _, value = setting.partition("=")
                assert name in _KEYS or not Settings.unknown({name: value}), f"{where}: nothing reads {name}"
            case ["git", "clone", _] | ["cd", _]:
                pass
            case _:
                pytest.fail(f"{where}: a command that this test does not know: {command}")

    def _popi(self, where: str, command: str) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._reachable(command)],
            check=False,
            env={**os.environ, "PATH": path, "PYTHONWARNINGS": "error"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_SECONDS,
        )
        assert result.returncode == 0, f"{where}: {command}\n{result.stdout}{result.stderr}"
        assert "Traceback" not in result.stderr, f"{where}: {command}\n{result.stderr}"


def _commands(block: Block) -> Iterator[tuple[int, str]]:
    """Line and text of each command; in a console block only what follows a `$`."""
    lines = iter(enumerate(block.code.splitlines(), start=block.line))
    for number, text in lines:
        line = text.strip()
        if block.language == "console":
            if not line.startswith("$ "):
                continue
            line = line[2:]
        while line.endswith("\\"):
            line = line[:-1] + next(lines)[1].strip()
        if line and not line.startswith("#"):
            yield number, line


def _check_requirement(where: str, requirement: str) -> None:
    match = re.fullmatch(r"(?:popi-sdk|\.)(?:\[(?P<extras>[\w,]+)\])?", requirement)
    assert match, f"{where}: {requirement!r} is not popi-sdk with extras"
    asked = set((match["extras"] or "").split(",")) - {""}
    assert asked <= extras(), f"{where}: pyproject.toml has no such extra: {sorted(asked - extras())}"


def _parsed(block: Block, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(block.code)
    except Exception as error:
        raise AssertionError(f"{block}: {error}") from error


def _install(project: dict[str, Any]) -> None:
    """What an installer leaves behind for a pyproject.toml with entry points."""
    groups = project.get("project", {}).get("entry-points", {})
    if not groups:
        return
    name, version = project["project"]["name"], project["project"]["version"]
    folder = Path(f"{name.replace('-', '_')}-{version}.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
        for group, points in groups.items()
    ]
    (folder / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
