"""What users have, brought into signals: dicts, messages, TRL rows; errors that say where and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from popi_sdk import (
    Dialogue,
    Edit,
    PreferencePair,
    PreferenceSummary,
    Profile,
    Rating,
    SignalError,
    Statement,
    Survey,
    Writing,
    as_signals,
)
from popi_sdk.signals import MAX_SIGNALS


@pytest.mark.parametrize(
    ("given", "signal"),
    [
        ({"kind": "statement", "text": "Short."}, Statement(text="Short.")),
        ({"prompt": "p", "chosen": "a", "rejected": "b"}, PreferencePair(prompt="p", chosen="a", rejected="b")),
        ({"before": "a", "after": "b"}, Edit(before="a", after="b")),
        ({"text": "t", "score": 4, "scale": [1, 5]}, Rating(text="t", score=4, scale=(1, 5))),
        ({"text": "t", "score": "agree"}, Rating(text="t", score="agree")),
        ({"text": "t", "context": "mail"}, Writing(text="t", context="mail")),
        ({"attributes": {"a": 1}}, Profile(attributes={"a": 1})),
        ({"question": "q", "answer": "a"}, Survey(question="q", answer="a")),
        ({"messages": [{"role": "user", "content": "x"}]}, Dialogue(messages=[{"role": "user", "content": "x"}])),
        (MappingProxyType({"kind": "statement", "text": "Short."}), Statement(text="Short.")),
        (Statement(text="Short."), Statement(text="Short.")),
    ],
)
def test_one_signal_alone_and_in_a_list(given: Any, signal: Any) -> None:
    assert as_signals(given) == (signal,)
    assert as_signals([given, "And formal."]) == (signal, Statement(text="And formal."))


def test_typed_signals_come_back_as_they_are() -> None:
    signals = (Statement(text="a"), Statement(text="b"))
    assert all(one is other for one, other in zip(as_signals(signals), signals, strict=True))


def test_iterators_sets_and_views_are_read_once() -> None:
    def stream() -> Iterator[str]:
        yield "a"
        yield "b"

    expected = (Statement(text="a"), Statement(text="b"))
    assert as_signals(stream()) == expected
    assert as_signals({1: "a", 2: "b"}.values()) == expected
    assert as_signals({Statement(text="a")}) == expected[:1]


def test_an_endless_iterator_ends_in_an_error() -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "a"

    with pytest.raises(SignalError, match=f"More than {MAX_SIGNALS:,} signals"):
        as_signals(endless())


def test_a_list_of_messages_is_one_dialogue_alone_and_among_others() -> None:
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    dialogue = Dialogue(messages=messages)
    assert as_signals(messages) == (dialogue,)
    assert as_signals(["a", messages, tuple(messages)]) == (Statement(text="a"), dialogue, dialogue)


# TRL's rows


def test_trl_explicit_prompt_conversational() -> None:
    row = {
        "prompt": [{"role": "user", "content": "p"}],
        "chosen": [{"role": "assistant", "content": "a"}],
        "rejected": [{"role": "assistant", "content": [{"type": "text", "text": "b"}]}],
    }
    assert as_signals(row) == (PreferencePair(prompt="p", chosen="a", rejected="b"),)


def test_trl_implicit_prompt_is_what_both_begin_with() -> None:
    start = [{"role": "system", "content": "s"}, {"role": "user", "content": "p"}]
    row = {
        "chosen": [*start, {"role": "assistant", "content": "a"}],
        "rejected": [*start, {"role": "assistant", "content": "b"}],
    }
    assert as_signals(row) == (PreferencePair(prompt="system: s\nuser: p", chosen="a", rejected="b"),)


@pytest.mark.parametrize("prompt", ["p", [{"role": "user", "content": "p"}]])
def test_a_prompt_that_stands_in_both_answers_too_is_not_told_twice(prompt: Any) -> None:
    start = [{"role": "user", "content": "p"}]
    row = {
        "prompt": prompt,
        "chosen": [*start, {"role": "assistant", "content": "a"}],
        "rejected": [*start, {"role": "assistant", "content": "b"}],
    }
    assert as_signals([row]) == (PreferencePair(prompt="p", chosen="a", rejected="b"),)


def test_a_shared_beginning_that_is_not_the_prompt_stays() -> None:
    start = [{"role": "assistant", "content": "Hello."}]
    row = {
        "prompt": "p",
        "chosen": [*start, {"role": "assistant", "content": "a"}],
        "rejected": [*start, {"role": "assistant", "content": "b"}],
    }
    signal = as_signals(row)[0]
    assert isinstance(signal, PreferencePair)
    assert (signal.prompt, signal.chosen) == ("p", "assistant: Hello.\nassistant: a")


def test_the_row_of_the_caller_is_not_changed() -> None:
    row = {"chosen": [{"role": "assistant", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}]}
    as_signals([row])
    assert row == {
        "chosen": [{"role": "assistant", "content": "a"}],
        "rejected": [{"role": "assistant", "content": "b"}],
    }


def test_all_columns_too_many_are_named_at_once() -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b", "prompt_id": "1", "score_chosen": 0.5}
    with pytest.raises(
        SignalError, match=r"signal 1, fields 'prompt_id', 'score_chosen': there is no such field\. Remove"
    ):
        as_signals(["fine", row])


# Errors


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"kind": "edit", "before": "a"}, "after", "it is missing. Add it."),
        ({"kind": "statement", "text": ""}, "text", "it is empty. Give it a text, or remove the signal."),
        ({"kind": "statement", "text": "a", "txet": 1}, "txet", "no such field. Remove it, or correct its name."),
        ({"kind": "statement", "text": 5}, "text", "it is not a text. Write it as one."),
        ({"kind": "statement", "text": "\ud800"}, "text", "not text. Decode the source correctly."),
        ({"kind": "statement", "text": "x" * 1_000_001}, "text", "Split the text, or leave the signal out."),
        ({"kind": "opinion", "text": "a"}, "kind", "the kind is unknown. Use one of: preference, rating,"),
        ({"kind": None, "text": "a"}, "kind", "the kind is unknown"),
        ({"kind": ["statement"], "text": "a"}, "kind", "the kind is unknown"),
        ({"text": "a"}, "kind", "do not tell what kind of signal it is. Add 'kind': one of"),
        ({}, "kind", "(none) do not tell"),
        ({"chosen": "a", "question": "q"}, "kind", "do not tell"),
        ({"chosen": "a", "rejected": "b"}, "prompt", "it is missing. Add it."),
        ({"chosen": [], "rejected": []}, "chosen", "it is empty"),
        ({"prompt": "p", "chosen": ["a"], "rejected": ["b"]}, "chosen", "it is not a text"),
        ({"prompt": "p", "chosen": "a", "rejected": "a"}, None, "says nothing. Remove the pair."),
        ({"text": "t", "score": 9, "scale": "1-5"}, None, "the score 9 is not on the scale 1 to 5"),
        ({"text": "t", "score": "good", "scale": "1-5"}, "score", "Use a number with its scale, or agree"),
        ({"text": "t", "score": 1, "scale": "one"}, "scale", "Give its lowest and highest number"),
        ({"attributes": {"hobbies": ["a"]}}, "attributes", "the attribute 'hobbies' is not plain"),
        ({"attributes": {}}, "attributes", "at least 1 item"),
        ({"kind": "statement", "text": "a", "time": "soon"}, "time", "datetime"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "boss"}]}, "messages.1.role", "Use one of: system,"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, None, "Add role 'user'"),
        ({"kind": "statement", "text": "a", 1: 2}, None, ""),
    ],
)
def test_errors_name_the_place_the_field_and_the_remedy(given: Any, field: str | None, words: str) -> None:
    with pytest.raises(SignalError) as caught:
        as_signals(["fine", given])
    error = caught.value
    assert (error.index, error.line) == (1, None)
    assert str(error).startswith("signal 1")
    assert words in str(error)
    if words:
        assert error.field == field
    with pytest.raises(SignalError, match="the signal"):
        as_signals(given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("Short.", "A single string is ambiguous. Pass [text]"),
        ([], "There are no signals. Pass at least one"),
        ((), "There are no signals"),
        (5, "Signals are expected, not int. Pass a list"),
        (None, "Signals are expected, not NoneType"),
        (b"bytes", "Signals are expected, not bytes"),
        (Path("signals.jsonl"), "read_signals(path)"),
        ([5], "signal 0: int is not a signal"),
        (["a", None], "signal 1: NoneType is not a signal"),
        ([["a"]], "signal 0: list is not a signal"),
        ([[]], "signal 0: list is not a signal"),
        ([""], "signal 0, field 'text': it is empty"),
    ],
)
def test_what_is_no_list_of_signals(given: Any, words: str) -> None:
    with pytest.raises(SignalError) as caught:
        as_signals(given)
    assert words in str(caught.value)


def test_a_data_frame_is_refused_and_its_columns_are_not_taken_for_statements() -> None:
    class Frame:
        columns = ("prompt", "chosen", "rejected")

        def __iter__(self) -> Iterator[str]:
            return iter(self.columns)

    with pytest.raises(SignalError, match=r"not Frame.*to_dict\('records'\)"):
        as_signals(Frame())


def test_a_summary_is_no_signal() -> None:
    summary = PreferenceSummary(
        text="Short.", tokens=1, inferrer="x", evidence_digest="x", signals_used=1, signals_total=1
    )
    with pytest.raises(SignalError, match="PreferenceSummary is not a signal"):
        as_signals([summary])


def test_errors_do_not_repeat_what_the_user_wrote() -> None:
    with pytest.raises(SignalError) as caught:
        as_signals([{"kind": "statement", "text": 1, "secret": "my password"}])
    chain = f"{caught.value} {caught.value.__cause__}"
    assert "password" not in chain


def test_exceptions_of_the_callers_iterator_are_the_callers() -> None:
    def broken() -> Iterator[str]:
        yield "a"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        as_signals(broken())


def test_a_hundred_thousand_signals_are_taken_and_not_one_more() -> None:
    statement = Statement(text="a")
    assert len(as_signals([statement] * MAX_SIGNALS)) == MAX_SIGNALS
    with pytest.raises(SignalError, match="too many"):
        as_signals([statement] * (MAX_SIGNALS + 1))
