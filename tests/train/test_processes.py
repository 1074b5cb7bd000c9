"""Two processes train what one does: same users in a step, same weights of both models, one that writes and speaks."""

from __future__ import annotations

import functools
import json
import math
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import siblings

from popi_sdk import ConfigurationError
from popi_sdk.data import tinyworld, write_users
from popi_sdk.models.trained import read_trained
from popi_sdk.train import PopiTrainer
from popi_sdk.train.examples import batches, rotated
from popi_sdk.train.processes import Processes, join
from popi_sdk.train.reference import References, _key

OPTIONS = {
    "steps": 2,
    "users_per_step": 2,
    "group_size": 3,
    "pairs_per_summary": 2,
    "budget": 4,
    "beta": 1.0,
    "inferrer_lr": 0.01,
    "generator_lr": 0.01,
    "warmup": 0.0,
    "eval_every": 0,
    "entropy_floor": 5.0,
    "kl": 0.01,
}
RUNS: dict[str, dict[str, Any]] = {
    "joint": {
        "warm_start": 2,
        "warm_start_generator": 1,
        "warm_start_users": 4,
        "warm_start_contrast": 1.0,
        "users_per_step": 4,
        "steps": 3,
        "save_every": 1,
    },
    "whole": {"adapters": None, "summaries_for_generator": 2, "budget": 40},
    "sequential": {"schedule": "sequential"},
    "population": {"schedule": "population", "steps": 3, "save_every": 1},
    "raw-trained": {"schedule": "raw-trained"},
    "contrast": {"generator_contrast": 1.0, "warm_start_generator": 1},  # the next user is in the other process
    "float32": {},
}
STOPPED = ("joint", "population")
COMMAND = ("--set", "users_per_step=2", "--set", "group_size=2", "--set", "budget=4", "--set", "dtype=float32")


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def job(folder: Path, name: str = "", **more: Any) -> dict[str, Any]:
    # In float64 nothing but the order of sums differs. In float32 AdamW's first steps blow up what differs: they go by
    # the sign of a gradient, however small.
    options = OPTIONS | RUNS.get(name, {})
    return {"model": str(folder), "dtype": "float32" if name == "float32" else "float64", "options": options} | more


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("siblings")


@pytest.fixture(scope="module")
def both(place: Path, tiny_folder: Path) -> Callable[[str], list[dict[str, Any]]]:
    """All that two processes do, in one start; gives what each of them had in the end."""
    jobs: dict[str, Any] = {name: job(tiny_folder, name) for name in RUNS}
    jobs["joint"]["output"] = str(place / "joint")
    for schedule in STOPPED:
        stopped = job(tiny_folder, schedule, output=str(place / f"stopped-{schedule}"))
        jobs[f"stopped-{schedule}"] = stopped | {"stop": [schedule, 2], "copy": str(place / f"{schedule}-copy")}
        jobs[f"resumed-{schedule}"] = stopped | {"resume": True}
    command = ["train", "--data", "tinyworld", "--limit", "6", "--steps", "1", "-o", str(place / "mine"), *COMMAND]
    jobs["command"] = {"command": [*command, "--model", str(tiny_folder)]}
    path = place / "jobs.json"
    path.write_text(json.dumps(jobs))
    ended = siblings.start(port(), siblings.__file__, str(path))
    assert [one.returncode for one in ended] == [0, 0], ended[0].stderr + ended[1].stderr
    assert ["Use it: " in one.stdout for one in ended] == [True, False]
    assert ["joint, step 1: accuracy" in one.stderr for one in ended] == [True, False]
    return lambda name: [torch.load(place / f"{name}-{rank}.pt", weights_only=False) for rank in (0, 1)]


def apart(one: dict[str, list[torch.Tensor]], two: dict[str, list[torch.Tensor]]) -> float:
    """The largest difference of a tensor's values, relative to the largest of them."""
    assert one.keys() == two.keys()
    return max(
        float((mine - theirs).abs().max() / mine.abs().max())
        for name in one
        for mine, theirs in zip(one[name], two[name], strict=True)
    )


WORDS = ("phase", "dev/samples")  # what stands in a history beside numbers


def check(found: list[dict[str, Any]], alone: PopiTrainer, limit: float) -> None:
    first, second = found
    figures = max(limit, 1e-5)  # of which TRL keeps some in float32
    assert apart(first["weights"], second["weights"]) == 0
    assert apart(siblings.weights(alone), first["weights"]) < limit
    assert first["history"] == second["history"]
    for mine, theirs in zip(alone.history, first["history"], strict=True):
        assert [mine.get(word) for word in WORDS] == [theirs.get(word) for word in WORDS]
        numbers = [{key: value for key, value in entry.items() if key not in WORDS} for entry in (mine, theirs)]
        assert numbers[0] == pytest.approx(numbers[1], rel=figures, abs=figures)


@pytest.fixture(scope="module")
def alone(tiny_folder: Path) -> Callable[[str], PopiTrainer]:
    return functools.cache(lambda name: siblings.run(job(tiny_folder, name)))


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_what_one_does(name: str, both: Any, alone: Any) -> None:
    if name == "whole":  # some end before the budget: tokens weigh the same, whoever sampled them
        assert alone(name).history[0]["summaries/tokens"] < alone(name).config.budget
    check(both(name), alone(name), 1e-3 if name == "float32" else 1e-9)


