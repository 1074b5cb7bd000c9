"""One joint step against stock TRL doing the same work, SmolLM2 in bfloat16: `python -m benchmarks.train_step`.

Targets: at least 3 times as fast, peak memory at most 0.7 of the rival's.

The work, the same on both sides: 2 users, 8 summaries each. The inferrer reads 396 and 404 tokens, template included,
and writes 48; a pair is 120 tokens: the plain prompt with its template 40, both answers 40 each. A summary's reward is
the negative DPO loss of one pair behind it, half of it by the generator and half by the frozen base (`reward_frozen`);
the generator takes a step on the same pairs, the inferrer one of GRPO with a divergence term. LoRA adapters of rank 8
on all linear layers, no gradient checkpointing, the same threads.

- ours: `PopiTrainer`, schedule `joint`, as it comes.
- stock: `GRPOTrainer` with a plain reward function, and `DPOTrainer` on the same summaries, each with a model and an
  adapter of its own, in micro-batches of 8, which is TRL's default. The reward function scores padded batches with the
  head that TRL itself uses, which never holds the logits of a batch; the pairs' reference is known beforehand. What a
  second trainer costs beside its step (data set, log, checkpoint) is left out.

On a GPU: `POPI_BENCH_DEVICE=cuda`; `POPI_BENCH_USERS=16` fills it better. There the rival's micro-batches hold up to 32
rows, time is read after the device is done, and memory is the device's.

Both sides sample 48 tokens, none of which ends; then the same written summaries take their place, so that all that
follows is equal, token by token, and its outcome can be compared. Each side is a process of its own; they take turns,
step by step. A ratio is the median over the rounds of (stock / ours), by processor time, and by the clock in brackets.
"""

from __future__ import annotations

import functools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from popi_sdk.data import HeldOutPair, UserRecord
from popi_sdk.models.causal_lm import CausalLM, load_causal_lm

from .report import ROOT, table, verdict

_VARIABLE = "POPI_BENCH_LOUD"
_LOUD = bool(os.environ.get(_VARIABLE))
"""Whether to show what the sides say, and every step's figures as they come."""

DEVICE = os.environ.get("POPI_BENCH_DEVICE", "cpu")
ROUNDS = 3
USERS, GROUP, SUMMARY, PLAIN, ANSWER = int(os.environ.get("POPI_BENCH_USERS", "2")), 8, 48, 40, 40
REQUESTS = (
    396,
    404,
)  # two lengths, as users have: with equal ones transformers takes a slower way, on the rival's side too
MICRO_BATCH = 8 if DEVICE == "cpu" else min(32, USERS * GROUP)
SIDES = ("ours", "stock")
PHASES = ("sampling", "reward and theta", "KL reference", "policy", "other")
ROWS = USERS * GROUP
TOKENS = {
    "sampling": ROWS * SUMMARY,
    "reward and theta": ROWS * 2 * ANSWER,
    "KL reference": ROWS * SUMMARY,
    "policy": ROWS * SUMMARY,
}
"""What a phase samples, scores or learns from: the same on both sides, however often what comes before is read."""
WORDS = (
    *("fox", "wolf", "bear", "cat", "dog", "horse", "cow", "sheep", "fish", "bird", "tree", "river", "house", "road"),
    *("light", "night", "morning", "story", "book", "song", "game", "food", "water", "fire", "stone", "wind", "rain"),
)
OPTIONS: dict[str, Any] = {
    "steps": ROUNDS + 1,
    "users_per_step": USERS,
    "group_size": GROUP,
    "pairs_per_summary": 1,
    "budget": SUMMARY,
    "eval_every": 0,
    "warmup": 0.0,
}


class Endless(CausalLM):
    """A model whose answers go on: every summary has the same length."""

    @property
    def stop_ids(self) -> tuple[int, ...]:
        return ()


class Phases:
    """Time by phase; while an inner one lasts, the outer one stands still."""

    def __init__(self) -> None:
        self._open = ["other"]
        self._last = self._now()
        self.spent: dict[str, list[float]] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._book()
        self._open.append(name)
        try:
            yield
        finally:
            self._book()
            self._open.pop()

    def wrap(self, owner: Any, name: str, phase: Callable[[], str]) -> None:
        """Let every call of a method count for a phase."""
        inner = getattr(owner, name)

        @functools.wraps(inner)
        def timed(*args: Any, **options: Any) -> Any:
            with self(phase()):
                return inner(*args, **options)

        setattr(owner, name, timed)

    def restart(self) -> None:
        self.spent, self._last = {}, self._now()

    def report(self, **more: Any) -> None:
        """One line for the parent; then wait for its word to go on."""
        self._book()
        print(json.dumps({"spent": self.spent, "peak": _peak(), **more}), file=sys.__stdout__, flush=True)
        if not sys.stdin.readline():
            sys.exit()
        self.restart()

    def _book(self) -> None:
        now = self._now()
        cell = self.spent.setdefault(self._open[-1], [0.0, 0.0])
        for index in range(2):
            cell[index] += now[index] - self._last[index]
        self._last = now

    @staticmethod
    def _now() -> tuple[float, float]:
        if DEVICE != "cpu":
            import torch

            torch.cuda.synchronize()
        return time.process_time(), time.perf_counter()


