"""Runs of training that several processes do together: this file is started once for each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from popi_sdk import TrainingError
from popi_sdk.data import tinyworld
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.train import PopiTrainer, as_train_config

_LIMIT = 300  # seconds: what hangs is ended
_ON_CPU = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


def start(port: int, *arguments: str) -> list[subprocess.CompletedProcess[str]]:
    """Two processes of Python on this machine's CPU, with what a launcher would tell them."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}

    def one(rank: int) -> subprocess.CompletedProcess[str]:
        return _run([sys.executable, *arguments], where | {"RANK": str(rank), "LOCAL_RANK": str(rank)})

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(2)))


LAUNCHERS = {  # up to the option for the address
    "accelerate": "accelerate.commands.launch --multi_gpu --num_processes 2 --main_process_ip",
    "torchrun": "torch.distributed.run --nproc_per_node 2 --master_addr",
}


def launch(port: int, *arguments: str, by: str = "accelerate") -> subprocess.CompletedProcess[str]:
    """The same by accelerate's launcher, or another."""
    launcher = LAUNCHERS[by].split()
    of_port = launcher[-1].replace("_ip", "_port").replace("_addr", "_port")
    return _run([sys.executable, "-m", *launcher, "127.0.0.1", of_port, str(port), *arguments], {})


def _run(command: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **_ON_CPU, **environ}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT, env=environ)


def run(job: dict[str, Any]) -> PopiTrainer:
    """Train as a job says; `stop` names the phase and step after which it fails."""

    def watch(entry: dict[str, Any]) -> None:
        if job.get("stop") == [entry["phase"], entry["step"]]:
            raise InterruptedError("as told")

    config = as_train_config(base_model=job["model"], **job["options"])
    users = tinyworld.generate("train", 8), tinyworld.generate("dev", 3)
    model = load_causal_lm(job["model"], dtype="float32")
    model.model.to(getattr(torch, job["dtype"]))
    trainer = PopiTrainer(config, *users, model=model, output=job.get("output"), progress=watch)
    try:
        trainer.train(resume=job.get("resume", False))
    except (InterruptedError, TrainingError) as error:
        if str(error) != "as told":  # in the one that was told, and the same words in the other
            raise
        if trainer.processes.main:
            shutil.copytree(job["output"], job["copy"])
    return trainer


def weights(trainer: PopiTrainer) -> dict[str, list[torch.Tensor]]:
    """What training changes, by the name of the part."""
    state = trainer.networks.state_dict()
    return {name: [one.detach().clone() for one in parts] for name, parts in state.items() if name != "untouched"}


def main() -> None:
    """Do all jobs of a file, and leave weights and history of each beside it."""
    jobs = Path(sys.argv[1])
    for name, job in json.loads(jobs.read_text()).items():
        if "command" in job:  # the last one: after a command the processes part
            from popi_sdk.cli import main as popi

            popi(job["command"])
        trainer = run(job)
        found = {"weights": weights(trainer), "history": trainer.history}
        torch.save(found, jobs.with_name(f"{name}-{trainer.processes.index}.pt"))


if __name__ == "__main__":
    main()
