"""Prompts in all their forms, and what is refused before a backend sees it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from popi_sdk import UsageError
from popi_sdk.messages import ROLES, as_messages, content_of, text_of

USER = {"role": "user", "content": "Hi."}


def test_a_string_is_one_user_message() -> None:
    assert as_messages(" Hi.\n") == [{"role": "user", "content": " Hi.\n"}]


def test_messages_keep_role_and_content_in_order() -> None:
    prompt = [
        {"role": "system", "content": "Be kind."},
        {"role": "developer", "content": "Be brief."},
        USER,
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": [{"type": "text", "text": "42"}], "tool_call_id": "1"},
        MappingProxyType({"role": "user", "content": [{"type": "image_url"}, {"type": "text", "text": "And?"}]}),
    ]
    expected = [
        {"role": "system", "content": "Be kind."},
        {"role": "developer", "content": "Be brief."},
        USER,
        {"role": "assistant", "content": "[tool_calls]"},
        {"role": "tool", "content": "42"},
        {"role": "user", "content": "[image_url]\nAnd?"},
    ]
    assert as_messages(prompt) == expected
    assert as_messages(tuple(prompt)) == expected
    assert as_messages(as_messages(prompt)) == expected


def test_what_was_passed_in_is_not_changed_and_not_shared() -> None:
    message = {"role": "user", "content": "Hi.", "name": "x"}
    made = as_messages([message])
    made[0]["content"] = "changed"
    assert message == {"role": "user", "content": "Hi.", "name": "x"}


@pytest.mark.parametrize("role", [role for role in ROLES if role != "assistant"])
def test_every_role_but_the_assistants_may_stand_last(role: str) -> None:
    assert as_messages([USER, {"role": role, "content": "x"}])[-1]["role"] == role


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("", "The prompt is empty. Pass a question"),
        (" \n\t", "The prompt is empty"),
        ("a\ud800b", "The prompt has half of a surrogate pair at character 1"),
        ([], "A prompt is a string or a non-empty list of messages, not list"),
        (None, "not NoneType"),
        (5, "not int"),
        (b"Hi.", "not bytes"),
        (USER, "not dict"),
        (iter([USER]), "not list_iterator"),
        ([USER, "Hi."], "Message 1 is not"),
        ([{"content": "Hi."}], "Message 0 is not"),
        ([{"role": "boss", "content": "Hi."}], "Message 0 has the role 'boss'. Use one of: system,"),
        ([{"role": ["user"], "content": "Hi."}], "Message 0 has the role ['user']"),
        ([{"role": "user", "content": 5}], "Message 0 has a content that is neither text nor a list"),
        ([{"role": "user", "content": {"text": "Hi."}}], "neither text nor a list of parts"),
        ([{"role": "user", "content": ["Hi."]}], "neither text nor a list of parts"),
        ([{"role": "user", "content": "\udfff"}], "Message 0 has half of a surrogate pair"),
        ([{"role": "system", "content": "Hi."}], "hold no user message"),
        ([{"role": "user", "content": " "}], "hold no user message"),
        ([USER, {"role": "assistant", "content": "Yes."}], "there is nothing to answer"),
    ],
)
def test_what_cannot_be_answered_is_refused(prompt: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        as_messages(prompt)
    assert words in str(caught.value)


def test_an_error_shows_little_of_a_huge_or_deep_message() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for bad in (deep, ["x" * 1_000_000] * 1_000):
        with pytest.raises(UsageError) as caught:
            as_messages([bad])
        assert len(str(caught.value)) < 300
    while deep:  # else Python takes the nest apart by recursion
        deep = deep[0]


def test_a_turn_that_only_calls_tools_is_not_empty() -> None:
    assert content_of({"content": None, "tool_calls": [{}]}) == "[tool_calls]"
    assert content_of({"content": "Let me see.", "tool_calls": [{}]}) == "Let me see."
    assert content_of({"content": None, "tool_calls": None}) == content_of({}) == ""
    assert content_of({"content": 5, "tool_calls": [{}]}) is None


def test_text_of_content() -> None:
    assert text_of(None) == ""
    assert text_of("a") == "a"
    assert text_of([]) == ""
    assert text_of([{"type": "input_text", "text": "a"}, {"text": None}, {}]) == "a\n[part]\n[part]"
    assert text_of(5) is None
    assert text_of(["a"]) is None
