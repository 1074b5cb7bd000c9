"""Prefix-shared against padded scoring, SmolLM2 in bfloat16: `python -m benchmarks.scoring`.

Targets, forward alone and with the backward pass: pairs of 60 tokens after 100 shared ones at least 1.5 times as fast,
after 600 at least 1.5 times, 8 continuations of 40 tokens after 400 at least 3.5 times; peak memory not higher. The
rival of the targets is "textbook", what one writes at first; a stronger one stands beside it.

Three sides score the same token ids with the same model in turn, in one process:

- shared: `score_queries`, as it comes.
- padded: the strongest rival we know, `score_queries(packed=False)`. Every continuation stands behind its own copy of
  the prefix; sequences are sorted by length, padded on the right and read without a mask, which causal attention does
  not need; logits are taken at response positions only, by the same code as in the shared side.
- textbook: all sequences in one batch in the order given, padded on the right, with an attention mask, logits of all
  positions from the model's own call, and log_softmax in float32 at the response positions.

A ratio is the median over the rounds of (rival / shared), each taken within one round, as load drifts; where other work
keeps the cores busy, the ratio of processor time is the steadier one. With the
backward pass a side holds the graph of what its micro-batch of queries needs, as a loss over pairs or groups must.
"""

from __future__ import annotations

import ctypes
import gc
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.scoring import Query, microbatches, score_queries, score_queries_with_grad

from .report import ROOT, spread, table, verdict

import torch  # isort: skip - after popi_sdk, which sets its threads up

ROUNDS = 5
PEAKS = 3  # fresh processes a side: what the allocator keeps differs from one to the next
BUDGET = 2_048
CASES = {
    "pairs of 60 tokens after 100 shared": (4, 100, 2, 60, 0.0, 1.5),
    "the same, lengths +- 50 %": (6, 100, 2, 60, 0.5, 1.5),
    "pairs of 60 tokens after 600 shared": (1, 600, 2, 60, 0.0, 1.5),
    "8 continuations of 40 tokens after 400": (1, 400, 8, 40, 0.0, 3.5),
}
"""Queries, tokens of the prefix, continuations, their tokens, how much lengths vary, target."""

Side = Callable[[Any, list[Query], bool], list[list[float]]]


def inputs(case: str, seed: int = 0) -> list[Query]:
    count, prefix, continuations, length, vary, _ = CASES[case]
    rng = random.Random(seed)

    def ids(mean: int) -> tuple[int, ...]:
        tokens = rng.randint(round(mean * (1 - vary)), round(mean * (1 + vary)))
        return tuple(rng.randrange(100, 49_000) for _ in range(tokens))

    return [Query(ids(prefix), tuple(ids(length) for _ in range(continuations))) for _ in range(count)]


def ours(packed: Any) -> Side:
    def side(model: Any, queries: list[Query], backward: bool) -> list[list[float]]:
        if not backward:
            return score_queries(model, queries, token_budget=BUDGET, packed=packed)
        results: list[list[float]] = [[] for _ in queries]
        for batch in microbatches(queries, BUDGET):
            scores = score_queries_with_grad(
                model, [queries[index] for index in batch], token_budget=BUDGET, packed=packed
            )
            torch.cat(scores).sum().backward()
            for index, row in zip(batch, scores, strict=True):
                results[index] = row.tolist()
        return results

    return side


def textbook(model: Any, queries: list[Query], backward: bool) -> list[list[float]]:
    results = []
    for batch in [queries[start : start + 4] for start in range(0, len(queries), 4)]:
        pairs = [(query.prefix, continuation) for query in batch for continuation in query.continuations]
        longest = max(len(prefix) + len(continuation) for prefix, continuation in pairs)
        rows = [[*prefix, *continuation] for prefix, continuation in pairs]
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        response = torch.zeros_like(ids, dtype=torch.bool)
        for line, (prefix, continuation) in enumerate(pairs):
            response[line, len(prefix) - 1 : len(prefix) + len(continuation) - 1] = True
        with torch.set_grad_enabled(backward):
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[response]
            tokens = logits.float().log_softmax(-1).gather(-1, ids.roll(-1, 1)[response][:, None])[:, 0]
            sums = torch.zeros(len(rows)).index_add(0, response.nonzero()[:, 0], tokens)
        if backward:
            sums.sum().backward()
        values = sums.tolist()
        for query in batch:
            results.append(values[: len(query.continuations)])
            del values[: len(query.continuations)]
    return results


SIDES: dict[str, Side] = {"shared": ours("auto"), "padded": ours(False), "textbook": textbook}


def timed(model: Any, case: str, backward: bool) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds by the clock and of the processors, by side and round."""
    queries = inputs(case)
    clock: dict[str, list[float]] = {name: [] for name in SIDES}
    work: dict[str, list[float]] = {name: [] for name in SIDES}
    sums = {}
    for number in range(ROUNDS + 1):
        for name, side in SIDES.items():
            model.zero_grad(set_to_none=True)
            started, worked = time.perf_counter(), time.process_time()
            sums[name] = side(model, queries, backward)
            if number:
                clock[name].append(time.perf_counter() - started)
                work[name].append(time.process_time() - worked)
    flat = {name: torch.tensor([value for row in rows for value in row]) for name, rows in sums.items()}
    assert all(torch.allclose(flat["shared"], other, rtol=0.01, atol=3) for other in flat.values()), flat
    return clock, work


def ratio(seconds: dict[str, list[float]], rival: str) -> float:
    return statistics.median(other / own for other, own in zip(seconds[rival], seconds["shared"], strict=True))


def peak(case: str, side: str, backward: bool) -> int:
    """MiB that a fresh process takes at most beyond its loaded model."""
    arguments = ["-m", "benchmarks.scoring", "--peak", case, side, str(int(backward))]
    return int(
        subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    )


def print_peak(case: str, side: str, backward: bool) -> None:
    model = load_causal_lm(dtype="bfloat16", device="cpu").model
    queries = inputs(case)
    # What is loaded at the first call, and what loading the model left in the heap, belong to no side.
    SIDES[side](model, [Query((5,) * 20, ((6,), (7,)))], backward)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = _status("VmRSS")
    SIDES[side](model, queries, backward)
    print((_status("VmHWM") - before) // 1024)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def row(model: Any, case: str, backward: bool) -> tuple[str, ...]:
    clock, work = timed(model, case, backward)
    memory = {name: statistics.median(peak(case, name, backward) for _ in range(PEAKS)) for name in SIDES}
    return (
        case,
        *(spread(clock[name], digits=2) for name in SIDES),
        f"{ratio(clock, 'padded'):.2f} ({ratio(work, 'padded'):.2f})",
        f"{ratio(clock, 'textbook'):.2f} ({ratio(work, 'textbook'):.2f})",
        verdict(ratio(clock, "textbook"), at_least=CASES[case][-1]),
        " / ".join(f"{memory[name]:,}" for name in SIDES),
    )


def main() -> None:
    model = load_causal_lm(dtype="bfloat16", device="cpu").model
    for backward in (False, True):
        passes = "Forward and backward" if backward else "Forward"
        table(
            f"{passes}, {torch.get_num_threads()} threads, median of {ROUNDS}; in brackets by processor time",
            (
                "what",
                *SIDES,
                "padded / shared",
                "textbook / shared",
                "target, textbook / shared",
                f"peak MiB, {' / '.join(SIDES)}",
            ),
            (row(model, case, backward) for case in CASES),
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print_peak(sys.argv[2], sys.argv[3], sys.argv[4] == "1")
    else:
        main()
