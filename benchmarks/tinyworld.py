"""Does the method work, and which levers help? Training from scratch on TinyWorld, in minutes on one core.

    python -m benchmarks tinyworld                      three seeds of the recipe
    python -m benchmarks.tinyworld levers [--keep FILE] [--only LEVER...]
                                                        one lever at a time, three seeds each
    python -m benchmarks.tinyworld tokens [--keep FILE] joint, sequential and stock TRL against tokens processed; drawn

Measured are 128 dev users with 4 pairs each, whose prompts and responses were never seen. Targets: at least 0.90 with
the own summary, at most 0.60 with another user's.

Tokens are the positions that go through a model, forward, padding included, of the inferrer and of the generator
alike; what a cache holds is not counted again, looks at dev users are not counted. Stock TRL (`GRPOTrainer` with a
plain reward function, `DPOTrainer` on its summaries, in turns) begins with the inferrer that the same warm start made,
and has the same rates and weights of its terms; a bonus for entropy it knows only without a floor, so it is run with
one and without.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from popi_sdk.data import tinyworld
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.train import PopiTrainer, TrainConfig, as_train_config

import torch  # isort: skip - after popi_sdk, which sets its threads up

from .report import ROOT, machine, table, verdict

SEEDS = (0, 1, 2)
EVERY = 10  # steps between two looks
PICTURE = ROOT / "docs" / "assets" / "tinyworld-tokens.svg"
RECIPE: dict[str, Any] = {
    "adapters": None,
    "dtype": "float32",
    "warm_start": 100,
    "steps": 100,
    "users_per_step": 16,
    "pairs_per_summary": 4,
    "budget": 4,
    "beta": 1.0,
    "reward_frozen": 0.0,
    "entropy_bonus": 0.02,
    "entropy_floor": 0.3,
    "kl": 0.0,
    "inferrer_lr": 2e-3,
    "generator_lr": 2e-3,
    "eval_every": EVERY,
    "eval_users": 128,
    "keep_best": False,
    "stop": None,
}
LEVERS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "no warm start, as many steps": {"warm_start": 0, "steps": 200},
    "no entropy bonus": {"entropy_bonus": 0.0},
    "warm start with contrast 0.5": {"warm_start_contrast": 0.5},
    "one pair a summary": {"pairs_per_summary": 1},
    "two pairs a summary": {"pairs_per_summary": 2},
    "generator on 2 of 8 summaries": {"summaries_for_generator": 2},
    "likelihood of the chosen answer, weight 2": {"generator_likelihood": 2.0},
    "overlap penalty 2": {"overlap_penalty": 2.0},
}
SEQUENTIAL = {"schedule": "sequential", "rounds": 2, "steps": RECIPE["steps"] // 2}


class Tokens:
    """Counts positions as they come out of an embedding, in whatever model."""

    def __init__(self) -> None:
        self.count = 0
        self._paused = False

    @contextmanager
    def counting(self) -> Iterator[Tokens]:
        handle = torch.nn.modules.module.register_module_forward_hook(self._seen)
        try:
            yield self
        finally:
            handle.remove()

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def _seen(self, module: torch.nn.Module, inputs: Any, _: Any) -> None:
        if isinstance(module, torch.nn.Embedding) and not self._paused:
            self.count += inputs[0].numel()


def trainer(config: TrainConfig, seed: int, **options: Any) -> PopiTrainer:
    with tempfile.TemporaryDirectory() as folder:
        model = load_causal_lm(tinyworld.save_tiny_model(folder, seed=seed), dtype="float32")
        dev = tinyworld.generate("dev", config.eval_users)
        return PopiTrainer(config, tinyworld.generate("train", 1024), dev, model=model, **options)


def run(options: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train once; own and shuffled accuracy at the end, and the looks on the way with the tokens until then."""
    config = as_train_config(**RECIPE | dict(options) | {"seed": seed})
    looks: list[tuple[int, float, float]] = []

    def seen(entry: dict[str, Any]) -> None:
        if "dev/own" in entry:
            looks.append((tokens.count, entry["dev/own"], entry["dev/shuffled"]))

    with counted() as tokens:
        trainer(config, seed, progress=seen).train()
    return {"looks": looks}


