"""The inferrer without a model: what it finds, what it does not claim, and that nothing breaks it."""

from __future__ import annotations

import time
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.users import USERS

from popi_sdk import Dialogue, Edit, HeuristicInferrer, PreferencePair, Profile, Rating, Statement, Survey, as_signals
from popi_sdk.inferrers.cues import Axis, read_answer, read_cues
from popi_sdk.inferrers.decision import decide
from popi_sdk.inferrers.evidence import read
from popi_sdk.inferrers.statements import read_statements
from popi_sdk.inferrers.wording import NOTHING


def found(signals):
    return {(one.axis, one.direction) for one in decide(read(as_signals(signals)))}


def text_of(signals, budget=1_000):
    return HeuristicInferrer().infer(signals, budget=budget).text


def test_precision_and_recall_over_hand_written_users():
    right = wrong = wanted = 0
    misses = []
    for user in USERS:
        axes = found(user.signals)
        right += len(axes & user.wants)
        wanted += len(user.wants)
        claimed_wrongly = axes - user.wants - user.may
        wrong += len(claimed_wrongly)
        if claimed_wrongly or user.wants - axes:
            misses.append((user.name, claimed_wrongly, user.wants - axes))
    assert right / wanted >= 0.8, misses
    assert right / (right + wrong) >= 0.9, misses


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_the_mirrored_user_is_never_told_the_same(user):
    """Chosen and rejected swapped: no axis may be decided in the same direction by texts alone."""
    pairs = [one for one in as_signals(user.signals) if isinstance(one, PreferencePair)]
    mirrored = [PreferencePair(prompt=one.prompt, chosen=one.rejected, rejected=one.chosen) for one in pairs]
    assert not found(pairs) & found(mirrored)


def test_evidence_names_only_signals_that_support_the_statement():
    signals = as_signals([*USERS[0].signals, Statement(text="I live in Lyon.")])
    statements = {one.text: one.evidence for one in HeuristicInferrer().infer(signals, budget=1_000).statements}
    assert statements.pop("I live in Lyon.") == (signals[-1].id,)
    (length,) = (evidence for text, evidence in statements.items() if "short" in text)
    assert set(length) == {signal.id for signal in signals[:3]}


def test_statements_come_first_verbatim_newest_first():
    signals = [
        Statement(text="Call me Ana", time=datetime(2026, 1, 1)),
        Statement(text="I read on my phone.", time=datetime(2026, 2, 1)),
        *as_signals(USERS[0].signals),
    ]
    statements = [one.text for one in read_statements(signals)]
    assert statements[:2] == ["I read on my phone.", "Call me Ana."]
    assert any("short" in text for text in statements[2:])


def test_of_contradicting_statements_the_newer_stays():
    assert text_of(["Keep it short.", "Please write long answers."]) == "Please write long answers."


def test_an_inferred_style_that_contradicts_a_statement_is_dropped():
    text = text_of([*USERS[0].signals, "I want long, detailed answers."])
    assert "short" not in text
    assert "I want long, detailed answers." in text


def test_pairs_that_disagree_decide_nothing():
    pairs = [one for one in as_signals(USERS[0].signals) if isinstance(one, PreferencePair)]
    mirrored = [PreferencePair(prompt=one.prompt, chosen=one.rejected, rejected=one.chosen) for one in pairs]
    assert text_of([*pairs, *mirrored]) == NOTHING


def test_opinions_profile_and_answers_are_told_as_such():
    text = text_of(
        [
            Rating(text="Cities need more trees", score="agree"),
            Rating(text="Cars belong into the centre", score="disagree"),
            Rating(text="I do not know", score="pass"),
            Profile(attributes={"occupation": "nurse", "night shifts": True}),
            Survey(question="Which language do you speak at home?", answer="Portuguese"),
        ]
    )
    assert 'Agrees with: "Cities need more trees".' in text
    assert 'Disagrees with: "Cars belong into the centre".' in text
    assert "I do not know" not in text
    assert "About the user: occupation nurse; night shifts yes." in text
    assert "Portuguese" in text


def test_edits_and_ratings_are_read_like_pairs():
    long, short = USERS[1].signals[0]["chosen"], USERS[1].signals[0]["rejected"]
    edit = Edit(before=long, after=short)
    ratings = [
        Rating(text=USERS[1].signals[1]["chosen"], score=1, scale=(1, 5), prompt="How do I make tea?"),
        Rating(text=USERS[1].signals[1]["rejected"], score=5, scale=(1, 5), prompt="How do I make tea?"),
    ]
    assert (Axis.LENGTH, -1) in found([edit, *ratings])


def test_the_order_of_signals_without_times_matters_only_for_recency():
    signals = as_signals([signal for user in USERS[:3] for signal in user.signals])
    assert found(signals) == found(tuple(reversed(signals)))


def test_the_budget_keeps_what_matters_most():
    summary = HeuristicInferrer().infer([*USERS[0].signals, "No sport, please."], budget=64)
    assert summary.tokens <= 64
    assert summary.text.startswith("No sport, please.")
    assert "short" in summary.text


@pytest.mark.parametrize(
    ("text", "axis", "sign"),
    [
        ("too long", Axis.LENGTH, -1),
        ("could you elaborate?", Axis.LENGTH, 1),
        ("eli5", Axis.LEVEL, -1),
        ("no emojis please", Axis.EMOJI, -1),
        ("bullet points, please", Axis.LISTS, 1),
        ("not so formal", Axis.FORMALITY, -1),
        ("give me an example", Axis.EXAMPLES, 1),
        ("get to the point", Axis.ORDER, 1),
    ],
)
def test_cues_in_the_users_words(text, axis, sign):
    assert read_cues(text).get(axis) == sign


def test_answers_are_read_with_their_question():
    assert read_answer("How long should answers be?", "short")[Axis.LENGTH] == -1
    assert read_answer("Do you like examples?", "yes")[Axis.EXAMPLES] == 1
    assert read_answer("What is your favourite colour?", "blue") == {}


def test_nothing_to_read_is_said_honestly():
    assert text_of([Dialogue(messages=[{"role": "user", "content": "thanks"}])]) == NOTHING


def test_time_is_linear_in_the_signals():
    def seconds(count):
        signals = [
            PreferencePair(
                prompt=f"Question {n}", chosen=f"Short {n}.", rejected=f"A rather long answer number {n}. " * 9
            )
            for n in range(count)
        ]
        started = time.perf_counter()
        HeuristicInferrer().infer(signals)
        return time.perf_counter() - started

    seconds(50)
    small, large = seconds(400), seconds(4_000)
    assert large < 40 * small


def test_a_million_characters_are_read_in_bounded_time():
    hostile = ("aa " * 3 + "no " + "(" * 20 + "!" * 20) * 20_000
    started = time.perf_counter()
    summary = HeuristicInferrer().infer([PreferencePair(prompt="x", chosen="Yes.", rejected=hostile[:1_000_000])])
    assert time.perf_counter() - started < 10
    assert summary.signals_shortened == 1


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=6, unique=True))
def test_any_text_gives_a_summary_within_its_budget(texts):
    try:
        signals = as_signals(
            [
                Statement(text=texts[0]),
                PreferencePair(prompt="", chosen=texts[0], rejected=texts[1]),
                *(Rating(text=text, score="agree") for text in texts),
            ]
        )
    except ValueError:
        return
    first = HeuristicInferrer().infer(signals, budget=100)
    assert 0 < first.tokens <= 100
    assert HeuristicInferrer().infer(signals, budget=100) == first
