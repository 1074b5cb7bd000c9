"""The stages of the model that the package ships, on a toy model: what of a run is counted, and where it goes on."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from benchmarks.shipped import OnTime, described, personas
from benchmarks.tinyworld import counted
from popi_sdk.data import tinyworld, write_users
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.train import as_train_config


def built(folder: Path, output: Path) -> OnTime:
    config = as_train_config(
        dtype="float32",
        warm_start=2,
        steps=4,
        users_per_step=2,
        group_size=2,
        budget=4,
        eval_every=2,
        eval_users=4,
        keep_best=False,
        stop=None,
        save_every=1,
    )
    model = load_causal_lm(folder, dtype="float32")
    return OnTime(config, tinyworld.generate("train", 6), tinyworld.generate("dev", 4), model=model, output=output)


def test_tokens_behind_a_step_are_those_of_all_starts(tmp_path: Path) -> None:
    folder = tinyworld.save_tiny_model(tmp_path / "tiny")
    whole = built(folder, tmp_path / "whole")
    whole.look_first()
    with counted() as whole.tokens:
        whole.train()
    first = whole.history[0]
    assert (first["step"], first["tokens"], 0 <= first["dev/own"] <= 1) == (0, 0, True)
    tokens = [one["tokens"] for one in whole.history]
    assert tokens == sorted(set(tokens)), "each step processes some"

    part = built(folder, tmp_path / "part")
    part.look_first()

    def stop(entry: dict[str, Any]) -> None:
        if (entry["phase"], entry["step"]) == ("joint", 3):
            raise KeyboardInterrupt

    part.progress = stop
    with pytest.raises(KeyboardInterrupt), counted() as part.tokens:
        part.train()
    again = built(folder, tmp_path / "part")
    with counted() as again.tokens:
        again.train(resume=True)
    steps = [(one["phase"], one["step"]) for one in again.history]
    assert steps == [(one["phase"], one["step"]) for one in whole.history]
    # References that the killed step had computed are on the disk, and not computed again.
    spared = [one - other["tokens"] for one, other in zip(tokens, again.history, strict=True)]
    assert spared[:5] == [0] * 5
    assert len(set(spared[5:])) == 1
    assert 0 <= spared[5] < 0.3 * (tokens[5] - tokens[4])


def test_personas_of_politics_and_religion_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "model_written_personas"
    folder.mkdir()
    people = [
        one.model_copy(update={"user_id": groups[0], "groups": groups, "split": split})
        for one, groups, split in zip(
            tinyworld.generate("train", 4),
            [("politics",), ("religion", "x"), ("ethics",), ("psychology",)],
            ["train", "train", "train", "dev"],
            strict=True,
        )
    ]
    write_users(tmp_path / "users.jsonl", people)
    (folder / "train_dev.jsonl.gz").write_bytes(gzip.compress((tmp_path / "users.jsonl").read_bytes()))
    assert [one.user_id for one in personas(tmp_path)] == ["ethics"]
    assert [one.user_id for one in personas(tmp_path, "train", "dev")] == ["ethics", "psychology"]
    train, _ = described(tmp_path, 3)
    learnt = {one.user_id.partition("/")[0] for one in train if not one.user_id.startswith("styleworld")}
    assert learnt == {"ethics"}


def test_a_phase_that_takes_too_long_ends(tmp_path: Path) -> None:
    trainer = built(tinyworld.save_tiny_model(tmp_path / "tiny"), tmp_path / "out")
    trainer.seconds = 0.0
    trainer.train()
    assert [one["step"] for one in trainer.history if one["phase"] == "joint"] == [1]
