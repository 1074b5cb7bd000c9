"""The kinds of signals: what one user left behind.

Every kind is a frozen pydantic model with a `kind`, an optional `time` and `source`, and a content id. Text is kept as
it came; what is shown to a model goes through `sanitise` first.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, NoReturn, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from ..messages import ROLES, content_of

__all__ = [
    "MAX_TEXT",
    "Dialogue",
    "DialogueMessage",
    "Edit",
    "PreferencePair",
    "Profile",
    "Rating",
    "Signal",
    "Statement",
    "Survey",
    "Writing",
]

MAX_TEXT = 1_000_000
"""Characters that one text of a signal may have; longer input is an error, not a cut."""

Text = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=r"\S")]
"""A text with something in it."""

OptionalText = Annotated[str, StringConstraints(max_length=MAX_TEXT)]

_LARGEST = 2**53  # beyond it JSON readers disagree on whole numbers, and so would content ids

VOTES: Literal["agree/disagree/pass"] = "agree/disagree/pass"

_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*(?:\.\.|-|\u2013|/|to)\s*({_NUMBER})\s*", re.IGNORECASE | re.ASCII)


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, defer_build=True
    )


class _FrozenDict(dict[str, Any]):
    """A dict that stays as it is: a signal that changed would keep its place in caches."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("Signals do not change. Build a new Profile.")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


class _BaseSignal(_Frozen):
    """What all kinds share.

    Attributes:
        time: When the user left it; newer signals are preferred where not all fit.
        source: Where it came from (an app, a file); kept, never shown to a model.
    """

    time: datetime | None = None
    source: Annotated[str, StringConstraints(max_length=1_000)] | None = None

    @property
    def id(self) -> str:
        """Content id: the same kind and content give the same 16 hex digits, whatever the time and source."""
        content = self.model_dump(mode="json", exclude={"time", "source"}, exclude_none=True)
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def __hash__(self) -> int:
        return hash((self.id, self.time, self.source))


class PreferencePair(_BaseSignal):
    """Of two responses to a prompt the user preferred `chosen`; `reason` says why, in the user's words."""

    kind: Literal["preference"] = "preference"
    prompt: OptionalText
    chosen: Text
    rejected: Text
    reason: Text | None = None

    @model_validator(mode="after")
    def _differ(self) -> PreferencePair:
        if self.chosen == self.rejected:
            raise ValueError("chosen and rejected are the same text, which says nothing. Remove the pair.")
        return self


class Rating(_BaseSignal):
    """A text that the user rated.

    Attributes:
        text: What was rated: a response, a statement, a joke.
        score: A number on `scale`, or one of agree, disagree, pass.
        scale: (lowest, highest) for numbers; `agree/disagree/pass` for votes (the default for a vote).
        prompt: What the text answered, if it answered something.
    """

    kind: Literal["rating"] = "rating"
    text: Text
    score: float | Literal["agree", "disagree", "pass"]
    scale: tuple[float, float] | Literal["agree/disagree/pass"] = VOTES
    prompt: OptionalText | None = None

    @field_validator("score", mode="before")
    @classmethod
    def _number_or_vote(cls, score: Any) -> Any:
        if isinstance(score, bool):
            raise ValueError("true/false is not a score. Use 'agree' or 'disagree', or a number with its scale.")
        if isinstance(score, str) and score.strip().lower() in ("agree", "disagree", "pass"):
            return score.strip().lower()
        if (number := _finite(score)) is None:
            raise ValueError("that is not a score. Use a number with its scale, or agree, disagree or pass.")
        return number

    @field_validator("scale", mode="before")
    @classmethod
    def _ends(cls, scale: Any) -> Any:
        """Accept `1-5`, `1..5`, `-5 - 5`, `0 to 10` and `1/5` beside [1, 5]."""
        if scale == VOTES:
            return scale
        match = _RANGE.fullmatch(scale) if isinstance(scale, str) else None
        ends = match.groups() if match else scale if isinstance(scale, list | tuple) else ()
        numbers = tuple(map(_finite, ends))
        if len(numbers) != 2 or None in numbers:
            raise ValueError(
                f"that is not a scale. Give its lowest and highest number, as [1, 5] or '1-5', or {VOTES!r} for votes."
            )
        return numbers

    @model_validator(mode="after")
    def _on_scale(self) -> Rating:
        if isinstance(self.score, str):
            if self.scale != VOTES:
                raise ValueError(f"'{self.score}' is not on the scale {self.scale}. Leave the scale out for votes.")
            return self
        if isinstance(self.scale, str):
            raise ValueError("a number needs its scale. Add scale=(lowest, highest), for example scale=(1, 5).")
        low, high = self.scale
        if not low < high:
            raise ValueError(f"the scale {self.scale} is empty: its first number must be below its second.")
        if not low <= self.score <= high:
            raise ValueError(f"the score {self.score:g} is not on the scale {low:g} to {high:g}.")
        return self

    @property
    def value(self) -> float:
        """The score on -1 (worst, disagree) to 1 (best, agree); pass is 0."""
        if isinstance(self.score, str) or isinstance(self.scale, str):
            return {"agree": 1.0, "disagree": -1.0}.get(str(self.score), 0.0)
        low, high = (end / 2.0 for end in self.scale)  # halves, since the length of a scale may overflow
        return 2.0 * ((self.score / 2.0 - low) / (high - low)) - 1.0


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number + 0.0 if math.isfinite(number) else None  # no negative zero: one score, one id


