"""How much of a summary's reward is the summary's, and how much the luck of the pairs that judge it?

    python -m benchmarks.reward_noise [TRAINED] [--users N] [--pairs P] [--temperature T] [--keep FILE]

Reinforcement tells a user's summaries apart by what they earn on a few of the user's pairs. For users of StyleWorld who
were not learnt from, in train's wide wordings, TRAINED writes 8 summaries each, and its generator judges every one on
every pair. Then, of each reward:

- reliability: of the variance between a user's summaries, judged on k pairs each, the share that would be there with
  endless pairs, by two-way analysis of variance (summaries by pairs, both random); 95 % intervals over users. With a
  share of 0.1 nine tenths of what reinforcement sees is luck. The frozen base's part of a reward is left out.
- picked: accuracy on the pairs that had no say, of the summary that earned most on k of them: what a perfect step of
  reinforcement would make of it. Beside it a summary drawn at random, and the one that names most of what the user
  cares for (popi_sdk.data.styleworld.naming), right minus wrong.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from popi_sdk.data.styleworld import generate
from popi_sdk.data.styleworld.naming import naming
from popi_sdk.scoring import credit
from popi_sdk.train import PopiTrainer, as_train_config
from popi_sdk.train.learner import Judged
from popi_sdk.train.rollout import sample_summaries

from .report import machine, table

GROUP = 8
OTHERS = 1  # the seed of the users: those of seed 0 were learnt from
SPLITS = 40  # of the pairs into those that have a say and those that have none
RESAMPLES = 1_000


def _dpo(beta: float) -> Callable[[float], float]:
    return lambda delta: -float(np.logaddexp(0.0, -beta * delta)) / beta


REWARDS: dict[str, Callable[[float], float]] = {
    "DPO, beta 0.5": _dpo(0.5),
    "DPO, beta 0.1": _dpo(0.1),
    "DPO, beta 0.01": _dpo(0.01),
    "preferred or not": credit,
}


def judged(trained: str, users: int, pairs: int, temperature: float, dtype: str) -> list[dict[str, Any]]:
    """By user: what each summary names, right minus wrong, and the margins of the pairs behind it."""
    records = list(generate("train", users, seed=OTHERS, pairs=pairs, wide=True))
    trainer = PopiTrainer(as_train_config(start=trained, steps=1, dtype=dtype, budget=64), records)
    learner = trainer._learner(1)
    by_id = {one.user_id: one for one in records}
    found = []
    for at, example in enumerate(trainer.train_examples):
        print(f"user {at + 1} of {len(trainer.train_examples)}", file=sys.stderr, flush=True)
        (samples,) = sample_summaries(
            trainer.networks, trainer.encoder, [example], count=GROUP, temperature=temperature, seed="noise"
        )
        texts = list(dict.fromkeys(one.text for one in samples))
        margins = dict(zip(texts, learner.margins([Judged(text, example.pairs) for text in texts]), strict=True))
        point = by_id[example.user_id].meta["point"]
        says = {text: naming(text, point) for text in texts}
        found.append({
            "user_id": example.user_id,
            "texts": [one.text for one in samples],
            "names": [says[one.text].right - says[one.text].wrong for one in samples],
            "margins": [margins[one.text] for one in samples],
        })  # fmt: skip
    return found


def reliability(rows: Sequence[np.ndarray], pairs: int) -> float:
    """Share of the variance of a mean over so many pairs that is the summary's.

    Of each user's rewards, (summaries, pairs), the mean squares of a two-way layout without replication give the
    variance between summaries, (MS_s - MS_rest) / P, and what is left, MS_rest; both pooled over users.
    """
    between, rest = [], []
    for rewards in rows:
        summaries, judges = rewards.shape
        by_summary, by_pair = rewards.mean(1, keepdims=True), rewards.mean(0, keepdims=True)
        left = rewards - by_summary - by_pair + rewards.mean()
        mean_square = float((left**2).sum()) / ((summaries - 1) * (judges - 1))
        rest.append(mean_square)
        between.append((judges * float(by_summary.var(ddof=1)) - mean_square) / judges)
    own, noise = max(0.0, statistics.fmean(between)), statistics.fmean(rest)
    return own / (own + noise / pairs) if own else 0.0


def spread(rows: Sequence[np.ndarray], pairs: int) -> str:
    """The reliability with its interval: users are drawn again, with replacement."""
    draws = random.Random(0)
    found = [reliability(draws.choices(rows, k=len(rows)), pairs) for _ in range(RESAMPLES)]
    low, high = np.quantile(found, [0.025, 0.975])
    return f"{reliability(rows, pairs):.2f} ({low:.2f}-{high:.2f})"


def picked(
    users: Sequence[Mapping[str, Any]], reward: Callable[[float], float], say: int, draws: random.Random
) -> list[float]:
    """By user: accuracy on the other pairs of the summary that earned most on `say` of them, over `SPLITS` draws."""
    found = []
    for user in users:
        credits = np.array([[credit(delta) for delta in row] for row in user["margins"]])
        rewards = np.array([[reward(delta) for delta in row] for row in user["margins"]])
        seen = []
        for _ in range(SPLITS):
            order = draws.sample(range(credits.shape[1]), credits.shape[1])
            best = int(rewards[:, order[:say]].mean(1).argmax())
            seen.append(float(credits[best, order[say:]].mean()))
        found.append(statistics.fmean(seen))
    return found


def named_best(user: Mapping[str, Any]) -> float:
    """Accuracy of the summaries that name most."""
    most = max(user["names"])
    rows = [row for row, names in zip(user["margins"], user["names"], strict=True) if names == most]
    return statistics.fmean(credit(delta) for row in rows for delta in row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", nargs="?", default="popi-135m")
    parser.add_argument("--users", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=12, help="of each user")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--keep", type=Path, help="a file for what was found; if it is there, it is read instead")
    given = parser.parse_args()
    if given.keep is not None and given.keep.exists():
        users = [json.loads(line) for line in given.keep.read_text(encoding="utf-8").splitlines()]
    else:
        users = judged(given.trained, given.users, given.pairs, given.temperature, given.dtype)
        if given.keep is not None:
            given.keep.write_text("".join(json.dumps(one) + "\n" for one in users), encoding="utf-8")
    says = [count for count in (1, 2, 4, 8) if count < len(users[0]["margins"][0])]
    print(machine(), given.dtype)
    rows = []
    for name, reward in REWARDS.items():
        rewards = [np.array([[reward(delta) for delta in row] for row in one["margins"]]) for one in users]
        shares = [spread(rewards, count) for count in says]
        bests = [picked(users, reward, count, random.Random(0)) for count in says]
        rows.append((name, *shares, *(f"{100 * statistics.fmean(best):.1f}" for best in bests)))
    head = ("reward", *(f"reliability, {k} pairs" for k in says), *(f"picked by {k}, %" for k in says))
    table(f"{given.trained}: {len(users)} users, {GROUP} summaries, {len(users[0]['margins'][0])} pairs", head, rows)
    drawn = [statistics.fmean(credit(delta) for row in one["margins"] for delta in row) for one in users]
    named = [named_best(one) for one in users]
    apart = statistics.fmean(len(set(one["texts"])) for one in users)
    gains = [100 * (best - mean) for best, mean in zip(named, drawn, strict=True)]
    print(
        f"\nDrawn at random {100 * statistics.fmean(drawn):.1f} %, the one that names most "
        f"{100 * statistics.fmean(named):.1f} % (+{statistics.fmean(gains):.1f}, standard error "
        f"{statistics.stdev(gains) / math.sqrt(len(gains)):.1f}); {apart:.1f} of {GROUP} texts are different"
    )


if __name__ == "__main__":
    main()
