"""The kinds of signals: what they take, what they refuse, and that they stay as they are."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from popi_sdk import Dialogue, Edit, PreferencePair, Profile, Rating, Signal, Statement, Survey, Writing, as_signals
from popi_sdk.signals import MAX_TEXT

# Pinned: an id that changes orphans every stored summary and every cached one.
EXAMPLES: dict[str, Signal] = {
    "17557cac2ca982e2": PreferencePair(
        prompt="What is DNS?", chosen="A phone book.", rejected="The Domain Name System.", reason="no jargon"
    ),
    "bf9264b2ef63fdec": Rating(text="A joke.", score=4, scale=(1, 5)),
    "58e291fa44782c84": Rating(text="A joke.", score="agree"),
    "bcdcb5a363bdfac9": Edit(before="Hello.", after="Hi!"),
    "570ea19864ac500e": Dialogue(
        messages=(
            {"role": "user", "content": "Shorter, please."},
            {"role": "assistant", "content": "Yes."},
        )
    ),
    "175f10d7f8e3f801": Writing(text="See you at 5.", context="mail"),
    "1117fb40b5b9276a": Profile(attributes={"name": "Zoë", "age": 41, "nurse": True, "hours": 37.5}),
    "b0cc2c3818df2c2b": Survey(question="How long?", answer="Short."),
    "c3b908c6dced55a5": Statement(text="日本語で。"),
}
each = pytest.mark.parametrize(("signal", "pinned"), [(signal, pinned) for pinned, signal in EXAMPLES.items()])


@each
def test_ids_are_the_pinned_ones(signal: Signal, pinned: str) -> None:
    assert signal.id == pinned


def test_ids_are_the_same_in_another_process() -> None:
    code = (
        "import sys; from popi_sdk import as_signals; import json;"
        "print(*(s.id for s in as_signals(json.load(sys.stdin))))"
    )
    dumped = json.dumps([signal.model_dump(mode="json") for signal in EXAMPLES.values()])
    env = {"PYTHONHASHSEED": "4711", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], input=dumped, capture_output=True, text=True, env=env, check=True
    )
    assert done.stdout.split() == list(EXAMPLES)


@each
def test_time_and_source_do_not_change_the_id_but_tell_signals_apart(signal: Signal, pinned: str) -> None:
    dated = signal.model_copy(update={"time": datetime(2026, 1, 2, tzinfo=UTC), "source": "app"})
    assert dated.id == pinned
    assert dated != signal
    assert len({dated, signal, signal.model_copy()}) == 2


@each
def test_json_round_trip_keeps_everything(signal: Signal, pinned: str) -> None:
    adapter: TypeAdapter[Signal] = TypeAdapter(Signal)
    dated = signal.model_copy(update={"time": datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)})
    read = adapter.validate_json(dated.model_dump_json())
    assert read == dated
    assert type(read) is type(dated)
    assert read.id == pinned


@each
def test_pickle_and_copies_are_equal(signal: Signal, pinned: str) -> None:
    for twin in (pickle.loads(pickle.dumps(signal)), copy.copy(signal), copy.deepcopy(signal)):
        assert twin == signal
        assert twin.id == pinned
        assert hash(twin) == hash(signal)


@each
def test_frozen(signal: Signal, pinned: str) -> None:
    for name in type(signal).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(signal, name, "changed")
    assert signal.id == pinned


@each
def test_foreign_fields_are_refused(signal: Signal, pinned: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        type(signal).model_validate({**signal.model_dump(), "colour": "red"})


@each
def test_the_kind_decides_the_class(signal: Signal, pinned: str) -> None:
    adapter: TypeAdapter[Signal] = TypeAdapter(Signal)
    assert type(adapter.validate_python(signal.model_dump())) is type(signal)
    with pytest.raises(ValidationError, match=r"kind|does not match any of the expected tags"):
        adapter.validate_python(signal.model_dump() | {"kind": "opinion"})


def test_different_content_has_different_ids() -> None:
    ids = {
        Statement(text="a").id,
        Statement(text="a ").id,
        Writing(text="a").id,
        Writing(text="a", context="a").id,
        Survey(question="a", answer="b").id,
        Survey(question="b", answer="a").id,
        Profile(attributes={"a": 1}).id,
        Profile(attributes={"a": True}).id,
        Profile(attributes={"a": "1"}).id,
        Profile(attributes={"a": 1.5}).id,
        Rating(text="a", score=1, scale=(0, 1)).id,
        Rating(text="a", score=1, scale=(0, 2)).id,
    }
    assert len(ids) == 12


def test_order_of_attributes_does_not_change_the_id() -> None:
    assert Profile(attributes={"a": 1, "b": 2}).id == Profile(attributes={"b": 2, "a": 1}).id


def test_attributes_cannot_be_changed_and_are_not_the_callers() -> None:
    given: dict[str, Any] = {"a": 1}
    profile = Profile(attributes=given)
    given["a"] = 2
    attempts = (
        lambda: profile.attributes.update(a=3),
        lambda: profile.attributes.__setitem__("a", 3),
        lambda: profile.attributes.pop("a"),
        profile.attributes.clear,
        lambda: profile.attributes.setdefault("b", 1),
        lambda: profile.attributes.__ior__({"a": 3}),
    )
    for attempt in attempts:
        with pytest.raises(TypeError, match="do not change"):
            attempt()
    assert profile.attributes == {"a": 1}
    assert copy.deepcopy(profile).attributes == {"a": 1}
    assert json.dumps(profile.attributes) == '{"a": 1}'


@pytest.mark.parametrize(
    "value", [None, ["a"], {"b": 1}, float("nan"), float("inf"), 2**53 + 1, 10**400, "x" * (MAX_TEXT + 1)]
)
def test_attributes_are_plain_and_fit_into_json(value: Any) -> None:
    with pytest.raises(ValidationError, match="the attribute 'a'"):
        Profile(attributes={"a": value})


@pytest.mark.parametrize("attributes", [{}, {"": 1}, {" ": 1}, {str(i): i for i in range(501)}, "text", None])
def test_attributes_have_names_and_a_number(attributes: Any) -> None:
    with pytest.raises(ValidationError):
        Profile(attributes=attributes)


@pytest.mark.parametrize(
    ("scale", "ends"),
    [
        ((1, 5), (1, 5)),
        ([1, 5], (1, 5)),
        (["1", " 5"], (1, 5)),
        ("1-5", (1, 5)),
        ("1 - 5", (1, 5)),
        ("1..5", (1, 5)),
        ("1/5", (1, 5)),
        ("1\u20135", (1, 5)),
        ("0 to 10", (0, 10)),
        ("-10..10", (-10, 10)),
        ("-10-10", (-10, 10)),
        ("-5 - 5", (-5, 5)),
        ("-10--5", (-10, -5)),
        ("-10 - -5", (-10, -5)),
        ("-5 TO +5", (-5, 5)),
        ("0.5-1.5", (0.5, 1.5)),
        ("0...5", (0, 0.5)),
    ],
)
def test_scales(scale: Any, ends: tuple[float, float]) -> None:
    rating = Rating(text="t", score=ends[0], scale=scale)
    assert rating.scale == ends
    assert rating.value == -1
    assert Rating(text="t", score=ends[1], scale=scale).value == 1


@pytest.mark.parametrize(
    "scale",
    [
        "",
        "5",
        "1-",
        "-",
        "one to five",
        "1-5-9",
        "nan-5",
        [1],
        [1, 2, 3],
        [1, "x"],
        [None, 5],
        5,
        None,
        {1, 5},
        [1, float("inf")],
        [10**400, 1],
    ],
)
def test_what_is_no_scale_says_how_to_write_one(scale: Any) -> None:
    with pytest.raises(ValidationError, match=r"not a scale\. Give its lowest and highest number"):
        Rating(text="t", score=1, scale=scale)


@pytest.mark.parametrize("scale", ["5-1", "3-3", (2, 1)])
def test_a_scale_has_a_length(scale: Any) -> None:
    with pytest.raises(ValidationError, match="its first number must be below its second"):
        Rating(text="t", score=3, scale=scale)


@pytest.mark.parametrize("score", ["agree", " Agree ", "DISAGREE", "pass"])
def test_votes_need_no_scale(score: Any) -> None:
    rating = Rating(text="t", score=score)
    assert rating.score == score.strip().lower()
    assert rating.value == {"agree": 1, "disagree": -1, "pass": 0}[rating.score]


@pytest.mark.parametrize("score", [None, "good", "", [], True, False, float("nan"), "inf", "1e999"])
def test_what_is_no_score_says_what_is_one(score: Any) -> None:
    with pytest.raises(ValidationError, match="not a score"):
        Rating(text="t", score=score, scale=(0, 1))


def test_numbers_may_come_as_text() -> None:
    assert Rating(text="t", score="4", scale=("1", "5")).score == 4


def test_a_number_needs_its_scale_and_has_to_lie_on_it() -> None:
    with pytest.raises(ValidationError, match="a number needs its scale"):
        Rating(text="t", score=4)
    with pytest.raises(ValidationError, match="the score 6 is not on the scale 1 to 5"):
        Rating(text="t", score=6, scale=(1, 5))
    with pytest.raises(ValidationError, match="'agree' is not on the scale"):
        Rating(text="t", score="agree", scale=(1, 5))


def test_the_value_of_a_rating_is_finite_on_every_scale() -> None:
    ends = (-1.7e308, 1.7e308)
    assert [Rating(text="t", score=score, scale=ends).value for score in (*ends, 0)] == [-1, 1, 0]
    assert Rating(text="t", score=-0.0, scale=(0, 1)).id == Rating(text="t", score=0, scale=(0, 1)).id


@pytest.mark.parametrize(
    "build",
    [
        lambda text: Statement(text=text),
        lambda text: Writing(text=text),
        lambda text: Survey(question=text, answer="a"),
        lambda text: Edit(before=text, after="a"),
        lambda text: PreferencePair(prompt="", chosen=text, rejected="b"),
        lambda text: Rating(text=text, score="agree"),
    ],
)
def test_texts_are_not_empty_not_endless_and_are_text(build: Any) -> None:
    assert build("x" * MAX_TEXT)
    for bad in ("", " \n\t", "x" * (MAX_TEXT + 1), "\ud800", 5, None):
        with pytest.raises(ValidationError):
            build(bad)


def test_what_says_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="says nothing"):
        PreferencePair(prompt="p", chosen="a", rejected="a")
    with pytest.raises(ValidationError, match="says nothing"):
        Edit(before="a", after="a")
    with pytest.raises(ValidationError, match="no message of the user"):
        Dialogue(messages=[{"role": "assistant", "content": "Hi."}])
    with pytest.raises(ValidationError, match="no message of the user"):
        Dialogue(messages=[{"role": "user", "content": " "}])


def test_dialogue_takes_openais_messages() -> None:
    dialogue = as_signals(
        [
            {"role": "developer", "content": "Be brief.", "name": "dev"},
            {"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {}}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]},
            {"role": "tool", "content": "42", "tool_call_id": "1"},
            {"role": "assistant", "content": "It is 42.", "refusal": None},
        ]
    )[0]
    assert isinstance(dialogue, Dialogue)
    assert [(turn.role, turn.content) for turn in dialogue.messages] == [
        ("developer", "Be brief."),
        ("user", "Look:\n[image_url]"),
        ("assistant", "[tool_calls]"),
        ("tool", "42"),
        ("assistant", "It is 42."),
    ]


@pytest.mark.parametrize(
    "message",
    [{"content": "x"}, {"role": "boss", "content": "x"}, {"role": "user", "content": 5}, {"role": ["user"]}, "x", None],
)
def test_malformed_turns_are_refused(message: Any) -> None:
    with pytest.raises(ValidationError):
        Dialogue(messages=[{"role": "user", "content": "x"}, message])


def test_a_dialogue_has_at_most_ten_thousand_turns() -> None:
    turn = {"role": "user", "content": "x"}
    assert len(Dialogue(messages=[turn] * 10_000).messages) == 10_000
    with pytest.raises(ValidationError, match="at most 10000"):
        Dialogue(messages=[turn] * 10_001)


def test_what_is_wrong_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ValidationError) as caught:
        Statement(text="\ud800 my secret")
    assert "secret" not in str(caught.value)


def test_time_may_be_text_naive_or_aware() -> None:
    assert Statement(text="a", time="2026-01-02").time == datetime(2026, 1, 2)
    assert Statement(text="a", time="2026-01-02T03:04:05Z").time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    with pytest.raises(ValidationError):
        Statement(text="a", time="yesterday")
