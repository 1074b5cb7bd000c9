"""TensorBoard's events are the history: read back, also after kills."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from popi_sdk import ConfigurationError, MissingExtraError, TrainingError
from popi_sdk.data import tinyworld
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.train import PopiTrainer
from popi_sdk.train.board import Board


class Killed(BaseException):
    pass


@pytest.fixture
def built(small: Callable[..., Any], tiny_folder: Path, tmp_path: Path) -> Callable[..., PopiTrainer]:
    def build(kill: tuple[str, int] | None = None, tensorboard: Any = True) -> PopiTrainer:
        def watch(entry: dict[str, Any]) -> None:
            if kill == (entry["phase"], entry["step"]):
                raise Killed

        return PopiTrainer(
            small(steps=5, save_every=2, eval_every=3, warm_start=2, keep_best=False),
            tinyworld.generate("train", 8),
            tinyworld.generate("dev", 3),
            model=load_causal_lm(tiny_folder, dtype="float32"),
            output=tmp_path / "out",
            progress=watch,
            tensorboard=tensorboard,
        )

    return build


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    return events.Reload()


def curve(events: EventAccumulator, name: str) -> list[tuple[int, float]]:
    return [(one.step, one.value) for one in events.Scalars(name)]


def expected(trainer: PopiTrainer, name: str) -> list[tuple[int, Any]]:
    offsets = {"warm start": 0, "joint": 2}
    return [
        (offsets[one["phase"]] + one["step"], pytest.approx(one[name], rel=1e-5, abs=1e-7))
        for one in trainer.history
        if name in one
    ]


def test_every_figure_is_there_by_the_step_of_the_whole_run(built, tmp_path: Path) -> None:
    trainer = built().train()
    events = read(tmp_path / "out" / "run" / "tensorboard")
    figures = {name for one in trainer.history for name, value in one.items() if isinstance(value, float)}
    assert {"warm/loss", "reward/mean", "generator/loss", "dev/own"} <= figures
    assert set(events.Tags()["scalars"]) == figures
    for name in figures:
        assert curve(events, name) == expected(trainer, name)
    assert [step for step, _ in curve(events, "warm/loss")] == [1, 2]
    assert [step for step, _ in curve(events, "dev/own")] == [5, 7]
    assert [one.step for one in events.Tensors("dev/samples/text_summary")] == [5, 7]


def test_a_resumed_run_has_each_step_once(built, tmp_path: Path) -> None:
    for number, kill in enumerate([("warm start", 2), ("joint", 4)]):
        with pytest.raises(Killed):
            built(kill).train(resume=number > 0)
    folder = tmp_path / "out" / "run" / "tensorboard"
    assert [step for step, _ in curve(read(folder), "reward/mean")] == [3, 4, 5, 6]
    trainer = built().train(resume=True)
    events = read(folder)
    for name in ("warm/loss", "reward/mean", "dev/own"):
        assert curve(events, name) == expected(trainer, name)

    finished = built().train(resume=True)  # nothing is left to do
    assert curve(read(folder), "reward/mean") == expected(finished, "reward/mean")


def test_asked_for_only_when_it_goes_on_the_beginning_is_there_too(built, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        built(("joint", 4), tensorboard=False).train()
    assert not (tmp_path / "out" / "run" / "tensorboard").exists()
    trainer = built(tensorboard=tmp_path / "mine").train(resume=True)
    assert curve(read(tmp_path / "mine"), "reward/mean") == expected(trainer, "reward/mean")
    assert not (tmp_path / "out" / "run" / "tensorboard").exists()


def test_a_new_run_takes_the_old_events_away(built, tmp_path: Path) -> None:
    built().train()
    trainer = built().train()
    assert curve(read(tmp_path / "out" / "run" / "tensorboard"), "reward/mean") == expected(trainer, "reward/mean")


def test_without_a_folder_to_write_to(small, lm) -> None:
    with pytest.raises(ConfigurationError, match="need a folder"):
        PopiTrainer(small(), tinyworld.generate("train", 2), model=lm, tensorboard=True)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    board = Board(tmp_path / "file" / "inside")
    with pytest.raises(TrainingError, match=r"Cannot write to .*inside"):
        board.add([{"phase": "joint", "step": 1, "reward/mean": 0.5}])
    board.close()


def test_without_tensorboard_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "tensorboard":
            raise ModuleNotFoundError("No module named 'tensorboard'", name="tensorboard")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r"popi-sdk\[tensorboard\]"):
        Board(tmp_path)
    Board(None).add([{"phase": "joint", "step": 1}])
