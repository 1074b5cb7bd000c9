"""From what stands on the command line to signals, a summary, a prompt."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ..errors import MissingExtraError, SignalError, UsageError
from ..generators import BackendSpec, parse_backend
from ..messages import Message, Prompt
from ..models import DEFAULT_MODEL, is_pulled, pull
from ..signals import Signal, Statement, read_signals
from ..summary import PreferenceSummary
from .output import on_terminal, pull_bar

__all__ = ["ensure_models", "read_prompt", "read_user", "signals_from"]

STDIN = "-"

_DEFAULT = (BackendSpec("local"), BackendSpec("llamacpp"))

_NO_SIGNALS = """No signals: nothing is piped in. Give them in one of these ways:
  --signals FILE      a file with one JSON object a line
  --say TEXT          what the user said, for example --say "Keep it short, please."
  command | popi ...  the same lines through a pipe"""


def signals_from(source: str) -> tuple[Signal, ...]:
    """Signals of a JSON Lines file, or of stdin for `-`.

    Raises:
        SignalError: If there are none or one is malformed: names the file, the line and the field.
    """
    if source == STDIN and on_terminal(sys.stdin):
        raise UsageError(_NO_SIGNALS)
    try:
        return read_signals(sys.stdin.buffer if source == STDIN else Path(source))
    except SignalError as error:
        if str(error).startswith("Cannot read"):
            raise
        name = "stdin" if source == STDIN else source
        raise SignalError(f"{name}: {error}", line=error.line, index=error.index, field=error.field) from error


def read_user(
    signals: str | None, say: Sequence[str], summary: str | None = None
) -> tuple[Signal, ...] | PreferenceSummary:
    """What is known of the user: a saved summary, or signals and statements; stdin where nothing else is named.

    Raises:
        UsageError: If it cannot be read, or both were given.
    """
    if summary is not None:
        if signals is not None or say:
            raise UsageError("--summary stands for the signals: leave out --signals and --say, or leave out --summary.")
        return PreferenceSummary.from_json(_bytes_of(summary))
    if not all(text.strip() for text in say):
        raise UsageError("--say is empty. Write what the user said, for example --say 'No jargon, please.'")
    statements = tuple(Statement(text=text) for text in say)
    if signals is None and statements:
        return statements
    return signals_from(signals or STDIN) + statements


def read_prompt(prompt: str, *, stdin_is_taken: bool, system: str | None = None) -> Prompt:
    """The prompt as messages, from stdin for `-`.

    Raises:
        UsageError: If it is empty, not UTF-8, or stdin is read for something else already.
    """
    if prompt == STDIN:
        if stdin_is_taken:
            raise UsageError("The prompt '-' is read from stdin: give the signals with --signals FILE or --say TEXT.")
        prompt = _decoded(_bytes_of(STDIN), "The prompt")
    if not prompt.strip():
        raise UsageError("The prompt is empty. Write what the user asks.")
    messages = [Message(role="user", content=prompt)]
    return [Message(role="system", content=system), *messages] if system else messages


def ensure_models(generator: str, inferrer: str = "local") -> None:
    """Pull the default model with a progress bar if a backend needs it and it is not there.

    Raises:
        MissingExtraError: If the engine is not installed: said before 98 MB are pulled for it.
        ConfigurationError: If a backend string is malformed, or the model cannot be pulled.
    """
    wanted, asked = parse_backend(generator), parse_backend(inferrer)
    if not (wanted in _DEFAULT or asked == BackendSpec("llamacpp")):  # the inferrer `local` has no model
        return
    if find_spec("xllamacpp") is None:
        raise MissingExtraError("local", "xllamacpp")
    if is_pulled() is None:
        with pull_bar(DEFAULT_MODEL.name) as progress:
            pull(progress=progress)


def _bytes_of(source: str) -> bytes:
    if source == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read {source}: {error.strerror or error}.") from error


def _decoded(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} is not UTF-8 (byte {error.start} of it). Save it as UTF-8.") from error
