"""What a killed run goes on from: nothing half-written is ever taken for whole."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch

from ..errors import TrainingError
from ..models._lock import file_lock
from .config import TrainConfig
from .networks import Networks
from .processes import Processes

__all__ = ["Checkpoints", "alone_in"]

_ANEW = "To train anew, remove {}."
_NUMBERED = re.compile(r"checkpoint-\d+")
_TRL = ("optimizer.pt", "scheduler.pt", "trainer_state.json")
_EXTRAS = "popi.pt"  # written last into a checkpoint of TRL's: without it, the checkpoint is not whole
_LOCK = ".lock"
_SETTINGS = "settings.json"
_MAY_CHANGE = {"save_every", "token_budget"}  # nothing that is learnt depends on these


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """A block in which no other process trains into the folder; freed when this one ends, however it ends.

    Raises:
        TrainingError: If another process does.
    """

    def taken() -> NoReturn:
        raise TrainingError(f"Another process is training into {folder.parent}. Wait for it, or give another folder.")

    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / _LOCK, taken):
        yield


class Checkpoints:
    """The folder `run/` of an output directory. The main process writes, all read: what is here is for all of them.

    Args:
        folder: Where; None for a run that keeps nothing.
        every: Steps between two checkpoints.
        settings: What has to be the same in the run that goes on: `model`, `users`, `data` and `config`, but for its
            `save_every` and `token_budget`.
        resume: Whether to go on from what is there; otherwise it is removed.
        processes: Who trains together.

    Raises:
        TrainingError: If what is there belongs to a run of other settings, or is no run at all.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        every: int,
        settings: dict[str, Any],
        resume: bool,
        processes: Processes | None = None,
    ) -> None:
        self.folder = folder
        self.every = every
        self._processes = processes or Processes()
        self._best: dict[str, Any] | None = None
        if folder is not None:
            self._processes.from_main(lambda: self._open(folder, settings, resume=resume))

    @staticmethod
    def _open(folder: Path, settings: dict[str, Any], *, resume: bool) -> None:
        path = folder / _SETTINGS
        if resume and not path.is_file() and (found := Checkpoints._of_a_run(folder)):
            raise TrainingError(
                f"{folder} holds {found[0].name!r}, but no {_SETTINGS}, so nobody knows what run it was. Give another "
                "folder."
            )
        if resume and path.is_file() and (changed := _changed(path, settings)):
            raise TrainingError(
                f"The run in {folder} has other settings or other users: {', '.join(changed)}. Keep them, or take a "
                "new folder."
            )
        if not resume and folder.exists():
            Checkpoints._clear(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _replace(path, json.dumps(settings).encode())

    @staticmethod
    def _clear(folder: Path) -> None:
        """Remove a run; its settings go last, as they say that it is one."""
        old = sorted(Checkpoints._of_a_run(folder), key=lambda path: path.name == _SETTINGS)
        if old and old[-1].name != _SETTINGS:
            raise TrainingError(f"{folder} holds {old[0].name!r}, and is no run of popi_sdk. Give another folder.")
        for path in old:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @staticmethod
    def _of_a_run(folder: Path) -> list[Path]:
        """What belongs to one run.

        References are constants of the pairs, and true for any; what begins with a dot is the lock, or left by a kill.
        """
        found = folder.iterdir() if folder.is_dir() else ()
        return [path for path in found if not path.name.startswith((".", "references-"))]

    def history(self) -> list[dict[str, Any]]:
        """What was recorded; a line that a kill cut off is left out."""
        if self.folder is None:
            return []
        path = self.folder / "history.jsonl"
        text = self._processes.from_main(lambda: path.read_text("utf-8", "replace") if path.is_file() else "")
        return [_entry(path, number, line) for number, line in enumerate(text.split("\n")[:-1], 1) if line]

    def keep_history(self, entries: Sequence[dict[str, Any]]) -> None:
        """Replace it: what came after the checkpoint is computed again."""
        if self.folder is not None:
            path = self.folder / "history.jsonl"
            text = "".join(json.dumps(entry) + "\n" for entry in entries)
            self._processes.from_main(lambda: _replace(path, text.encode()))

    def record(self, entry: dict[str, Any]) -> None:
        """Add a line to the history."""
        if self.folder is not None:
            path = self.folder / "history.jsonl"
            self._processes.from_main(lambda: _append(path, json.dumps(entry) + "\n"))

    def finish(self, phase: str, networks: Networks) -> None:
        """Keep the weights at the end of a phase; its own checkpoints are not needed any more."""
        if self.folder is not None:
            self._processes.from_main(lambda: _save(self._end_of(phase), networks.state_dict()))
            self._processes.from_main(lambda: shutil.rmtree(self._inside(phase), ignore_errors=True))
            self._processes.from_main(lambda: self._best_of(phase).unlink(missing_ok=True))

    def keep_best(self, phase: str, step: int, networks: Networks) -> None:
        """Keep the weights as they are now, in place of what was kept of the phase before."""
        if self.folder is None:
            self._best = {"step": step, "networks": copy.deepcopy(networks.state_dict())}
        else:
            state = {"step": step, "networks": networks.state_dict()}
            self._processes.from_main(lambda: _save(self._best_of(phase), state))

    def restore_best(self, phase: str, step: int, networks: Networks) -> bool:
        """Load what `keep_best` kept at a step.

        Returns:
            Whether it is there: of a run that was killed, the weights of a later step may stand in its place.
        """
        found, self._best = self._best, None
        if self.folder is not None and self._processes.from_main(self._best_of(phase).is_file):
            with self._processes.together():
                found = _load(self._best_of(phase))
        if found is None or found["step"] != step:
            return False
        networks.load_state_dict(found["networks"])
        return True

    def restore(self, phase: str, networks: Networks) -> bool:
        """Load the weights of the end of a phase, if it was reached."""
        if self.folder is None or not self._processes.from_main(self._end_of(phase).is_file):
            return False
        with self._processes.together():
            networks.load_state_dict(_load(self._end_of(phase)))
        return True

    def trl_folder(self, phase: str) -> Path | None:
        """Where TRL writes the checkpoints of a phase."""
        return None if self.folder is None else self._inside(phase)

    def complete(self, checkpoint: Path, extras: dict[str, Any]) -> None:
        """Add to a checkpoint of TRL's what TRL does not know; with this it is whole."""
        self._processes.from_main(lambda: _save(checkpoint / _EXTRAS, extras))

    def latest(self, phase: str) -> tuple[Path, dict[str, Any]] | None:
        """The newest whole checkpoint inside a phase, and what was added to it."""
        if self.folder is None:
            return None
        found = self._processes.from_main(lambda: sorted(self._whole(phase), key=_step_of))
        if not found:
            return None
        with self._processes.together():
            return found[-1], _load(found[-1] / _EXTRAS)

    def save_step(self, phase: str, step: int, state: dict[str, Any]) -> None:
        """Keep the state of a phase that is not TRL's."""
        if self.folder is not None:
            self._processes.from_main(lambda: self._save_alone(self._inside(phase), step, state))

    @staticmethod
    def _save_alone(folder: Path, step: int, state: dict[str, Any]) -> None:
        new = folder / f"checkpoint-{step}"
        new.mkdir(parents=True, exist_ok=True)
        _save(new / _EXTRAS, state)
        for old in folder.glob("checkpoint-*"):
            if old != new:
                shutil.rmtree(old, ignore_errors=True)

    def _whole(self, phase: str) -> list[Path]:
        found = self._inside(phase).glob("checkpoint-*")
        return [path for path in found if _NUMBERED.fullmatch(path.name) and _is_whole(path)]

    def _end_of(self, phase: str) -> Path:
        return self._inside(phase).with_suffix(".pt")

    def _best_of(self, phase: str) -> Path:
        return self._inside(phase).with_suffix(".best.pt")

    def _inside(self, phase: str) -> Path:
        assert self.folder is not None
        return self.folder / phase.replace(" ", "-")


def _changed(path: Path, settings: dict[str, Any]) -> list[str]:
    """Names of what differs from the settings that a run has kept."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        before = TrainConfig().model_dump(mode="json") | kept["config"]  # an older version had not all options
        kept.setdefault("data", settings["data"])  # an older version did not keep it
        found = [name for name in ("model", "users", "data") if kept[name] != settings[name]]
    except (ValueError, KeyError, TypeError):
        return [f"{path.name} cannot be read"]
    now = settings["config"]
    options = (before.keys() | now.keys()) - _MAY_CHANGE
    return found + sorted(name for name in options if before.get(name) != now.get(name))


def _entry(path: Path, number: int, line: str) -> dict[str, Any]:
    """A line of the history.

    Raises:
        TrainingError: If it is none.
    """
    try:
        entry = json.loads(line)
        if isinstance(entry["phase"], str) and isinstance(entry["step"], int):
            return dict(entry)
    except (ValueError, KeyError, TypeError):
        pass
    raise TrainingError(f"{path}, line {number}, is no entry of a history. {_ANEW.format(path.parent)}")


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _is_whole(checkpoint: Path) -> bool:
    """Of what TRL writes there is all or nothing: it would go on without its optimizer and say nothing."""
    there = [(checkpoint / name).is_file() for name in _TRL]
    complete = (checkpoint / _EXTRAS).is_file() and (all(there) or not any(there))
    return complete and not any(_is_cut(path) for path in checkpoint.iterdir() if path.name != _EXTRAS)


def _is_cut(path: Path) -> bool:
    """Whether a file of TRL's ends too early, as after a full disk: what it would load with a traceback."""
    if path.suffix in {".pt", ".pth"}:
        return not zipfile.is_zipfile(path)  # its directory stands at the end
    if path.suffix == ".safetensors":
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(min(int.from_bytes(file.read(8), "little"), size))
        try:
            ends = [one["data_offsets"][1] for name, one in json.loads(header).items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return True
        return size < 8 + len(header) + max(ends, default=0)
    if path.suffix == ".json":
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return True
    return False


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """Where to write what is then put in its place.

    Raises:
        TrainingError: If it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield fresh
        os.replace(fresh, path)
    except (OSError, RuntimeError) as error:  # torch says RuntimeError where the disk is full
        raise TrainingError(
            f"Cannot write {path}: {getattr(error, 'strerror', None) or error}. Make room, and go on with resume."
        ) from error
    finally:
        fresh.unlink(missing_ok=True)


def _save(path: Path, state: dict[str, Any]) -> None:
    with _writing(path) as fresh:
        torch.save(state, fresh)


def _append(path: Path, line: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        raise TrainingError(f"Cannot write {path}: {error.strerror}. Make room, and go on with resume.") from error


def _replace(path: Path, content: bytes) -> None:
    with _writing(path) as fresh:
        fresh.write_bytes(content)


def _load(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        words = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        run = next(above for above in path.parents if (above / _SETTINGS).exists() or above == path.parents[-1])
        raise TrainingError(f"The checkpoint {path} cannot be read: {words}. {_ANEW.format(run)}") from error
    return state
