from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.pages import ROOT, table_under

from popi_sdk import PreferencePair, Rating
from popi_sdk.data import UserRecord, mapping, read_users
from popi_sdk.data.mapping import from_collected, is_collected, name_sides, population_credit
from popi_sdk.data.read import to_record
from popi_sdk.errors import DataError

FIXTURES = Path(__file__).parent / "fixtures"
DATA_SETS = ("votes", "jokes", "debates", "writers", "personas")


def _first(name: str) -> UserRecord:
    return next(read_users(FIXTURES / f"{name}.jsonl"))


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FIXTURES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_votes_become_ratings() -> None:
    user = _first("votes")
    assert [signal.score for signal in user.signals if isinstance(signal, Rating)] == ["agree", "disagree", "pass"]
    assert [pair.population_agrees for pair in user.pairs] == [1.0, 0.0]
    assert user.groups == ("park",)
    assert user.split == "train"
    assert user.meta["topic"] == "What should the park be like?"
    assert user.pairs[0].meta["chosen_agree_rate"] == 0.9


def test_equal_rates_are_undecided() -> None:
    assert to_record(_rows("votes")[1]).pairs[0].population_agrees == 0.5


def test_joke_ratings_keep_their_scale() -> None:
    user = _first("jokes")
    preferred, rated = user.signals
    assert isinstance(preferred, PreferencePair)
    assert isinstance(rated, Rating)
    assert (rated.score, rated.scale, rated.value) == (-5.0, (-10.0, 10.0), -0.5)
    assert [pair.population_agrees for pair in user.pairs] == [1.0, 0.0]
    assert user.meta["signals"][rated.id] == {"item_id": "J3"}
    assert user.meta["signals"][preferred.id]["chosen_rating"] == 6.5


def test_debates_name_the_sides_of_a_reason_and_group_by_what_the_signals_are_about() -> None:
    user = _first("debates")
    reasons = [signal.reason for signal in user.signals if isinstance(signal, PreferencePair)]
    assert reasons == [
        "The rejected one only shouts. The chosen one gives a reason.",
        "The chosen one's point holds in daily life",
    ]
    assert user.groups == ("cats-or-dogs_cats", "tea-or-coffee_tea")
    assert [pair.population_agrees for pair in user.pairs] == [1.0, 0.5, None, 0.0]
    assert user.meta["annotator_competence"] == 0.7
    assert "reason" not in user.meta["signals"][user.signals[0].id]


def test_writers_keep_the_alternatives_beside_the_pair() -> None:
    user = _first("writers")
    assert user.pairs[0].population_agrees is None
    assert user.pairs[0].meta["alternatives"] == ["The sea was wet."]
    assert user.meta["signals"][user.signals[0].id]["alternatives"] == ["Nobody cared.", "It was tall."]
    assert user.groups == ()


def test_the_name_of_a_persona_is_said_as_a_description() -> None:
    user = _first("personas")
    assert user.gold == "Says what fits this description: interest in boats."
    assert user.groups == ("interest",)
    assert [pair.kind for pair in user.pairs] == ["own-denied", "other-persona"]
    assert user.meta["persona"] == "interest-in-boats"


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_value_of_the_source_is_somewhere_in_the_record(name: str) -> None:
    changed = {"reason", "reason_labels"}  # the labels are used up in the reason
    for row in _rows(name):
        kept = to_record(row).model_dump_json()
        held = {json.dumps(value) for value in _leaves(json.loads(kept), set())}
        assert {json.dumps(value) for value in _leaves(row, changed)} - held <= {'"preference"', '"rating"'}


def _leaves(value: Any, but: set[str]) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() if key not in but for leaf in _leaves(item, but)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item, but)]
    return [float(value) if isinstance(value, int | float) else value]


@pytest.mark.parametrize("name", DATA_SETS)
def test_each_fixture_is_in_the_collected_form(name: str) -> None:
    assert all(is_collected(row) for row in _rows(name))


def test_our_own_form_is_not_the_collected_one() -> None:
    assert not is_collected(_rows("own")[0])


def test_other_kinds_of_signals_keep_their_fields() -> None:
    row = {"user_id": "a", "signals": [{"type": "statement", "text": "Short."}, "Plain."], "eval_pairs": []}
    assert from_collected(row)["signals"] == [{"kind": "statement", "text": "Short."}, "Plain."]


