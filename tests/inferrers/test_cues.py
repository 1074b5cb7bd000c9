"""What users ask for in words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popi_sdk.inferrers.cues import read_answer, read_cues
from popi_sdk.inferrers.phrases import Axis


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("Keep it short, please.", {"LENGTH": -1}),
        ("too long", {"LENGTH": -1}),
        ("not too long", {"LENGTH": -1}),
        ("That was too short.", {"LENGTH": 1}),
        ("not detailed enough", {"LENGTH": 1}),
        ("Could you make it a bit longer?", {"LENGTH": 1}),
        ("no longer works for me", {}),
        ("Keep it under 50 words", {"LENGTH": -1}),
        ("Prefer short answers over long ones", {"LENGTH": -1}),
        ("I like long, detailed answers", {"LENGTH": 1}),
        ("No emojis or exclamation marks", {"EMOJI": -1, "WARMTH": -1}),
        ("don\u2019t use emojis", {"EMOJI": -1}),
        ("stop using emojis", {"EMOJI": -1}),
        ("Don't skip the examples", {"EXAMPLES": 1}),
        ("too many examples", {"EXAMPLES": -1}),
        ("be brief but give examples", {"LENGTH": -1, "EXAMPLES": 1}),
        ("bullet points please", {"LISTS": 1}),
        ("I hate lists", {"LISTS": -1}),
        ("no lists, just prose", {"LISTS": -1}),
        ("I prefer prose instead of bullet points", {"LISTS": -1}),
        ("no bullets and short sentences", {"LISTS": -1, "LENGTH": -1}),
        ("Write in a more professional tone", {"FORMALITY": 1}),
        ("less formal please", {"FORMALITY": -1}),
        ("Please do not be so formal", {"FORMALITY": -1}),
        ("ELI5", {"LEVEL": -1}),
        ("in plain words please", {"LEVEL": -1}),
        ("no jargon", {"LEVEL": -1}),
        ("I'm fine with jargon", {"LEVEL": 1}),
        ("don't dumb it down", {"LEVEL": 1}),
        ("use less technical language", {"LEVEL": -1}),
        ("technical support is bad", {}),
        ("get to the point", {"ORDER": 1}),
        ("explain the reasons before the answer", {"ORDER": -1}),
        ("skip the fluff", {"ORDER": 1}),
        ("No headings, no tables.", {"HEADINGS": -1, "TABLES": -1}),
        ("Short for chat, but long answers for work.", {"LENGTH": 0}),
        ("I am a vegan.", {}),
        ("", {}),
    ],
)
def test_cues(text: str, cues: dict[str, int]) -> None:
    assert {axis.name: sign for axis, sign in read_cues(text).items()} == cues


def test_a_long_text_is_read_at_its_ends() -> None:
    filling = "The boat sails on the lake. " * 400
    assert read_cues(f"{filling} Too long.") == {Axis.LENGTH: -1}
    assert read_cues(f"{filling} Too long. {filling}") == {}


@pytest.mark.parametrize(
    ("question", "answer", "cues"),
    [
        ("How long should answers be?", "short", {"LENGTH": -1}),
        ("How long should answers be?", "as long as it takes", {"LENGTH": 1}),
        ("Do you like emoji?", "No", {"EMOJI": -1}),
        ("Do you want examples?", "yes, always", {"EXAMPLES": 1}),
        ("Do you dislike bullet points?", "yes", {"LISTS": -1}),
        ("Should answers avoid jargon?", "yes", {"LEVEL": -1}),
        ("Formal or casual tone?", "casual", {"FORMALITY": -1}),
        ("How technical may it be?", "expert", {"LEVEL": 1}),
        ("How technical may it be?", "as deep as you can", {"LEVEL": 1}),
        ("Language level", "basic", {"LEVEL": -1}),
        ("tone", "relaxed", {"FORMALITY": -1}),
        ("Preferred format", "bullets", {"LISTS": 1}),
        ("Do you like emoji?", "It rains.", {}),
        ("What is your job?", "a simple clerk, no jargon", {}),
        ("Which answers helped you?", "the blue ones", {}),
    ],
)
def test_answers_are_read_with_their_question(question: str, answer: str, cues: dict[str, int]) -> None:
    assert {axis.name: sign for axis, sign in read_answer(question, answer).items()} == cues


@given(st.text(max_size=200), st.text(max_size=200))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_text_is_read(one: str, other: str) -> None:
    assert set(read_cues(one).values()) <= {-1, 0, 1}
    assert set(read_answer(one, other).values()) <= {-1, 0, 1}
