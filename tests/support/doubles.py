"""Backends for tests of what stands above them: they note what they are asked, and wait when they are told to."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from popi_sdk import Generation, GenerationOptions, GenerationStream, PreferenceSummary, SummaryStatement
from popi_sdk.generators import AsyncGenerationStream
from popi_sdk.inferrers import PreferenceInferrer, build_summary
from popi_sdk.signals import as_signals
from popi_sdk.testing import EchoGenerator


class Pieces(EchoGenerator):
    """Streams words; notes what it was asked, when it was closed, and how many asked at once.

    Args:
        text: What it answers.
        delay: Seconds that an answer takes.
        fail_after: Pieces after which a stream breaks with `error`.
        error: What it breaks with.
    """

    def __init__(
        self, text: str = "one two three", *, delay: float = 0, fail_after: int = -1, error: Exception | None = None
    ) -> None:
        super().__init__()
        self.text = text
        self.delay = delay
        self.fail_after = fail_after
        self.error = error
        self.asked: list[dict[str, Any]] = []
        self.given = 0
        self.streams_closed = 0
        self.closed = 0
        self.kept_warm = 0
        self.at_once = 0
        self.most_at_once = 0
        self._count = threading.Lock()

    def generate(self, messages: Any, options: GenerationOptions | None = None, **call: Any) -> Generation:
        self._enter(messages, options, call)
        try:
            time.sleep(self.delay)
            return self._generation()
        finally:
            self._leave()

    async def agenerate(self, messages: Any, options: GenerationOptions | None = None, **call: Any) -> Generation:
        self._enter(messages, options, call)
        try:
            await asyncio.sleep(self.delay)
            return self._generation()
        finally:
            self._leave()

    def stream(self, messages: Any, options: GenerationOptions | None = None, **call: Any) -> GenerationStream:
        self._enter(messages, options, call)
        return _Closing(self._pieces(), self)

    def astream(self, messages: Any, options: GenerationOptions | None = None, **call: Any) -> AsyncGenerationStream:
        self._enter(messages, options, call)

        async def pieces() -> AsyncIterator[str | Generation]:
            try:
                for piece in self._pieces():
                    await asyncio.sleep(self.delay)
                    yield piece
            finally:
                self.streams_closed += 1

        return AsyncGenerationStream(pieces())

    def keep_warm(self) -> None:
        self.kept_warm += 1

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 100

    def _generation(self) -> Generation:
        if self.error is not None and self.fail_after < 0:
            raise self.error
        return Generation(text=self.text, model=self.model)

    def _pieces(self) -> Iterator[str | Generation]:
        for number, word in enumerate(self.text.split(" ")):
            if number == self.fail_after and self.error is not None:
                raise self.error
            self.given += 1
            yield word if number == 0 else f" {word}"
        yield Generation(text=self.text, model=self.model)

    def _enter(self, messages: Any, options: GenerationOptions | None, call: dict[str, Any]) -> None:
        with self._count:
            self.asked.append({"messages": messages, "options": options, **call})
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)

    def _leave(self) -> None:
        with self._count:
            self.at_once -= 1


class _Closing(GenerationStream):
    def __init__(self, source: Iterator[str | Generation], owner: Pieces) -> None:
        super().__init__(source)
        self._owner = owner

    def close(self) -> None:
        super().close()
        self._owner.streams_closed += 1


class SlowInferrer(PreferenceInferrer):
    """Takes its time; notes how often it was asked, and fails as often as it is told to first.

    Args:
        delay: Seconds that one summary takes.
        failures: What the first calls raise, in order.
    """

    name = "slow"

    def __init__(self, delay: float = 0.0, failures: list[Exception] | None = None) -> None:
        self.delay = delay
        self.failures = list(failures or [])
        self.asked: list[dict[str, Any]] = []
        self.closed = 0

    def infer(self, signals: Any, **call: Any) -> PreferenceSummary:
        self.asked.append(call)
        time.sleep(self.delay)
        return self._answer(signals, call)

    async def ainfer(self, signals: Any, **call: Any) -> PreferenceSummary:
        self.asked.append(call)
        await asyncio.sleep(self.delay)
        return self._answer(signals, call)

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 100

    def _answer(self, signals: Any, call: dict[str, Any]) -> PreferenceSummary:
        if self.failures:
            raise self.failures.pop(0)
        known = as_signals(signals)
        return build_summary(
            [SummaryStatement(text=f"Summary {known[0].id}.", evidence=(known[0].id,))],
            budget=call["budget"],
            counter=call["counter"],
            inferrer=self.name,
            signals=known,
        )