class Edit(_BaseSignal):
    """The user turned `before` (a model's text) into `after`."""

    kind: Literal["edit"] = "edit"
    before: Text
    after: Text
    prompt: OptionalText | None = None

    @model_validator(mode="after")
    def _differ(self) -> Edit:
        if self.before == self.after:
            raise ValueError("before and after are the same text, which says nothing. Remove the edit.")
        return self


class DialogueMessage(_Frozen):
    """One turn of a dialogue, in OpenAI's form. Other keys are dropped; a turn that only calls tools says so."""

    role: str
    content: OptionalText

    @model_validator(mode="before")
    @classmethod
    def _openai_form(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {"role": data.get("role"), "content": content_of(data)}

    @field_validator("role")
    @classmethod
    def _known(cls, role: str) -> str:
        if role not in ROLES:
            raise ValueError(f"the role {role!r} is unknown. Use one of: {', '.join(ROLES)}.")
        return role


class Dialogue(_BaseSignal):
    """A conversation of the user with a model."""

    kind: Literal["dialogue"] = "dialogue"
    messages: Annotated[tuple[DialogueMessage, ...], Field(min_length=1, max_length=10_000)]

    @model_validator(mode="after")
    def _user_speaks(self) -> Dialogue:
        if not any(turn.role == "user" and turn.content.strip() for turn in self.messages):
            raise ValueError("no message of the user: a dialogue is read for what the user says. Add role 'user'.")
        return self


class Writing(_BaseSignal):
    """Something the user wrote; `context` says what for (a mail, a review)."""

    kind: Literal["writing"] = "writing"
    text: Text
    context: OptionalText | None = None


class Profile(_BaseSignal):
    """Attributes of the user, for example {"occupation": "nurse", "reads English": "well"}."""

    kind: Literal["profile"] = "profile"
    attributes: Annotated[
        dict[Annotated[str, StringConstraints(max_length=200, pattern=r"\S")], str | bool | int | float],
        Field(min_length=1, max_length=500),
        AfterValidator(_FrozenDict),
    ]

    @field_validator("attributes", mode="before")
    @classmethod
    def _plain_values(cls, attributes: Any) -> Any:
        if not isinstance(attributes, Mapping):
            return attributes
        for name, value in attributes.items():
            if not isinstance(value, str | int | float):
                raise ValueError(f"the attribute {name!r:.80} is not plain. Give it one text, number or true/false.")
            if isinstance(value, str) and len(value) > MAX_TEXT:
                raise ValueError(f"the attribute {name!r:.80} has {len(value):,} characters; at most {MAX_TEXT:,}.")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"the attribute {name!r:.80} is not a finite number. Correct it, or leave it out.")
            if isinstance(value, int) and abs(value) > _LARGEST:
                raise ValueError(f"the attribute {name!r:.80} is larger than JSON can carry. Give it as a text.")
        return attributes


class Survey(_BaseSignal):
    """A question that the user answered."""

    kind: Literal["survey"] = "survey"
    question: Text
    answer: Text


class Statement(_BaseSignal):
    """What the user said outright: "keep it short". The strongest signal there is."""

    kind: Literal["statement"] = "statement"
    text: Text


Signal: TypeAlias = Annotated[
    PreferencePair | Rating | Edit | Dialogue | Writing | Profile | Survey | Statement,
    Field(discriminator="kind"),
]
"""Any signal, told apart by `kind`."""
