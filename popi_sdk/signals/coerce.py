"""Bring what users have into signals: dicts, OpenAI message lists, TRL rows, strings, JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from itertools import islice
from pathlib import Path
from typing import IO, Any, NoReturn

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..errors import SignalError
from ..messages import content_of
from .types import (
    MAX_TEXT,
    Dialogue,
    Edit,
    PreferencePair,
    Profile,
    Rating,
    Signal,
    Statement,
    Survey,
    Writing,
)

__all__ = ["MAX_SIGNALS", "as_signals", "read_signals"]

MAX_SIGNALS = 100_000
"""Signals of one user that one call takes."""

_KNOWN = (PreferencePair, Rating, Edit, Dialogue, Writing, Profile, Survey, Statement)
_MAX_LINE = 8 * MAX_TEXT

# A field that only one kind has tells the kind of a dict that does not say it.
_TELLING = {
    "messages": "dialogue",
    "chosen": "preference",
    "rejected": "preference",
    "before": "edit",
    "after": "edit",
    "attributes": "profile",
    "question": "survey",
    "answer": "survey",
    "score": "rating",
    "context": "writing",
}
_KINDS = "preference, rating, edit, dialogue, writing, profile, survey, statement"


def as_signals(value: Any) -> tuple[Signal, ...]:
    """Bring a user's signals into their typed form.

    Args:
        value: One of these, or an iterable of them: a signal; a dict with `kind` (or whose fields tell the kind, as in
            a TRL row `prompt`/`chosen`/`rejected`); a list of OpenAI messages (one dialogue); inside an iterable also a
            plain string (a statement).

    Raises:
        SignalError: If there are none, or one is malformed: names its position, the field and the remedy.
    """
    if isinstance(value, str):
        raise SignalError(
            "A single string is ambiguous. Pass [text] or Statement(text=...) for what the user said, "
            "or read_signals(path) for a file."
        )
    if isinstance(value, BaseModel | Mapping):
        return (_one(value, "the signal"),)
    if not isinstance(value, Iterable) or isinstance(value, bytes | bytearray) or hasattr(value, "columns"):
        raise SignalError(
            f"Signals are expected, not {type(value).__name__}. Pass a list of signals or dicts, "
            "for example read_signals(path) or frame.to_dict('records')."
        )
    items = list(islice(value, MAX_SIGNALS + 1))
    if _is_messages(items):
        return (_one(items, "the dialogue"),)
    if not items:
        raise SignalError("There are no signals. Pass at least one, for example Statement(text='Keep it short.').")
    if len(items) > MAX_SIGNALS:
        raise SignalError(f"More than {MAX_SIGNALS:,} signals are too many for one user. Pass the newest.")
    return tuple(_one(item, f"signal {index}", index=index) for index, item in enumerate(items))


def read_signals(source: str | Path | IO[str] | IO[bytes]) -> tuple[Signal, ...]:
    """Read signals from JSON Lines: one signal a line; a file that is one JSON array is read too.

    Args:
        source: Path of a UTF-8 file, or an open one.

    Raises:
        SignalError: If it cannot be read, or a line is malformed: names the line, the field and the remedy.
    """
    if not isinstance(source, str | Path):
        return _read(source)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(source).open("rb"))
        except (OSError, ValueError) as error:  # ValueError: a path with a null character
            reason = getattr(error, "strerror", None) or error
            raise SignalError(f"Cannot read {source!s:.200}: {reason}.") from error
        return _read(file)


def _read(file: IO[str] | IO[bytes]) -> tuple[Signal, ...]:
    signals: list[Signal] = []
    lines = _lines(file)
    for number, line in lines:
        if not signals and line.lstrip().startswith("["):
            array = _array(number, line, file)
            if not _is_messages(array):
                return as_signals(array)
            value: Any = array
        else:
            value = _json(line, number)
        if len(signals) >= MAX_SIGNALS:
            raise SignalError(f"More than {MAX_SIGNALS:,} signals: too many for one user.", line=number)
        signals.append(_one(value, f"line {number}", line=number))
    if not signals:
        raise SignalError(
            "The input holds no signals. Write one JSON object a line; in a shell, --say TEXT does without."
        )
    return tuple(signals)


def _array(number: int, line: str, file: IO[str] | IO[bytes]) -> Any:
    """What begins with a bracket: the messages of one dialogue on a line, or all signals in one array."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, list) and _is_messages(value):
        return value
    rest = _readline(file, number, whole=True)
    return _json(line + rest, number)


