"""Stock TRL at StyleWorld's size: what `benchmarks.shipped joint` does, by `GRPOTrainer` and `DPOTrainer` in turns.

    python -m benchmarks.shipped_stock DATA DIR [--users N] [--seconds S] [--set NAME=NUMBER ...]

Begins with what `joint` starts from, `widen`: its adapters are merged into two copies of the base, and each trainer
puts a fresh adapter of the same shape upon its copy, so that divergence is measured from there too. The bonus for
entropy is left out: TRL's knows no floor, and on TinyWorld it learnt only without; so is the penalty for quoting, as
these summaries quote nothing. DIR/stock/run/history.jsonl has the looks at dev users with their tokens, for
`benchmarks.against_tokens`. On a GPU set POPI_BENCH_DEVICE=cuda, and POPI_BENCH_USERS=16 for larger micro-batches.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import yaml
from peft import LoraConfig, PeftModel

from popi_sdk.train import PopiTrainer, TrainConfig, as_train_config

from .shipped import BOTH, CHECKPOINTS, STAGES, USERS, described
from .stock import train
from .tinyworld import counted

START = CHECKPOINTS / "widen"


def begin(config: TrainConfig, data: Path, users: int) -> PopiTrainer:
    """Two whole networks with what `joint` starts from merged into them."""
    whole = config.model_copy(update={"adapters": None, "start": None})
    both = PopiTrainer(whole, *described(data, users))
    with both.networks.generating() as generator:
        for part, model in (("inferrer", both.networks.inferrer), ("generator", generator)):
            PeftModel.from_pretrained(model, START / part).merge_and_unload()
    both.networks.untouched = False
    return both


def fresh() -> LoraConfig:
    """An adapter of the shape of those that were merged."""
    merged = LoraConfig.from_pretrained(str(START / "inferrer"))
    return LoraConfig(
        r=merged.r,
        lora_alpha=merged.lora_alpha,
        target_modules=merged.target_modules,
        layers_to_transform=merged.layers_to_transform,
        task_type="CAUSAL_LM",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the collected data sets")
    parser.add_argument("directory", type=Path, help="where DIR/stock is made")
    parser.add_argument("--users", type=int, default=USERS, help=f"of StyleWorld to learn from (default {USERS:,})")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which a look is the last one")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="another number")
    given = parser.parse_args()
    options: dict[str, Any] = BOTH | STAGES["joint"] | {"entropy_bonus": 0.0, "overlap_penalty": 0.0, "start": None}
    options |= {key: yaml.safe_load(text) for key, _, text in (one.partition("=") for one in given.set)}
    config = as_train_config(**options)
    run = given.directory / "stock" / "run"
    run.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    both = begin(config, given.data, given.users)
    with counted() as tokens, (run / "history.jsonl").open("w", encoding="utf-8") as history:
        step = 0

        def look() -> bool:
            nonlocal step
            with tokens.paused():
                found = both.evaluate().as_metrics()
            line = {"phase": "stock", "step": step, "tokens": tokens.count, **found}
            history.write(json.dumps(line) + "\n")
            history.flush()
            print({name: value for name, value in line.items() if name != "dev/samples"}, flush=True)
            step += config.eval_every
            return bool(time.monotonic() - start > given.seconds)

        look()
        train(both, config, look, every=config.eval_every, lora=fresh())
    print(f"{tokens.count / 1e6:.2f} million tokens")


if __name__ == "__main__":
    main()
