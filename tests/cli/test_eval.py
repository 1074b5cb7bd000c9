from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support.runs import item, write_run

import popi_sdk
from popi_sdk import GenerationOptions
from popi_sdk.cli import progress as progress_module
from popi_sdk.cli.progress import steps
from popi_sdk.data.tinyworld import save_tiny_model


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("toy")))


def measured(popi, toy: str, output: Path, *options: str, **call):
    return popi("eval", "tinyworld", "--model", toy, "--limit", "6", "-o", str(output), *options, **call)


def test_a_run_shows_its_findings_and_table_and_says_where_the_page_is(popi, toy, tmp_path):
    ended = measured(popi, toy, tmp_path / "run", "-m", "raw", "-m", "heuristic")
    assert ended.code == 0
    for shown in ("Was it personal?", "heuristic:shuffled", "context tokens", "report.html", "Only 6 users"):
        assert shown in ended.out
    assert "scoring ..." in ended.err
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {".lock", "run.json", "items.jsonl", "summaries.jsonl", "results.json", "report.md", "report.html"}


def test_json_is_the_results_and_quiet_is_quiet(popi, toy, tmp_path):
    ended = measured(popi, toy, tmp_path / "run", "-m", "heuristic", "--json", "--quiet", "--seed", "3")
    assert (ended.code, ended.err) == (0, "")
    assert [row["row"] for row in ended.json["rows"]] == ["none", "heuristic", "heuristic:shuffled"]
    assert ended.json == json.loads((tmp_path / "run" / "results.json").read_text())
    assert ended.json["manifest"]["config"]["seed"] == 3


def test_a_finished_run_is_added_to_and_not_overwritten(popi, toy, tmp_path):
    measured(popi, toy, tmp_path / "run", "-m", "heuristic")
    refused = measured(popi, toy, tmp_path / "run", "-m", "heuristic")
    assert refused.code == 2
    assert "--resume" in refused.err
    ended = measured(popi, toy, tmp_path / "run", "-m", "heuristic", "-m", "gold", "--resume")
    assert ended.code == 0
    assert "gold:shuffled" in ended.out


def test_a_second_reader_has_a_column_of_its_own(popi, toy, tmp_path):
    other = str(save_tiny_model(tmp_path / "other", seed=4))
    ended = measured(popi, toy, tmp_path / "run", "-m", "gold", "--reader", other)
    assert ended.code == 0
    assert "reader" in ended.out
    assert len(json.loads((tmp_path / "run" / "results.json").read_text())["rows"]) == 6


def test_two_runs_are_compared_with_intervals(popi, tmp_path):
    users = [f"u{number}" for number in range(20)]
    for name, delta in {"a": -1.0, "b": 1.0}.items():
        rows = [item("none", user, 0, 0.0) for user in users] + [item("mine", user, 0, delta) for user in users]
        write_run(tmp_path / name, rows)
    ended = popi("eval", "--compare", str(tmp_path / "a"), str(tmp_path / "b"))
    assert ended.code == 0
    assert "+100.0 (+100.0 to +100.0)" in " ".join(ended.out.split())
    compared = popi("eval", "--json", "--compare", str(tmp_path / "b"), str(tmp_path / "a")).json
    assert {one["row"]: one["difference"]["mean"] for one in compared} == {"none": 0.0, "mine": -1.0}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("styleworld",), "popi eval styleworld --limit 50 -o DIR"),
        (("-o", "x"), "Name what is to be measured"),
        (("nowhere.jsonl", "-o", "x"), "nowhere.jsonl"),
        (("tinyworld", "-o", "x", "-m", "nothing"), "no method 'nothing'"),
        (("tinyworld", "-o", "x", "--split", "later"), "later"),
        (("tinyworld", "-o", "x", "--model", "./no-model"), "no-model"),
        (("tinyworld", "-o", "x", "--dtype", "int3"), "int3"),
        (("tinyworld", "--compare", "a", "b"), "leave out DATA"),
        (("--compare", "a", "b"), "holds no run"),
        (("elix@nowhere.jsonl", "-o", "x"), "nowhere.jsonl"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_message(popi, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    ended = popi("eval", *args)
    assert ended.code == 2
    assert message in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert [path.name for path in tmp_path.glob("x/*")] in ([], [".lock"])


def test_without_the_extra_the_pip_line_is_said(popi, toy, tmp_path, monkeypatch):
    monkeypatch.delattr(popi_sdk, "evals", raising=False)
    for name in [name for name in sys.modules if name.startswith("popi_sdk.evals")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ended = measured(popi, toy, tmp_path / "x", "-m", "heuristic")
    assert ended.code == 2
    assert "pip install 'popi-sdk[eval]'" in ended.err


def test_tasks_with_and_without_a_summary_are_part_of_the_report(popi, toy, tmp_path, monkeypatch):
    few = GenerationOptions(max_tokens=4, temperature=0)  # of a toy model's babble that is enough
    monkeypatch.setattr("popi_sdk.evals.overpersonalisation.OPTIONS", few)
    ended = measured(popi, toy, tmp_path / "run", "-m", "heuristic", "--over-personalisation", "--json")
    assert ended.code == 0
    extras = ended.json["extras"]["over_personalisation"]
    assert extras["plain"]["items"] + extras["failed"] >= 100
    assert extras["sentence"] in (tmp_path / "run" / "report.md").read_text()
    lines = (tmp_path / "run" / "tasks.jsonl").read_text().splitlines()
    assert len(lines) == extras["plain"]["items"] + extras["failed"]


def test_a_log_gets_a_line_a_step_and_now_and_then_what_is_left(capsys, monkeypatch):
    clock = iter(range(0, 1_000, 20))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: float(next(clock)))
    with steps(quiet=False) as progress:
        progress("loading", 0, 0)
        for done in range(0, 1_200, 200):
            progress("scoring", done, 1_000)
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == ["loading ...", "scoring ..."]
    assert said[2] == "scoring: 400 of 1,000, about 60 s left"
    assert len(said) == 4


def test_what_an_earlier_run_did_is_not_taken_for_speed(capsys, monkeypatch):
    clock = iter([0.0, 0.1, 0.2, 0.3, 60.0, 120.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    with steps(quiet=False) as progress:
        for done in (0, 300, 600, 900, 910, 920):
            progress("scoring", done, 1_000)
    assert capsys.readouterr().err.splitlines()[-1] == "scoring: 920 of 1,000, about 8 min left"


def test_on_a_terminal_there_is_a_bar_and_the_steps_take_turns(popi, toy, tmp_path):
    ended = measured(popi, toy, tmp_path / "run", "-m", "heuristic", terminal=True)
    assert ended.code == 0
    assert "scoring" in ended.err
    assert "...\n" not in ended.err
