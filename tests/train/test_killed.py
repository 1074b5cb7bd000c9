"""Killed in earnest, or stopped by a fault: nothing is lost, and nothing that is left is in the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from popi_sdk import ConfigurationError, TrainingError
from popi_sdk.cli import main
from popi_sdk.data import tinyworld
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.models.trained import read_trained
from popi_sdk.train import PopiTrainer
from popi_sdk.train.checkpoint import Checkpoints
from popi_sdk.train.objective import Objective


def command(model: Path, output: Path, *more: str) -> list[str]:
    options = ("users_per_step=2", "group_size=2", "budget=4", "dtype=float32", "save_every=1", "eval_users=4")
    settings = [part for option in options for part in ("--set", option)]
    base = [sys.executable, "-m", "popi_sdk", "train", "--data", "tinyworld", "--limit", "6", "--steps", "12"]
    return [*base, "--model", str(model), "-o", str(output), "--quiet", *settings, *more]


def go_on(arguments: list[str]) -> None:
    """In this process: what is measured is whether it was killed, not where."""
    with pytest.raises(SystemExit) as ended:
        main(arguments[3:])
    assert ended.value.code == 0


def test_kill_9_in_the_middle(tiny_folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    history = tmp_path / "killed" / "run" / "history.jsonl"
    with subprocess.Popen(command(tiny_folder, tmp_path / "killed"), env=environment) as running:
        give_up = time.monotonic() + 120
        while not (history.is_file() and history.read_text().count("\n") >= 3) and time.monotonic() < give_up:
            assert running.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
    done = history.read_text().count("\n")
    assert 3 <= done < 12
    assert not (tmp_path / "killed" / "popi.json").exists()
    go_on(command(tiny_folder, tmp_path / "killed", "--resume"))
    go_on(command(tiny_folder, tmp_path / "whole"))
    steps = [json.loads(line)["step"] for line in history.read_text().splitlines()]
    assert steps == [*range(1, 13)]
    for part in ("inferrer", "generator"):
        one, two = (load_file(tmp_path / name / part / "adapter_model.safetensors") for name in ("killed", "whole"))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_what_a_killed_write_left_is_not_in_the_way(trainer: Callable[..., PopiTrainer], tmp_path: Path) -> None:
    built = trainer(steps=1)
    (tmp_path / "popi.json").write_text("{}")
    (tmp_path / ".new-01234567" / "inferrer").mkdir(parents=True)
    (tmp_path / ".new-README.md.17").write_text("half a ca")
    built.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"inferrer", "generator", "popi.json", "README.md"}
    (tmp_path / "my-thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="holds no trained model"):
        built.save_pretrained(tmp_path)


@pytest.mark.parametrize("at", range(4))
def test_a_write_that_was_killed_at_any_moment_can_be_done_again(
    trainer: Callable[..., PopiTrainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The parts, the card and popi.json go into place one by one: after each of them, and before the first."""
    built, output = trainer(steps=1), tmp_path / "model"
    built.save_pretrained(output)
    moved: list[Any] = []
    replace = os.replace

    def killed(*paths: Any) -> None:
        if len(moved) == at:
            monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # nothing tidies up after a kill
            raise KeyboardInterrupt
        moved.append(paths)
        replace(*paths)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        built.save_pretrained(output)
    monkeypatch.undo()
    assert not (output / "popi.json").exists()
    assert len([*output.glob(".new-*/popi.json")]) == 1
    with pytest.raises(ConfigurationError):
        read_trained("half", output)
    built.save_pretrained(output)
    assert {path.name for path in output.iterdir()} == {"inferrer", "generator", "popi.json", "README.md"}
    read_trained("whole", output)


def built(small: Any, folder: Path, output: Path, **options: Any) -> PopiTrainer:
    config = small(**{"steps": 4, "save_every": 1, "eval_every": 1, **options})
    lm = load_causal_lm(folder, dtype="float32")
    return PopiTrainer(config, tinyworld.generate("train", 8), tinyworld.generate("dev", 3), model=lm, output=output)


