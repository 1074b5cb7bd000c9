"""From the form of data sets collected elsewhere (`type`, `eval_pairs`) to ours. The table is in docs/data.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import SignalError
from ..signals import as_signals

__all__ = ["from_collected", "is_collected", "name_sides", "population_credit"]

_RECORD = {"user_id", "split", "signals", "eval_pairs"}
_PAIR = {"prompt", "chosen", "rejected", "kind"}
_PREFERENCE = {"type", "prompt", "chosen", "rejected", "reason", "reason_labels"}
_RATING = {"type", "text", "rating", "scale", "prompt"}
_GROUPS = ("conversation", "category")


def is_collected(row: Mapping[str, Any]) -> bool:
    """Whether a row is in the collected form: its held-out pairs are called `eval_pairs`."""
    return "eval_pairs" in row


def from_collected(row: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a row into the form of a `UserRecord`; nothing is lost: what has no field of its own goes into `meta`.

    What a signal has beyond our fields stands in `meta["signals"]`, under the id of the signal. Malformed parts are
    left as they are, for the record to name.
    """
    signals, rest = _signals(row.get("signals"))
    pairs = row["eval_pairs"]
    meta = {key: value for key, value in row.items() if key not in _RECORD}
    if rest:
        meta["signals"] = rest
    return {
        "user_id": row.get("user_id"),
        "split": row.get("split"),
        "signals": signals,
        "pairs": [_pair(pair) if isinstance(pair, Mapping) else pair for pair in pairs]
        if isinstance(pairs, list)
        else pairs,
        "groups": _groups(row),
        "gold": _gold(row),
        "meta": meta,
    }


def _signals(raw: Any) -> tuple[Any, dict[str, Any]]:
    """The signals, and what else each said, by its id."""
    if not isinstance(raw, list):
        return raw, {}
    signals: list[Any] = []
    rest: dict[str, Any] = {}
    for item in raw:
        signal, more = _signal(item) if isinstance(item, Mapping) and "type" in item else (item, {})
        signals.append(signal)
        if more:
            rest.setdefault(_id(signal), more)
    return signals, rest


