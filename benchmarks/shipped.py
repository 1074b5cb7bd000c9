"""Train the model that the package ships: `python -m benchmarks.shipped PERSONAS.jsonl.gz OUTPUT [--resume]`.

Learnt from are users of StyleWorld and the model-written personas of Perez et al. 2022 (CC BY 4.0), those of politics
and religion left out: a summary must not sort people by either. Nothing here looks at a test user. On two CPU cores it
takes about two hours, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from popi_sdk.cli.train_view import watching
from popi_sdk.data import open_data, write_users
from popi_sdk.train import PopiTrainer, TrainConfig, training_users

LEFT_OUT = {"politics", "religion"}
STYLEWORLD_USERS = 1_000
CONFIG = TrainConfig(
    schedule="joint",
    dtype="bfloat16",
    warm_start=450,
    warm_start_generator=80,
    warm_start_users=4,
    warm_start_lr=1e-3,
    steps=30,
    users_per_step=2,
    pairs_per_summary=2,
    budget=64,
    input_budget=400,
    reward_frozen=0.2,
    overlap_penalty=2.0,
    kl=0.0,  # its anchor is the untouched base, which quotes: the warm start is meant to lead away from it
    inferrer_lr=1e-4,
    generator_lr=3e-4,
    eval_every=40,
    eval_users=20,
    eval_pairs=3,
    save_every=20,
)
ABOUT = {
    "data": ("styleworld", "model_written_personas"),
    "data_licence": "CC BY 4.0 (personas: Perez et al. 2022, arXiv 2212.09251)",
    "licence": "apache-2.0",
    "language": "en",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("personas", help="model_written_personas/train_dev.jsonl.gz")
    parser.add_argument("output", type=Path)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "personas.jsonl"
        personas = open_data(given.personas, split="train")
        write_users(kept, (one for one in personas if not LEFT_OUT & set(one.groups)))
        train, dev = training_users(["styleworld", kept], "styleworld", limit=STYLEWORLD_USERS)
    with watching(CONFIG.phases, quiet=False) as watch:
        trainer = PopiTrainer(CONFIG, train, dev, output=given.output, progress=watch.entry, began=watch.began)
        trainer.train(resume=given.resume)
    trainer.save_pretrained(given.output, about=ABOUT)


if __name__ == "__main__":
    main()
