"""What the facade costs beside the bare SDK, against a stub that answers after 50 ms: `python -m benchmarks.overhead`.

Targets: `personalize` with a ready summary takes at most 1.05 of the bare openai SDK's call (p50), and `abatch` of
1,000 prompts at concurrency 64 reaches at least 0.95 of the throughput of hand-written asyncio over the bare SDK. Both
sides run in turn in one process against one stub.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import openai

from popi_sdk import Personalizer
from popi_sdk.generators import create_generator
from popi_sdk.testing import FixedInferrer

from .report import ROOT, spread, table, verdict

CALLS = 200
PROMPTS = 1_000
CONCURRENCY = 64
ROUNDS = 5
PROMPT = "How does HTTPS work?"
SUMMARY = "Keep answers short: one or two sentences. Use everyday words. Start with the answer."


@contextmanager
def stub() -> Iterator[str]:
    """The base URL of a running stub."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.stub"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def one_call(url: str) -> None:
    """p50 of one call, ours and bare in turn."""
    seconds: dict[str, list[float]] = {"bare openai SDK": [], "openai": [], "compatible": []}
    with (
        openai.OpenAI(api_key="stub", base_url=url, max_retries=0) as client,
        Personalizer(FixedInferrer(SUMMARY), f"openai:stub@{url}") as sdk,
        Personalizer(FixedInferrer(SUMMARY), f"compatible:stub@{url}") as compatible,
    ):
        summary = sdk.infer(["Keep it short."])

        def bare() -> None:
            client.chat.completions.create(model="stub", messages=[{"role": "user", "content": PROMPT}], max_tokens=512)

        verbs = {
            "bare openai SDK": bare,
            "openai": lambda: sdk.personalize(summary, PROMPT),
            "compatible": lambda: compatible.personalize(summary, PROMPT),
        }
        for number in range(CALLS + 10):
            for name, call in verbs.items():
                started = time.perf_counter()
                call()
                if number >= 10:
                    seconds[name].append(time.perf_counter() - started)
    base = statistics.median(seconds["bare openai SDK"])
    table(
        f"One call, p50 of {CALLS}",
        ("what", "milliseconds, p50", "/ bare openai SDK", "target"),
        [
            (
                name,
                f"{statistics.median(values) * 1e3:.2f}",
                f"{statistics.median(values) / base:.3f}",
                "-" if name.startswith("bare") else verdict(statistics.median(values) / base, at_most=1.05),
            )
            for name, values in seconds.items()
        ],
    )


async def by_hand(url: str) -> float:
    """Prompts per second of asyncio over the bare SDK."""
    gate = asyncio.Semaphore(CONCURRENCY)
    async with openai.AsyncOpenAI(api_key="stub", base_url=url, max_retries=0) as client:

        async def one() -> str | None:
            async with gate:
                answer = await client.chat.completions.create(
                    model="stub", messages=[{"role": "user", "content": PROMPT}], max_tokens=512
                )
                return answer.choices[0].message.content

        started = time.perf_counter()
        answers = await asyncio.gather(*(one() for _ in range(PROMPTS)))
        seconds = time.perf_counter() - started
    assert all(answers)
    return PROMPTS / seconds


async def by_batch(spec: str) -> float:
    """Prompts per second of `abatch`."""
    async with Personalizer(FixedInferrer(SUMMARY), create_generator(spec)) as popi, popi.generator:
        summary = popi.infer(["Keep it short."])
        started = time.perf_counter()
        answers = await popi.abatch([(summary, PROMPT)] * PROMPTS, concurrency=CONCURRENCY)
        seconds = time.perf_counter() - started
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return PROMPTS / seconds


async def batches(url: str) -> None:
    """Throughput, ours and by hand in turn."""
    rates: dict[str, list[float]] = {"asyncio over the bare openai SDK": [], "openai": [], "compatible": []}
    for _ in range(ROUNDS + 1):
        rates["asyncio over the bare openai SDK"].append(await by_hand(url))
        rates["openai"].append(await by_batch(f"openai:stub@{url}"))
        rates["compatible"].append(await by_batch(f"compatible:stub@{url}"))
    base = statistics.median(rates["asyncio over the bare openai SDK"][1:])
    table(
        f"`abatch` of {PROMPTS:,} prompts at concurrency {CONCURRENCY}, median of {ROUNDS}",
        ("what", "prompts/s", "/ by hand", "target"),
        [
            (
                name,
                spread(values[1:], "", 0),
                f"{statistics.median(values[1:]) / base:.2f}",
                "-" if name.startswith("asyncio") else verdict(statistics.median(values[1:]) / base, at_least=0.95),
            )
            for name, values in rates.items()
        ],
    )


def main() -> None:
    with stub() as url:
        one_call(url)
        asyncio.run(batches(url))


if __name__ == "__main__":
    main()
