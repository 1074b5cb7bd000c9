"""What every inferrer shares: the summary that keeps its budget, the async twin, the digest of the evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popi_sdk import ConfigurationError, PreferenceInferrer, PreferenceSummary, Statement, SummaryStatement, UsageError
from popi_sdk.inferrers import HeuristicInferrer, build_summary, evidence_digest
from popi_sdk.signals import as_signals
from popi_sdk.summary import ByteCounter, TokenCounter
from popi_sdk.testing import FixedInferrer

SIGNALS = (Statement(text="Short."), Statement(text="Kind."))


class Words:
    tokenizer = "words"

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def build(*texts: str, budget: int = 8, counter: TokenCounter | None = None) -> PreferenceSummary:
    statements = [SummaryStatement(text=text, evidence=(f"id{number}",)) for number, text in enumerate(texts)]
    return build_summary(statements, budget=budget, counter=counter or Words(), inferrer="test", signals=SIGNALS)


def test_everything_about_the_summary_is_filled_in() -> None:
    summary = build_summary(
        [SummaryStatement(text=" Keep\n it  short. ", evidence=("a",)), SummaryStatement(text="Use <|im_end|> lists.")],
        budget=32,
        counter=Words(),
        inferrer="test",
        signals=SIGNALS,
        used=1,
        shortened=1,
    )
    assert summary == PreferenceSummary(
        text="Keep it short. Use (im_end) lists.",
        statements=(
            SummaryStatement(text="Keep it short.", evidence=("a",)),
            SummaryStatement(text="Use (im_end) lists."),
        ),
        tokens=6,
        tokenizer="words",
        budget=32,
        inferrer="test",
        evidence_digest=evidence_digest(SIGNALS),
        signals_used=1,
        signals_total=2,
        signals_shortened=1,
    )


def test_without_a_counter_bytes_bound_it() -> None:
    summary = build_summary([SummaryStatement(text="Zoë")], budget=9, counter=None, inferrer="t", signals=SIGNALS)
    assert (summary.tokens, summary.estimated, summary.signals_used) == (4, True, 2)


def test_statements_stay_whole_and_a_shorter_one_may_follow_one_that_does_not_fit() -> None:
    summary = build("One two three.", "Four five six seven eight nine.", "Ten eleven.")
    assert [statement.text for statement in summary.statements] == ["One two three.", "Ten eleven."]
    assert [statement.evidence for statement in summary.statements] == [("id0",), ("id2",)]


def test_a_first_statement_that_is_too_long_is_cut_and_keeps_its_evidence() -> None:
    summary = build("One two three. Four five six seven eight nine ten.")
    assert summary.statements == (SummaryStatement(text="One two three.", evidence=("id0",)),)


def test_one_monstrous_grapheme_does_not_spoil_the_others() -> None:
    summary = build("e" + "\u0301" * 500, "Ends well.", budget=20, counter=ByteCounter())
    assert summary.text == "Ends well."


def test_what_cannot_be_a_summary_says_so() -> None:
    for budget in (0, -1):
        with pytest.raises(ConfigurationError, match="leaves no room for a summary"):
            build("x", budget=budget)
    with pytest.raises(ConfigurationError, match="Nothing of the summary fits into 3 tokens"):
        build("👩", budget=3, counter=ByteCounter())
    for nothing in ([], [" "], ["\u200b\u202e"]):
        with pytest.raises(UsageError, match="at least one statement"):
            build(*nothing)


def test_a_huge_statement_costs_no_more_than_it_can_give() -> None:
    calls = 0

    class Counting(Words):
        def count_tokens(self, text: str) -> int:
            nonlocal calls
            calls += 1
            assert len(text) < 200_000
            return super().count_tokens(text)

    build(*(["word " * 20_000] * 100), budget=8, counter=Counting())
    assert calls < 100


TEXTS = st.lists(
    st.text(max_size=30) | st.sampled_from(["Keep it short.", "短く。", "👩‍👩‍👧‍👦!", "a b c d e f g h"]), max_size=8
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(TEXTS, st.integers(1, 40), st.sampled_from([Words(), ByteCounter()]))
def test_the_budget_holds_and_the_statements_are_the_text(texts: list[str], budget: int, counter: Any) -> None:
    try:
        summary = build(*texts, budget=budget, counter=counter)
    except UsageError:
        return
    assert summary.tokens == counter.count_tokens(summary.text) <= budget
    assert " ".join(statement.text for statement in summary.statements) == summary.text
    assert summary.text == " ".join(summary.text.split())


def test_the_digest_of_the_evidence() -> None:
    one, other = SIGNALS
    dated = one.model_copy(update={"time": datetime(2026, 1, 1, tzinfo=UTC)})
    digests = {evidence_digest(signals) for signals in [(one,), (one, other), (other, one), (dated,), ()]}
    assert len(digests) == 5
    assert evidence_digest([one.model_copy(update={"source": "app"})]) == evidence_digest([one])
    assert evidence_digest(SIGNALS) == "f4a9bc3a852d5c727c9e973c24ef45d35b3785ba3e6b7b388f1916c06a6df834"


class Recording(PreferenceInferrer):
    """The smallest inferrer there is: only `infer`."""

    name = "recording"

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.closed = 0

    def infer(self, signals: Any, **call: Any) -> PreferenceSummary:
        self.calls.append(call)
        return build_summary(
            [SummaryStatement(text=as_signals(signals)[0].id)],
            budget=call["budget"],
            counter=call["counter"],
            inferrer="r",
            signals=SIGNALS,
        )

    def close(self) -> None:
        self.closed += 1


async def test_the_async_twin_passes_everything_on() -> None:
    inferrer, counter = Recording(), Words()
    call = {"budget": 9, "counter": counter, "timeout": 1.5, "max_retries": 3}
    assert await inferrer.ainfer(SIGNALS, **call) == inferrer.infer(SIGNALS, **call)
    assert inferrer.calls == [call, call]


def test_a_batch_keeps_the_order_and_a_failure_stands_in_its_place() -> None:
    inferrer = Recording()
    users = [["a"], ["b"], ["a"]]
    texts = [summary.text for summary in inferrer.infer_batch(users, budget=50)]
    assert texts == [as_signals(user)[0].id for user in users]
    assert inferrer.infer_batch([]) == []
    first, empty, malformed = inferrer.infer_batch([["a"], [], [5]])
    assert first.text == texts[0]
    assert isinstance(empty, UsageError)
    assert "no signals" in str(empty)
    assert isinstance(malformed, UsageError)
    assert len(FixedInferrer("Short.").infer_batch(iter(users), budget=5, counter=Words())) == 3


async def test_context_managers_close_and_say_who_they_are() -> None:
    inferrer = Recording()
    with inferrer as entered:
        assert entered is inferrer
    async with inferrer as entered:
        assert entered is inferrer
    assert inferrer.closed == 2
    assert (inferrer.identity, repr(inferrer)) == ("recording", "<Recording recording>")
    with HeuristicInferrer() as heuristic:
        heuristic.close()
    assert heuristic.infer(["Short."]).text
