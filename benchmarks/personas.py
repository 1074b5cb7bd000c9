"""Cross-validation over the model-written personas: what is learnt from some of them about others.

    python -m benchmarks.personas DATA DIR [--folds 4] [--fold K ...] [--train SCHEDULE ...]
        [--reader MODEL] [--set NAME=NUMBER ...]

DATA is the folder of the collected data sets. Of the personas without politics and religion, in order of their groups
and names, each fold leaves out a run of neighbours: what is alike is left out together, as far as that goes. From the
others SmolLM2-135M-Instruct learns as `benchmarks.shipped` does, in small: to name a persona, to follow what was named,
and both together (`joint`) or one after the other (`sequential`). `population` and `raw-trained` learn from the same
personas without summaries. Then `popi eval` measures those that were left out, in DIR/fold-K-of-N/eval. `per-user`
tunes an adapter for each of those that were left out, at the rate that did best on some of the others. All folds that
are there are counted together; a fold that was stopped goes on. An hour or so a fold on one core for `joint`.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from popi_sdk.cli.train_view import watching
from popi_sdk.data import UserRecord, write_users
from popi_sdk.evals import as_config, evaluate, write_report
from popi_sdk.evals.journal import read_rows
from popi_sdk.evals.manifest import ITEMS, SUMMARIES
from popi_sdk.evals.metrics import bootstrap_mean
from popi_sdk.evals.results import tally
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.models.trained import MANIFEST, read_trained
from popi_sdk.train import PerUserScores, PopiTrainer, as_train_config, train_per_user

from .per_user import ADAPTERS, RATES
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
# As many pairs as the generator of `joint` has behind it, counted behind each summary.
RIVAL: dict[str, Any] = {"warm_start": 0, "warm_start_generator": 0, "users_per_step": 16, "pairs_per_summary": 2}
STEPS = (60 * 8 * 4 + 20 * 4 * 4 * 4) // 32
SCHEDULES: dict[str, dict[str, Any]] = {
    "joint": {},
    "sequential": {"schedule": "sequential"},
    "population": RIVAL | {"schedule": "population", "steps": STEPS},
    "raw-trained": RIVAL | {"schedule": "raw-trained", "steps": STEPS},
}
METHODS = ("raw", "heuristic", "prompted", "gold")
PER_USER = "per-user"
COSTS = "per-user.json"
SEARCHED = 4  # personas on which the rate of `per-user` is chosen


class Fold(NamedTuple):
    """Who is left out, who is learnt from, and where what comes of it goes."""

    left: Sequence[UserRecord]
    others: Sequence[UserRecord]
    folder: Path


def run(
    fold: Fold, schedules: Sequence[str], rows: Sequence[str], readers: Sequence[str], changed: dict[str, Any]
) -> None:
    """Train on the one, measure on the other, unless that is done."""
    left, others, folder = fold
    trained = {name: _trained(folder / name, others, OPTIONS | SCHEDULES[name] | changed) for name in schedules}
    folder.mkdir(parents=True, exist_ok=True)
    write_users(folder / "left-out.jsonl", (one.model_copy(update={"split": "dev"}) for one in left))
    measured = as_config(
        data=str(folder / "left-out.jsonl"),
        methods=(*rows, *(f"{name}={where}" for name, where in trained.items())),
        readers=tuple(readers),
        budget=64,
        raw_budget=400,
        dtype="bfloat16",
    )
    evaluate(measured, folder / "eval", resume=(folder / "eval").exists())
    write_report(folder / "eval")


def _trained(folder: Path, others: Sequence[UserRecord], options: dict[str, Any]) -> Path:
    config = as_train_config(**options)
    if (folder / MANIFEST).exists():
        if read_trained(folder.name, folder).config != config.model_dump(mode="json"):
            raise SystemExit(f"{folder} was trained with other options. Give another folder.")
        return folder
    with watching(config.phases, quiet=False) as watch:
        trainer = PopiTrainer(config, several(others), output=folder, progress=watch.entry, began=watch.began)
        trainer.train(resume=(folder / "run").exists())
    trainer.save_pretrained(folder)
    return folder


def run_per_user(fold: Fold, steps: int) -> None:
    """An adapter for each of those left out; its accuracy, and what it cost."""
    left, others, folder = fold
    if (folder / COSTS).exists():
        return

    def tuned(people: Sequence[UserRecord], rate: float) -> PerUserScores:
        config = as_train_config(dtype="bfloat16", adapters=ADAPTERS, steps=steps, users_per_step=2, generator_lr=rate)
        print(f"per-user, rate {rate:g}, {len(people)} personas ...", flush=True)
        return train_per_user(config, people, model=load_causal_lm(dtype="bfloat16"))

    some = others[:: max(1, len(others) // SEARCHED)][:SEARCHED]
    best = max(RATES, key=lambda rate: tuned(some, rate).accuracy.mean)
    found = tuned(left, best)
    scores = {one.user_id: one.accuracy for one in found.users}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"rate": best, "seconds": found.seconds, "megabytes": found.megabytes, "users": scores}, indent=2)
    (folder / COSTS).write_text(text, encoding="utf-8")


def adapters_together(folders: Sequence[Path]) -> None:
    """`per-user` over all personas."""
    found = [json.loads((one / COSTS).read_text(encoding="utf-8")) for one in folders]
    scores = [score for one in found for score in one["users"].values()]
    rates = ", ".join(f"{one['rate']:g}" for one in found)
    row = (
        f"`{PER_USER}`",
        bootstrap_mean(scores, seed=0).percent(),
        f"{statistics.median(one['seconds'] for one in found):.0f}",
        f"{found[0]['megabytes']:.1f}",
        rates,
    )
    head = ("row", "accuracy, %", "seconds a user", "MB a user", "rates")
    table(f"{len(scores)} personas, an adapter each, {len(folders)} folds", head, [row])


def together(folders: Sequence[Path]) -> None:
    """Every row over all personas, and what was written of each."""
    tallies = tally(chain.from_iterable(read_rows(one / "eval" / ITEMS) for one in folders))
    rows = []
    for (reader, row), one in tallies.items():
        control = tallies.get((reader, f"{row}:shuffled"))
        gap = one.minus(control, "credit", 0).points() if control else ""
        rows.append((Path(reader).name, f"`{row}`", one.share(one.credit, 0).percent(), gap))
    people = len(next(iter(tallies.values())).pairs)
    print(machine())
    table(
        f"{people} personas, {len(folders)} folds",
        ("read by", "row", "accuracy, %", "own minus another's, points"),
        rows,
    )
    written = chain.from_iterable(read_rows(one / "eval" / SUMMARIES) for one in folders)
    texts = [(one["user_id"], one["writer"], one["text"]) for one in written if one.get("writer") in SCHEDULES]
    if texts:
        table("What was written of each", ("persona", "by", "summary"), texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the collected data sets")
    parser.add_argument("directory", type=Path, help="where the folds go")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--fold", type=int, action="append", help="only this one, from 0; may be repeated")
    parser.add_argument(
        "--train", nargs="+", choices=(*SCHEDULES, PER_USER), default=["joint"], help="what learns (default joint)"
    )
    parser.add_argument(
        "--rows", nargs="*", choices=METHODS, default=METHODS, help="what is measured beside it (default all)"
    )
    parser.add_argument("--reader", action="append", default=[], help="another model that reads the same summaries")
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
        here = Fold(left, others, given.directory / f"fold-{fold}-of-{given.folds}")
        if PER_USER in given.train:
            run_per_user(here, changed.get("steps", 20))
        if schedules := [one for one in given.train if one != PER_USER]:
            run(here, schedules, given.rows, given.reader, changed)
    folders = sorted(given.directory.glob(f"fold-*-of-{given.folds}"))
    if measured := [one for one in folders if (one / "eval" / "results.json").exists()]:
        together(measured)
    if tuned := [one for one in folders if (one / COSTS).exists()]:
        adapters_together(tuned)


def neighbours(people: Sequence[UserRecord], fold: int, folds: int) -> list[UserRecord]:
    """A fold's share of them, which stand side by side."""
    return list(people[len(people) * fold // folds : len(people) * (fold + 1) // folds])


if __name__ == "__main__":
    main()
