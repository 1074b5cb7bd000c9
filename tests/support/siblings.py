"""Runs of training that several processes do together: this file is what `torchrun` starts, once for each."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from popi_sdk.data import tinyworld
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.train import PopiTrainer, as_train_config


def run(job: dict[str, Any]) -> PopiTrainer:
    """Train as a job says; `kill` names phase and step after which this process kills itself."""

    def watch(entry: dict[str, Any]) -> None:
        if job.get("kill") == [entry["phase"], entry["step"]]:
            os.kill(os.getpid(), signal.SIGKILL)

    config = as_train_config(base_model=job["model"], **job["options"])
    users = tinyworld.generate("train", 8), tinyworld.generate("dev", 3)
    model = load_causal_lm(job["model"], dtype="float32")
    model.model.to(getattr(torch, job.get("dtype", "float32")))
    trainer = PopiTrainer(config, *users, model=model, output=job.get("output"), progress=watch)
    return trainer.train(resume=job.get("resume", False))


def weights(trainer: PopiTrainer) -> dict[str, list[torch.Tensor]]:
    """What training changed, by the name of the part."""
    state = trainer.networks.state_dict()
    return {name: [one.detach().clone() for one in parts] for name, parts in state.items() if name != "untouched"}


def main() -> None:
    """Do all jobs of a file, and leave weights and history of each beside it."""
    jobs = Path(sys.argv[1])
    for name, job in json.loads(jobs.read_text()).items():
        trainer = run(job)
        rank = trainer.processes.index
        torch.save({"weights": weights(trainer), "history": trainer.history}, jobs.with_name(f"{name}-{rank}.pt"))


if __name__ == "__main__":
    main()