def _peak() -> int:
    """Most memory so far, MiB: of the process, or of the device."""
    if DEVICE != "cpu":
        import torch

        return int(torch.cuda.max_memory_allocated()) // 2**20
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024


def text_of(lm: CausalLM, rng: random.Random, tokens: int) -> str:
    """Words that make so many tokens."""
    text = "They"
    while len(lm.chat.encode_text(text + ".")) < tokens:
        text += " " + rng.choice(WORDS)
    assert len(lm.chat.encode_text(text + ".")) == tokens, text
    return text + "."


def fitted(lm: CausalLM, rng: random.Random, tokens: int, encoded: Callable[[str], Sequence[int]]) -> str:
    """Words, of which what is made has so many tokens."""
    least = len(lm.chat.encode_text("They fox."))
    text = text_of(lm, rng, tokens - len(encoded("They fox.")) + least)
    assert len(encoded(text)) == tokens, len(encoded(text))
    return text


def records(lm: CausalLM) -> list[UserRecord]:
    from popi_sdk.prompts import render_plain
    from popi_sdk.train.config import TrainConfig
    from popi_sdk.train.examples import Encoder

    encoder = Encoder(lm, budget=SUMMARY, input_budget=TrainConfig().input_budget)
    found = []
    for number in range(USERS):
        rng = random.Random(number)
        pair = HeldOutPair(
            prompt=fitted(lm, rng, PLAIN, lambda text: lm.encode_prompt(render_plain(text))),
            chosen=fitted(lm, rng, ANSWER, lm.encode_response),
            rejected=fitted(lm, rng, ANSWER, lm.encode_response),
        )
        signals = [text_of(lm, rng, 24) for _ in range(4)]

        def user(text: str) -> UserRecord:
            return UserRecord(user_id=str(number), signals=[*signals, text], pairs=[pair])  # noqa: B023

        last = fitted(
            lm, rng, REQUESTS[number % len(REQUESTS)], lambda text: encoder.examples([user(text)])[0].request_ids
        )
        found.append(user(last))
    return found


def written(lm: CausalLM, step: int) -> list[list[int]]:
    """The summaries of a step, by user and number: what replaces those that were sampled."""
    rng = random.Random(f"summaries/{step}")
    return [lm.chat.encode_text(text_of(lm, rng, SUMMARY)) for _ in range(USERS * GROUP)]


def load() -> CausalLM:
    lm = load_causal_lm(dtype="bfloat16", device=DEVICE)
    return Endless(lm.model, lm.tokenizer, name=lm.name, identity=lm.identity)


def ours() -> None:
    from popi_sdk.train import PopiTrainer, as_train_config, joint
    from popi_sdk.train.learner import GeneratorLearner
    from popi_sdk.train.policy import PackedGRPOTrainer
    from popi_sdk.train.rollout import Sample

    lm, phases = load(), Phases()
    rewards: list[float] = []
    sample, reward = joint.sample_summaries, joint.Step.reward

    def scripted(networks: Any, encoder: Any, examples: Any, *, count: int, **options: Any) -> list[list[Sample]]:
        found = sample(networks, encoder, examples, count=count, **options)
        assert all(len(one.ids) == SUMMARY for row in found for one in row)
        samples = [Sample(tuple(ids), encoder.summary(ids)) for ids in written(lm, len(trainer.history))]
        return [samples[int(one.user_id) * count :][:count] for one in examples]

    def kept(self: Any, *, example: Sequence[int], **options: Any) -> list[float]:
        found = reward(self, example=example, **options)
        rewards[:] = [found[at] for at in sorted(range(len(found)), key=lambda at: example[at])]
        return found

    joint.sample_summaries = scripted
    joint.Step.reward = kept  # type: ignore[method-assign]
    phases.wrap(joint, "sample_summaries", lambda: "sampling")
    phases.wrap(GeneratorLearner, "margins", lambda: "reward and theta")
    phases.wrap(GeneratorLearner, "learn", lambda: "reward and theta")
    wrap_grpo(phases, PackedGRPOTrainer)
    trainer = PopiTrainer(
        as_train_config(**OPTIONS), records(lm), model=lm, progress=lambda _: phases.report(rewards=rewards)
    )
    phases.report()
    trainer.train()


