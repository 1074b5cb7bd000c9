"""Train the model that the package ships, and what it is compared with, stage by stage.

    python -m benchmarks.shipped STAGE DATA DIR

DATA is the folder with the collected data sets, DIR where each stage writes its trained directory, DIR/STAGE:

- `describe`: the inferrer learns to write descriptions of users, on a GPU. What benchmarks/checkpoints keeps of it
  learnt StyleWorld's gold descriptions, before there were those that show what they say.
- `show`: from there, the inferrer learns to write descriptions that show; an hour on two cores.
- `follow`: from there, the generator learns to follow them; half an hour on two cores.
- `widen`: from there, both go on, one after the other, since what holds answers together has many more wordings;
  an hour and a half on two cores.
- `reread`: from there, both go on: the inferrer with 1,024 tokens of signals instead of 400, and six times the users a
  step, the generator with six times the pairs; five minutes of an H200 each.
  What the package ships as `popi-135m` is the result of this stage (`python -m benchmarks.ship DIR/reread TARGET`).
- `rejoin`: from there, both learn together, by a reward that tells more; run in small alone, see docs/results.
- `joint`: from `widen`, both learn together.
- `sequential`: from `widen` too: the inferrer alone, then the generator on its summaries.
- `paper`: the same with the numbers of the released recipe, but for rates and adapters.
- `population`, `raw-trained`: generators that read nothing, or the clipped signals, on as many pairs as
  all stages of the generator together, counted behind each summary.
- `opinions`, `opinions-population`, `opinions-raw`: the same for polis and ukp_convarg, where nobody is described;
  evaluated, never shipped: political opinions.
- `jokes-population`, `jokes-raw`: the rivals for jester, whose texts nothing that is shipped may be made of.

Learnt from are users of StyleWorld, with the wide wordings, and the model-written personas of Perez et al. 2022 (CC BY
4.0), those of politics and religion left out: a summary must not sort people by either. Dev users of StyleWorld are
looked at, test users never; every look has the tokens that were processed until then. A stage that was stopped goes on
where its last checkpoint is; one that starts from another takes it from the package or benchmarks/checkpoints if DIR
has none, or waits until it is there. With `--seconds` each phase ends in time, whatever its steps: for a machine on
loan.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from popi_sdk.cli.train_view import watching
from popi_sdk.data import UserRecord, open_data
from popi_sdk.data.styleworld import generate
from popi_sdk.data.styleworld.shown import shown
from popi_sdk.models.trained import MANIFEST, SHIPPED
from popi_sdk.train import PopiTrainer, as_train_config, training_users

from .tinyworld import Tokens, counted

LEFT_OUT = {"politics", "religion"}
USERS = 8_000  # of StyleWorld
VARIANTS, SAID = 10, 12  # a persona as so many users, who said so much each
BOTH: dict[str, Any] = {
    "dtype": "bfloat16",
    "adapters": {"rank": 16, "alpha": 32, "last": 15},  # 9.8 MB both, in float16
    "token_budget": 32_768,  # of an H200 each stage takes some 25 GiB, so that several fit
    "budget": 64,
    "input_budget": 400,
    "users_per_step": 16,
    "pairs_per_summary": 2,
    "beta": 0.5,
    "generator_likelihood": 5.0,  # without it, what the generator writes repeats itself
    "reward_frozen": 0.2,
    "overlap_penalty": 2.0,
    "inferrer_lr": 1e-4,
    "generator_lr": 3e-4,
    "eval_users": 48,
    "save_every": 50,
}
# As many pairs as the generator has behind it: of describe, follow, widen and joint (as far as it got on an H200),
# counted behind each summary.
RIVAL = {"steps": (50 * 96 + 180 * 8 + 100 * 16 + 24 * 16 * 8 * 4) // 96, "users_per_step": 48, "eval_every": 48}
# Weights are those of the last step: no look decides, so looks at all dev users are a curve and nothing else.
TO_THE_END: dict[str, Any] = {"keep_best": False, "stop": None, "eval_users": 100}
FROM_WIDEN: dict[str, Any] = TO_THE_END | {
    "start": "widen",
    "pairs_per_summary": 4,
    "generator_likelihood": 2.0,
    "inferrer_lr": 2e-4,
    "generator_lr": 2e-4,
}
STAGES: dict[str, dict[str, Any]] = {
    "describe": {
        "warm_start": 500,
        "warm_start_users": 48,
        "warm_start_lr": 1e-3,
        "warm_start_contrast": 0.1,
        "steps": 1,  # a run has a schedule; this stage is all warm start
        "eval_every": 50,
    },
    "show": {
        "start": "describe",
        "warm_start": 320,
        "warm_start_users": 8,  # enough: what is new is the form
        "warm_start_lr": 7e-4,
        "warm_start_decay": 0.9,
        "warm_start_contrast": 0.3,
        "steps": 1,
        "eval_every": 0,
    },
    "follow": {
        "start": "show",
        "warm_start_generator": 180,
        "warm_start_users": 8,
        "pairs_per_summary": 1,
        "generator_lr": 1e-3,
        "steps": 1,
        "eval_every": 0,
    },
    "widen": {
        "start": "follow",
        "warm_start": 200,
        "warm_start_users": 8,
        "warm_start_lr": 5e-4,
        "warm_start_decay": 0.9,
        "warm_start_contrast": 0.3,
        "warm_start_generator": 100,
        "generator_lr": 7e-4,
        "generator_likelihood": 2.0,
        "steps": 1,
        "eval_every": 0,
    },
    "reread": {
        "start": "widen",
        "input_budget": 1_024,
        "warm_start": 200,
        "warm_start_users": 48,
        "warm_start_lr": 7e-4,
        "warm_start_decay": 0.8,
        "warm_start_contrast": 0.3,
        "warm_start_generator": 120,
        "generator_lr": 7e-4,
        "generator_likelihood": 2.0,
        "steps": 1,
        "eval_every": 0,
    },
    "rejoin": FROM_WIDEN
    # At beta 0.5 less than a fifth of what tells a user's summaries apart is theirs (benchmarks.reward_noise).
    | {"start": "reread", "input_budget": 1_024, "beta": 0.1, "generator_lr": 1e-4, "steps": 48, "eval_every": 24},
    "joint": FROM_WIDEN | {"steps": 40, "eval_every": 8},
    "sequential": FROM_WIDEN | {"schedule": "sequential", "steps": 36, "eval_every": 12},
    "paper": FROM_WIDEN
    | {
        "schedule": "sequential",
        "steps": 40,
        "eval_every": 14,
        "users_per_step": 32,  # with one pair each, as many tokens in a step
        "beta": 0.01,
        "temperature": 0.6,
        "pairs_per_summary": 1,
        "summaries_for_generator": 1,
        "generator_likelihood": 0.0,
        "reward_frozen": 0.0,
        "overlap_penalty": 0.0,
        "entropy_bonus": 0.0,
    },
    "population": RIVAL | {"schedule": "population"},
    "raw-trained": RIVAL | {"schedule": "raw-trained", "input_budget": 1_024},
    "opinions": TO_THE_END | {"steps": 40, "eval_every": 10, "inferrer_lr": 2e-4},
    "opinions-population": RIVAL | TO_THE_END | {"schedule": "population", "steps": 107, "eval_every": 27},
    "opinions-raw": RIVAL | TO_THE_END | {"schedule": "raw-trained", "steps": 107, "eval_every": 27},
    "jokes-population": RIVAL | TO_THE_END | {"schedule": "population", "steps": 107, "eval_every": 27},
    "jokes-raw": RIVAL | TO_THE_END | {"schedule": "raw-trained", "steps": 107, "eval_every": 27},
}
ABOUT: dict[str, Any] = {
    "data": ("StyleWorld 1, wide wordings", "model_written_personas"),
    "dev": "styleworld",
    "data_licence": "CC BY 4.0 (personas: Perez et al. 2022, arXiv 2212.09251)",
    "licence": "apache-2.0",
    "language": "en",
    "samples": 10,
}
CHECKPOINTS = Path(__file__).parent / "checkpoints"
PEOPLE = {"opinions": ("polis", "ukp_convarg"), "jokes": ("jester",)}  # real ones, by what a stage begins with


class OnTime(PopiTrainer):
    """Ends a phase when it has taken so many seconds, and says how many tokens a step has behind it."""

    seconds: float | None = None
    tokens = Tokens()
    _start = 0.0
    _behind: int | None = None  # what an earlier start of the run processed

    def look_first(self) -> None:
        """At the dev users, before anything is learnt."""
        self._note({"phase": next(iter(self.config.phases)), "step": 0, "tokens": 0, **self.evaluate().as_metrics()})

    def _phase(self, name: str, work: Any) -> None:
        self._start = time.monotonic()
        super()._phase(name, work)

    def _record(self, phase: str, step: int, figures: dict[str, Any], learner: Any) -> bool:
        late = self.seconds is not None and time.monotonic() - self._start > self.seconds
        if late:
            print(f"{phase}: out of time after step {step}", flush=True)
        return super()._record(phase, step, figures | {"tokens": self._so_far()}, learner) or late

    def _so_far(self) -> int:
        if self._behind is None:
            self._behind = max((entry.get("tokens", 0) for entry in self.history), default=0)
        return self._behind + self.tokens.count

    def _note(self, entry: dict[str, Any]) -> None:
        super()._note(entry if "tokens" in entry else entry | {"tokens": self._so_far()})


def described(data: Path, users: int) -> tuple[list[UserRecord], list[UserRecord]]:
    """Users of StyleWorld and personas to learn from; dev users of StyleWorld."""
    people = list(several(personas(data)))
    styled = [one.model_copy(update={"gold": shown(one.meta["point"])}) for one in generate("train", users, wide=True)]
    train = random.Random("shipped").sample(styled + people, len(styled) + len(people))
    return train, list(open_data("styleworld", split="dev"))


def personas(data: Path, *splits: str) -> list[UserRecord]:
    """The personas that nobody minds being told; those to train with if no split is named."""
    file = data / "model_written_personas" / "train_dev.jsonl.gz"
    found = [one for split in splits or ("train",) for one in open_data(file, split=split)]
    return [one for one in found if not LEFT_OUT & set(one.groups)]


def several(people: Iterable[UserRecord]) -> Iterator[UserRecord]:
    """Each persona as several users, who said other things."""
    for one in people:
        for number in range(VARIANTS):
            draws = random.Random(f"{one.user_id}/{number}")
            signals = draws.sample(one.signals, min(SAID, len(one.signals)))
            pairs = draws.sample(one.pairs, min(8, len(one.pairs)))
            name = f"{one.user_id}/{number}"
            yield one.model_copy(update={"user_id": name, "signals": tuple(signals), "pairs": tuple(pairs)})


def collected(data: Path, names: Iterable[str]) -> tuple[list[UserRecord], list[UserRecord]]:
    """Users of collected data sets, in turn."""
    return training_users([data / name / "train_dev.jsonl.gz" for name in names])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("data", type=Path, help="the folder of the collected data sets")
    parser.add_argument("directory", type=Path, help="where trained directories go")
    parser.add_argument("--users", type=int, default=USERS, help=f"of StyleWorld to learn from (default {USERS:,})")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="another number of the stage")
    parser.add_argument(
        "--seconds", type=float, help="after which a phase ends; the warm start of the inferrer goes on"
    )
    given = parser.parse_args()
    options = (
        BOTH
        | STAGES[given.stage]
        | {key: yaml.safe_load(text) for key, _, text in (one.partition("=") for one in given.set)}
    )
    real = PEOPLE.get(given.stage.partition("-")[0])
    train, dev = collected(given.data, real) if real else described(given.data, given.users)
    output = given.directory / given.stage
    if "start" in options:
        options["start"] = str(_started(given.directory, options["start"]))
    config = as_train_config(**options)
    with watching(config.phases, quiet=False) as watch:
        trainer = OnTime(config, train, dev, output=output, progress=watch.entry, began=watch.began)
        trainer.seconds = given.seconds
        going_on = (output / "run" / "settings.json").exists()
        # Where looks decide which weights stay, this one would be the best of a run that was stopped.
        if not going_on and config.reads == "summary" and config.eval_every and not config.keep_best:
            trainer.look_first()
        with counted() as trainer.tokens:
            trainer.train(resume=going_on)
    print(f"{trainer.tokens.count / 1e6:.2f} million tokens since this start")
    about = {"data": real, "dev": " and ".join(real), "language": "en"} if real else ABOUT
    trainer.save_pretrained(output, about=about)


def _started(directory: Path, stage: str) -> Path:
    """Where a stage is; waits until it is there."""
    kept = SHIPPED["popi-135m"] if stage == "reread" else CHECKPOINTS / stage
    if not (directory / stage).exists() and (kept / MANIFEST).exists():
        return kept
    print(f"Waiting for {directory / stage / MANIFEST} ...", flush=True)
    while not (directory / stage / MANIFEST).exists():
        time.sleep(0.2)
    return directory / stage


if __name__ == "__main__":
    main()
