"""The figures of a run as events of TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, TrainingError, needs_extra
from .timeline import Timeline

__all__ = ["Board", "board_for"]

_BOARD = "tensorboard"


class Board:
    """Writes every figure of every entry; the phases of a run are one line of steps.

    Args:
        folder: Where the events go; None for a board that writes nothing.

    Raises:
        MissingExtraError: If TensorBoard is not installed.
    """

    def __init__(self, folder: Path | None) -> None:
        if folder is not None:
            with needs_extra("tensorboard"):
                import tensorboard  # noqa: F401 - torch's own message would not say what to install
        self.folder = folder
        self._writer: Any = None
        self._timeline = Timeline()

    def add(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write the last entry of a history.

        The first time, what an earlier process wrote from this step on is taken back: it is computed again. Where there
        is nothing of earlier steps, they are written too.

        Raises:
            TrainingError: If it cannot be written.
        """
        if self.folder is None:
            return
        try:
            if self._writer is None:
                self._begin(self.folder, history[:-1])
            self._write(history[-1])
            # At once: with what a kill takes from a queue, a resumed run's curve would have a gap.
            self._writer.flush()
        except OSError as error:
            raise TrainingError(f"Cannot write to {self.folder}: {error.strerror or error}.") from error

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _begin(self, folder: Path, earlier: Sequence[Mapping[str, Any]]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        known = any(folder.glob("events.out.tfevents.*"))
        self._timeline = Timeline(earlier if known else ())
        step = self._timeline.spans[-1].end + 1 if self._timeline.spans else 1
        self._writer = SummaryWriter(str(folder), purge_step=step if known else None)
        if not known:
            for entry in earlier:
                self._write(entry)

    def _write(self, entry: Mapping[str, Any]) -> None:
        step = self._timeline.place(entry)
        for name, value in entry.items():
            if name != "step" and isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)
        if samples := entry.get("dev/samples"):
            self._writer.add_text("dev/samples", "\n\n".join(f"    {' '.join(text.split())}" for text in samples), step)


def board_for(wanted: bool | str | Path, run: Path | None) -> Board:
    """The board of a run.

    Args:
        wanted: Whether there is to be one; or the folder it writes to.
        run: The run's own folder, if it has one.

    Raises:
        ConfigurationError: If there is no folder to write to.
        MissingExtraError: If TensorBoard is not installed.
    """
    if wanted is False:
        return Board(None)
    if wanted is not True:
        return Board(Path(wanted))
    if run is None:
        raise ConfigurationError("TensorBoard's events need a folder: give output=, or tensorboard=FOLDER.")
    return Board(run / _BOARD)