@pytest.mark.parametrize(
    "changes",
    [
        {"signals": None},
        {"signals": [7]},
        {"signals": [{"type": "rating", "text": "x", "note": "n"}]},
        {"signals": [{"type": ["rating"]}]},
        {"eval_pairs": "none"},
        {"eval_pairs": [7]},
        {"split": 7},
        {"user_id": None},
    ],
)
def test_malformed_parts_are_left_for_the_record_to_name(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError) as caught:
        to_record({**_rows("jokes")[0], **changes})
    assert caught.value.field is not None
    assert caught.value.field.split(".")[0] == next(iter(changes))


@pytest.mark.parametrize(
    ("pair", "credit"),
    [
        ({}, None),
        ({"population_agrees": True}, 1.0),
        ({"population_agrees": "yes"}, None),
        ({"chosen_agree_rate": 0.4, "rejected_agree_rate": 0.3}, 1.0),
        ({"chosen_agree_rate": 0.4}, None),
        ({"others_agree": 1, "others_votes": 3}, 0.0),
        ({"others_agree": 2, "others_votes": 4}, 0.5),
        ({"others_agree": 0, "others_votes": 0}, None),
    ],
)
def test_population_credit(pair: dict[str, Any], credit: float | None) -> None:
    assert population_credit(pair) == credit


@pytest.mark.parametrize(
    ("reason", "named"),
    [
        ("A1 is clear.", "The chosen one is clear."),
        ("a1 is better than a2", "The chosen one is better than the rejected one"),
        ("A1's tone is calm, A2's is not", "The chosen one's tone is calm, the rejected one's is not"),
        ("A2s logic fails.", "The rejected one's logic fails."),
        ("I like argument A1. Argument A2 shouts.", "I like the chosen one. The rejected one shouts."),
        ("More facts than argument A2.", "More facts than the rejected one."),
        ("It makes a better argument A2 does not", "It makes a better argument the rejected one does not"),
        ("argument 1 shows proof, Argument 2 none", "The chosen one shows proof, the rejected one none"),
        ("Arguement two is rude!Option one is not", "The rejected one is rude!The chosen one is not"),
        ("speaker number 2 rambles", "The rejected one rambles"),
        ("#1 hits it, #2 does not", "The chosen one hits it, the rejected one does not"),
        ("tA1 has numbers", "The chosen one has numbers"),
        ("A 1 makes sense", "The chosen one makes sense"),
        ("The first argument is short.", "The chosen argument is short."),
        ("that second one is silly", "The rejected one is silly"),
        ("Both fail, but the first clearly states why.", "Both fail, but the chosen one clearly states why."),
        ("The first is funny, the second a sermon.", "The chosen one is funny, the rejected one a sermon."),
        ("1 seems clear and 2 seems vague", "The chosen one seems clear and the rejected one seems vague"),
        ("it says more than 2", "it says more than the rejected one"),
        # what is no name of an argument stays
        ("In the first sentence A2 gives 2 reasons.", "In the first sentence the rejected one gives 2 reasons."),
        ("the second largest town", "the second largest town"),
        ("first of all, a 2 page text", "first of all, a 2 page text"),
        ("the first lines are rude", "the first lines are rude"),
        ("BA12 is a road", "BA12 is a road"),
    ],
)
def test_sides_are_named_in_the_sentence(reason: str, named: str) -> None:
    assert name_sides(reason, "A1 = chosen, A2 = rejected") == named


def test_labels_may_be_the_other_way_round() -> None:
    assert name_sides("A1 is dull.", "A1 = rejected, A2 = chosen") == "The rejected one is dull."


def test_unknown_labels_change_nothing() -> None:
    assert name_sides("A1 is dull.", "left = chosen") == "A1 is dull."


def test_the_table_of_the_page_names_fields_that_are_mapped() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    source = Path(mapping.__file__).read_text(encoding="utf-8")
    named = {name for row in table_under(page, "in the file") for name in re.findall(r"`(\w+)`", row[0])}
    assert len(named) >= 15
    assert {name for name in named if f'"{name}"' not in source} == set()
