"""Cross-validation over the model-written personas: what is learnt from some of them about others.

    python -m benchmarks.personas DATA DIR [--folds 4] [--fold K ...] [--set NAME=NUMBER ...]

DATA is the folder of the collected data sets. Of the personas without politics and religion, in order of their groups
and names, each fold leaves out a run of neighbours: what is alike is left out together, as far as that goes. From the
others SmolLM2-135M-Instruct learns as `benchmarks.shipped` does, in small: to name a persona, to follow what was named,
and both together. Then `popi eval` measures those that were left out, in DIR/fold-K-of-N/eval. All folds that are there
are counted together; a fold that was stopped goes on. An hour or so a fold on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from popi_sdk.cli.train_view import watching
from popi_sdk.data import UserRecord, write_users
from popi_sdk.evals import as_config, evaluate, write_report
from popi_sdk.evals.journal import read_rows
from popi_sdk.evals.manifest import ITEMS, SUMMARIES
from popi_sdk.evals.results import tally
from popi_sdk.models.trained import MANIFEST, read_trained
from popi_sdk.train import PopiTrainer, as_train_config

from .report import machine, table
from .shipped import BOTH, TO_THE_END, personas, several

OPTIONS: dict[str, Any] = (
    BOTH
    | TO_THE_END
    | {
        "token_budget": 4_096,
        "warm_start": 120,
        "warm_start_users": 8,
        "warm_start_lr": 1e-3,
        "warm_start_decay": 0.9,
        "warm_start_generator": 60,
        "steps": 20,
        "users_per_step": 4,
        "group_size": 4,
        "pairs_per_summary": 4,
        "generator_lr": 5e-4,
        "generator_likelihood": 2.0,
        "eval_every": 0,
        "save_every": 10,
    }
)
METHODS = ("raw", "heuristic", "prompted", "gold")


def run(left: Sequence[UserRecord], others: Sequence[UserRecord], folder: Path, options: dict[str, Any]) -> None:
    """Train on the one, measure on the other, unless that is done."""
    trained = folder / "popi"
    config = as_train_config(**options)
    if (trained / MANIFEST).exists():
        if read_trained("popi", trained).config != config.model_dump(mode="json"):
            raise SystemExit(f"{trained} was trained with other options. Give another folder.")
    else:
        with watching(config.phases, quiet=False) as watch:
            both = PopiTrainer(config, several(others), output=trained, progress=watch.entry, began=watch.began)
            both.train(resume=(trained / "run").exists())
        both.save_pretrained(trained)
    folder.mkdir(parents=True, exist_ok=True)
    write_users(folder / "left-out.jsonl", (one.model_copy(update={"split": "dev"}) for one in left))
    measured = as_config(
        data=str(folder / "left-out.jsonl"),
        methods=(*METHODS, f"popi={trained}"),
        budget=64,
        raw_budget=400,
        dtype="bfloat16",
    )
    evaluate(measured, folder / "eval", resume=(folder / "eval").exists())
    write_report(folder / "eval")


def together(folders: Sequence[Path]) -> None:
    """Every row over all personas, and what was written of each."""
    tallies = tally(chain.from_iterable(read_rows(one / "eval" / ITEMS) for one in folders))
    found = {row: one for (_, row), one in tallies.items()}
    rows = []
    for row, one in found.items():
        control = found.get(f"{row}:shuffled")
        gap = one.minus(control, "credit", 0).points() if control else ""
        rows.append((f"`{row}`", one.share(one.credit, 0).percent(), gap))
    people = len(next(iter(found.values())).pairs)
    print(machine())
    table(f"{people} personas, {len(folders)} folds", ("row", "accuracy, %", "own minus another's, points"), rows)
    written = chain.from_iterable(read_rows(one / "eval" / SUMMARIES) for one in folders)
    texts = [(one["user_id"], one["text"]) for one in written if one.get("writer") == "popi"]
    table("What was written of each", ("persona", "summary"), texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the collected data sets")
    parser.add_argument("directory", type=Path, help="where the folds go")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--fold", type=int, action="append", help="only this one, from 0; may be repeated")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="another number")
    given = parser.parse_args()
    people = sorted(personas(given.data, "train", "dev"), key=lambda one: (one.groups, one.user_id))
    if not 2 <= given.folds <= len(people) // 2:
        raise SystemExit(f"--folds: from 2 to {len(people) // 2}, so that nobody is alone.")
    changed = {key: yaml.safe_load(text) for key, _, text in (one.partition("=") for one in given.set)}
    for fold in range(given.folds) if given.fold is None else given.fold:
        if not 0 <= fold < given.folds:
            raise SystemExit(f"--fold {fold}: of {given.folds} folds the last one is {given.folds - 1}.")
        left = neighbours(people, fold, given.folds)
        others = [one for one in people if one not in left]
        run(left, others, given.directory / f"fold-{fold}-of-{given.folds}", OPTIONS | changed)
    folders = sorted(given.directory.glob(f"fold-*-of-{given.folds}"))
    together([one for one in folders if (one / "eval" / "results.json").exists()])


def neighbours(people: Sequence[UserRecord], fold: int, folds: int) -> list[UserRecord]:
    """A fold's share of them, which stand side by side."""
    return list(people[len(people) * fold // folds : len(people) * (fold + 1) // folds])


if __name__ == "__main__":
    main()
