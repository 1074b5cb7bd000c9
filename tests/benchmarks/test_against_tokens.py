"""Accuracy against tokens: what of a run's history is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import against_tokens


def history(folder: Path, *entries: dict[str, object]) -> Path:
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "history.jsonl").write_text("".join(json.dumps(one) + "\n" for one in entries))
    return folder


def look(step: int, tokens: int, own: float) -> dict[str, object]:
    others = {"dev/shuffled": 0.5, "dev/frozen": 0.55, "dev/frozen_shuffled": 0.45, "dev/distinct": 0.25}
    return {"phase": "joint", "step": step, "tokens": tokens, "dev/own": own, **others}


def test_looks_at_dev_are_shown_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = history(
        tmp_path / "mine", look(0, 0, 0.5), {"phase": "joint", "step": 1, "tokens": 7}, look(2, 2_500_000, 0.625)
    )
    monkeypatch.setattr(against_tokens, "PICTURE", tmp_path / "tokens.svg")
    against_tokens.main({"mine": run})
    assert ">mine<" in (tmp_path / "tokens.svg").read_text()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| mine")]
    assert rows == [
        "| mine | joint: 0 | 0.0 | 50.0 | 50.0 | 55.0 | 45.0 | 25 |",
        "| mine | joint: 2 | 2.5 | 62.5 | 50.0 | 55.0 | 45.0 | 25 |",
    ]


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="has no history of a run"):
        against_tokens.looks(tmp_path)
