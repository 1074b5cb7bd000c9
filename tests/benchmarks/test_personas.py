"""Cross-validation over personas: who is left out, and how folds are counted together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.runs import READER, item, write_run

from benchmarks.personas import COSTS, adapters_together, neighbours, together
from popi_sdk.data import tinyworld


@pytest.mark.parametrize("folds", [2, 3, 4, 7])
def test_every_persona_is_left_out_once(folds: int) -> None:
    people = list(tinyworld.generate("train", 15))
    left = [neighbours(people, fold, folds) for fold in range(folds)]
    assert [one for some in left for one in some] == people
    assert max(map(len, left)) - min(map(len, left)) <= 1


def test_folds_are_counted_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for fold, (user, right) in enumerate((("a", 4), ("b", 2))):
        deltas = {"joint": [1.0] * right + [-1.0] * (4 - right), "joint:shuffled": [-1.0] * 4, "none": [0.0] * 4}
        items = [item(row, user, at, delta) for row, all_ in deltas.items() for at, delta in enumerate(all_)]
        items += [item("joint:frozen", user, at, 1.0, reader="/models/other.gguf") for at in range(4)]
        written = {"writer": "joint", "user_id": user, "text": f"Likes {user}.", "tokens": 3, "quoted": 0.0}
        write_run(tmp_path / f"fold-{fold}" / "eval", items, summaries=[written])
    together([tmp_path / "fold-0", tmp_path / "fold-1"])
    said = capsys.readouterr().out
    assert "### 2 personas, 2 folds" in said
    rows = {tuple(line.split(" | ")[:2]): line for line in said.splitlines()}
    row = rows[f"| {READER}", "`joint`"]
    assert "75.0" in row
    assert "+75.0" in row
    assert "100.0" in rows["| other.gguf", "`joint:frozen`"]
    assert "| a | joint | Likes a. |" in said
    assert "| b | joint | Likes b. |" in said


def test_adapters_of_all_folds_are_counted_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [tmp_path / "fold-0", tmp_path / "fold-1"]
    for folder, rate, seconds, users in zip(
        folders, (1e-4, 1e-3), (10.0, 30.0), ({"a": 1.0, "b": 0.5}, {"c": 0.25, "d": 0.25}), strict=True
    ):
        folder.mkdir()
        found = {"rate": rate, "seconds": seconds, "megabytes": 4.9, "users": users}
        (folder / COSTS).write_text(json.dumps(found), encoding="utf-8")
    adapters_together(folders)
    said = capsys.readouterr().out
    assert "### 4 personas, an adapter each, 2 folds" in said
    [row] = [line for line in said.splitlines() if line.startswith("| `per-user` |")]
    assert row.split(" | ")[1].startswith("50.0 (")
    assert row.endswith("| 20 | 4.9 | 0.0001, 0.001 |")
