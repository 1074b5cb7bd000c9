"""What a run refuses, before any work where it can: wrong values, folders of others, data that measures nothing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from support.evaluations import items, user

from popi_sdk import ConfigurationError, DataError, ScoringError
from popi_sdk.data import HeldOutPair, write_users
from popi_sdk.evals import evaluate, write_report
from popi_sdk.evals.manifest import MANIFEST
from popi_sdk.evals.run import CHUNK


def test_a_folder_that_holds_something_else_is_refused_before_any_work(tmp_path: Path, config) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"not empty \(notes.txt"):
        evaluate(config(), tmp_path)
    with pytest.raises(ConfigurationError, match="Cannot use"):
        evaluate(config(), tmp_path / "notes.txt")
    folder = evaluate(config(methods=("gold",), limit=2), tmp_path / "run")
    before = (folder / MANIFEST).read_bytes()
    with pytest.raises(ConfigurationError, match=r"holds a run already.*--resume"):
        evaluate(config(methods=("gold",), limit=2), folder)
    with pytest.raises(ConfigurationError, match=r"another run: seed was 0, and is 1"):
        evaluate(config(methods=("gold",), limit=2, seed=1), folder, resume=True)
    with pytest.raises(ConfigurationError, match="A reader is there twice"):
        evaluate(config(readers=("x", "x")), tmp_path / "new")
    with pytest.raises(ConfigurationError, match="is the model itself"):
        evaluate(config(readers=(f"{config().model}/",)), tmp_path / "new")
    assert (folder / MANIFEST).read_bytes() == before
    assert not (tmp_path / "new" / MANIFEST).exists()


def test_what_cannot_be_had_is_found_out_before_the_work(tmp_path: Path, config) -> None:
    gone = str(tmp_path / "gone")
    with pytest.raises(ConfigurationError, match="gone"):
        evaluate(config(readers=(gone,), limit=2), tmp_path / "run")
    with pytest.raises(ConfigurationError, match="unknown"):
        evaluate(config(judge="nobody:x", limit=2), tmp_path / "run")
    with pytest.raises(ConfigurationError, match="--method heuristic"):
        evaluate(config(over_personalisation=True, methods=("raw",), limit=2), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limit": 0}, "limit: "),
        ({"seed": -1}, "seed: "),
        ({"budget": 0}, "budget: "),
        ({"colour": 1}, "colour: "),
        ({"data": 5}, "data: "),
    ],
)
def test_a_wrong_value_is_named(config, changes: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        config(**changes)


def test_a_response_that_does_not_fit_is_an_error_and_nothing_half_done_stays(tmp_path: Path, config) -> None:
    users = [user(number) for number in range(CHUNK)]
    users.append(user(99, chosen="calm " * 50_000))
    write_users(tmp_path / "users.jsonl", users)
    asked = config(data=str(tmp_path / "users.jsonl"), methods=("heuristic",), limit=None)
    with pytest.raises(ScoringError, match=r"user 'user 99', pair 0: .*does not fit"):
        evaluate(asked, tmp_path / "run")
    assert {row["user_id"] for row in items(tmp_path / "run")} == {f"user {number}" for number in range(CHUNK)}


def test_data_that_changes_while_it_is_measured_is_no_result(tmp_path: Path, config) -> None:
    path = tmp_path / "users.jsonl"
    write_users(path, [user(number) for number in range(3)])
    asked = config(data=str(path), methods=("heuristic",), limit=None)

    def meddle(step: str, done: int, total: int) -> None:
        if step.endswith("scoring") and done == total:
            write_users(path, [user(number, signal="other") for number in range(3)])

    with pytest.raises(DataError, match="changed while it was measured"):
        evaluate(asked, tmp_path / "run", progress=meddle)


def test_an_empty_prompt_is_named(tmp_path: Path, config) -> None:
    pair = HeldOutPair(prompt="", chosen="tiny", rejected="huge")
    write_users(tmp_path / "users.jsonl", [user(0).model_copy(update={"pairs": (pair,)})])
    with pytest.raises(DataError, match=r"user 0.*pair 0.*prompt is empty"):
        evaluate(config(data=str(tmp_path / "users.jsonl"), limit=None), tmp_path / "run")


def test_data_that_measures_nothing_is_refused(tmp_path: Path, config) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError):
        evaluate(config(data=str(tmp_path / "empty.jsonl")), tmp_path / "run")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 1_000)[:-9])
    with pytest.raises(DataError):
        evaluate(config(data=str(tmp_path / "cut.jsonl.gz")), tmp_path / "run")
    with pytest.raises(DataError, match="nowhere"):
        evaluate(config(data=str(tmp_path / "nowhere")), tmp_path / "run")


def test_users_that_cannot_be_measured_are_left_out_only_where_that_is_asked_for(tmp_path: Path, config) -> None:
    path = tmp_path / "users.jsonl"
    write_users(path, [user(number, split="dev") for number in range(3)])
    with path.open("a") as file:
        file.write(
            json.dumps({"user_id": "no pairs", "signals": ["Keep it short."], "pairs": [], "split": "dev"}) + "\n"
        )
    asked = config(data=str(path), methods=("heuristic",), limit=None)
    with pytest.raises(DataError, match="line 4"):
        evaluate(asked, tmp_path / "strict")
    folder = evaluate(asked.model_copy(update={"skip_faults": True}), tmp_path / "run")
    assert json.loads((folder / MANIFEST).read_text())["data"]["left_out"] == {"faults": 1}
    write_report(folder)
    assert "Left out of the data: 1 faults" in (folder / "report.md").read_text()
