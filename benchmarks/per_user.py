"""An adapter for each user, the approach that POPI calls prohibitive: what it reaches, and what it costs.

    python -m benchmarks.per_user [DATA] [--users 20] [--steps 20]

DATA is StyleWorld if nothing else is said, or whatever `popi eval` takes; its users need pairs among their signals.

Each user's generator is tuned by DPO on the pairs among that user's own signals, two a step, and measured on the
held-out pairs. The rate is chosen on train users (the first half as many), the figure is of dev users.
"""

from __future__ import annotations

import argparse
import sys

from popi_sdk.data import open_data
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.train import PerUserScores, as_train_config, train_per_user

from .report import machine, table

RATES = (1e-4, 1e-3)
ADAPTERS = {"rank": 8, "alpha": 16, "last": 15}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="styleworld")
    parser.add_argument("--users", type=int, default=20, help="of dev (default 20)")
    parser.add_argument("--steps", type=int, default=20, help="for each user (default 20)")
    given = parser.parse_args()

    def tuned(split: str, users: int, rate: float) -> PerUserScores:
        config = as_train_config(
            dtype="bfloat16",
            adapters=ADAPTERS,
            steps=given.steps,
            users_per_step=2,
            generator_lr=rate,
        )
        model = load_causal_lm(dtype="bfloat16")  # anew: the last adapters are on the one that was tuned
        found = train_per_user(config, open_data(given.data, split=split, limit=users, seed=0), model=model)
        rows.append(
            (
                split,
                f"{rate:g}",
                len(found.users),
                found.accuracy.percent(),
                f"{found.seconds:.0f}",
                f"{found.megabytes:.1f}",
            )
        )
        print(rows[-1], flush=True)
        return found

    data = open_data(given.data, split="train")
    if data.split != "train":  # else the rate would be chosen on those who are measured
        sys.exit(
            f"{given.data} names no splits. The rate is chosen on its train users, the figure is of its dev users."
        )
    rows: list[tuple[object, ...]] = []
    searched = {rate: tuned("train", max(2, given.users // 2), rate) for rate in RATES}
    best = max(RATES, key=lambda rate: searched[rate].accuracy.mean)
    tuned("dev", given.users, best)
    print(machine())
    head = ("split", "rate", "users", "accuracy, %", "seconds a user", "MB a user")
    table(f"An adapter for each user of {data.name}, {given.steps} steps of 2 pairs", head, rows)


if __name__ == "__main__":
    main()
