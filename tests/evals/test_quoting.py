"""What a summary has in common with the signals, by hand."""

from __future__ import annotations

import pytest

from popi_sdk.evals.quoting import longest_quote, overlap


def test_overlap_is_the_share_of_four_words_in_a_row() -> None:
    signals = "Chosen:\n> Keep it short, and use plain words.\nRejected:\n> no"
    assert overlap("keep it short and use", signals) == 1.0
    assert overlap("Keep it short and formal always", signals) == pytest.approx(1 / 3)
    assert overlap("Be brief and formal always", signals) == 0.0
    assert overlap("keep it short", signals) == 0.0  # too few words to quote
    assert overlap("", signals) == 0.0


@pytest.mark.parametrize(
    ("summary", "words"),
    [
        ("Keep it short and use plain words.", 3),
        ("keep IT short, and, use -- plain words: no", 3),
        ("Wants plain words", 2),
        ("Be brief", 0),
        ("", 0),
        ("«KEEP it short,» she said; keep it short and use", 3),
    ],
)
def test_the_longest_quote_is_counted_in_words(summary: str, words: int) -> None:
    assert longest_quote(summary, "Chosen:\n> Keep it short. Use plain, words!\nRejected:\n> and no") == words


def test_words_that_stand_everywhere() -> None:
    assert longest_quote("the cat " * 8, "the dog " * 10_000 + "the cat the cat") == 4
    assert longest_quote("the " * 128, "the " * 100_000) == 128  # seconds, were every place compared


def test_a_quote_is_of_whole_words() -> None:
    assert longest_quote("art is long", "smart is longer") == 1
