"""What `popi doctor` looks at. Nothing here downloads, and nothing reads a key further than whether it is there."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path

from ..errors import ConfigurationError, PopiError
from ..generators import GENERATORS, generator_names
from ..generators.spec import is_loopback
from ..models import DEFAULT_MODEL, is_pulled, verify
from ..settings import Settings

__all__ = ["Backend", "Engine", "Extra", "Model", "Report", "examine"]

DISTRIBUTION = "popi-sdk"
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "POPI_COMPATIBLE_API_KEY")
_NO_PRODUCT = ("all", "dev")  # extras that bundle others, or serve those who work on popi itself

# In a process of its own: a wheel built for another kind of CPU ends it with a signal, not with an exception.
_PROBE = """
import sys, time
from popi_sdk import GenerationOptions, PopiError, create_generator
started = time.perf_counter()
try:
    with create_generator("local", timeout=120) as generator:
        generator.generate("Say yes.", GenerationOptions(max_tokens=1))
except PopiError as error:
    sys.exit(str(error))
print(time.perf_counter() - started)
"""
_PROBE_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Extra:
    """An extra of popi-sdk: the distributions it brings, each with its version or None where it is missing."""

    name: str
    packages: Mapping[str, str | None]

    @property
    def installed(self) -> bool:
        """Whether all of it is there."""
        return None not in self.packages.values()

    @property
    def command(self) -> str:
        """What installs it."""
        return f"pip install '{DISTRIBUTION}[{self.name}]'"


@dataclass(frozen=True, slots=True)
class Model:
    """The default model: where it lies (None if it does not) and whether its digest is right (None if not checked)."""

    path: Path | None
    sha256_ok: bool | None = None


@dataclass(frozen=True, slots=True)
class Engine:
    """Whether the embedded engine answered: seconds from its start to the first token, or why not."""

    ok: bool
    seconds: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Backend:
    """Whether a backend can be used now, and what it takes where it cannot."""

    name: str
    usable: bool
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found."""

    python: str
    version: str
    extras: Sequence[Extra]
    settings: Mapping[str, str]
    settings_error: str | None
    unknown_variables: Sequence[str]
    model: Model
    engine: Engine
    keys: Mapping[str, bool]
    backends: Sequence[Backend]

    @property
    def ok(self) -> bool:
        """Whether `local`, the default, works."""
        return self.engine.ok

    @property
    def advice(self) -> list[str]:
        """What to run or change, most urgent first."""
        told = []
        if self.settings_error:
            told.append(f"Correct the environment: {self.settings_error}")
        told += [f"Run: {extra.command}" for extra in self.extras if extra.name == "local" and not extra.installed]
        if self.model.path is None and not self.settings_error:
            told.append("Run: popi pull")
        if self.model.sha256_ok is False:
            told.append("Run: popi pull --force")
        told += [f"No part of popi reads {name}: is it misspelt?" for name in self.unknown_variables]
        return told


def examine(environ: Mapping[str, str], version: str, *, deep: bool) -> Report:
    """Look at everything.

    Args:
        environ: The environment.
        version: popi's own version.
        deep: Also compare the model's SHA-256, which reads the whole file.
    """
    settings, error = _settings(environ)
    extras = _extras()
    model = _model(deep) if settings else Model(None)
    engine = _engine(extras, model, error)
    return Report(
        python=f"{platform.python_version()} ({sys.executable})",
        version=version,
        extras=extras,
        settings=_shown(settings) if settings else {},
        settings_error=error,
        unknown_variables=Settings.unknown(environ),
        model=model,
        engine=engine,
        keys={name: _there(environ, name) for name in KEYS},
        backends=_backends(extras, engine, environ),
    )


def _settings(environ: Mapping[str, str]) -> tuple[Settings | None, str | None]:
    try:
        return Settings.from_env(environ), None
    except ConfigurationError as error:
        return None, str(error)


