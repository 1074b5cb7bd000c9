# ruff: noqa: RUF001 - the letters of other scripts are the point here
"""The summary: its budget in every script, where it is cut, what it refuses, and its way through JSON."""

from __future__ import annotations

import copy
import json
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from popi_sdk import PreferenceSummary, SummaryStatement, UsageError
from popi_sdk.generators.llamacpp import LlamaCppGenerator
from popi_sdk.summary import ByteCounter, TokenCounter, digest, fit_to_budget, split_sentences

FIELDS: dict[str, Any] = {
    "text": "Keep it short. Use lists.",
    "statements": (
        SummaryStatement(text="Keep it short.", evidence=("a1", "b2")),
        SummaryStatement(text="Use lists."),
    ),
    "tokens": 6,
    "tokenizer": "words",
    "budget": 32,
    "inferrer": "heuristic",
    "evidence_digest": "0" * 64,
    "signals_used": 2,
    "signals_total": 3,
    "signals_shortened": 1,
}


class Words:
    tokenizer = "words"

    def count_tokens(self, text: str) -> int:
        return len(text.split())


class Graphemes:
    """A counter that is generous: nothing but the cut itself decides."""

    tokenizer = "characters"

    def count_tokens(self, text: str) -> int:
        return len(text)


# The cut. Texts are built from clusters that are known, so the test needs no table of Unicode's.

SCRIPTS: dict[str, list[str]] = {
    "Latin": ["a", "Z", "é", "e\u0301", "ñ", "ß", "o\u0308\u0323", "1", ".", "!", "?", ",", '"', ")", " "],
    "CJK": [
        "日",
        "本",
        "語",
        "。",
        "！",
        "？",
        "、",
        "「",
        "」",
        "か\u3099",
        "ﾊﾞ",
        "\ufa0e",
        "각",
        "\u1100\u1161\u11a8",
        " ",
    ],
    "Arabic": ["ا", "ل", "بِّ", "مُ", "؟", "۔", "،", "ن\u200c", " "],
    "Hebrew": ["שָׁ", "ל", "וֹ", ".", " "],
    "Devanagari": ["हि", "न्दी", "क्ष", "क्\u200dष", "त्रि", "।", "॥", " "],
    "Thai": ["น้ำ", "ก", "ที่", "ไ", "ท", "ย", " "],
    "Emoji": [
        "😀",
        "👩‍👩‍👧‍👦",
        "👩🏽‍🚀",
        "🏳️‍🌈",
        "🇩🇪",
        "🇫🇷",
        "❤️‍🔥",
        "1️⃣",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        " ",
        "!",
    ],
    "Other": ["ሰ", "።", "က", "ြ", "၊", "ក", "៕", "Ж", "є", "Ω", ".", " ", "\n", "\t", "  ", "\u3000", "\u06001"],
}
CLUSTERS = [cluster for clusters in SCRIPTS.values() for cluster in clusters]
TEXTS = st.sampled_from(list(SCRIPTS.values())).flatmap(lambda script: st.lists(st.sampled_from(script), max_size=60))
MIXED = st.lists(st.sampled_from(CLUSTERS), max_size=60)
BUDGETS = st.integers(min_value=1, max_value=60)


def boundaries(clusters: list[str]) -> set[str]:
    """All beginnings of a text that end between clusters, stripped as the cut is."""
    text, found = "", {""}
    for cluster in clusters:
        text += cluster
        found.add(text.strip())
    return found


def check(clusters: list[str], budget: int, counter: TokenCounter) -> None:
    text = "".join(clusters)
    fitted = fit_to_budget(text, budget, counter)
    assert counter.count_tokens(fitted) <= budget
    assert fitted == fitted.strip()
    assert text.strip().startswith(fitted)
    assert fitted in boundaries(clusters), "cut inside a grapheme cluster"
    if counter.count_tokens(text.strip()) <= budget:
        assert fitted == text.strip()
    else:
        whole = [sentence for sentence in sentences_from_the_start(text) if counter.count_tokens(sentence) <= budget]
        if whole:
            assert fitted == max(whole, key=len)


def sentences_from_the_start(text: str) -> Iterator[str]:
    so_far = ""
    for sentence in split_sentences(text.strip()):
        so_far += sentence
        yield so_far.strip()