def _signal(item: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    if item["type"] == "preference":
        signal = {key: item[key] for key in ("prompt", "chosen", "rejected", "reason") if item.get(key) is not None}
        if isinstance(reason := item.get("reason"), str) and (labels := item.get("reason_labels")):
            signal["reason"] = name_sides(reason, str(labels))
        return {"kind": "preference", **signal}, _but(item, _PREFERENCE)
    if item["type"] == "rating":
        signal = {key: item[key] for key in ("text", "scale", "prompt") if item.get(key) is not None}
        return {"kind": "rating", "score": item.get("rating"), **signal}, _but(item, _RATING)
    return {"kind": item["type"], **_but(item, {"type"})}, {}


def _id(signal: dict[str, Any]) -> str:
    try:
        return as_signals(signal)[0].id
    except SignalError:
        return ""  # the record will refuse the signal


def _pair(pair: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{key: pair[key] for key in _PAIR if key in pair},
        "population_agrees": population_credit(pair),
        "meta": _but(pair, _PAIR),
    }


def population_credit(pair: Mapping[str, Any]) -> float | None:
    """What the other people say about a pair: 1.0 for `chosen`, 0.0 for `rejected`, 0.5 undecided, None unknown."""
    if isinstance(pair.get("population_agrees"), bool):
        return float(pair["population_agrees"])
    for one, other in (
        (pair.get("chosen_agree_rate"), pair.get("rejected_agree_rate")),
        _votes(pair.get("others_agree"), pair.get("others_votes")),
    ):
        if isinstance(one, int | float) and isinstance(other, int | float):
            return 0.5 if one == other else float(one > other)
    return None


def _votes(agree: Any, votes: Any) -> tuple[Any, Any]:
    return (agree, votes - agree) if isinstance(agree, int) and isinstance(votes, int) and votes else (None, None)


def _groups(row: Mapping[str, Any]) -> list[str]:
    own = [row[key] for key in _GROUPS if isinstance(row.get(key), str)]
    signals = row.get("signals")
    debates = {
        item["debate"]
        for item in (signals if isinstance(signals, list) else ())
        if isinstance(item, Mapping) and isinstance(item.get("debate"), str)
    }
    return own + sorted(debates)


def _gold(row: Mapping[str, Any]) -> str | None:
    """A persona's name is what its statements were written and labelled for, so it can be said as a description."""
    persona = row.get("persona")
    return f"Says what fits this description: {persona.replace('-', ' ')}." if isinstance(persona, str) else None


def _but(item: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in keys}


_LABELS = re.compile(r"A1 = (chosen|rejected), A2 = (chosen|rejected)")
_ARGUMENT = "arg(?:u?e?ment)?|agrument"
_NOUN = rf"(?:{_ARGUMENT}|option|opinion|answer|article|speaker|number)"
_READER = rf"(?:{_NOUN}|one|writer|author|person|case)"
# A word in -s is the verb of `the first claims`; `the first lines` are no argument, nor is `the second sentence`.
_VERB = (
    r"(?:[a-z]+ly\s+)?(?:(?!lines|words|sentences|reasons|points|times|things|years)[a-z]+s|[a-z]+n't|can|could|may|"
    r"might|will|would|should|did)"
)
_SIDE = re.compile(
    rf"\b(?P<lead>(?:{_ARGUMENT})\s+)?(?:the\s+)?[at]?A(?P<label>[12])(?P<of>s)?\b"  # A1, argument A2, A2s, tA1
    rf"|\b(?:the\s+)?(?:{_NOUN}\s+(?:number\s+)?|point\s+|#)(?P<number>[12])\b"  # argument 1, speaker number 2
    rf"|(?<!\w)#(?P<hash>[12])\b|\b(?-i:A)\s(?P<apart>[12])(?=\s+{_VERB}\b)"  # #2, A 1 makes
    rf"|\b{_NOUN}\s+(?P<word>one|two)\b"  # option two
    rf"|\b(?:the|that)\s+(?P<order>first|second)\s+(?P<noun>{_READER})\b"  # the first argument
    rf"|\bthe\s+(?P<bare>first|second)(?=\s+(?:{_VERB}|a|an|about|while)\b|\s*[.,;!?]|\s*$)"  # the second claims
    r"|(?:^|(?<=\bthan )|(?<=\bwhile )|(?<=\band )|(?<=\bbut ))"
    r"(?P<digit>[12])(?=\s+(?:at\s?least|just|[a-z]+s|[a-z]+n't)\b|\s*[.;]|\s*$)",  # 1 is clear, better than 2
    re.IGNORECASE,
)
_WAYS = ("label", "number", "hash", "apart", "word", "order", "bare", "digit")
# After these words `argument A1` is one name; in `a logical argument A1 makes` the argument is not A1.
_BEFORE_NAME = {
    *("and", "as", "because", "both", "but", "by", "feel", "for", "from", "if", "in", "like", "on", "only", "or"),
    *("read", "support", "supports", "than", "that", "think", "to", "unlike", "when", "where", "whereas", "while"),
    *("with", "though", "although", "then"),
}
_FIRST = {"1", "one", "first"}


def name_sides(reason: str, labels: str) -> str:
    """Say `the chosen one` and `the rejected one` where a reason says A1 and A2, argument 2 or the first.

    Args:
        reason: In the words of the person.
        labels: `A1 = chosen, A2 = rejected`, or the other way round; anything else changes nothing.
    """
    match = _LABELS.fullmatch(labels)
    if not match:
        return reason

    def name(found: re.Match[str]) -> str:
        before = reason[: found.start()].rstrip()
        said = next(found[group] for group in _WAYS if found[group])
        text = f"the {match[1 if said.lower() in _FIRST else 2]} {found['noun'] or 'one'}"
        if found["of"]:
            text += "'s"
        if found["lead"] and before and before[-1].isalnum() and before.split()[-1].lower() not in _BEFORE_NAME:
            return found["lead"] + text
        return text if before and before[-1] not in ".!?" else text.capitalize()

    return _SIDE.sub(name, reason)
