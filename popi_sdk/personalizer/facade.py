"""`Personalizer`: everything a user of this package needs, in one object."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Literal, Self

from ..errors import ConfigurationError
from ..generators import Generation, GenerationOptions, Generator, as_options, create_generator
from ..inferrers import PreferenceInferrer, PromptedInferrer, create_inferrer
from ..messages import Message, Prompt
from ..prompts import render_plain, render_with_summary
from ..summary import DEFAULT_BUDGET, PreferenceSummary, digest
from .batch import Job, Result, as_jobs, run, run_async, workers
from .cache import SummaryCache, aread_evidence, read_evidence
from .response import AsyncPersonalizedStream, PersonalizedResponse, PersonalizedStream

__all__ = ["Options", "Personalizer"]

Options = GenerationOptions | dict[str, Any] | None
Arguments = dict[str, Any]


class Personalizer:
    """Infers a summary from a user's signals and answers prompts with it.

    Thread-safe. Every verb has an async twin. Signals may be given as anything `as_signals` takes, or as a ready
    `PreferenceSummary`. Summaries are cached by a digest of the evidence and of all that decides the summary.

    Args:
        inferrer: `local` (the best measured one that runs offline), `heuristic`, any backend string (a
            `PromptedInferrer` over it), or an object.
        generator: `local`, `llamacpp:PATH.gguf`, `openai:MODEL`, `anthropic:MODEL`, `compatible:MODEL@URL`, or an
            object. What is built from a string here is closed here; an object stays yours to close.
        budget: Most tokens of a summary, counted by the generator's tokenizer (as UTF-8 bytes where it has none,
            or by a trained inferrer's own).
        options: How to generate; what a call says of it goes before.
        timeout: Seconds for one try of a request, unless a call says otherwise; None for the backend's own.
        max_retries: Further tries, unless a call says otherwise; None for the backend's own.
        cache_size: Summaries kept in memory.

    Raises:
        ConfigurationError: If a backend is unknown or misses a model, a key, a URL or an extra.
    """

    def __init__(
        self,
        inferrer: str | PreferenceInferrer | Generator = "local",
        generator: str | Generator = "local",
        *,
        budget: int = DEFAULT_BUDGET,
        options: Options = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        cache_size: int = 1_024,
    ) -> None:
        for name, value in (("budget", budget), ("cache_size", cache_size)):
            if value < 1:
                raise ConfigurationError(f"{name}={value} must be at least 1.")
        self.budget = budget
        self.options = as_options(options)
        self.timeout = timeout
        self.max_retries = max_retries
        self.generator = create_generator(generator)
        self.inferrer = create_inferrer(inferrer)
        self._owned = [
            built for built, given in ((self.inferrer, inferrer), (self.generator, generator)) if isinstance(given, str)
        ]
        self._cache = SummaryCache(cache_size)

    @classmethod
    def from_pretrained(
        cls,
        directory: str | Path,
        *,
        engine: Literal["transformers", "llamacpp"] = "transformers",
        base_model: str | Path | None = None,
        gguf: str | Path | None = None,
        backend: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Both halves that training wrote: the inferrer, and the generator that learnt to read its summaries.

        Two adapters share one copy of their base: it is loaded once, and they take turns.

        Args:
            directory: What `PopiTrainer.save_pretrained` wrote, or its id on the hub, `owner/name`.
            engine: `transformers`, or `llamacpp`: the embedded engine, with the adapters converted once into the cache.
            base_model: Where the base's weights lie, if not where they lay in training; they must be the same.
            gguf: For `llamacpp`, a GGUF of the base, where it was trained on something else or in another precision.
            backend: Options of the engine for both: `dtype`, `device`, `batch_size`, `timeout`; for `llamacpp`
                `context`, `threads`, `timeout`.
            options: As for the constructor; `budget` is the one it was trained for unless said otherwise.

        Raises:
            ConfigurationError: If the directory is not there or has no inferrer; at first use, if its base has other
                weights now.
            MissingExtraError: At first use, if the extra `hf` is not installed (for `llamacpp`, `local` too).
        """
        from ..inferrers.trained import TrainedInferrer, part_generator

        backend = backend or {}
        inferrer = TrainedInferrer(directory, engine=engine, base_model=base_model, gguf=gguf, **backend)
        trained = inferrer.trained
        generator = part_generator(trained, trained.generator_path, engine=engine, gguf=gguf, **backend)
        built = cls(inferrer, generator, **{"budget": trained.budget} | options)
        built._owned = [built.inferrer, built.generator]
        return built

    def infer(
        self,
        signals: Any,
        *,
        budget: int | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> PreferenceSummary:
        """Summarise a user's preferences; a summary is returned as it is.

        Args:
            signals: The user's signals, or a ready summary.
            budget: Most tokens of the summary.
            timeout: Seconds for one try, where a model is asked.
            max_retries: Further tries, where a model is asked.

        Raises:
            SignalError: If the signals are empty or malformed.
            BackendError: If a model was asked and failed.
        """
        if isinstance(signals, PreferenceSummary):
            return signals
        known, evidence = read_evidence(signals)
        call = self._infer_arguments(budget, timeout, max_retries)
        return self._cache.get(
            self._key(evidence, call["budget"]),
            lambda: self.inferrer.infer(known, **call),
            terms=(timeout, max_retries),
        )

    async def ainfer(
        self,
        signals: Any,
        *,
        budget: int | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> PreferenceSummary:
        """`infer`, awaited."""
        if isinstance(signals, PreferenceSummary):
            return signals
        known, evidence = await aread_evidence(signals)
        call = self._infer_arguments(budget, timeout, max_retries)
        return await self._cache.aget(
            self._key(evidence, call["budget"]),
            lambda: self.inferrer.ainfer(known, **call),
            terms=(timeout, max_retries),
        )

    def personalize(
        self,
        signals: Any,
        prompt: Prompt,
        *,
        budget: int | None = None,
        options: Options = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> PersonalizedResponse:
        """Answer a prompt the way this user likes it.

        Args:
            signals: The user's signals, or a ready summary.
            prompt: A string, or messages (system prompt, history, the question last).
            budget: Most tokens of the summary; a ready one is used as it is.
            options: How to generate; what they leave out is as in the constructor.
            timeout: Seconds for one try of a request.
            max_retries: Further tries after the first.

        Raises:
            UsageError: If the signals, the prompt or the options cannot be used.
            BackendError: If a backend failed.
        """
        started = time.perf_counter()
        plain = render_plain(prompt)
        summary = self.infer(signals, budget=budget, timeout=timeout, max_retries=max_retries)
        messages = render_with_summary(prompt, summary)
        generation = self.generator.generate(messages, **self._generate_arguments(options, timeout, max_retries))
        return self._response(summary, plain, messages, generation, started)

    async def apersonalize(
        self,
        signals: Any,
        prompt: Prompt,
        *,
        budget: int | None = None,
        options: Options = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> PersonalizedResponse:
        """`personalize`, awaited."""
        started = time.perf_counter()
        plain = render_plain(prompt)
        summary = await self.ainfer(signals, budget=budget, timeout=timeout, max_retries=max_retries)
        messages = render_with_summary(prompt, summary)
        generation = await self.generator.agenerate(messages, **self._generate_arguments(options, timeout, max_retries))
        return await self._aresponse(summary, plain, messages, generation, started)

    def stream(
        self,
        signals: Any,
        prompt: Prompt,
        *,
        budget: int | None = None,
        options: Options = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> PersonalizedStream:
        """`personalize`, piece by piece: iterate for the text, then read `result`."""
        started = time.perf_counter()
        plain = render_plain(prompt)
        summary = self.infer(signals, budget=budget, timeout=timeout, max_retries=max_retries)
        messages = render_with_summary(prompt, summary)
        source = self.generator.stream(messages, **self._generate_arguments(options, timeout, max_retries))

        def pieces() -> Iterator[str | PersonalizedResponse]:
            with source:
                yield from source
                yield self._response(summary, plain, messages, source.result, started)

        return PersonalizedStream(pieces(), summary, source)

    def astream(
        self,
        signals: Any,
        prompt: Prompt,
        *,
        budget: int | None = None,
        options: Options = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> AsyncPersonalizedStream:
        """`stream`, for `async for`."""
        started = time.perf_counter()
        plain = render_plain(prompt)
        arguments = self._generate_arguments(options, timeout, max_retries)

        async def pieces() -> AsyncGenerator[str | PreferenceSummary | PersonalizedResponse]:
            summary = await self.ainfer(signals, budget=budget, timeout=timeout, max_retries=max_retries)
            yield summary
            messages = render_with_summary(prompt, summary)
            async with self.generator.astream(messages, **arguments) as source:
                async for piece in source:
                    yield piece
                yield await self._aresponse(summary, plain, messages, source.result, started)

        return AsyncPersonalizedStream(pieces())

    def batch(
        self,
        items: Iterable[Job],
        *,
        concurrency: int = 8,
        budget: int | None = None,
        options: Options = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> list[Result]:
        """Answer many prompts, several at a time.

        Args:
            items: Pairs (signals or summary, prompt).
            concurrency: How many run at once; a backend that can do fewer is not asked for more.
            budget: As in `personalize`.
            options: As in `personalize`.
            timeout: As in `personalize`.
            max_retries: As in `personalize`.

        Returns:
            In the order of the items: a response, or the `PopiError` of an item that failed. Others go on.

        Raises:
            UsageError: If an item is not a pair, or the concurrency is not positive.
        """
        jobs = as_jobs(items)
        count = workers(concurrency, len(jobs), self.generator.max_concurrency)
        call: Arguments = {"budget": budget, "options": options, "timeout": timeout, "max_retries": max_retries}
        as_options(options)  # a mistake in them is the batch's, not each item's
        return run(jobs, lambda job: self.personalize(*job, **call), count)

    async def abatch(
        self,
        items: Iterable[Job],
        *,
        concurrency: int = 8,
        budget: int | None = None,
        options: Options = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> list[Result]:
        """`batch`, awaited."""
        jobs = as_jobs(items)
        count = workers(concurrency, len(jobs), self.generator.max_concurrency)
        call: Arguments = {"budget": budget, "options": options, "timeout": timeout, "max_retries": max_retries}
        as_options(options)  # a mistake in them is the batch's, not each item's
        return await run_async(jobs, lambda job: self.apersonalize(*job, **call), count)

    def close(self) -> None:
        """Close what was built from a string; objects that were passed in stay open."""
        with ExitStack() as stack:  # all of it, also where closing one fails
            for built in self._owned:
                stack.callback(built.close)

    async def aclose(self) -> None:
        """`close`, awaited."""
        async with AsyncExitStack() as stack:
            for built in self._owned:
                stack.push_async_callback(built.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"Personalizer(inferrer={self.inferrer!r}, generator={self.generator!r}, budget={self.budget})"

    def _key(self, evidence: str, budget: int) -> str:
        return digest(evidence, self.inferrer.identity, self.generator.tokenizer, str(budget))

    def _infer_arguments(self, budget: int | None, timeout: float | None, max_retries: int | None) -> Arguments:
        return {
            "budget": self.budget if budget is None else budget,
            "counter": self.generator,
            **self._limits(timeout, max_retries),
        }

    def _generate_arguments(self, options: Options, timeout: float | None, max_retries: int | None) -> Arguments:
        if options is None:
            return {"options": self.options, **self._limits(timeout, max_retries)}
        given = as_options(options)
        said = {name: getattr(given, name) for name in given.model_fields_set}
        return {"options": self.options.model_copy(update=said), **self._limits(timeout, max_retries)}

    def _limits(self, timeout: float | None, max_retries: int | None) -> Arguments:
        return {
            "timeout": self.timeout if timeout is None else timeout,
            "max_retries": self.max_retries if max_retries is None else max_retries,
        }

    def _keep_warm(self, inferred: bool) -> None:
        """Leave engines running that were started for a backend string; one that was passed in is its owner's."""
        for built in self._owned:
            backend = built.generator if isinstance(built, PromptedInferrer) and inferred else built
            if isinstance(backend, Generator):
                backend.keep_warm()

    def _response(
        self,
        summary: PreferenceSummary,
        plain: list[Message],
        messages: list[Message],
        generation: Generation,
        started: float,
    ) -> PersonalizedResponse:
        latency = time.perf_counter() - started
        count = self.generator.count_prompt_tokens
        return PersonalizedResponse(
            text=generation.text,
            summary=summary,
            context_tokens=count(messages) - count(plain),
            counted_by=self.generator.tokenizer,
            latency=latency,
            generation=generation,
        )

    async def _aresponse(
        self,
        summary: PreferenceSummary,
        plain: list[Message],
        messages: list[Message],
        generation: Generation,
        started: float,
    ) -> PersonalizedResponse:
        if self.generator.max_concurrency is None:  # counts in memory; an engine is asked in a thread
            return self._response(summary, plain, messages, generation, started)
        import asyncio

        return await asyncio.to_thread(self._response, summary, plain, messages, generation, started)
