"""What one row of a benchmark says: a pair of a kind of user, or all about one user."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...signals import MAX_TEXT
from ..record import squeeze
from .catalog import Benchmark

__all__ = ["KindPair", "alignx_user", "kind_pair", "require"]

_REVIEW_KINDS = ("positive", "negative", "concise", "verbose")
_VARIANT = re.compile(r"reddit_(demo|pair|ugc|arbitrary)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class KindPair:
    """A preference of a kind of user.

    Attributes:
        kind: Which kind of user.
        prompt: What both responses answer.
        chosen: The preferred response.
        rejected: The other one.
        gold: A description of the kind.
        meta: What else the row says.
    """

    kind: str
    prompt: str
    chosen: str
    rejected: str
    gold: str
    meta: Mapping[str, Any]

    @property
    def content(self) -> bytes:
        """The same for rows that are the same pair of the same kind of user, in either order."""
        parts = [self.kind, squeeze(self.prompt), *sorted((squeeze(self.chosen), squeeze(self.rejected)))]
        return hashlib.sha256("\0".join(parts).encode()).digest()


def require(benchmark: Benchmark, row: Mapping[str, Any]) -> None:
    """Check that the columns are there.

    Raises:
        DataError: Names the first that is missing.
    """
    for column in benchmark.columns:
        if column not in row and column not in benchmark.optional:
            fault = f"the column is missing. {benchmark.name} has the columns {', '.join(benchmark.columns)}."
            raise DataError(fault, field=column)


def kind_pair(benchmark: Benchmark, row: Mapping[str, Any]) -> KindPair | None:
    """The pair of a row; None if the benchmark does not use the row.

    Raises:
        DataError: If the row is malformed; names the column.
    """
    if benchmark.name == "roleplay":
        gold = str(row["score_persona"] or "").strip()
        return _pair(row, ("x", "yw", "yl"), 0, kind=_text(row, "level"), gold=gold, meta={})
    kind = row["scorer_level"]
    used = (row["level_x"], row["level_y"]) if benchmark.name == "elix" else _REVIEW_KINDS
    if kind not in used:
        return None
    gold = f"Wants explanations for this level: {kind}." if benchmark.name == "elix" else f"Prefers {kind} reviews."
    meta = {"level_x": row["level_x"], "level_y": row["level_y"]}
    columns = ("prompt", "response_x", "response_y")
    return _pair(row, columns, _label(row["label"]), kind=_text(row, "scorer_level"), gold=gold, meta=meta)


def _pair(row: Mapping[str, Any], columns: tuple[str, str, str], preferred: int, **about: Any) -> KindPair:
    prompt, *responses = (_text(row, column) for column in columns)
    if squeeze(responses[0]) == squeeze(responses[1]):
        raise DataError("both responses are the same text, which says nothing. Remove the row.", field=columns[1])
    return KindPair(prompt=prompt, chosen=responses[preferred], rejected=responses[1 - preferred], **about)


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise DataError("it is empty or not a text. Correct the row, or remove it.", field=column)
    if len(value) > MAX_TEXT:
        raise DataError(f"it has {len(value):,} characters; at most {MAX_TEXT:,}. Remove the row.", field=column)
    return value.strip()


def _label(value: Any) -> int:
    """0 if the first response is preferred, 1 if the second."""
    labels = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}
    if isinstance(value, bool) or str(value) not in labels:
        raise DataError(f"{str(value)!r:.80} is no label. Use 0 (response_x is preferred) or 1.", field="label")
    return labels[str(value)]


def alignx_user(row: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """A row of AlignX in the form of a `UserRecord`, without its id.

    The profile text, the comments and the pairs become signals, as far as the row has them; the profile text is also
    the gold description.
    """
    profile = row.get("Demographic Information") or ""
    signals: list[dict[str, Any]] = []
    if profile:
        signals.append({"kind": "profile", "attributes": {"demographic information": profile}})
    comments = _items(row, "User-Generated Content", ("prompt", "comment"))
    signals += ({"kind": "writing", "text": item["comment"], "context": item["prompt"]} for item in comments)
    pairs = _items(row, "Pair-wise Comparative Feedback", ("prompt", "chosen", "rejected"))
    signals += ({"kind": "preference", **item} for item in pairs)
    variant = _VARIANT.match(file.name)
    pair = {key: row[key] for key in ("prompt", "chosen", "rejected")}
    direction = row.get("Preference Direction")
    return {
        "signals": signals,
        "pairs": [{**pair, "kind": variant[1].lower() if variant else None}],
        "gold": profile or None,
        "meta": {} if direction is None else {"Preference Direction": direction},
    }


def _items(row: Mapping[str, Any], column: str, keys: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    items = row.get(column) or ()
    for index, item in enumerate(items if isinstance(items, list | tuple) else [items]):
        for key in keys:
            if not isinstance(item, Mapping) or not isinstance(item.get(key), str):
                raise DataError("it is not a text. Correct the row, or remove it.", field=f"{column}.{index}.{key}")
        yield {key: item[key] for key in keys}
