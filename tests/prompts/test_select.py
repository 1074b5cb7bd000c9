"""Which signals a model sees when not all fit: the order of choice, the budget, and honest figures."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popi_sdk import (
    Dialogue,
    Edit,
    PreferencePair,
    Profile,
    Rating,
    Signal,
    Statement,
    Survey,
    Writing,
)
from popi_sdk.generators.llamacpp import LlamaCppGenerator
from popi_sdk.prompts import Selection, render_signal, select
from popi_sdk.summary import ByteCounter


class Words:
    tokenizer = "words"

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def day(number: int, tz: Any = UTC) -> datetime:
    return datetime(2026, 1, 1, tzinfo=tz) + timedelta(days=number)


def statements(count: int, **fields: Any) -> list[Statement]:
    return [Statement(text=f"wish {number}", **fields) for number in range(count)]


def ids(*signals: Signal) -> tuple[str, ...]:
    return tuple(signal.id for signal in signals)


PAIR = PreferencePair(prompt="p", chosen="long " * 30, rejected="short " * 30)
MIX: list[Signal] = [
    PAIR,
    Rating(text="joke " * 20, score="agree"),
    Edit(before="stiff " * 20, after="easy " * 20),
    Dialogue(messages=[{"role": "user", "content": "chat " * 20}]),
    Writing(text="mail " * 20),
    Profile(attributes={f"attribute {n}": n for n in range(20)}),
    Survey(question="how " * 20, answer="so " * 20),
    Statement(text="Be kind."),
]


def test_everything_is_kept_whole_where_it_fits() -> None:
    chosen = select(MIX, 10_000, Words())
    assert chosen.texts == tuple(render_signal(signal) for signal in MIX)
    assert chosen.ids == ids(*MIX)
    assert (chosen.used, chosen.total, chosen.repeats, chosen.shortened, chosen.left_out) == (8, 8, 0, 0, 0)
    assert chosen.tokens == Words().count_tokens(chosen.text)
    exact = select(MIX, chosen.tokens + 5, Words())
    assert exact == chosen


def test_one_that_is_larger_than_its_share_is_whole_where_all_fit() -> None:
    signals = [
        PreferencePair(prompt="p", chosen="a " * 500, rejected="b"),
        Writing(text="short"),
        Statement(text="kind"),
    ]
    assert select(signals, 560, Words()).shortened == 0


def test_each_kind_is_kept_and_cut_where_not_all_fit() -> None:
    chosen = select(MIX, 1_300, ByteCounter())
    kinds = {signal.id: signal.kind for signal in MIX}
    assert {kinds[found] for found in chosen.ids} == {signal.kind for signal in MIX}
    assert chosen.shortened > 0
    assert chosen.tokens <= 1_300


def test_statements_come_first_and_the_newest_of_them() -> None:
    wishes = statements(100)
    pairs = [PreferencePair(prompt=f"p{n}", chosen="a " * 20, rejected="b " * 20) for n in range(100)]
    chosen = select([*pairs, *wishes], 200, Words())
    assert chosen.tokens <= 200
    kept = [wish for wish in wishes if wish.id in chosen.ids]
    assert kept == wishes[-len(kept) :]
    assert len(kept) >= 14
    assert pairs[-1].id in chosen.ids
    assert chosen.left_out == chosen.total - chosen.used == 200 - len(chosen.ids)


def test_a_statement_that_is_too_long_is_cut_and_not_dropped() -> None:
    long = Statement(text="Please be brief. " * 1_000)
    for others in ([], [PAIR]):
        chosen = select([*others, long], 120, Words())
        assert long.id in chosen.ids
        assert chosen.shortened >= 1
        assert "characters left out" in chosen.text


def test_after_many_that_do_not_fit_smaller_ones_are_found() -> None:
    small = [Writing(text=f"w{n}") for n in range(40)]
    big = [Writing(text=f"{n} " + "x " * 900) for n in range(40)]
    mixed = [signal for pair in zip(small, big, strict=True) for signal in pair]
    chosen = select(mixed, 200, Words())
    assert chosen.used >= 10  # each small one that fits starts the count of misses anew


def test_the_same_content_counts_once_and_the_newest_stands_for_it() -> None:
    one, other = Statement(text="Short."), Statement(text="Kind.")
    chosen = select([one, other, one.model_copy(update={"source": "app"}), one], 1_000, Words())
    assert chosen.ids == ids(other, one)
    assert (chosen.used, chosen.total, chosen.repeats, chosen.left_out) == (2, 4, 2, 0)


@pytest.mark.parametrize(
    ("times", "order"),
    [
        ([None, None, None], [0, 1, 2]),
        ([day(3), day(1), day(2)], [1, 2, 0]),
        ([day(2), day(2), day(1)], [2, 0, 1]),
        ([day(3), None, day(1)], [2, 0, 1]),
        ([None, day(3), day(1)], [0, 2, 1]),
        ([day(3, None), day(1), day(2, timezone(timedelta(hours=14)))], [1, 2, 0]),
        ([datetime(2026, 1, 1, 23), datetime(2026, 1, 2, 0, 30, tzinfo=timezone(timedelta(hours=3)))], [1, 0]),
        ([datetime.min, datetime.max, datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))], [2, 0, 1]),
        ([datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))), day(1)], [1, 0]),
    ],
)
def test_oldest_first_whether_times_are_missing_naive_or_aware(times: list[datetime | None], order: list[int]) -> None:
    signals = [Statement(text=str(number), time=time) for number, time in enumerate(times)]
    assert select(signals, 1_000, Words()).ids == ids(*(signals[number] for number in order))


def test_the_newest_by_time_is_kept_where_one_fits() -> None:
    signals = [Statement(text=f"wish {number}", time=day(-number)) for number in range(50)]
    assert select(signals, 8, Words()).ids == ids(signals[0])


def test_a_counter_that_counts_more_for_the_whole_than_for_the_parts_is_kept_too() -> None:
    class Superadditive(Words):
        def count_tokens(self, text: str) -> int:
            words = len(text.split())
            return words + words * words // 400

    signals = [
        *(Writing(text=f"w{n} " * 5) for n in range(40)),
        Survey(question="Tone?", answer="Warm."),
        *statements(3),
    ]
    chosen = select(signals, 250, Superadditive())
    assert chosen.tokens == Superadditive().count_tokens(chosen.text) <= 250
    kept = Counter(signal.kind for signal in signals if signal.id in chosen.ids)
    assert (kept["survey"], kept["statement"]) == (1, 3)
    assert kept["writing"] > 5
    assert select(signals[:-3], 250, Superadditive()).ids[-1] == signals[-4].id


def test_nothing_fits() -> None:
    assert select(MIX, 1, Words()) == Selection((), (), used=0, total=8, repeats=0, shortened=0, tokens=0)


def test_the_same_signals_give_the_same_choice() -> None:
    assert select(MIX * 5, 150, ByteCounter()) == select(MIX * 5, 150, ByteCounter())


ANY_SIGNAL = st.sampled_from(
    [
        *statements(8),
        Statement(text="long wish " * 50),
        *MIX,
        *(PreferencePair(prompt="p", chosen=f"a{n} " * 9, rejected="b", time=day(n)) for n in range(5)),
        Writing(text="日本語。" * 50, time=day(9, None)),
        Dialogue(messages=[{"role": "user", "content": f"turn {n}"} for n in range(40)]),
    ]
)


def check(chosen: Selection, signals: list[Signal], budget: int, counter: Any) -> None:
    assert chosen.tokens == (counter.count_tokens(chosen.text) if chosen.texts else 0) <= budget
    assert chosen.total == len(signals)
    assert chosen.used == len(chosen.texts) == len(chosen.ids) == len(set(chosen.ids))
    assert set(chosen.ids) <= set(ids(*signals))
    assert chosen.repeats == len(signals) - len(set(ids(*signals)))
    whole = {render_signal(signal, 10**6) for signal in signals}
    assert chosen.shortened == sum(text not in whole for text in chosen.texts)
    wished = [signal.id for signal in signals if signal.kind == "statement"]
    if wished and chosen.used:
        kinds = Counter(signal.kind for signal in signals if signal.id in chosen.ids)
        assert kinds["statement"] or chosen.used < 3


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(ANY_SIGNAL, max_size=25), st.integers(1, 600), st.sampled_from([Words(), ByteCounter()]))
def test_the_budget_holds_and_the_figures_are_true(signals: list[Signal], budget: int, counter: Any) -> None:
    check(select(signals, budget, counter), signals, budget, counter)


def test_the_budget_holds_with_a_real_tokenizer(gguf: Path) -> None:
    with LlamaCppGenerator(gguf) as generator:

        @settings(max_examples=12, derandomize=True, deadline=None)
        @given(st.lists(ANY_SIGNAL, min_size=5, max_size=25), st.integers(20, 600))
        def holds(signals: list[Signal], budget: int) -> None:
            check(select(signals, budget, generator), signals, budget, generator)

        holds()


@pytest.mark.parametrize("budget", [150, 400, 1_500, 6_000])
def test_the_budget_holds_for_endless_dialogues_and_profiles(budget: int) -> None:
    turns = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n} " + "word " * 9} for n in range(10_000)]
    signals = [Dialogue(messages=turns), Profile(attributes={f"attribute {n}": "x" * 40 for n in range(500)})]
    chosen = select(signals, budget, ByteCounter())
    check(chosen, signals, budget, ByteCounter())
    assert chosen.used == chosen.shortened > 0
    assert "of the 10000 turns" in chosen.text or budget < 400


def test_a_hundred_thousand_signals_do_not_take_long() -> None:
    many: list[Signal] = [
        Statement(text=f"wish {n}") if n % 3 else PreferencePair(prompt=f"p{n}", chosen="a " * 30, rejected="b")
        for n in range(100_000)
    ]
    started = time.process_time()
    chosen = select(many, 4_096, ByteCounter())
    assert time.process_time() - started < 10
    assert chosen.total == 100_000
    assert 0 < chosen.tokens <= 4_096


def test_texts_of_a_million_characters_do_not_take_long() -> None:
    big = [Writing(text=f"{n}" + "<|" * 499_000) for n in range(5)]
    started = time.process_time()
    chosen = select([*big, Statement(text="Short.")], 1_024, ByteCounter())
    assert time.process_time() - started < 15
    assert chosen.used == 2


def test_what_changes_nothing_in_the_signals() -> None:
    before = [signal.model_dump_json() for signal in MIX]
    select(MIX, 100, Words())
    assert [signal.model_dump_json() for signal in MIX] == before
