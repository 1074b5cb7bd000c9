"""Who closes what, and what keeps running: what the caller passes in, the caller closes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.doubles import Pieces, SlowInferrer

from popi_sdk import Personalizer, Statement, personalize
from popi_sdk.generators import registry
from popi_sdk.generators.llamacpp import LlamaCppGenerator
from popi_sdk.models import engine
from popi_sdk.models.engine import engines
from popi_sdk.personalizer import once
from popi_sdk.testing import FixedInferrer

SIGNALS = [Statement(text="Short, please.")]
SUMMARY = FixedInferrer("Keep it short.").infer(SIGNALS)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Pieces]:
    """Every generator that a string built; the backend `test` builds them."""
    made: list[Pieces] = []

    class Built(Pieces):
        @classmethod
        def from_spec(cls, spec: Any, **options: Any) -> Pieces:
            made.append(cls("Keep it short."))
            return made[-1]

    monkeypatch.setitem(registry.GENERATORS, "test", f"{__name__}:unused")
    monkeypatch.setattr(registry, "_class_of", lambda spec: Built)
    return made


async def test_what_was_passed_in_stays_open() -> None:
    generator, inferrer = Pieces(), SlowInferrer()
    with Personalizer(inferrer, generator) as popi:
        popi.personalize(SIGNALS, "Q")
    async with Personalizer(generator, generator) as popi:
        await popi.apersonalize(SIGNALS, "Q")
    personalize(SIGNALS, "Q", inferrer=inferrer, generator=generator)
    assert (generator.closed, inferrer.closed, generator.kept_warm) == (0, 0, 0)


def test_what_was_built_from_strings_is_closed(built: list[Pieces]) -> None:
    with Personalizer("test:a", "test:b") as popi:
        popi.personalize(SIGNALS, "Q")
        assert [generator.closed for generator in built] == [0, 0]
    assert [generator.closed for generator in built] == [1, 1]
    popi.close()
    assert [generator.closed for generator in built] == [
        2,
        2,
    ]  # closing twice is each backend's own affair, and allowed


async def test_what_was_built_from_strings_is_closed_async(built: list[Pieces]) -> None:
    async with Personalizer("test:a", "test:b") as popi:
        await popi.apersonalize(SIGNALS, "Q")
    assert [generator.closed for generator in built] == [100, 100]
    await popi.aclose()


async def test_one_that_fails_to_close_does_not_keep_the_other_open(built: list[Pieces]) -> None:
    popi = Personalizer("test:a", "test:b")

    def fail() -> None:
        raise OSError("stuck")

    async def afail() -> None:
        fail()

    for failing, other in ((0, 1), (1, 0)):
        built[failing].close, built[failing].aclose = fail, afail
        before = built[other].closed
        with pytest.raises(OSError, match="stuck"):
            popi.close()
        with pytest.raises(OSError, match="stuck"):
            await popi.aclose()
        assert built[other].closed == before + 101
        del built[failing].close, built[failing].aclose


def test_a_single_call_keeps_warm_what_it_built_and_used(built: list[Pieces]) -> None:
    personalize(SIGNALS, "Q", inferrer="test:a", generator="test:b")
    personalize(SUMMARY, "Q", inferrer="test:a", generator="test:b")
    mine = Pieces()
    personalize(SIGNALS, "Q", inferrer="test:a", generator=mine)
    warm = {id(generator): generator.kept_warm for generator in built}
    assert sorted(warm.values()) == [0, 1, 1, 1, 1]  # the inferrer beside a ready summary was not used
    assert mine.kept_warm == 0
    assert all(generator.closed == 1 for generator in built)


def test_single_call_options_reach_the_backend() -> None:
    generator, inferrer = Pieces(), SlowInferrer()
    response = personalize(
        SIGNALS,
        "Q",
        inferrer=inferrer,
        generator=generator,
        budget=33,
        options={"max_tokens": 4},
        timeout=2,
        max_retries=0,
    )
    assert response.summary.budget == 33
    assert inferrer.asked[0]["timeout"] == 2
    assert generator.asked[0]["options"].max_tokens == 4
    assert (generator.asked[0]["timeout"], generator.asked[0]["max_retries"]) == (2, 0)


# The embedded engine


@pytest.fixture
def no_engine() -> Iterator[None]:
    """No engine before, none after: what a test leaves running is its own."""
    engines.close_all()
    yield
    engines.close_all()


def running() -> int:
    return len(engines.running())


def test_a_single_call_keeps_its_engine_and_the_next_one_starts_none(
    gguf: Path, no_engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []

    class Counted(engine.Engine):
        def __init__(self, path: Path, *rest: Any) -> None:
            started.append(path)
            super().__init__(path, *rest)

    monkeypatch.setattr(engine, "Engine", Counted)
    backend = f"llamacpp:{gguf}"
    first = personalize(SIGNALS, "What is DNS?", generator=backend, options={"max_tokens": 3})
    assert running() == 1
    began = time.perf_counter()
    second = personalize(SIGNALS, "What is DNS?", generator=backend, options={"max_tokens": 3})
    assert time.perf_counter() - began < 30
    assert (running(), len(started)) == (1, 1)
    assert first.text == second.text
    with Personalizer("local", backend) as popi:
        popi.generator.count_tokens("x")
    assert (running(), len(started)) == (1, 1)


def test_a_personalizer_stops_its_engine_also_on_an_exception(gguf: Path, no_engine: None) -> None:
    def use() -> None:
        with Personalizer("local", f"llamacpp:{gguf}") as popi:
            assert running() == 0
            popi.infer(SIGNALS)
            assert running() == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert running() == 0


def test_an_engine_that_was_passed_in_runs_until_its_owner_closes_it(gguf: Path, no_engine: None) -> None:
    generator = LlamaCppGenerator(gguf)
    personalize(SIGNALS, "Hi.", generator=generator, options={"max_tokens": 2})
    assert running() == 1
    generator.close()
    assert running() == 0


def test_a_single_call_infers_locally_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Any, ...]] = []

    class Noted(Personalizer):
        def __init__(self, *args: Any, **options: Any) -> None:
            made.append((args, options))
            super().__init__(*args, **options)

    monkeypatch.setattr(once, "Personalizer", Noted)
    generator = Pieces()
    response = once.personalize(SUMMARY, "Q", generator=generator)
    assert made[0][0] == ("local", generator)
    assert response.summary is SUMMARY
