"""When a phase ends early, and which weights stay."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from popi_sdk import TrainingError
from popi_sdk.data import tinyworld
from popi_sdk.models.causal_lm import CausalLM, load_causal_lm
from popi_sdk.train import PopiTrainer, TrainConfig
from popi_sdk.train.checkpoint import Checkpoints, alone_in
from popi_sdk.train.dev import DevScores
from popi_sdk.train.stopping import StopSettings, Watch


def look(step: int, own: float, frozen: float = 0.5) -> dict[str, float]:
    return {"step": step, "dev/own": own, "dev/frozen": frozen}


def test_the_score_mixes_as_the_reward_does() -> None:
    assert Watch(None, 0.25).score(look(1, 0.8, 0.6)) == pytest.approx(0.75 * 0.8 + 0.25 * 0.6)


def test_the_best_look_is_the_earliest_of_equals() -> None:
    watch = Watch(None, 0.0)
    watch.replay([look(1, 0.5), {"step": 2}, look(3, 0.7), look(4, 0.7), look(5, 0.6)])
    assert watch.best is not None
    assert watch.best["step"] == 3


def test_patience_counts_looks_without_a_better_one() -> None:
    watch = Watch(StopSettings(patience=2), 0.0)
    assert [watch.see(look(step, own)) for step, own in enumerate([0.5, 0.4, 0.6, 0.6])] == [None] * 4
    assert watch.see({"step": 4}) is None  # a step without a look
    said = watch.see(look(5, 0.6))
    assert said == "2 looks at dev without a better one than at step 2"


def test_patience_goes_on_where_a_killed_run_was() -> None:
    watch = Watch(StopSettings(patience=2), 0.0)
    watch.replay([look(1, 0.5), look(2, 0.5)])
    assert watch.see(look(3, 0.5)) is not None


def test_a_collapse_of_the_entropy_is_seen_over_ten_steps() -> None:
    watch = Watch(StopSettings(min_entropy=0.1), 0.0)
    steps = [{"step": step, "inferrer/entropy": 0.05} for step in range(10)]
    assert [watch.see(step) for step in steps[:9]] == [None] * 9
    assert "raise entropy_bonus" in (watch.see(steps[9]) or "")
    lively = Watch(StopSettings(min_entropy=0.1), 0.0)
    assert [lively.see(step | {"inferrer/entropy": 0.2}) for step in steps] == [None] * 10


@pytest.mark.parametrize(
    ("share", "own", "frozen", "stops"),
    [
        (0.5, 0.9, 0.55, True),
        (0.5, 0.9, 0.65, False),  # fell by less
        (0.5, 0.6, 0.55, False),  # both fell: no code, just worse
        (0.0, 0.9, 0.55, False),  # nobody asked for transfer
    ],
)
def test_transfer_that_falls_while_the_generator_rises(share: float, own: float, frozen: float, stops: bool) -> None:
    watch = Watch(StopSettings(transfer_drop=0.1, patience=None), share)
    watch.see(look(1, 0.6, 0.7))
    said = watch.see(look(2, own, frozen))
    assert (said is not None) is stops
    if stops:
        assert "from 0.70 to 0.55" in str(said)


@pytest.mark.parametrize(("pairs", "stops"), [(6, False), (80, False), (96, True)])
def test_a_fall_that_few_pairs_make_by_chance_stops_nothing(pairs: int, stops: bool) -> None:
    watch = Watch(StopSettings(transfer_drop=0.1, patience=None), 0.5, pairs=pairs)
    watch.see(look(1, 0.6, 0.7))
    assert (watch.see(look(2, 0.9, 0.55)) is not None) is stops  # two standard errors: 0.58, 0.158, 0.144


@pytest.mark.parametrize(("frozen", "steps"), [(0.5, 2), (0.7, 4)])
def test_a_run_ends_where_transfer_falls(
    trainer: Callable[..., PopiTrainer], monkeypatch: pytest.MonkeyPatch, frozen: float, steps: int
) -> None:
    """Its looks judge 16 pairs, so that a fall by less than 0.35 is chance, whatever `transfer_drop` says."""
    looks = iter([(0.5, 0.9), (0.8, frozen), (0.8, frozen), (0.8, frozen)])

    def look_at_dev(*_: object) -> DevScores:
        own, read = next(looks)
        return DevScores(own, 0.5, read, 0.5, tokens=3.0, distinct=1.0, quoted=0.0, samples=())

    monkeypatch.setattr("popi_sdk.train.trainer.look_at_dev", look_at_dev)
    rules = {"transfer_drop": 0.1, "patience": None, "min_entropy": None}
    built = trainer(steps=4, eval_every=1, eval_pairs=4, reward_frozen=0.5, stop=rules)
    assert sum(len(one.pairs) for one in built.dev_examples) == 16
    built.train()
    assert len(built.history) == steps
    assert ("fell from 0.90 to 0.50" in built.history[-1].get("stopped", "")) is (steps == 2)


def test_no_rules_stop_nothing() -> None:
    watch = Watch(None, 0.5)
    rows = [look(step, 0.9, 1 / (step + 1)) | {"inferrer/entropy": 0.0} for step in range(30)]
    assert [watch.see(row) for row in rows] == [None] * 30


class Taken:
    """The weights after every step, as progress sees them."""

    def __init__(self) -> None:
        self.trainer: PopiTrainer | None = None
        self.weights: list[list[torch.Tensor]] = []

    def __call__(self, _: object) -> None:
        self.weights.append(now(self.trainer))


def now(trainer: PopiTrainer | None) -> list[torch.Tensor]:
    assert trainer is not None
    return [value.clone() for name, value in trainer.networks.inferrer.named_parameters() if "lora_" in name]


def same(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("kept_on_disk", [True, False])
@pytest.mark.parametrize("schedule", ["joint", "population"])
def test_the_weights_of_the_best_look_are_kept(
    lm: CausalLM, small: Callable[..., TrainConfig], tmp_path: Path, schedule: str, kept_on_disk: bool
) -> None:
    taken = Taken()
    config = small(schedule=schedule, steps=5, eval_every=1, reward_frozen=0.0)
    output = tmp_path / "out" if kept_on_disk else None
    users = [*tinyworld.generate("train", 8)], [*tinyworld.generate("dev", 6)]
    taken.trainer = PopiTrainer(config, *users, model=lm, output=output, progress=taken)
    taken.trainer.train()
    scores = [entry["dev/own"] for entry in taken.trainer.history]
    best = scores.index(max(scores))
    assert taken.trainer.kept == taken.trainer.history[best]
    assert same(now(taken.trainer), taken.weights[best])
    assert taken.trainer.evaluate().own == scores[best]
    assert not [*tmp_path.rglob("*.best.pt")]
    if kept_on_disk:
        again = PopiTrainer(config, *users, model=load_causal_lm(lm.folder, dtype="float32"), output=output)
        again.train(resume=True)
        assert again.kept == taken.trainer.kept
        assert same(now(again), taken.weights[best])


def test_the_last_weights_are_kept_if_asked_for(trainer: Callable[..., PopiTrainer]) -> None:
    built = trainer(steps=3, eval_every=1, keep_best=False)
    taken = Taken()
    taken.trainer, built.progress = built, taken
    built.train()
    assert built.kept == built.history[-1]
    assert same(now(built), taken.weights[-1])


@pytest.mark.parametrize("schedule", ["joint", "raw-trained"])
def test_a_run_ends_when_dev_says_so(trainer: Callable[..., PopiTrainer], schedule: str) -> None:
    rates = {"inferrer_lr": 1e-12, "generator_lr": 1e-12}  # nothing moves, so no look is better than the first
    built = trainer(schedule=schedule, steps=6, eval_every=1, stop={"patience": 2}, **rates)
    built.train()
    assert [entry["step"] for entry in built.history] == [1, 2, 3]
    assert "without a better one than at step 1" in built.history[-1]["stopped"]


def test_the_reward_over_the_empty_summary(trainer: Callable[..., PopiTrainer]) -> None:
    """Before theta has moved, the plain prompt's margin is 0 and its loss ln 2 / beta."""
    alone, over = (trainer(reward_over_empty=wanted) for wanted in (False, True))
    alone.train()
    over.train()
    first = [built.history[0] for built in (alone, over)]
    assert first[1]["reward/mean"] - first[0]["reward/mean"] == pytest.approx(math.log(2) / alone.config.beta, rel=1e-5)
    for one, two in zip(now(alone), now(over), strict=True):
        assert torch.allclose(one, two, atol=1e-4)


