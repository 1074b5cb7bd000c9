"""What is counted in one text, and what differs between two."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popi_sdk.inferrers.contrast import contrast
from popi_sdk.inferrers.features import READ, Features, flat, measure
from popi_sdk.inferrers.phrases import Axis

PLAIN = "The heart is a pump. It moves the blood through the body, and it never stops to rest."
TECHNICAL = "Ventricular contraction generates systolic pressure; SNP rs429358 alters APOE4 expression by 12 mmHg."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one two three", 3),
        ("one, two - three!", 3),
        ("", 0),
        ("- | --- |", 0),
        ("海水是咸的", 3),
        ("ภาษาไทยเขียนติดกัน", 3.6),
        ("हिन्दी में लिखा", 3),
        ("DNS 是什么?", 2.8),
    ],
)
def test_words_in_any_script(text: str, words: float) -> None:
    assert measure(text).words == pytest.approx(words)


def test_length_of_what_was_not_read_is_extrapolated() -> None:
    assert measure("word " * 10_000, read=5_000).words == pytest.approx(10_000, rel=0.01)
    assert measure("word " * 10_000, read=5_000).sentences == 1


def test_structure() -> None:
    text = (
        "# Title\n**Bold**\nSome **key term** here.\n- one\n* two\n• three\n1. first\n2) second\n"
        "| a | b |\n|---|---|\n```python\nx = 1\n```\n---\n-5 degrees\n"
    )
    found = measure(text)
    assert (found.bullets, found.numbered, found.headings, found.bold, found.tables, found.code) == (3, 2, 2, 2, 1, 1)
    assert found.items == 5
    assert measure("- a single line").items == 0


def test_formality_has_the_sign_of_its_markers() -> None:
    assert measure("Hey, it's gonna be awesome, don't worry :)").formality < -0.2
    assert measure("Furthermore, individuals are advised to utilise the form prior to departure.").formality > 0.2
    assert measure("The cat sat on the mat and looked at the moon.").formality == 0
    assert measure("all in small letters without any mark").formality < 0
    assert measure("全部都是中文").formality == 0


def test_level_is_that_of_rare_words_terms_and_figures() -> None:
    plain, technical = measure(PLAIN).level, measure(TECHNICAL).level
    assert plain is not None
    assert technical is not None
    assert technical > plain + 0.3
    assert measure("Everything is different and interesting, however important.").level == 0


@pytest.mark.parametrize("text", ["", "Two words.", "Αυτό είναι ένα κείμενο.", "海水是咸的"])
def test_level_is_not_said_where_it_cannot_be_read(text: str) -> None:
    assert measure(text).level is None


def test_shouting_is_not_jargon() -> None:
    assert (measure("STOP IT NOW PLEASE GO HOME").level or 0) < 0.2


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("Yes. It is safe for adults.", 1),
        ("Paris. The reason is that kings lived there.", 1),
        ("The roads are wet. Your tyres are old. So, take the train.", -1),
        ("Because the roads are wet and the tyres are old, take the train.", -1),
        ("The roads are wet, so take the train", -1),
        ("The roads are wet; therefore take the train", -1),
        ("It rains in the night. The sun shines in the day.", 0),
        ("", 0),
    ],
)
def test_order_of_answer_and_reasons(text: str, order: int) -> None:
    assert measure(text).order == order


def test_openings_and_endings() -> None:
    assert measure("Great question! Rice is eaten all over the world.").preamble
    assert not measure("Rice is eaten all over the world.").preamble
    assert measure("Here it is. Shall I explain it to you?").asks
    assert not measure("Why is it so? Nobody knows.").asks


def test_small_signs() -> None:
    found = measure("For example, imagine a boat 😊🎉. Perhaps it might float! Hope this helps!")
    assert (found.examples, found.emoji, found.hedges) == (2, 2, 2)
    assert found.hedged
    assert found.warmth > 0.3


def test_quotes_and_runs_are_evened_out() -> None:
    assert flat("don\u2019t   \u201cgo\u201d......") == 'don\'t "go"...'


@given(st.text(max_size=300))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_text_is_measured_and_equals_itself(text: str) -> None:
    found = measure(text)
    assert found == measure(text)
    assert found.words >= 0
    assert contrast(found, found) == {}


@given(st.text(max_size=120), st.text(max_size=120))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_contrast_is_bounded(one: str, other: str) -> None:
    sizes = contrast(measure(one), measure(other))
    assert all(0.15 <= abs(size) <= 1 for size in sizes.values())


@pytest.mark.parametrize("axis", [Axis.LENGTH, Axis.LISTS, Axis.LEVEL, Axis.FORMALITY, Axis.EMOJI, Axis.EXAMPLES])
def test_contrast_turns_with_the_pair(axis: Axis) -> None:
    sides = {
        Axis.LENGTH: (PLAIN * 4, PLAIN),
        Axis.LISTS: ("- salt\n- oil\n- bread", "Salt, oil and bread."),
        Axis.LEVEL: (TECHNICAL, PLAIN),
        Axis.FORMALITY: ("Kindly refrain from smoking upon arrival.", "Hey, don't smoke when you're here, ok?"),
        Axis.EMOJI: ("It works 😊", "It works."),
        Axis.EXAMPLES: ("A tool, for instance a saw.", "A tool with teeth."),
    }
    more, less = (measure(text) for text in sides[axis])
    assert contrast(more, less)[axis] > 0.4
    assert contrast(less, more)[axis] == pytest.approx(-contrast(more, less)[axis])


def test_the_same_answer_at_the_other_end_shows_the_order() -> None:
    first = measure("Take the night train. The road is closed. The plane costs more.")
    last = measure("The road is closed. The plane costs more. Take the night train.")
    assert contrast(first, last)[Axis.ORDER] == 1
    assert contrast(last, first)[Axis.ORDER] == -1


def test_filler_speaks_only_for_leaving_it_out() -> None:
    filled = measure("Great question! Rice grows in water.")
    bare = measure("Rice grows in water.")
    assert contrast(bare, filled)[Axis.ORDER] > 0
    assert Axis.ORDER not in contrast(filled, bare)


def test_what_the_longer_text_has_more_of_counts_less() -> None:
    short = Features(words=20, examples=0)
    assert contrast(Features(words=22, examples=1), short)[Axis.EXAMPLES] == 1
    assert contrast(Features(words=200, examples=1), short)[Axis.EXAMPLES] < 0.4
    assert contrast(Features(words=18, bullets=9), Features(words=20, bullets=2))[Axis.LISTS] == 0.5


@pytest.mark.parametrize(
    "piece",
    [
        "." * 9,
        " ",
        "a'",
        "!?",
        "_",
        "a_",
        "**",
        "`",
        "- ",
        "\n",
        "|--",
        "A1",
        "don't ",
        "1.",
        "中",
        "you ",
        '."',
        " \n ",
    ],
)
def test_no_text_makes_it_slow(piece: str) -> None:
    start = time.perf_counter()
    measure((piece * 1_000_000)[:1_000_000] + "x")
    assert time.perf_counter() - start < 2
    assert len(flat(piece * READ)) <= READ * len(piece)
