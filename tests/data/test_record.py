from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from popi_sdk.data import HeldOutPair, UserRecord, digest_of
from popi_sdk.data.record import canonical
from popi_sdk.errors import DataError, SignalError

PAIR = {"prompt": "What is DNS?", "chosen": "A phone book.", "rejected": "A naming system."}


def _user(**changes: Any) -> UserRecord:
    fields: dict[str, Any] = {"user_id": "ana", "signals": ["Keep it short."], "pairs": [PAIR]}
    return UserRecord(**{**fields, **changes})


def test_a_record_takes_signals_in_any_form() -> None:
    user = _user(signals=["Keep it short.", {"before": "Good day.", "after": "Hi."}])
    assert [signal.kind for signal in user.signals] == ["statement", "edit"]


def test_what_is_not_given_is_empty() -> None:
    user = _user()
    assert (user.gold, user.groups, user.split, user.meta) == (None, (), None, {})
    assert (user.pairs[0].kind, user.pairs[0].population_agrees, user.pairs[0].meta) == (None, None, {})


@pytest.mark.parametrize(("said", "credit"), [(True, 1.0), (False, 0.0), (0.25, 0.25), (None, None)])
def test_population_is_a_credit(said: object, credit: float | None) -> None:
    assert HeldOutPair.model_validate({**PAIR, "population_agrees": said}).population_agrees == credit


@pytest.mark.parametrize(
    "changes",
    [
        {"population_agrees": 1.5},
        {"population_agrees": float("nan")},
        {"chosen": " "},
        {"rejected": "A phone book."},
        {"prompt": None},
        {"chosen": "x" * 1_000_001},
        {"meta": {"score": float("nan")}},
        {"meta": {"when": object()}},
        {"meta": {"half": "\ud800"}},
        {"label": 1},
    ],
)
def test_a_malformed_pair_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HeldOutPair.model_validate({**PAIR, **changes})


@pytest.mark.parametrize(
    "changes",
    [{"user_id": ""}, {"user_id": 7}, {"gold": " "}, {"groups": "office"}, {"signals": {"text": "x"}}, {"meta": []}],
)
def test_a_malformed_user_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _user(**changes)


def test_a_user_without_pairs_is_refused() -> None:
    with pytest.raises(DataError, match=r"no pairs to measure on.*Add at least one") as caught:
        _user(pairs=[])
    assert caught.value.field == "pairs"


def test_a_user_without_signals_is_refused() -> None:
    with pytest.raises(SignalError, match="no signals"):
        _user(signals=[])


def test_a_pair_that_is_there_twice_is_refused() -> None:
    other = {**PAIR, "prompt": "What is TLS?"}
    spaced = {**PAIR, "chosen": "A  phone\nbook. "}
    with pytest.raises(DataError, match=r"the same as pair 0.*Keep one") as caught:
        _user(pairs=[PAIR, other, spaced])
    assert caught.value.field == "pairs.2"


def test_a_user_may_contradict_themselves() -> None:
    turned = {**PAIR, "chosen": PAIR["rejected"], "rejected": PAIR["chosen"]}
    assert len(_user(pairs=[PAIR, turned]).pairs) == 2


def _rating(text: str, score: float, **more: Any) -> dict[str, Any]:
    return {"kind": "rating", "text": text, "score": score, "scale": [0, 10], **more}


@pytest.mark.parametrize(
    "signals",
    [
        [PAIR],
        [{**PAIR, "chosen": PAIR["rejected"], "rejected": PAIR["chosen"]}],
        [{**PAIR, "chosen": "A phone  book."}],
        [{"before": PAIR["rejected"], "after": PAIR["chosen"]}],
        [{"before": PAIR["rejected"], "after": PAIR["chosen"], "prompt": PAIR["prompt"]}],
        [_rating(PAIR["chosen"], 9), _rating(PAIR["rejected"], 1)],
        [_rating(PAIR["chosen"], 1, prompt=PAIR["prompt"]), _rating(PAIR["rejected"], 9)],
    ],
)
def test_a_pair_that_stands_among_the_signals_is_refused(signals: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match=r"also stands among the signals \(signal 1\).*Remove one") as caught:
        _user(signals=["Keep it short.", *signals])
    assert caught.value.field == "pairs.0"


@pytest.mark.parametrize(
    "signals",
    [
        [{**PAIR, "prompt": "What is the internet?"}],
        [{**PAIR, "rejected": "A list."}],
        [{"before": PAIR["rejected"], "after": PAIR["chosen"], "prompt": "What is the internet?"}],
        [_rating(PAIR["chosen"], 9)],
        [_rating(PAIR["chosen"], 5), _rating(PAIR["rejected"], 5)],
        [_rating(PAIR["chosen"], 9, prompt="What is the internet?"), _rating(PAIR["rejected"], 1)],
    ],
)
def test_what_does_not_tell_the_pair_is_no_leak(signals: list[dict[str, Any]]) -> None:
    assert _user(signals=signals).pairs


def test_canonical_is_read_back_and_leaves_out_what_is_not_given() -> None:
    user = _user(
        signals=[{"kind": "statement", "text": "Grüße.", "time": "2026-01-31T09:00:00Z"}], meta={"b": 1, "a": 2}
    )
    line = canonical(user)
    assert UserRecord.model_validate_json(line) == user
    assert b"gold" not in line
    assert line.index(b'"a"') < line.index(b'"b"')
    assert "Grüße".encode() in line


def test_digest_tells_data_apart() -> None:
    one, other = _user(), _user(user_id="ben")
    assert digest_of([one, other]) == digest_of(iter([one, other]))
    assert len({digest_of([one, other]), digest_of([other, one]), digest_of([one]), digest_of([])}) == 4


def test_digest_of_the_same_users_never_changes() -> None:
    assert digest_of([_user()]) == "b7a916bc18069f2a2d2777c69e01fc126cb53c66c4942fb1aa833a79c96cc2d3"
