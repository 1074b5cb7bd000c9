"""A run that goes on: it ends the same wherever it was killed, takes what was added, and refuses what changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.evaluations import items

from popi_sdk import ConfigurationError
from popi_sdk.data.tinyworld import save_tiny_model
from popi_sdk.evals import evaluate, read_results, write_report
from popi_sdk.evals.journal import Journal
from popi_sdk.evals.manifest import ITEMS, MANIFEST, SUMMARIES
from popi_sdk.models._lock import file_lock


class Killed(BaseException):
    pass


def test_wherever_a_run_is_killed_it_resumes_to_the_same_bytes(tmp_path: Path, config, monkeypatch) -> None:
    whole = evaluate(config(), tmp_path / "whole")
    append = Journal.append
    left = 0

    def until_killed(self: Journal, unit: str, rows: Any) -> None:
        nonlocal left
        if left == 0:
            with self.path.open("ab") as file:
                file.write(b'{"unit": "' + unit.encode() + b'", "half a li')  # what a kill in a write leaves
            raise Killed
        left -= 1
        append(self, unit, rows)

    monkeypatch.setattr(Journal, "append", until_killed)
    kills = 0
    while True:
        left = 2
        try:
            folder = evaluate(config(), tmp_path / "killed", resume=True)
            break
        except Killed:
            kills += 1
    assert kills >= 7  # 16 units, two a life
    for name in (ITEMS, SUMMARIES):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    write_report(whole)
    write_report(folder)
    for name in ("results.json", "report.md", "report.html"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_rows_and_readers_can_be_added_to_a_run(tmp_path: Path, config, other_model: str) -> None:
    at_once = config(methods=("raw", "gold"), readers=(other_model,))
    evaluate(config(methods=("gold",)), tmp_path / "run")
    folder = evaluate(at_once, tmp_path / "run", resume=True)
    once = evaluate(at_once, tmp_path / "once")

    def key(row: dict) -> tuple:
        return (row["reader"], row["row"], row["user_id"], row["pair"])

    assert sorted(items(folder), key=key) == sorted(items(once), key=key)
    assert read_results(folder).rows == read_results(once).rows
    with pytest.raises(ConfigurationError, match=r"methods that are not asked for now: gold"):
        evaluate(config(methods=("raw",), readers=(other_model,)), folder, resume=True)


def test_weights_that_changed_are_another_run_and_a_wrong_base_is_refused(tmp_path: Path, config, other_model) -> None:
    folder = tmp_path / "mine"
    save_tiny_model(folder / "generator", seed=7)
    manifest = {"format": 1, "base_model": "x", "context": "none", "generator": "generator"}
    (folder / "popi.json").write_text(json.dumps(manifest))
    asked = config(methods=(f"mine={folder}",), limit=2)
    run = evaluate(asked, tmp_path / "run")
    (folder / "popi.json").write_text(json.dumps(manifest | {"samples": ["For the card alone."]}))
    evaluate(asked, run, resume=True)
    (folder / "popi.json").write_text(json.dumps(manifest | {"budget": 5}))
    with pytest.raises(ConfigurationError, match="the weights of mine was"):
        evaluate(asked, run, resume=True)
    (folder / "popi.json").write_text(json.dumps(manifest))
    save_tiny_model(folder / "generator", seed=8)
    with pytest.raises(ConfigurationError, match="the weights of mine was"):
        evaluate(asked, run, resume=True)
    (folder / "generator" / "adapter_config.json").write_text("{}")
    (folder / "popi.json").write_text(json.dumps(manifest | {"base_model": other_model}))
    with pytest.raises(ConfigurationError, match=r"trained from .*second, which is not the model"):
        evaluate(asked, tmp_path / "new")


def test_a_reader_of_which_nothing_was_computed_can_be_left_out_again(tmp_path: Path, config, other_model) -> None:
    folder = evaluate(config(methods=("gold",), limit=2), tmp_path / "run")
    path = folder / MANIFEST
    said = json.loads(path.read_text())
    path.write_text(
        json.dumps(said | {"config": said["config"] | {"readers": [other_model], "methods": ["gold", "raw"]}})
    )
    evaluate(config(methods=("gold",), limit=2), folder, resume=True)
    assert read_results(folder).row("gold").accuracy.items == 8


def test_versions_of_a_resumed_run_are_all_named(tmp_path: Path, config) -> None:
    folder = evaluate(config(methods=("gold",), limit=2), tmp_path / "run")
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"commit": "the first"}))
    evaluate(config(methods=("gold", "raw"), limit=2), folder, resume=True)
    manifest = json.loads(path.read_text())
    assert manifest["commit"] == "the first"
    assert len(manifest["resumed"]) == 1
    write_report(folder)
    assert "A part was computed later, with commit" in (folder / "report.md").read_text()


def test_two_processes_do_not_write_one_run(tmp_path: Path, config) -> None:
    (tmp_path / "run").mkdir()
    with (
        file_lock(tmp_path / "run" / ".lock", lambda: None),
        pytest.raises(ConfigurationError, match="Another process is writing"),
    ):
        evaluate(config(limit=2), tmp_path / "run")
    evaluate(config(methods=("gold",), limit=2), tmp_path / "run")
