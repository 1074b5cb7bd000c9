"""What reaches the terminal: results on stdout, all else on stderr, and no control character of anyone's."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..errors import UsageError
from ..models import PullProgress

__all__ = [
    "clean",
    "note",
    "on_terminal",
    "prepare_streams",
    "pull_bar",
    "report_error",
    "screen",
    "silence_stdout",
    "to_json",
    "waiting",
    "warn",
    "write",
    "write_json",
    "write_text",
]

# ESC and CSI start what moves the cursor, sets the title or writes into the clipboard; a carriage return overwrites.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_STAGES = {
    "waiting": "Waiting for another pull",
    "installed": "Copying",
    "index": "Downloading",
    "unpack": "Unpacking",
    "hub": "Downloading",
    "done": "Done",
}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let one place decide what a closed pipe means."""
        raise BrokenPipeError


def clean(text: str) -> str:
    """A foreign text without what a terminal would act on; tabs and line ends stay."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def on_terminal(stream: IO[str]) -> bool:
    """Whether a person sits behind a stream."""
    with suppress(ValueError):  # closed
        return stream.isatty()
    return False


def prepare_streams() -> None:
    """Make the standard streams usable: one that the caller closed goes nowhere, and no letter ends the run."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open until the process ends
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def screen(*, stderr: bool = False) -> Console:
    """A console that shows every text as it is: no markup, no emoji codes; plain where NO_COLOR is set."""
    return _Console(
        stderr=stderr,
        markup=False,
        highlight=False,
        emoji=False,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


def write(text: str) -> None:
    """Write a part of the result to stdout at once; cleaned where it is a terminal that would act on it."""
    try:
        sys.stdout.write(clean(text) if on_terminal(sys.stdout) else text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence_stdout()
        raise UsageError(f"Cannot write the result: {error.strerror}.") from error


def write_text(text: str) -> None:
    """Write a whole result to stdout: broken between words for a reader, as it is for a program."""
    if on_terminal(sys.stdout):
        screen().print(Text(clean(text)))
    else:
        write(f"{text}\n")


def write_json(value: Any, *, one_line: bool = False) -> None:
    """Write one JSON value and a line end to stdout: on several lines for a reader, on one for a program."""
    write(f"{to_json(value, indent=None if one_line or not on_terminal(sys.stdout) else 2)}\n")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON that can be read (no escapes for letters) and shown (escapes for controls, halves of surrogate pairs)."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def note(text: str, *, quiet: bool = False) -> None:
    """Say something beside the result, to a person: dim, on stderr."""
    if not quiet and on_terminal(sys.stderr):
        screen(stderr=True).print(Text(clean(text), style="dim"))


def warn(text: str, *, quiet: bool = False) -> None:
    """Say on stderr, terminal or not, what the reader of the result has to know."""
    if not quiet:
        _say("Note:", "yellow", text)


def report_error(error: BaseException) -> None:
    """One message on stderr, without a traceback."""
    _say("Error:", "bold red", str(error) or type(error).__name__)


def silence_stdout() -> None:
    """After a closed pipe: what is still buffered goes nowhere, instead of failing again when the process ends."""
    with suppress(OSError, ValueError):
        stdout = sys.stdout.fileno()
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stdout)


@contextmanager
def waiting(text: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show a person what is being done until it is done; yields what changes the text."""
    if quiet or not on_terminal(sys.stderr):
        yield lambda _: None
        return
    with screen(stderr=True).status(Text(text, style="dim"), spinner="dots") as status:
        yield lambda text: status.update(Text(clean(text), style="dim"))


@contextmanager
def pull_bar(name: str) -> Iterator[Callable[[PullProgress], None]]:
    """A progress bar for `models.pull(progress=...)`: on a terminal; nothing elsewhere."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=screen(stderr=True),
        disable=not on_terminal(sys.stderr),
        transient=True,
    )
    with bar:
        task = bar.add_task(name, total=None)

        def show(progress: PullProgress) -> None:
            stage = _STAGES.get(progress.stage, progress.stage)
            bar.update(task, description=f"{stage} {name}", completed=progress.done, total=progress.total or None)

        yield show


def _say(label: str, style: str, text: str) -> None:
    with suppress(OSError, ValueError):  # nobody reads stderr any more
        screen(stderr=True).print(Text.assemble((label, style), " ", clean(text)), soft_wrap=True)