def test_no_look_belongs_to_weights_that_were_not_looked_at(trainer: Callable[..., PopiTrainer]) -> None:
    """The entropy ends this run at step 10, and the last look was at step 6."""
    stop = {"min_entropy": 100.0, "patience": None, "transfer_drop": None}
    built = trainer(schedule="joint", steps=12, eval_every=6, keep_best=False, stop=stop)
    built.train()
    assert "entropy" in built.history[-1]["stopped"]
    assert (len(built.history), "dev/own" in built.history[5]) == (10, True)
    assert built.kept is None


@pytest.mark.parametrize("kept_on_disk", [True, False])
def test_what_was_kept_at_another_step_is_not_taken(
    trainer: Callable[..., PopiTrainer], tmp_path: Path, kept_on_disk: bool
) -> None:
    built = trainer()
    points = Checkpoints(tmp_path / "run" if kept_on_disk else None, every=1, settings={}, resume=False)
    points.keep_best("joint", 4, built.networks)
    before = now(built)
    built.train()
    moved = now(built)
    assert not points.restore_best("joint", 3, built.networks)
    assert same(now(built), moved)
    points.keep_best("joint", 5, built.networks)
    built.networks.load_state_dict(points_state(built, before))
    assert points.restore_best("joint", 5, built.networks)
    assert same(now(built), moved)


def points_state(built: PopiTrainer, weights: list[torch.Tensor]) -> dict[str, object]:
    """The state in which the networks have these weights."""
    names = [name for name, _ in built.networks.inferrer.named_parameters() if "lora_" in name]
    found = dict(zip(names, weights, strict=True))
    parts = {part: [found[name] for name in names if f".{part}." in name] for part in ("default", "generator")}
    return {"untouched": True, **parts}


@pytest.mark.parametrize("resume", [True, False])
def test_two_runs_do_not_train_into_one_folder(
    lm: CausalLM, small: Callable[..., TrainConfig], tmp_path: Path, resume: bool
) -> None:
    users = [*tinyworld.generate("train", 4)]
    built = PopiTrainer(small(), users, model=lm, output=tmp_path / "out")
    with alone_in(tmp_path / "out" / "run"), pytest.raises(TrainingError, match="Another process is training into"):
        built.train(resume=resume)
    assert not [*tmp_path.rglob("settings.json")]
    built.train(resume=resume)
    assert len(built.history) == 2