def wrap_grpo(phases: Phases, trainer: Any) -> None:
    import torch

    phases.wrap(
        trainer,
        "_get_per_token_logps_and_entropies",
        lambda: "policy" if torch.is_grad_enabled() else "KL reference",
    )
    phases.wrap(trainer, "training_step", lambda: "policy")
    phases.wrap(trainer, "_prepare_inputs", lambda: "other")


def stock() -> None:
    from .train_step_stock import run

    run(load(), Phases())


class Worker:
    """A side in its process, waiting for the word."""

    def __init__(self, side: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.train_step", "--side", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if _LOUD else subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        )
        self.side = side
        self._read()

    def step(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._read()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"The side {self.side} ended early. {_VARIABLE}=1 shows what it says.")
        found: dict[str, Any] = json.loads(line)
        return found


def measure(rounds: int) -> dict[str, list[dict[str, Any]]]:
    """What each side reports, by step; the first one is to warm up."""
    workers = [Worker(side) for side in SIDES]
    try:
        steps: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(rounds + 1):
            for worker in workers:
                steps[worker.side].append(worker.step())
                if _LOUD:
                    print(worker.side, json.dumps(steps[worker.side][-1]), file=sys.stderr, flush=True)
    finally:
        for worker in workers:
            worker.stop()
    # In bfloat16 a margin carries some 0.3 nats of noise.
    gaps = [abs(one - other) for one, other in zip(*(steps[side][0]["rewards"] for side in SIDES), strict=True)]
    assert statistics.fmean(gaps) < 0.3, f"The sides do not do the same work: their rewards differ by {gaps}."
    return steps


def main(rounds: int = ROUNDS) -> None:
    steps = measure(rounds)
    timed = {side: found[1:] for side, found in steps.items()}

    def seconds(step: dict[str, Any], phases: Sequence[str], kind: int) -> float:
        return sum(step["spent"].get(phase, (0, 0))[kind] for phase in phases)

    def row(name: str, phases: Sequence[str]) -> tuple[str, ...]:
        ratios = []
        for kind in range(2):
            pairs = [[seconds(timed[side][at], phases, kind) for side in SIDES] for at in range(rounds)]
            ratios.append(statistics.median(stock / own for own, stock in pairs))
        rates, shares = [], []
        for side in SIDES:
            spent = [
                (seconds(step, phases, 0), seconds(step, PHASES, 0), seconds(step, phases, 1)) for step in timed[side]
            ]
            shares.append(statistics.median(part / whole for part, whole, _ in spent))
            rates.append(statistics.median(TOKENS[name] / clock for *_, clock in spent) if name in TOKENS else None)
        return (
            name,
            f"{ratios[0]:.2f} ({ratios[1]:.2f})",
            *(f"{share:.0%}" for share in shares),
            " / ".join("-" if rate is None else f"{rate:,.0f}" for rate in rates),
            verdict(ratios[0], at_least=3) if phases is PHASES else "-",
        )

    import torch

    where = f"{torch.get_num_threads()} threads" if DEVICE == "cpu" else torch.cuda.get_device_name()
    table(
        f"One joint step of {USERS} users, {where}, median of {rounds}, load {os.getloadavg()[0]:.1f}",
        (
            "what",
            "stock / ours by processor time (by the clock)",
            "share of our step",
            "of the stock step",
            "tokens/s, ours / stock",
            "target",
        ),
        [*(row(phase, [phase]) for phase in PHASES), row("**all**", PHASES)],
    )
    peaks = {side: max(step["peak"] for step in found) for side, found in steps.items()}
    share = peaks["ours"] / peaks["stock"]
    table(
        "Peak memory of the process, all included" if DEVICE == "cpu" else "Peak memory of the device, by tensors",
        (*(f"{side}, MiB" for side in SIDES), "ours / stock", "target"),
        [(*(f"{peaks[side]:,}" for side in SIDES), f"{share:.2f}", verdict(share, at_most=0.7))],
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        sys.stdout = sys.stderr  # trainers print there; the parent reads figures
        {"ours": ours, "stock": stock}[sys.argv[2]]()
    else:
        main(*map(int, sys.argv[1:]))  # fewer rounds, where time is short
