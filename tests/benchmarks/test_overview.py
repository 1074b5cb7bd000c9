"""The picture over data sets: rows of two runs of the same users, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.runs import item, write_run

from benchmarks import overview
from popi_sdk.evals import write_report


def _report(folder: Path, won: dict[str, int], trained: tuple[str, ...] = ()) -> Path:
    """Each row wins with so many of ten users."""
    items = [
        item(row, f"user{number}", 0, (1.0 if number < count else -1.0) if row != "none" else 0.0)
        for row, count in won.items()
        for number in range(10)
    ]
    write_report(write_run(folder, items, trained=list(trained)))
    return folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    _report(tmp_path / "one", {"none": 0, "popi-135m": 8, "popi-135m:shuffled": 4, "heuristic": 6}, ("popi-135m",))
    _report(tmp_path / "two", {"none": 0, "heuristic": 1, "raw": 7})
    monkeypatch.setattr(overview, "DATA", {"All": ("one", "two"), "Some": ("one",)})
    monkeypatch.setattr(overview, "PICTURE", tmp_path / "overview.svg")
    return tmp_path


def test_rows_come_from_the_first_run_that_has_them(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overview.main(runs)
    lines = [line.strip("|").split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    assert [[(cell.split() or [""])[0] for cell in line] for line in lines] == [
        ["All", "10", "80.0", "40.0", "60.0", "70.0"],
        ["Some", "10", "80.0", "40.0", "60.0", ""],
    ]
    picture = (runs / "overview.svg").read_text()
    assert all(f">{name}<" in picture for name in ("All", "Some", *(line.name for line in overview.LINES)))


def test_other_users_and_runs_without_the_model_are_refused(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = runs / "two" / "results.json"
    said = json.loads(path.read_text())
    said["manifest"]["data"]["pairs"] += 1
    path.write_text(json.dumps(said))
    with pytest.raises(SystemExit, match="two has other users or pairs than one"):
        overview.main(runs)
    monkeypatch.setattr(overview, "DATA", {"All": ("two",)})
    with pytest.raises(SystemExit, match="two: there is no row popi-135m"):
        overview.main(runs)
    monkeypatch.setattr(overview, "DATA", {"All": ("three",)})
    with pytest.raises(SystemExit, match="no report of popi eval"):
        overview.main(runs)


def test_the_runs_of_the_page_are_there() -> None:
    """What the page shows can be made from what is kept."""
    for names in overview.DATA.values():
        _, rows = overview._rows(overview._RESULTS, names)
        assert {"popi-135m", "popi-135m:shuffled"} <= set(rows)