@settings(max_examples=600, derandomize=True, deadline=None)
@given(TEXTS | MIXED, BUDGETS, st.sampled_from([ByteCounter(), Words(), Graphemes()]))
@example(["。", "\u0301"], 3, ByteCounter())
@example(["🇩🇪", "🇫🇷", "🇩🇪"], 9, ByteCounter())
def test_the_budget_holds_in_every_script(clusters: list[str], budget: int, counter: TokenCounter) -> None:
    check(clusters, budget, counter)


def test_the_budget_holds_with_a_real_tokenizer(gguf: Path) -> None:
    with LlamaCppGenerator(gguf) as generator:
        cache: dict[str, int] = {}

        class Real:
            tokenizer = generator.tokenizer

            def count_tokens(self, text: str) -> int:
                if text not in cache:
                    cache[text] = generator.count_tokens(text)
                return cache[text]

        @settings(max_examples=60, derandomize=True, deadline=None)
        @given(TEXTS | MIXED, BUDGETS)
        def holds(clusters: list[str], budget: int) -> None:
            check(clusters, budget, Real())

        holds()
        assert cache


def test_a_counter_that_jumps_is_not_believed_but_asked() -> None:
    class Jumping:
        tokenizer = "jumping"

        def count_tokens(self, text: str) -> int:
            return 1 if len(text) % 3 else 100

    fitted = fit_to_budget("abc def ghi jkl. mno pqr stu vwx. yz", 10, Jumping())
    assert Jumping().count_tokens(fitted) <= 10


@pytest.mark.parametrize(
    ("text", "budget", "fitted"),
    [
        ("Keep it short. Use lists. Be kind.", 5, "Keep it short. Use lists."),
        ("Keep it short. Use lists. Be kind.", 4, "Keep it short."),
        ("Keep it short. Use lists. Be kind.", 2, "Keep it"),
        ("Keep it short! Really? Yes.", 4, "Keep it short! Really?"),
        ('Say "short." Then stop.', 3, 'Say "short."'),
        ("Use lists\nand examples for me", 3, "Use lists"),
        ("Use examples, e.g. recipes. Be kind.", 4, "Use examples, e.g. recipes."),
        ("Use examples, e.g. recipes. Be kind.", 3, "Use examples, e.g."),
        ("Version 3.5 is fine. So is 4.0 too.", 5, "Version 3.5 is fine."),
        ("  padded text. More here.  ", 2, "padded text."),
    ],
)
def test_cuts_at_sentence_ends_else_between_words(text: str, budget: int, fitted: str) -> None:
    assert fit_to_budget(text, budget, Words()) == fitted


@pytest.mark.parametrize(
    ("text", "fitted"),
    [
        ("短く答えて。例を使って。", "短く答えて。"),
        ("اختصر. استعمل أمثلة كثيرة من فضلك.", "اختصر."),
        ("संक्षेप में। उदाहरण दें।", "संक्षेप में।"),
        ("Kurz.\u3000Und klar, ohne Umschweife.", "Kurz."),
    ],
)
def test_sentence_ends_of_other_scripts(text: str, fitted: str) -> None:
    assert fit_to_budget(text, len(text.encode()) - 1, ByteCounter()) == fitted


