"""The curve of the stages: what of a report is shown, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.runs import item, write_run

from benchmarks import by_stage
from popi_sdk.evals import write_report

WON = {"none": 0, "one": 1, "one:gold": 2, "one:frozen": 3, "two": 4, "two:gold": 5, "two:frozen": 6, "gold": 7}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Each row wins with other users: with as many of ten as stands there."""
    items = [
        item(row, f"user{number}", 0, 1.0 if number < won else -1.0) if won else item(row, f"user{number}", 0, 0.0)
        for row, won in WON.items()
        for number in range(10)
    ]
    write_report(write_run(tmp_path / "run", items, trained=["one", "two"]))
    return tmp_path / "run"


def test_stages_are_shown_in_order_and_drawn(
    report: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(by_stage, "PICTURE", report / "stages.svg")
    by_stage.main(report, {"two": 1_500, "one": 20})
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert [line[:2] for line in lines] == [["| `two`", "1,500"], ["| `one`", "20"]]
    assert [[cell.split()[0] for cell in line[2:]] for line in lines] == [
        ["40.0", "50.0", "60.0", "70.0"],
        ["10.0", "20.0", "30.0", "70.0"],
    ]
    picture = (report / "stages.svg").read_text()
    assert all(f">{line.name}<" in picture for line in by_stage.LINES)
    assert "1,500" in picture


def test_a_stage_that_is_not_there_and_a_report_that_is_none(report: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no row three\. It has: none, one,"):
        by_stage.main(report, {"three": 1})
    with pytest.raises(SystemExit, match="has no row gold:gold"):
        by_stage.main(report, {"gold": 1})
    with pytest.raises(SystemExit, match="no report of popi eval"):
        by_stage.main(tmp_path / "nothing", {"one": 1})
