"""What a batch of the `hf` backend is worth: `python -m benchmarks.hf_batch`.

Target: 32 prompts in one batch reach at least 4 times the tokens per second of the same prompts one by one. Same model
(the default one), same process, same number of tokens for every answer; both sides in turn. Beside `generate_batch`:
`Personalizer.batch`, whose calls come from threads and are collected by the worker.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence

from popi_sdk import Generation, GenerationOptions, PersonalizedResponse, Personalizer, PopiError
from popi_sdk.generators.hf import HfGenerator
from popi_sdk.testing import FixedInferrer

from .report import spread, table, verdict

PROMPTS = 32
ALONE = 8
TOKENS = 32
ROUNDS = 3
SUMMARY = "They like long stories, told slowly, with many details."
HEROES = (
    *("fox", "wolf", "bear", "hare", "owl", "crow", "swan", "goose", "mouse", "cat", "dog", "horse", "cow", "goat"),
    *("sheep", "pig", "whale", "shark", "salmon", "crab", "snail", "bee", "ant", "moth", "spider", "lizard", "frog"),
    *("toad", "snake", "tiger", "lion", "zebra"),
)
Answer = Generation | PersonalizedResponse | PopiError
OPTIONS = GenerationOptions(max_tokens=TOKENS)


def main() -> None:
    for dtype in ("bfloat16", "float32"):
        with HfGenerator(dtype=dtype, batch_size=PROMPTS, timeout=3600) as generator:
            measure(generator, dtype)


def measure(generator: HfGenerator, dtype: str) -> None:
    prompts = [f"Tell me a very long story about a {hero} who leaves home." for hero in HEROES]
    with Personalizer(FixedInferrer(SUMMARY), generator) as popi:
        summary = popi.infer(["I like long stories."])
        items = [(summary, prompt) for prompt in prompts]
        ways: dict[str, Callable[[], Sequence[Answer]]] = {
            f"`generate`, one by one (the first {ALONE})": lambda: [
                generator.generate(prompt, OPTIONS) for prompt in prompts[:ALONE]
            ],
            "`generate_batch`": lambda: generator.generate_batch(prompts, OPTIONS),
            "`Personalizer.batch`, with a summary": lambda: popi.batch(items, concurrency=PROMPTS, options=OPTIONS),
        }
        generator.generate_batch(prompts[:2], OPTIONS)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                rates[name].append(rate(way, same="summary" not in name))
    show(rates, dtype)


def rate(way: Callable[[], Sequence[Answer]], *, same: bool) -> float:
    """Tokens per second; `same`: each answer must have the same number of them."""
    started = time.perf_counter()
    answers = way()
    seconds = time.perf_counter() - started
    made = []
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
        made.append(answer.usage.output_tokens or 0)
    if same and set(made) != {TOKENS}:
        raise SystemExit(f"Not every answer has {TOKENS} tokens: {made}")
    return sum(made) / seconds


def show(rates: dict[str, list[float]], dtype: str) -> None:
    base = statistics.median(next(iter(rates.values())))
    table(
        f"{PROMPTS} answers of {TOKENS} tokens, SmolLM2 in {dtype}, median of {ROUNDS}, load {os.getloadavg()[0]:.1f}",
        ("what", "tokens/s", "/ one by one", "target"),
        [
            (
                name,
                spread(values, "", 0),
                f"{statistics.median(values) / base:.1f}",
                verdict(statistics.median(values) / base, at_least=4) if "generate_batch" in name else "-",
            )
            for name, values in rates.items()
        ],
    )


if __name__ == "__main__":
    main()