def _shown(settings: Settings) -> dict[str, str]:
    """Settings by variable; of a key only whether it is there."""
    shown = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name.endswith("key"):
            value = "present" if value else "absent"
        shown[f"POPI_{field.name.upper()}"] = str(int(value) if isinstance(value, bool) else value)
    return shown


def _extras() -> list[Extra]:
    """From the metadata of the installed distribution, so that a new extra shows up by itself."""
    try:
        about = metadata.metadata(DISTRIBUTION)
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return []
    names = [name for name in about.get_all("Provides-Extra") or [] if name not in _NO_PRODUCT]
    return [Extra(name, {package: _version(package) for package in _packages(required, name)}) for name in names]


def _packages(required: Sequence[str], extra: str) -> list[str]:
    marked = re.compile(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]")
    return [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required if marked.search(line)]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _model(deep: bool) -> Model:
    path = is_pulled()
    if path is None or not deep:
        return Model(path)
    try:
        verify(path, DEFAULT_MODEL)
    except PopiError:
        return Model(path, sha256_ok=False)
    return Model(path, sha256_ok=True)


def _engine(extras: Sequence[Extra], model: Model, settings_error: str | None) -> Engine:
    if settings_error:
        return Engine(False, why="not tried: the environment has to be corrected first")
    if _lacks(extras, "local"):
        return Engine(False, why="not tried: its extra is not installed")
    if model.path is None:
        return Engine(False, why="not tried: the model is not pulled")
    return _probed()


def _probed() -> Engine:
    command = [sys.executable, "-P", "-c", _PROBE]
    try:
        done = subprocess.run(
            command,
            env=os.environ | {"POPI_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Engine(False, why=f"no token within {_PROBE_SECONDS} s")
    except OSError as error:
        return Engine(False, why=f"{sys.executable} cannot be started: {error}")
    if done.returncode == 0:
        return Engine(True, seconds=float(done.stdout.split()[-1]))
    if done.returncode < 0:
        return Engine(False, why=f"it was ended by signal {-done.returncode}: this CPU may lack what its wheel needs")
    lines = done.stderr.strip().splitlines() or [f"it ended with exit code {done.returncode}"]
    return Engine(False, why=lines[-1])


def _backends(extras: Sequence[Extra], engine: Engine, environ: Mapping[str, str]) -> list[Backend]:
    found = [
        Backend("local", engine.ok, engine.why or "the default: a small model on this machine"),
        Backend("llamacpp", engine.ok, engine.why or "any GGUF file: llamacpp:PATH.gguf"),
        _transformers(extras),
        Backend("compatible", True, "any server that speaks OpenAI's protocol: compatible:MODEL@URL"),
    ]
    found += [_hosted(name, extras, environ) for name in ("openai", "anthropic")]
    return found + [Backend(name, True, "a plug-in, not tried") for name in generator_names() if name not in GENERATORS]


def _transformers(extras: Sequence[Extra]) -> Backend:
    """Not tried: loading torch alone takes seconds."""
    if _lacks(extras, "hf"):
        return Backend("hf", False, "its extra is not installed")
    return Backend("hf", True, "any model of transformers: hf:ID_OR_PATH (not tried)")


def _lacks(extras: Sequence[Extra], name: str) -> bool:
    return any(extra.name == name and not extra.installed for extra in extras)


def _hosted(name: str, extras: Sequence[Extra], environ: Mapping[str, str]) -> Backend:
    if _lacks(extras, name):
        return Backend(name, False, "its extra is not installed")
    key, url = f"{name.upper()}_API_KEY", f"{name.upper()}_BASE_URL"
    if is_loopback(environ.get(url)):
        return Backend(name, True, f"{name}:MODEL (asks this machine: {url} is set)")
    if _there(environ, key):
        return Backend(name, True, f"{name}:MODEL (the key was not tried)")
    return Backend(name, False, f"{key} is not set")


def _there(environ: Mapping[str, str], name: str) -> bool:
    return bool(environ.get(name, "").strip())