def _lines(file: IO[str] | IO[bytes]) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their number, decoded."""
    number = 1
    while line := _readline(file, number):
        if number == 1:
            line = line.removeprefix("\ufeff")
        if line.strip():
            yield number, line
        number += 1


def _readline(file: IO[str] | IO[bytes], number: int, *, whole: bool = False) -> str:
    """The next line, or with `whole` all that is left."""
    what = "the array that begins there" if whole else "it"
    try:
        raw = (file.read if whole else file.readline)(_MAX_LINE + 1)
        if len(raw) > _MAX_LINE:
            raise SignalError(
                f"line {number}: {what} is longer than {_MAX_LINE:,} characters. Write one signal a line, "
                "and split or leave out longer ones.",
                line=number,
            )
        return raw if isinstance(raw, str) else raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SignalError(
            f"line {number} is not UTF-8 (byte {error.start} of it). Save the file as UTF-8.", line=number
        ) from error
    except OSError as error:
        raise SignalError(f"line {number} cannot be read: {error.strerror or error}.", line=number) from error


def _json(text: str, number: int) -> Any:
    try:
        return json.loads(text.rstrip(), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        number, reason = number + error.lineno - 1, f", column {error.colno}: {error.msg}"
        cause: Exception = error
    except (ValueError, RecursionError) as error:  # NaN, thousands of digits, brackets without end
        reason, cause = f": {error}", error
    raise SignalError(
        f"line {number} is not JSON{reason}. Write one complete JSON object a line.", line=number
    ) from cause


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _is_messages(items: Sequence[Any]) -> bool:
    return bool(items) and all(isinstance(item, Mapping) and "role" in item and "kind" not in item for item in items)


def _one(item: Any, where: str, *, line: int | None = None, index: int | None = None) -> Signal:
    if isinstance(item, BaseModel):
        if isinstance(item, _KNOWN):
            return item
        raise SignalError(f"{where}: {type(item).__name__} is not a signal. Use one of: {_KINDS}.", index=index)
    data = _as_dict(item, where, line, index)
    try:
        return _adapter().validate_python(data)
    except ValidationError as error:
        raise _signal_error(error, where, line, index) from error


@cache
def _adapter() -> TypeAdapter[Signal]:
    return TypeAdapter(Signal, config=ConfigDict(hide_input_in_errors=True))


def _as_dict(item: Any, where: str, line: int | None, index: int | None) -> dict[str, Any]:
    if isinstance(item, str):
        return {"kind": "statement", "text": item}
    if isinstance(item, Sequence) and _is_messages(item):
        return {"kind": "dialogue", "messages": [dict(message) for message in item]}
    if not isinstance(item, Mapping):
        raise SignalError(
            f"{where}: {type(item).__name__} is not a signal. Pass a dict with 'kind': one of {_KINDS}.",
            line=line,
            index=index,
        )
    data = dict(item)
    if "kind" not in data:
        kinds = {_TELLING[field] for field in data if field in _TELLING}
        if len(kinds) != 1:
            raise SignalError(
                f"{where}: the fields ({', '.join(map(str, data)) or 'none'}) do not tell what kind of signal it is. "
                f"Add 'kind': one of {_KINDS}.",
                line=line,
                index=index,
                field="kind",
            )
        data["kind"] = kinds.pop()
    return _from_trl(data) if data["kind"] == "preference" else data


def _from_trl(row: dict[str, Any]) -> dict[str, Any]:
    """TRL's conversational rows: message lists become text; messages that both answers begin with are the prompt."""
    chosen, rejected = row.get("chosen"), row.get("rejected")
    if isinstance(chosen, list) and isinstance(rejected, list):
        shared = 0
        while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
            shared += 1
        if "prompt" not in row:
            row["prompt"] = chosen[:shared]
        elif not _repeats(chosen[:shared], row["prompt"]):
            shared = 0
        row["chosen"], row["rejected"] = _transcript(chosen[shared:]), _transcript(rejected[shared:])
    if isinstance(row.get("prompt"), list):
        row["prompt"] = _transcript(row["prompt"])
    return row


def _repeats(shared: list[Any], prompt: Any) -> bool:
    """Whether what both answers begin with is the prompt once more, as in UltraFeedback."""
    return bool(shared) and prompt in (shared, _transcript(shared), _transcript(shared[-1:]))


def _transcript(messages: list[Any]) -> Any:
    """One message is its text; several stand with their roles. Anything else is left for the validator to name."""
    if not all(isinstance(message, Mapping) and content_of(message) is not None for message in messages):
        return messages
    if len(messages) == 1:
        return content_of(messages[0])
    return "\n".join(f"{message.get('role', 'user')}: {content_of(message)}" for message in messages)


def _signal_error(error: ValidationError, where: str, line: int | None, index: int | None) -> SignalError:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    foreign = [_field(problem["loc"]) for problem in problems if problem["type"] == "extra_forbidden"]
    first = problems[0]
    field = _field(first["loc"]) or ("kind" if first["type"].startswith("union_tag") else None)
    if first["type"] == "extra_forbidden" and len(foreign) > 1:
        names = ", ".join(map(repr, foreign))
        return SignalError(f"{where}, fields {names}: {_remedy(first)}", line=line, index=index, field=field)
    named = f", field {field!r}" if field else ""
    return SignalError(f"{where}{named}: {_remedy(first)}", line=line, index=index, field=field)


def _field(location: tuple[int | str, ...]) -> str | None:
    parts = [str(part) for part in location]
    if parts and parts[0] in _KINDS.split(", "):
        parts = parts[1:]  # the tag of the union is not a field of the user's
    return ".".join(parts) or None


_REMEDIES = {
    "missing": "it is missing. Add it.",
    "extra_forbidden": "there is no such field. Remove it, or correct its name.",
    "string_type": "it is not a text. Write it as one.",
    "string_pattern_mismatch": "it is empty. Give it a text, or remove the signal.",
    "string_unicode": "it has half of a surrogate pair, which is not text. Decode the source correctly.",
    "union_tag_invalid": f"the kind is unknown. Use one of: {_KINDS}.",
}


def _remedy(problem: Mapping[str, Any]) -> str:
    kind, message = problem["type"], problem["msg"]
    if kind == "string_too_long":
        return f"{message}. Split the text, or leave the signal out."
    if kind == "value_error":
        return str(message).removeprefix("Value error, ")
    return _REMEDIES.get(kind, f"{message}. Correct it.")