def weights(trainer: PopiTrainer) -> list[torch.Tensor]:
    state = trainer.networks.state_dict()
    return [value.detach() for name, part in state.items() if name != "untouched" for value in part]


def test_a_folder_called_run_that_is_none_is_left_alone(small: Any, tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "diary.txt").write_text("went for a run")
    with pytest.raises(TrainingError, match=r"holds 'diary\.txt', and is no run of popi_sdk"):
        built(small, tiny_folder, tmp_path).train()
    assert (tmp_path / "run" / "diary.txt").read_text() == "went for a run"


@pytest.mark.parametrize("schedule", ["joint", "population"])
def test_an_early_end_is_not_forgotten(
    schedule: str, small: Any, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the last step's checkpoint, before the end of the phase was kept."""
    options = {"schedule": schedule, "stop": {"patience": 1}, "inferrer_lr": 1e-12, "generator_lr": 1e-12}
    whole = built(small, tiny_folder, tmp_path / "whole", **options).train()
    assert "stopped" in whole.history[-1]
    assert len(whole.history) == 2

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            built(small, tiny_folder, tmp_path / "part", **options).train()
    again = built(small, tiny_folder, tmp_path / "part", **options).train(resume=True)
    assert again.history == whole.history
    assert all(torch.equal(one, two) for one, two in zip(weights(whole), weights(again), strict=True))


def test_a_reward_that_fails_ends_the_run_and_it_goes_on(
    small: Any, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = built(small, tiny_folder, tmp_path / "whole").train()
    part = built(small, tiny_folder, tmp_path / "part")
    calls, inner = [], Objective.reward

    def failing(self: Objective, *args: Any, **options: Any) -> float:
        calls.append(args)
        if len(calls) > 15:  # in the third step: 2 users with 3 summaries each
            raise OSError("the judge has gone home")
        return inner(self, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Objective, "reward", failing)
        with pytest.raises(OSError, match="the judge has gone home"):
            part.train()
    assert [entry["step"] for entry in part.history] == [1, 2]
    again = built(small, tiny_folder, tmp_path / "part").train(resume=True)
    assert again.history == whole.history
    assert all(torch.equal(one, two) for one, two in zip(weights(whole), weights(again), strict=True))


def test_other_words_of_the_same_users_are_another_run(small: Any, tiny_folder: Path, tmp_path: Path) -> None:
    built(small, tiny_folder, tmp_path, steps=1).train()
    for side in (0, 1):
        users = [[*tinyworld.generate("train", 8)], [*tinyworld.generate("dev", 3)]]
        users[side][0] = users[side][0].model_copy(update={"pairs": users[side][0].pairs[:2]})
        lm = load_causal_lm(tiny_folder, dtype="float32")
        config = small(steps=1, save_every=1, eval_every=1)
        with pytest.raises(TrainingError, match=r"other settings or other users: data\. Keep"):
            PopiTrainer(config, *users, model=lm, output=tmp_path).train(resume=True)


@pytest.mark.parametrize("name", ["README.md", "generator", ".new-ideas"])
def test_what_is_only_called_like_our_files_is_somebodys(
    name: str, trainer: Callable[..., PopiTrainer], tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "precious.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="holds no trained model"):
        trainer(steps=1).save_pretrained(tmp_path)
    assert (tmp_path / name / "precious.txt").read_text() == "years of work"


def test_a_home_directory_is_meant_by_a_tilde(
    small: Any, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    built(small, tiny_folder, Path("~/mine"), steps=2).train().save_pretrained("~/mine")
    assert {path.name for path in (tmp_path / "mine").iterdir()} >= {"run", "popi.json"}
    assert not (tmp_path / "~").exists()


def test_a_checkpoint_that_lacks_a_file_is_not_gone_on_from(small: Any, tiny_folder: Path, tmp_path: Path) -> None:
    whole = built(small, tiny_folder, tmp_path / "whole").train()
    part = built(small, tiny_folder, tmp_path / "part")

    def stop(entry: dict[str, Any]) -> None:
        if entry["step"] == 4:
            raise KeyboardInterrupt

    part.progress = stop
    with pytest.raises(KeyboardInterrupt):
        part.train()
    for lost in ("optimizer.pt", "scheduler.pt", "trainer_state.json"):
        shutil.copytree(tmp_path / "part", tmp_path / lost)
        (tmp_path / lost / "run" / "joint" / "checkpoint-3" / lost).unlink()
        again, begun = built(small, tiny_folder, tmp_path / lost), []
        again.began = lambda phase, done, begun=begun: begun.append(done)
        again.train(resume=True)
        assert begun == [2], lost
        assert again.history == whole.history, lost
        assert all(torch.equal(one, two) for one, two in zip(weights(whole), weights(again), strict=True)), lost


def test_a_checkpoint_with_a_file_that_was_cut_is_not_gone_on_from(tmp_path: Path) -> None:
    state = {"state": torch.ones(100)}
    checkpoints = Checkpoints(tmp_path, every=1, settings={}, resume=False)
    for step in (2, 3):
        made = tmp_path / "joint" / f"checkpoint-{step}"
        made.mkdir(parents=True)
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "popi.pt"):
            torch.save(state, made / name)
        save_file({"a": torch.ones(50), "b": torch.zeros(3)}, made / "model.safetensors", metadata={"format": "pt"})
        (made / "trainer_state.json").write_text('{"global_step": 3}')

    def newest() -> str:
        found = checkpoints.latest("joint")
        assert found is not None
        return found[0].name

    assert newest() == "checkpoint-3"
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors", "trainer_state.json"):
        path = tmp_path / "joint" / "checkpoint-3" / name
        content = path.read_bytes()
        for size in (0, 5, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:size])
            assert newest() == "checkpoint-2", (name, size)
        path.write_bytes(content)
        assert newest() == "checkpoint-3", name


def test_a_run_without_settings_or_with_a_broken_history(small: Any, tiny_folder: Path, tmp_path: Path) -> None:
    built(small, tiny_folder, tmp_path, steps=1).train()
    history, settings = (tmp_path / "run" / name for name in ("history.jsonl", "settings.json"))
    history.write_text('{"phase": "joint", "step": 1}\n[]\n')
    with pytest.raises(
        TrainingError, match=r"history\.jsonl, line 2, is no entry of a history\. To train anew, remove"
    ):
        built(small, tiny_folder, tmp_path, steps=1).train(resume=True)
    history.unlink()
    assert built(small, tiny_folder, tmp_path, steps=1).train(resume=True).kept is None
    settings.unlink()
    with pytest.raises(TrainingError, match=r"but no settings\.json"):
        built(small, tiny_folder, tmp_path, steps=1).train(resume=True)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("No space left on device")])
def test_a_full_disk(
    error: Exception, small: Any, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("popi_sdk.train.checkpoint.torch.save", full)
    with pytest.raises(TrainingError, match=r"Cannot write .*: No space left on device\. Make room"):
        built(small, tiny_folder, tmp_path, schedule="population").train()


def test_what_a_kill_left_of_the_settings_is_not_in_the_way(small: Any, tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".settings.json.17").write_text('{"mod')
    built(small, tiny_folder, tmp_path, schedule="population", steps=1).train()


def test_an_inferrer_that_is_no_number(trainer: Callable[..., PopiTrainer], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"The inferrer's gradient is nan at step \d\. Lower inferrer_lr, or raise"):
        trainer(steps=3, temperature=1e-30).train()
    built = trainer(steps=1)
    built.networks.state_dict()["generator"][0].data.fill_(float("nan"))
    with pytest.raises(TrainingError, match="no numbers, and nothing is written"):
        built.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()
