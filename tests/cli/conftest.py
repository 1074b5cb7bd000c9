"""The command as the tests call it: in this process for most, as a process of its own where that is the point."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from popi_sdk.cli import main
from popi_sdk.generators import GENERATORS, Generator

Call = Callable[..., "Ended"]


@dataclass(frozen=True)
class Ended:
    """How a call ended."""

    code: int | str | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal(io.StringIO):
    """A stream that says a person sits behind it."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


@pytest.fixture
def popi(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call `popi` in this process; `terminal` puts a person behind stdout and stderr, `typing` behind stdin."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def call(*args: str, stdin: bytes = b"", terminal: bool = False, typing: bool = False) -> Ended:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", Terminal() if typing else io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
            if terminal:
                patch.setattr(sys, "stdout", Terminal())
                patch.setattr(sys, "stderr", Terminal())
            with pytest.raises(SystemExit) as ended:
                main(args)
            captured = capsys.readouterr()
            out, err = (sys.stdout.getvalue(), sys.stderr.getvalue()) if terminal else captured  # type: ignore[attr-defined]
        return Ended(ended.value.code, out, err)

    return call


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Generator], str]:
    """Make a generator reachable by name, as a plug-in is; returns the name."""

    def register(generator: Generator) -> str:
        loader = type("Loader", (), {"from_spec": classmethod(lambda cls, spec, **options: generator)})
        module = ModuleType("cli_test_backend")
        module.Loader = loader  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(GENERATORS, "mine", f"{module.__name__}:Loader")
        return "mine"

    return register


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., str]:
    """Write signals into a file; returns its path."""

    def write(signals: Iterable[dict[str, Any]], name: str = "user.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(f"{json.dumps(signal)}\n" for signal in signals), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def process() -> Call:
    """Run `popi` as a process of its own."""

    def run(*args: str, stdin: str | None = None, **options: Any) -> Ended:
        command = [str(Path(sys.executable).with_name("popi")), *args]
        done = subprocess.run(
            command, check=False, input=stdin or "", capture_output=True, encoding="utf-8", timeout=300, **options
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run