def test_between_graphemes_where_no_word_fits() -> None:
    assert fit_to_budget("👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 30, ByteCounter()) == "👩‍👩‍👧‍👦"
    assert fit_to_budget("🇩🇪🇫🇷", 8, ByteCounter()) == "🇩🇪"
    assert fit_to_budget("🇩🇪🇫🇷", 7, ByteCounter()) == ""
    assert fit_to_budget("क्षक्ष", 10, ByteCounter()) == "क्ष"
    assert fit_to_budget("", 5, ByteCounter()) == ""


def test_sentences_joined_are_the_text() -> None:
    assert split_sentences("One. Two!\nThree? e.g. this; Dr. Who.  ") == [
        "One. ",
        "Two!\n",
        "Three? ",
        "e.g. this; Dr. Who.  ",
    ]
    assert split_sentences("no end") == ["no end"]
    assert split_sentences("") == []


@settings(max_examples=300, derandomize=True, deadline=None)
@given(MIXED.map("".join) | st.text(max_size=60))
def test_no_sentence_is_empty_and_none_is_lost(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join(sentences) == text
    assert all(sentences)


@pytest.mark.parametrize(
    "unit", [".", ". ", ".)", ".\"'", " ", "\n ", "a.", "!。", "e.g. ", "\u0301", "\u200d", "a", "🇩", "क्"]
)
def test_hostile_texts_are_split_and_cut_in_linear_time(unit: str) -> None:
    text = "x" + unit * (300_000 // len(unit)) + "x"
    started = time.process_time()
    assert "".join(split_sentences(text)) == text
    assert len(fit_to_budget(text, 100, Graphemes())) <= 100
    assert time.process_time() - started < 5


# The model


def test_str_estimated_and_defaults() -> None:
    summary = PreferenceSummary(**FIELDS)
    assert str(summary) == summary.text
    assert not summary.estimated
    assert summary.schema_version == 1
    assert PreferenceSummary(**{**FIELDS, "tokenizer": ByteCounter.tokenizer}).estimated


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tokens": 33}, "33 tokens are more than the budget of 32"),
        ({"signals_used": 4}, "more signals were used"),
        ({"signals_shortened": 3}, "more signals were used than there were, or more shortened"),
        ({"text": "Keep it long."}, "the statements, joined by spaces, are not the text"),
        ({"text": " "}, "pattern"),
        ({"budget": 0}, "greater than 0"),
        ({"tokens": -1}, "greater than or equal to 0"),
        ({"schema_version": 2}, "Input should be 1"),
        ({"mood": "good"}, "Extra inputs"),
    ],
)
def test_what_does_not_add_up_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PreferenceSummary(**{**FIELDS, **change})


def test_a_text_without_statements_is_fine() -> None:
    assert PreferenceSummary(**{**FIELDS, "text": "Edited by hand.", "statements": ()}).text == "Edited by hand."


def test_frozen_and_copied() -> None:
    summary = PreferenceSummary(**FIELDS)
    with pytest.raises(ValidationError, match="frozen"):
        summary.text = "x"
    for twin in (copy.deepcopy(summary), pickle.loads(pickle.dumps(summary))):
        assert twin == summary
        assert hash(twin) == hash(summary)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("form", [str, str.encode])
def test_json_round_trip(indent: int | None, form: Callable[[str], Any]) -> None:
    summary = PreferenceSummary(**{**FIELDS, "text": "短く。👩‍🚀 \u2028", "statements": ()})
    data = summary.to_json(indent=indent)
    assert PreferenceSummary.from_json(form(data)) == summary
    assert PreferenceSummary.from_json(json.dumps(json.loads(data))) == summary
    assert PreferenceSummary.from_json(data).to_json(indent=indent) == data


GOOD = PreferenceSummary(**FIELDS).to_json()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "This is not a summary: Invalid JSON"),
        (GOOD[:-20], "This is not a summary: Invalid JSON: EOF"),
        (b"\xff\xfe{}", "This is not a summary"),
        ("[1, 2]", "This is not a summary"),
        ("null", "This is not a summary"),
        ('"text"', "This is not a summary"),
        ("[" * 100_000, "This is not a summary"),
        ('{"name": "x"}', "This is not a summary (field 'text'): Field required."),
        (GOOD.replace('"tokens":6', '"tokens":"many"'), "(field 'tokens')"),
        (GOOD.replace('"tokens":6', '"tokens":600'), "600 tokens are more than the budget of 32."),
        (GOOD.replace("Use lists.", "Use tables.", 1), "the statements, joined by spaces, are not the text"),
        (
            GOOD.replace('"schema_version":1', '"schema_version":2,"mood":"x"'),
            "of schema version 2, and this release reads",
        ),
        (GOOD.replace('"budget":32', '"budget":32,"mood":"x"'), "(field 'mood')"),
    ],
)
def test_foreign_truncated_and_newer_json_says_what_to_do(data: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        PreferenceSummary.from_json(data)
    assert words in str(caught.value)
    assert str(caught.value).endswith("Infer the summary again from the signals.")


def test_bytes_bound_the_tokens() -> None:
    counter = ByteCounter()
    assert counter.tokenizer == "estimated"
    assert [counter.count_tokens(text) for text in ("", "abc", "é", "日", "👩", "\ud800")] == [0, 3, 2, 3, 4, 1]


def test_digest_is_stable_and_separates_parts() -> None:
    assert digest() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest("a", "b") == digest("a", "b")
    parts = [("ab",), ("a", "b"), ("b", "a"), ("", "ab"), ("ab", ""), ("\ud800",), ("é",), ("e\u0301",)]
    assert len({digest(*part) for part in parts}) == len(parts)
