"""A run that is killed goes on from its checkpoint to what it would have been."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from popi_sdk import TrainingError
from popi_sdk.data import tinyworld
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.train import PopiTrainer


class Killed(BaseException):
    pass


def built(
    small: Any, folder: Path, output: Path, *, kill: tuple[str, int] | None = None, **options: Any
) -> PopiTrainer:
    def watch(entry: dict[str, Any]) -> None:
        if kill == (entry["phase"], entry["step"]):
            raise Killed

    config = small(**{"steps": 5, "save_every": 2, "eval_every": 3, **options})
    lm = load_causal_lm(folder, dtype="float32")
    users = tinyworld.generate("train", 8), tinyworld.generate("dev", 3)
    return PopiTrainer(config, *users, model=lm, output=output, progress=watch)


def weights(trainer: PopiTrainer) -> list[torch.Tensor]:
    state = trainer.networks.state_dict()
    return [parameter.detach() for name, part in state.items() if name != "untouched" for parameter in part]


@pytest.mark.parametrize(
    ("options", "kills"),
    [
        ({"warm_start": 2, "entropy_floor": 5.0}, [("joint", 1), ("joint", 4), ("joint", 5)]),
        ({"adapters": None}, [("joint", 3)]),
        (
            {
                "warm_start": 5,
                "warm_start_generator": 4,
                "warm_start_users": 4,
                "warm_start_contrast": 1.0,
                "warmup": 0.5,
                "steps": 1,
            },
            [("warm start", 3), ("warm start", 5), ("generator warm start", 3), ("joint", 1)],
        ),
        ({"schedule": "sequential"}, [("inferrer 1", 3), ("generator 1", 1), ("generator 1", 5)]),
    ],
)
def test_wherever_it_is_killed(options: dict, kills: list, small, tiny_folder, tmp_path: Path) -> None:
    whole = built(small, tiny_folder, tmp_path / "whole", **options).train()
    for number, kill in enumerate(kills):
        part = built(small, tiny_folder, tmp_path / "part", kill=kill, **options)
        with pytest.raises(Killed):
            part.train(resume=number > 0)
        inside = tmp_path / "part" / "run" / kill[0].replace(" ", "-")
        (inside / "checkpoint-9").mkdir(parents=True, exist_ok=True)  # a kill while it was written
        with (tmp_path / "part" / "run" / "history.jsonl").open("a") as file:
            file.write('{"phase": "jo')
    again = built(small, tiny_folder, tmp_path / "part", **options).train(resume=True)
    for one, two in zip(weights(whole), weights(again), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert again.history == whole.history
    lines = (tmp_path / "part" / "run" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == whole.history


def test_a_finished_run_is_not_done_again(small, tiny_folder, tmp_path: Path) -> None:
    first = built(small, tiny_folder, tmp_path / "run").train()
    again = built(small, tiny_folder, tmp_path / "run", kill=("joint", 1)).train(resume=True)
    assert all(torch.equal(one, two) for one, two in zip(weights(first), weights(again), strict=True))
    assert again.history == first.history


def test_other_settings_are_another_run(small, tiny_folder, tmp_path: Path) -> None:
    built(small, tiny_folder, tmp_path / "run", steps=1).train()
    with pytest.raises(TrainingError, match=r"other settings or other users: steps\. Keep"):
        built(small, tiny_folder, tmp_path / "run", steps=2).train(resume=True)
    anew = built(small, tiny_folder, tmp_path / "run", steps=2).train()
    assert len(anew.history) == 2


def test_memory_and_checkpoints_may_be_another_matter(small, tiny_folder, tmp_path: Path) -> None:
    whole = built(small, tiny_folder, tmp_path / "whole").train()
    with pytest.raises(Killed):
        built(small, tiny_folder, tmp_path / "part", kill=("joint", 3)).train()
    assert [one.name for one in (tmp_path / "part" / "run" / "joint").glob("checkpoint-*")] == ["checkpoint-2"]
    again = built(small, tiny_folder, tmp_path / "part", token_budget=64, save_every=1).train(resume=True)
    assert [entry["step"] for entry in again.history] == [entry["step"] for entry in whole.history]
    for one, two in zip(weights(whole), weights(again), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)


def test_a_run_of_an_older_version_goes_on(small, tiny_folder, tmp_path: Path) -> None:
    first = built(small, tiny_folder, tmp_path / "run").train()
    path = tmp_path / "run" / "run" / "settings.json"
    settings = json.loads(path.read_text())
    del settings["config"]["generator_likelihood"]  # as if there had been no such option
    path.write_text(json.dumps(settings))
    again = built(small, tiny_folder, tmp_path / "run", kill=("joint", 1)).train(resume=True)
    assert again.history == first.history
    path.write_text(json.dumps(settings))
    with pytest.raises(TrainingError, match=r"users: generator_likelihood\. Keep"):
        built(small, tiny_folder, tmp_path / "run", generator_likelihood=1.0).train(resume=True)
    for kept in ('{"half', '{"config": {}}', "[]"):
        path.write_text(kept)
        with pytest.raises(TrainingError, match=r"settings\.json cannot be read"):
            built(small, tiny_folder, tmp_path / "run").train(resume=True)


def test_a_checkpoint_that_cannot_be_read(small, tiny_folder, tmp_path: Path) -> None:
    built(small, tiny_folder, tmp_path / "run", steps=1).train()
    (tmp_path / "run" / "run" / "joint.pt").write_bytes(b"half")
    with pytest.raises(TrainingError, match="cannot be read"):
        built(small, tiny_folder, tmp_path / "run", steps=1).train(resume=True)
