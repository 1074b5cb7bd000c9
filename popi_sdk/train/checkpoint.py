"""What a killed run goes on from: nothing half-written is ever taken for whole."""

from __future__ import annotations

import copy
import json
import os
import shutil
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

_EXTRAS = "popi.pt"  # written last into a checkpoint of TRL's: without it, the checkpoint is not whole
_LOCK = ".lock"
_SETTINGS = "settings.json"


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
        settings: What has to be the same in the run that goes on: `model`, `users`, `data` and `config`.
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
        found = sorted(folder.iterdir(), key=lambda path: path.name == _SETTINGS)
        # References are constants of the pairs, and still true.
        old = [path for path in found if path.name != _LOCK and not path.name.startswith("references-")]
        if old and old[-1].name != _SETTINGS:
            raise TrainingError(f"{folder} holds {old[0].name!r}, and is no run of popi_sdk. Give another folder.")
        for path in old:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def history(self) -> list[dict[str, Any]]:
        """What was recorded; a line that a kill cut off is left out."""
        if self.folder is None:
            return []
        path = self.folder / "history.jsonl"
        text = self._processes.from_main(lambda: path.read_text(encoding="utf-8") if path.is_file() else "")
        return [json.loads(line) for line in text.split("\n")[:-1] if line]

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
        return [path for path in self._inside(phase).glob("checkpoint-*") if (path / _EXTRAS).is_file()]

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
    return found + sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _save(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(state, fresh)
    os.replace(fresh, path)


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line)


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    os.replace(fresh, path)


def _load(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"The checkpoint {path} cannot be read: {error}. Train anew, without resume.") from error
    return state
