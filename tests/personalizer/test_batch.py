"""Batches: order kept, failures per item, never more at once than asked for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from support.doubles import Pieces, SlowInferrer

from popi_sdk import (
    BackendError,
    ConfigurationError,
    FunctionGenerator,
    Generation,
    PersonalizedResponse,
    Personalizer,
    PopiError,
    SignalError,
    Statement,
    UsageError,
)
from popi_sdk.testing import EchoGenerator, FixedInferrer

SIGNALS = [Statement(text="Short, please.")]


@pytest.fixture(params=["batch", "abatch"])
def verb(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def run(popi: Personalizer, verb: str, items: Any, **call: Any) -> list[PersonalizedResponse | PopiError]:
    """Either twin; the sync one in a thread, so that a hanging one can be timed out."""
    if verb == "abatch":
        return await popi.abatch(items, **call)
    return await asyncio.to_thread(popi.batch, items, **call)


def build(generator: Any = None, inferrer: Any = None) -> Personalizer:
    return Personalizer(inferrer or FixedInferrer("Keep it short."), generator or EchoGenerator())


async def test_the_order_of_the_items_is_kept(verb: str) -> None:
    def later_first(messages: Any, options: Any) -> str:
        number = int(messages[-1]["content"].split("\n")[0])
        time.sleep((20 - number) / 1_000)
        return f"answer {number}"

    results = await run(
        build(FunctionGenerator(later_first)), verb, [(SIGNALS, str(n)) for n in range(20)], concurrency=20
    )
    assert [result.text for result in results if isinstance(result, PersonalizedResponse)] == [
        f"answer {number}" for number in range(20)
    ]


async def test_a_failure_is_the_items_and_others_go_on(verb: str) -> None:
    ready = FixedInferrer("Be kind.").infer(SIGNALS)
    items: list[Any] = [
        (SIGNALS, "one"),
        ([], "two"),
        [SIGNALS, "three"],
        (SIGNALS, ""),
        (ready, [{"role": "user", "content": "five"}]),
        (SIGNALS, "break"),
        ([{"kind": "statement"}], "seven"),
    ]

    def breaks(messages: Any, options: Any) -> str:
        if messages[-1]["content"].startswith("break"):
            raise BackendError("down", backend="function")
        return str(messages[-1]["content"])

    results = await run(build(FunctionGenerator(breaks)), verb, items)
    kinds = [
        PersonalizedResponse,
        SignalError,
        PersonalizedResponse,
        UsageError,
        PersonalizedResponse,
        BackendError,
        SignalError,
    ]
    assert [type(result) for result in results] == kinds
    assert "Be kind." in str(results[4])
    assert "Keep it short." in str(results[2])


@pytest.mark.parametrize(("concurrency", "jobs", "expected"), [(1, 6, 1), (3, 12, 3), (50, 4, 4)])
async def test_never_more_at_once_than_asked_for_and_no_less(
    verb: str, concurrency: int, jobs: int, expected: int
) -> None:
    generator = Pieces(delay=0.03)
    results = await run(build(generator), verb, [(SIGNALS, str(n)) for n in range(jobs)], concurrency=concurrency)
    assert len(results) == jobs
    assert generator.most_at_once == expected


async def test_a_backend_that_can_do_one_at_a_time_is_asked_for_one(verb: str) -> None:
    class OneByOne(Pieces):
        max_concurrency = 1

    generator = OneByOne(delay=0.01)
    await run(build(generator), verb, [(SIGNALS, str(n)) for n in range(5)], concurrency=8)
    assert generator.most_at_once == 1


async def test_one_user_with_many_prompts_is_summarised_once(verb: str) -> None:
    inferrer = SlowInferrer(0.02)
    results = await run(build(inferrer=inferrer), verb, [(SIGNALS, str(n)) for n in range(30)], concurrency=16)
    assert len(inferrer.asked) == 1
    assert len({id(result.summary) for result in results if isinstance(result, PersonalizedResponse)}) == 1


async def test_nothing_to_do(verb: str) -> None:
    assert await run(build(), verb, []) == []
    assert await run(build(), verb, iter(())) == []


@pytest.mark.parametrize(
    ("items", "call", "words"),
    [
        ([(SIGNALS, "Q")], {"concurrency": 0}, "concurrency=0 must be a whole number of at least 1"),
        ([(SIGNALS, "Q")], {"concurrency": -3}, "concurrency=-3"),
        ([(SIGNALS, "Q")], {"concurrency": 2.5}, "concurrency=2.5"),
        ([(SIGNALS, "Q")], {"concurrency": None}, "concurrency=None"),
        ([(SIGNALS, "Q"), "QQ"], {}, "Item 1 of the batch is not a pair (signals, prompt), but str"),
        ([(SIGNALS, "Q"), (SIGNALS,)], {}, "Item 1 of the batch is not a pair"),
        ([(SIGNALS, "Q", 5)], {}, "Item 0 of the batch is not a pair"),
        ([None], {}, "Item 0 of the batch is not a pair (signals, prompt), but NoneType"),
        ("QQ", {}, "A batch is a list of pairs (signals, prompt), not str"),
        (5, {}, "A batch is a list of pairs (signals, prompt), not int"),
        ([(SIGNALS, "Q")], {"options": {"max_token": 1}}, "Known: max_tokens"),
    ],
)
async def test_mistakes_are_found_before_anything_is_asked(
    verb: str, items: Any, call: dict[str, Any], words: str
) -> None:
    generator = EchoGenerator()
    with pytest.raises(UsageError) as caught:
        await run(build(generator), verb, items, **call)
    assert words in str(caught.value)
    assert generator.calls == []


async def test_options_and_limits_reach_every_item(verb: str) -> None:
    generator = Pieces()
    await run(
        build(generator), verb, [(SIGNALS, "a"), (SIGNALS, "b")], options={"max_tokens": 3}, timeout=2.0, max_retries=5
    )
    assert [(call["options"].max_tokens, call["timeout"], call["max_retries"]) for call in generator.asked] == [
        (3, 2.0, 5)
    ] * 2


class Buggy(Pieces):
    """Raises what no backend should raise from its third request on."""

    def _generation(self) -> Generation:
        if len(self.asked) >= 3:
            raise ZeroDivisionError("a bug")
        return super()._generation()


async def test_what_is_no_popi_error_is_raised_as_it_is_and_stops_the_batch(verb: str) -> None:
    generator = Buggy(delay=0.005)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await run(build(generator), verb, [(SIGNALS, str(n)) for n in range(500)], concurrency=2)
    assert len(generator.asked) < 50


async def test_cancelling_a_batch_stops_it() -> None:
    generator = Pieces(delay=0.05)
    task = asyncio.create_task(build(generator).abatch([(SIGNALS, str(n)) for n in range(100)], concurrency=4))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.06)
    assert len(generator.asked) == 4
    assert generator.at_once == 0


async def test_a_mistake_in_the_budget_is_told_for_every_item(verb: str) -> None:
    results = await run(build(), verb, [(SIGNALS, "a"), (SIGNALS, "b")], budget=0)
    assert [type(result) for result in results] == [ConfigurationError] * 2