def run_stock(options: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The same by stock TRL, after the warm start of ours."""
    from .stock import train

    config = as_train_config(**RECIPE | dict(options) | {"seed": seed})
    looks: list[tuple[int, float, float]] = []
    with counted() as tokens:
        # The rate of a schedule's first step is 0: of this one what remains is the warm start.
        warm = as_train_config(**RECIPE | dict(options) | {"seed": seed, "steps": 1, "eval_every": 0})
        both = trainer(warm, seed).train()

        def look() -> None:
            with tokens.paused():
                found = both.evaluate()
            looks.append((tokens.count, found.own, found.shuffled))

        train(both, config, look, every=EVERY)
    return {"looks": looks}


@contextmanager
def counted() -> Iterator[Tokens]:
    """The tokens of what is trained meanwhile, without looks at dev users."""
    import popi_sdk.train.trainer as module

    tokens = Tokens()
    inner = module.look_at_dev

    def look(*args: Any, **options: Any) -> Any:
        with tokens.paused():
            return inner(*args, **options)

    module.look_at_dev = look
    try:
        with tokens.counting():
            yield tokens
    finally:
        module.look_at_dev = inner


def main() -> None:
    """Three seeds of the recipe."""
    found = [run({}, seed)["looks"][-1] for seed in SEEDS]
    rows = [(seed, f"{own:.3f}", f"{shuffled:.3f}") for seed, (_, own, shuffled) in zip(SEEDS, found, strict=True)]
    worst = min(own for _, own, _ in found), max(shuffled for *_, shuffled in found)
    rows.append(("worst", verdict(worst[0], at_least=0.9), verdict(worst[1], at_most=0.6)))
    table("TinyWorld, joint, 100 + 100 steps", ("seed", "own summary", "another user's"), rows)


def levers(keep: Path, only: Sequence[str]) -> None:
    """Every lever, or those named, with every seed; what is in the file already is not run again."""
    found = {
        name: _kept(keep, f"lever: {name}", lambda seed, o=options: run(o, seed))
        for name, options in LEVERS.items()
        if name in (only or LEVERS)
    }
    rows = []
    for name, runs in found.items():
        own = [one["looks"][-1][1] for one in runs]
        shuffled = [one["looks"][-1][2] for one in runs]
        millions = statistics.median(one["looks"][-1][0] for one in runs) / 1e6
        each = ", ".join(f"{value:.3f}" for value in own)
        rows.append((name, f"{statistics.mean(own):.3f}", each, f"{statistics.mean(shuffled):.3f}", f"{millions:.1f}"))
    head = ("lever", "own, mean", "own, seeds 0, 1, 2", "another's, mean", "tokens, millions")
    table("Levers on TinyWorld", head, rows)


def tokens(keep: Path, _: Sequence[str]) -> None:
    """Accuracy against tokens processed."""
    sides: dict[str, Callable[[int], dict[str, Any]]] = {
        "joint": lambda seed: run({}, seed),
        "sequential": lambda seed: run(SEQUENTIAL, seed),
        "stock TRL": lambda seed: run_stock({}, seed),
        "stock TRL, no entropy bonus": lambda seed: run_stock({"entropy_bonus": 0.0}, seed),
    }
    found = {name: _kept(keep, "lever: the recipe" if name == "joint" else name, side) for name, side in sides.items()}
    rows = []
    for name, runs in found.items():
        ends = [one["looks"][-1] for one in runs]
        reached = [next((count for count, own, _ in one["looks"] if own >= 0.9), None) for one in runs]
        rows.append(
            (
                name,
                ", ".join(f"{own:.3f}" for _, own, _ in ends),
                f"{statistics.mean(shuffled for *_, shuffled in ends):.3f}",
                f"{statistics.median(count for count, *_ in ends) / 1e6:.1f}",
                ", ".join("-" if count is None else f"{count / 1e6:.1f}" for count in reached),
            )
        )
    head = ("schedule", "own, seeds 0, 1, 2", "another's, mean", "tokens, millions", "millions until 0.90")
    table("Accuracy on TinyWorld against tokens processed", head, rows)
    lines = {
        name: [[(count, own, shuffled) for count, own, shuffled in one["looks"]] for one in runs]
        for name, runs in found.items()
    }
    draw(lines, PICTURE, "Accuracy on TinyWorld against tokens processed")


def _kept(keep: Path, name: str, work: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs of all seeds, from the file or made now."""
    lines = keep.read_text(encoding="utf-8").splitlines() if keep.exists() else []
    known = {(line["name"], line["seed"]): line for line in map(json.loads, lines)}
    for seed in SEEDS:
        if (name, seed) not in known:
            known[name, seed] = {"name": name, "seed": seed, "machine": machine(), **work(seed)}
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known[name, seed]) + "\n")
    return [known[name, seed] for seed in SEEDS]


def draw(lines: Mapping[str, Sequence[Sequence[tuple[float, float, float]]]], picture: Path, title: str) -> None:
    """Of each name the looks of its runs: tokens, own accuracy, with another user's summary."""
    from popi_sdk.evals.report.drawing import COLOURS, GREY, as_svg, new_axes

    figure, (axes,) = new_axes(7.2, 4.2)
    for (name, runs), colour in zip(lines.items(), itertools.cycle(COLOURS), strict=False):
        for at, looks in enumerate(runs):
            x = [count / 1e6 for count, *_ in looks]
            label = name if at == 0 else None
            axes.plot(x, [100 * own for _, own, _ in looks], color=colour, linewidth=1.6, label=label)
            axes.plot(x, [100 * shuffled for *_, shuffled in looks], color=colour, linewidth=0.8, linestyle=":")
    axes.axhline(50, color=GREY, linewidth=1)
    axes.set_xlabel("tokens processed, millions (dotted: another user's summary)")
    axes.set_ylabel("accuracy on dev users, %")
    axes.legend(frameon=False)
    picture.write_text(as_svg(figure, title) + "\n", encoding="utf-8")
    print(f"Drawn: {picture}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("levers", "tokens"))
    parser.add_argument("--keep", type=Path, default=ROOT / ".popi" / "tinyworld.jsonl", help="runs, one a line")
    parser.add_argument("--only", nargs="+", default=[], choices=LEVERS, metavar="LEVER", help="those levers alone")
    given = parser.parse_args()
    given.keep.parent.mkdir(parents=True, exist_ok=True)
    {"levers": levers, "tokens": tokens}[given.what](given.keep, given.only)
