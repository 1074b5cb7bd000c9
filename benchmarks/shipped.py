"""Train the model that the package is to ship, in two stages, each of which goes on where it was stopped.

    python -m benchmarks.shipped describe PERSONAS.jsonl.gz DIR
    python -m benchmarks.shipped joint PERSONAS.jsonl.gz DIR

`describe` teaches the inferrer to write descriptions of users, into DIR/describe; `joint` starts from there: the
generator learns to follow descriptions, then both learn together, into DIR/joint. Learnt from are users of StyleWorld,
with the wide wordings, and the model-written personas of Perez et al. 2022 (CC BY 4.0), those of politics and religion
left out: a summary must not sort people by either. Dev users of StyleWorld are looked at, test users never.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from popi_sdk.cli.train_view import watching
from popi_sdk.data import UserRecord, open_data, write_users
from popi_sdk.train import PopiTrainer, as_train_config, training_users

LEFT_OUT = {"politics", "religion"}
USERS = 2_000  # of StyleWorld
BOTH: dict[str, Any] = {
    "dtype": "bfloat16",
    "adapters": {"rank": 12, "alpha": 24, "last": 15},  # 14.7 MB both
    "budget": 64,
    "input_budget": 400,
    "users_per_step": 2,
    "pairs_per_summary": 2,
    "eval_users": 20,
    "eval_pairs": 3,
    "save_every": 20,
}
STAGES: dict[str, dict[str, Any]] = {
    "describe": {
        "warm_start": 600,
        "warm_start_users": 4,
        "warm_start_lr": 1e-3,
        "warm_start_contrast": 0.1,
        "steps": 1,  # a run has a schedule; this stage is all warm start
        "eval_every": 0,
    },
    "joint": {
        "warm_start_generator": 120,
        "warm_start_users": 4,
        "steps": 60,
        "reward_frozen": 0.2,
        "overlap_penalty": 2.0,
        "inferrer_lr": 1e-4,
        "generator_lr": 3e-4,
        "eval_every": 30,
    },
}
ABOUT = {
    "data": ("styleworld-wide", "model_written_personas"),
    "dev": "styleworld",
    "data_licence": "CC BY 4.0 (personas: Perez et al. 2022, arXiv 2212.09251)",
    "licence": "apache-2.0",
    "language": "en",
}


def users(personas: str) -> tuple[list[UserRecord], list[UserRecord]]:
    """Those to learn from, and those to look at."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "personas.jsonl"
        written = open_data(personas, split="train")
        write_users(kept, (one for one in written if not LEFT_OUT & set(one.groups)))
        return training_users(["styleworld-wide", kept], "styleworld", limit=USERS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("personas", help="model_written_personas/train_dev.jsonl.gz")
    parser.add_argument("directory", type=Path)
    given = parser.parse_args()
    start = {"start": str(given.directory / "describe")} if given.stage == "joint" else {}
    config = as_train_config(**BOTH | STAGES[given.stage] | start)
    train, dev = users(given.personas)
    output = given.directory / given.stage
    with watching(config.phases, quiet=False) as watch:
        trainer = PopiTrainer(config, train, dev, output=output, progress=watch.entry, began=watch.began)
        trainer.train(resume=(output / "run").exists())
    trainer.save_pretrained(output, about=ABOUT)


if __name__ == "__main__":
    main()
