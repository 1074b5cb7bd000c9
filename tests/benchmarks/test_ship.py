"""Putting a trained model where it is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.report import ROOT
from benchmarks.ship import ship
from popi_sdk.evals.manifest import SUMMARIES
from popi_sdk.models.trained import SHIPPED


def test_what_is_shipped_stays_and_its_card_shows_what_was_measured(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    lines = [
        {"writer": writer, "user_id": str(number), "text": f"{writer} of {number}."}
        for writer in ("other", "popi-135m")
        for number in range(12)
    ]
    (run / SUMMARIES).write_text("".join(json.dumps(line) + "\n" for line in lines))
    here, there = SHIPPED["popi-135m"], tmp_path / "popi-135m"
    ship(here, there, samples=run)
    facts = json.loads((there / "popi.json").read_text())
    assert facts["samples"] == [f"popi-135m of {number}." for number in range(10)]
    assert "\n10. popi-135m of 9.\n" in (there / "README.md").read_text()
    for part in ("inferrer", "generator"):
        name = f"{part}/adapter_model.safetensors"
        assert (there / name).read_bytes() == (here / name).read_bytes()  # of float16 nothing is lost
    with pytest.raises(SystemExit, match="no summaries by 'mine'"):
        ship(here, tmp_path / "mine", samples=run)


def test_its_card_has_the_rows_of_several_runs(tmp_path: Path) -> None:
    reports = [ROOT / "docs" / "results" / name for name in ("styleworld-trained", "polis-trained")]
    ship(SHIPPED["popi-135m"], tmp_path / "popi-135m", reports, without=["joint", "widen"])
    text = (tmp_path / "popi-135m" / "README.md").read_text()
    assert text.index("On styleworld, dev: 100 users") < text.index("On polis, dev: 60 users")
    assert "| `joint` |" not in text
    assert "| `widen:gold` |" not in text
    assert text.count("| `popi-135m` |") == 2  # of those who read its own summaries


def test_it_is_not_copied_into_itself(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="or inside of it"):
        ship(SHIPPED["popi-135m"], SHIPPED["popi-135m"] / "copy")
    assert not (SHIPPED["popi-135m"] / "copy").exists()
