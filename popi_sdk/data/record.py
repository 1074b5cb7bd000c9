"""A user to measure or to train with: signals, and pairs of the same user that no summary has seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, overload

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from ..errors import DataError
from ..signals import MAX_TEXT, Edit, PreferencePair, Rating, Signal, as_signals

__all__ = ["MAX_PAIRS", "HeldOutPair", "UserRecord", "canonical", "digest_of", "squeeze"]

MAX_PAIRS = 100_000
"""Held-out pairs of one user."""

Text = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=r"\S")]
Label = Annotated[str, StringConstraints(max_length=1_000, pattern=r"\S")]


def _plain(meta: dict[str, Any]) -> dict[str, Any]:
    if meta:
        try:
            json.dumps(meta, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as error:  # objects, NaN, half of a surrogate pair, a circle
            raise ValueError(f"it is not plain JSON ({error}). Use texts, finite numbers, lists and dicts.") from error
    return meta


Meta = Annotated[dict[str, Any], AfterValidator(_plain)]


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, defer_build=True
    )


class HeldOutPair(_Frozen):
    """Of two responses to a prompt the user prefers `chosen`; which of them, is what a summary should tell.

    Attributes:
        prompt: What both responses answer; may be empty.
        chosen: The response that the user prefers.
        rejected: The other one.
        kind: A name for pairs that are counted apart, for example `other-persona`; several are joined by `+`.
        population_agrees: What the other people say: 1.0 if they prefer `chosen`, 0.0 if they prefer `rejected`, 0.5 if
            they are undecided; None if the data does not say. Below 0.5 the pair is contested: the majority would get
            it wrong.
        meta: Whatever else the source says about the pair; plain JSON.
    """

    prompt: Annotated[str, StringConstraints(max_length=MAX_TEXT)]
    chosen: Text
    rejected: Text
    kind: Label | None = None
    population_agrees: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    meta: Meta = {}

    @model_validator(mode="after")
    def _differ(self) -> HeldOutPair:
        if self.chosen == self.rejected:
            raise ValueError("chosen and rejected are the same text, which measures nothing. Remove the pair.")
        return self


class UserRecord(_Frozen):
    """One user: what a summary is made from, and what it is measured on.

    Attributes:
        user_id: Tells users apart.
        signals: What the user left behind; at least one, in any form that `as_signals` takes.
        pairs: Preferences of the user that are not among the signals; at least one.
        gold: A description of what the user prefers, if somebody knows it.
        groups: What another user must share for a fair exchange of summaries: a conversation, a debate, a category.
        split: `train`, `dev` or `test`, if the source is divided.
        meta: Whatever else the source says about the user; plain JSON.

    Raises:
        DataError: If a pair is there twice, or also stands among the signals, in either order; names the field.
        SignalError: If a signal is malformed or there is none.
        pydantic.ValidationError: If another field is missing or malformed.
    """

    user_id: Label
    signals: tuple[Signal, ...]
    pairs: Annotated[tuple[HeldOutPair, ...], Field(max_length=MAX_PAIRS)]
    gold: Text | None = None
    groups: tuple[Label, ...] = ()
    split: Label | None = None
    meta: Meta = {}

    @field_validator("signals", mode="before")
    @classmethod
    def _typed(cls, signals: Any) -> tuple[Signal, ...]:
        if isinstance(signals, Mapping | BaseModel):
            raise ValueError("it is one signal. Put it in a list.")
        return as_signals(signals)

    @field_validator("groups", mode="before")
    @classmethod
    def _not_one_text(cls, groups: Any) -> Any:
        if isinstance(groups, str):
            raise ValueError("it is one text. Put it in a list.")
        return groups

    @model_validator(mode="after")
    def _measurable(self) -> UserRecord:
        if not self.pairs:
            raise DataError("there are no pairs to measure on. Add at least one, or leave the user out.", field="pairs")
        seen: dict[tuple[str, str, str], int] = {}
        shown = _Shown(self.signals)
        for index, pair in enumerate(self.pairs):
            key = (squeeze(pair.prompt), squeeze(pair.chosen), squeeze(pair.rejected))
            first = seen.setdefault(key, index)
            if first != index:
                raise DataError(f"the pair is the same as pair {first}. Keep one of the two.", field=f"pairs.{index}")
            if (place := shown.find(*key)) is not None:
                raise DataError(
                    f"the pair also stands among the signals (signal {place}), so it is no held-out pair. "
                    "Remove one of the two.",
                    field=f"pairs.{index}",
                )
        return self


class _Shown:
    """What the signals already tell about pairs: preferences, edits, and two ratings that put texts in order."""

    def __init__(self, signals: Iterable[Signal]) -> None:
        self._pairs: dict[tuple[str | None, frozenset[str]], int] = {}
        self._rated: dict[str, list[tuple[str | None, float, int]]] = {}
        for index, signal in enumerate(signals):
            if isinstance(signal, PreferencePair):
                self._pair(signal.prompt, signal.chosen, signal.rejected, index)
            elif isinstance(signal, Edit):
                self._pair(signal.prompt, signal.before, signal.after, index)
            elif isinstance(signal, Rating):
                rating = (squeeze(signal.prompt), signal.value, index)
                self._rated.setdefault(squeeze(signal.text), []).append(rating)

    def _pair(self, prompt: str | None, one: str, other: str, index: int) -> None:
        self._pairs.setdefault((squeeze(prompt), frozenset((squeeze(one), squeeze(other)))), index)

    def find(self, prompt: str, chosen: str, rejected: str) -> int | None:
        """The index of a signal that shows the pair; a signal without prompt may be about any."""
        texts = frozenset((chosen, rejected))
        for key in ((prompt, texts), (None, texts)):
            if key in self._pairs:
                return self._pairs[key]
        scores = [
            [(value, index) for asked, value, index in self._rated.get(text, ()) if asked in (None, prompt)]
            for text in (chosen, rejected)
        ]
        return next((index for a, index in scores[0] for b, _ in scores[1] if a != b), None)


@overload
def squeeze(text: str) -> str: ...
@overload
def squeeze(text: None) -> None: ...
def squeeze(text: str | None) -> str | None:
    """Texts that differ in white space only are the same text to a person."""
    return None if text is None else " ".join(text.split())


def canonical(record: UserRecord) -> bytes:
    """A record as one line of JSON: keys sorted, what is not given left out, UTF-8, no spaces, no line end."""
    content = record.model_dump(mode="json", exclude={"signals"}, exclude_defaults=True)
    content["signals"] = [signal.model_dump(mode="json", exclude_none=True) for signal in record.signals]
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def digest_of(records: Iterable[UserRecord]) -> str:
    """SHA-256, in hex, over the canonical lines of the records in their order."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(canonical(record) + b"\n")
    return digest.hexdigest()