@pytest.mark.parametrize("schedule", STOPPED)
def test_a_run_that_was_stopped_goes_on_in_two_processes_or_in_one(
    schedule: str, both: Any, alone: Any, place: Path, tiny_folder: Path
) -> None:
    history = both(f"stopped-{schedule}")[1]["history"]
    assert [entry["step"] for entry in history if entry["phase"] == schedule] == [1, 2]
    check(both(f"resumed-{schedule}"), alone(schedule), 1e-9)
    one = siblings.run(job(tiny_folder, schedule, output=str(place / f"{schedule}-copy"), resume=True))
    assert apart(siblings.weights(alone(schedule)), siblings.weights(one)) < 1e-9


def test_one_process_writes(both: Any, place: Path) -> None:
    run = place / "joint" / "run"
    [references] = run.glob("references-*.jsonl")
    keys = [json.loads(line)[0] for line in references.read_text().splitlines()]
    assert len(keys) == len(set(keys)) > 8
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert lines == both("joint")[0]["history"]
    assert read_trained("mine", place / "mine").inferrer == "inferrer"


def test_what_fails_in_one_process_ends_both_and_is_said_once(tmp_path: Path, tiny_folder: Path) -> None:
    users = tmp_path / "users.jsonl"
    write_users(users, (one.model_copy(update={"split": None}) for one in tinyworld.generate("train", 8)))
    options = OPTIONS | {"users_per_step": 2, "dtype": "float32", "schedule": "sequential"}
    alone = PopiTrainer(
        siblings.as_train_config(base_model=str(tiny_folder), **options), tinyworld.generate("train", 8)
    )
    first, second = next(batches(8, alone.config))
    pairs = rotated(alone.train_examples[second].pairs, 0, 2)
    assert not set(pairs) & set(rotated(alone.train_examples[first].pairs, 0, 2))
    run = tmp_path / "out" / "run"
    run.mkdir(parents=True)
    path = References(alone.identity, run)._path
    assert path is not None
    path.write_text("".join(json.dumps([_key(pair), math.nan, 0.0]) + "\n" for pair in pairs))
    command = ["train", "--data", str(users), "--model", str(tiny_folder), "-o", str(run.parent), "--resume"]
    for name, value in options.items():
        command += ["--set", f"{name}={value}"]
    ended = siblings.launch(port(), "-m", "popi_sdk", *command)
    assert ended.returncode != 0
    assert ended.stderr.count("Error: A summary's reward is nan") == 1
    assert "Connection closed" not in ended.stderr
    assert not (run.parent / "popi.json").exists()


PARTING = """
import os
from popi_sdk.train.processes import join, one_voice
with one_voice():
    both = join("cpu")
    from trl import GRPOTrainer
    both.gather("x")
threads = [open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task")]
print(sum("gloo" in name for name in threads), "left")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_processes_that_part_leave_no_threads() -> None:
    """One that is left may need the interpreter while that ends, and then the process dies of SIGABRT."""
    ended = siblings.start(port(), "-c", PARTING)
    assert [(one.returncode, one.stdout) for one in ended] == [(0, "0 left\n")] * 2, ended[0].stderr


@pytest.mark.parametrize("launcher", siblings.LAUNCHERS)
def test_the_commands_of_the_docs(tmp_path: Path, tiny_folder: Path, launcher: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    [line] = [line for line in page.splitlines() if line.startswith(f"{launcher} ")]
    options = [word for word in siblings.LAUNCHERS[launcher].split()[1:-1] if word != "2"]  # processes; the address
    assert [word for word in line.split() if word not in (launcher, "launch", "4")] == [
        *options,
        *("-m", "popi_sdk", "train", "my-run.yaml"),
    ]
    file = tmp_path / "my-run.yaml"
    output = tmp_path / "my-popi"
    numbers = {"steps": 1, "users_per_step": 2, "group_size": 2, "budget": 4, "dtype": "float32", "warmup": 0.0}
    file.write_text(
        json.dumps({"data": "tinyworld", "limit": 6, "base_model": str(tiny_folder), "output": str(output)} | numbers)
    )
    ended = siblings.launch(port(), "-m", "popi_sdk", "train", str(file), by=launcher)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("Use it: ") == 1
    assert read_trained("my-popi", output).inferrer == "inferrer"


def test_users_are_shared_out_whole() -> None:
    assert [list(Processes(index, 2).share(range(6))) for index in (0, 1)] == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ConfigurationError, match="users_per_step to a multiple of 2"):
        Processes(0, 2).share(range(5))


def test_alone_there_is_nothing_to_agree_on() -> None:
    alone = join()
    assert (alone.index, alone.count, alone.main, alone.device("cuda:1")) == (0, 1, True, "cuda:1")
    assert alone.gather("x") == ["x"]
    assert alone.spread([1, 2, 3], lambda part: [-one for one in part]) == [-1, -2, -3]
    assert alone.from_main(lambda: 1) == alone.main_first(lambda: 1) == alone.mean(1) == 1


def test_what_several_processes_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="one device for 2 processes"):
        Processes(0, 2).device("cuda:0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigurationError, match="FSDP"):
        join()
