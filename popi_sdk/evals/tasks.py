"""Tasks with one right answer, checked by code: does a summary that has nothing to do with them do harm?

They were written for this project and stand in `tasks.jsonl`, one a line.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from .answers import find_json, is_denied, mentions, read_answer, said_last
from .final_number import final_number

__all__ = ["Check", "ChoiceCheck", "JsonCheck", "NumberCheck", "OrderCheck", "Task", "is_correct", "load_tasks"]

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]

_RESTARTS = re.compile(r"[:.\n!?=>→]")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NumberCheck(_Frozen):
    """One number is right, however it is written."""

    type: Literal["number"] = "number"
    value: Decimal


class ChoiceCheck(_Frozen):
    """One label, name or phrase is right.

    Attributes:
        right: The forms in which it may stand.
        wrong: What else might be said; who says that too, without settling on one, is not right.
        case: Whether capital letters matter.
    """

    type: Literal["choice"] = "choice"
    right: tuple[Text, ...] = Field(min_length=1)
    wrong: tuple[Text, ...] = ()
    case: bool = False


class OrderCheck(_Frozen):
    """The items are to be said in this order, each once."""

    type: Literal["order"] = "order"
    items: tuple[Text, ...] = Field(min_length=2)


class JsonCheck(_Frozen):
    """A JSON object or array is right, whatever its layout.

    Attributes:
        value: The value.
        alone: Whether a program reads the answer, so that nothing but a code fence may stand around the JSON.
    """

    type: Literal["json"] = "json"
    value: JsonValue
    alone: bool = False


Check: TypeAlias = Annotated[NumberCheck | ChoiceCheck | OrderCheck | JsonCheck, Field(discriminator="type")]
"""Any check, told apart by `type`."""


class Task(_Frozen):
    """A task with one right answer.

    Attributes:
        id: Its name; no two tasks share one.
        kind: What it asks for: arithmetic, counting, extraction, ...
        prompt: What the model is asked.
        check: What is right.
    """

    id: Text
    kind: Text
    prompt: str = Field(min_length=1)
    check: Check


@cache
def load_tasks() -> tuple[Task, ...]:
    """All tasks, in the order of the file."""
    lines = (files(__package__) / "tasks.jsonl").read_text(encoding="utf-8").splitlines()
    adapter = TypeAdapter(Task)
    return tuple(adapter.validate_json(line) for line in lines)


def is_correct(task: Task, answer: str) -> bool:
    """Whether an answer is right, by what it finally says.

    Reasoning, units, thousands separators, Markdown, LaTeX, code fences and capital letters do no harm. What is denied
    ("not 42"), one of several offers ("41 or 42"), or part of a list of all labels is not an answer.

    Args:
        task: The task.
        answer: What the model wrote, thinking included.
    """
    check = task.check
    match check:
        case NumberCheck():
            return final_number(read_answer(answer, prompt=task.prompt), task.prompt) == check.value
        case ChoiceCheck():
            return _chosen(check, task.prompt, answer)
        case OrderCheck():
            return _in_order(check, task.prompt, answer)
        case JsonCheck():
            return _is_json(check, answer)


def _chosen(check: ChoiceCheck, prompt: str, answer: str) -> bool:
    read = read_answer(answer, prompt=prompt)
    labels = [check.right, *((wrong,) for wrong in check.wrong)]
    return said_last(read, mentions(read.text, labels, case=check.case)) == 0


def _in_order(check: OrderCheck, prompt: str, answer: str) -> bool:
    """The last items said are the right ones in order; what stands before them belongs to another list."""
    text = read_answer(answer, prompt=prompt, numbered=True).text
    found = mentions(text, [(item,) for item in check.items])
    size = len(check.items)
    last = found[-size:]
    if [mention.label for mention in last] != list(range(size)) or is_denied(text, last[0]):
        return False
    return len(found) == size or bool(_RESTARTS.search(text, found[-size - 1].end, last[0].start))


def _is_json(check: JsonCheck, answer: str) -> bool:
    kind = dict if isinstance(check.value, dict) else list
    values = (value for value in find_json(answer, alone=check.alone) if isinstance(value, kind))
    return next((_equal(check.value, value) for value in values), False)


def _equal(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0, but neither is true; the capital letters of a value (not of a key) do not matter."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, str) and isinstance(other, str):
        return one.casefold() == other.casefold()
    return bool(one == other)
