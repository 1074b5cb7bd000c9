"""What a trained directory says of its data, for the card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..data.benchmarks import BENCHMARKS
from ..data.open import WORLDS
from ..data.record import digest_of
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..data.record import UserRecord

__all__ = ["About", "as_about", "data_facts", "named"]

_GENERATED = "generated here by popi_sdk, nobody's data"
_UNSTATED = "not stated"


class About(BaseModel):
    """What only whoever trained knows, for the model card.

    Attributes:
        data: Name of the data that was learnt from, or names; of a path the last part is written.
        dev: Name or names of the data that was looked at on the way; None for the same.
        data_licence: Licence of the data, where its users do not say it themselves.
        licence: Licence of the trained model, an SPDX identifier; it stands in the card's front matter.
        language: Of the data, for example `en`; it is not guessed.
        samples: How many summaries of dev users stand in the card: none if it is not said, since they are personal, and
            may quote the data.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str | tuple[str, ...] | None = None
    dev: str | tuple[str, ...] | None = None
    data_licence: str | None = None
    licence: str | None = None
    language: str | None = None
    samples: int = 0


def as_about(given: About | dict[str, Any] | None) -> About:
    """Check it.

    Raises:
        ConfigurationError: If a field is unknown or of another type.
    """
    if isinstance(given, About):
        return given
    try:
        return About(**(given or {}))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigurationError(f"about: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def data_facts(side: str, data: Iterable[UserRecord], records: Sequence[UserRecord]) -> dict[str, Any]:
    """What can be said of users without showing them.

    Args:
        side: `train` or `dev`.
        data: As it was given: a `Dataset` knows its name.
        records: The users in it.
    """
    said = {str(one.meta[key]) for one in records for key in ("licence", "license") if one.meta.get(key)}
    return {
        "side": side,
        "name": getattr(data, "name", None),
        "users": len(records),
        "pairs": sum(len(one.pairs) for one in records),
        "digest": digest_of(records),
        "licence": ", ".join(sorted(said)) or None,
    }


def named(facts: dict[str, Any], about: About) -> dict[str, Any]:
    """The same with what `about` adds; a path of this machine is nobody's business."""
    given = about.data if facts["side"] == "train" else about.dev or about.data
    found = given or facts["name"] or ()
    names = (found,) if isinstance(found, str) else found
    own = facts["licence"] or (None if names and all(name in WORLDS for name in names) else about.data_licence)
    made = _GENERATED if any(name in WORLDS for name in names) else None
    licences = [one for one in (own, made) if one]
    return facts | {
        "name": ", ".join(map(_bare, names)) or None,
        "licence": "; ".join(licences) or _UNSTATED,
    }


def _bare(name: str) -> str:
    benchmark, _, _ = name.partition("@")
    return benchmark if benchmark in BENCHMARKS else Path(name).name
