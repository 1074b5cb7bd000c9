"""`popi train`: from flags and from a file, what it shows, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.pages import ROOT

from popi_sdk import Personalizer
from popi_sdk.data import tinyworld, write_users

SMALL = ("--set", "users_per_step=2", "--set", "group_size=2", "--set", "budget=4", "--set", "dtype=float32")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tinyworld.save_tiny_model(tmp_path_factory.mktemp("toy")))


def test_the_command_of_the_docs(popi, toy, tmp_path: Path, monkeypatch) -> None:
    """Tiny: with a toy model and two steps, on the users that stand in examples/."""
    command = "popi train --data users.jsonl --output my-popi"
    for page in ("README.md", "docs/training.md"):
        assert f"`{command}`" in (ROOT / page).read_text()
    shutil.copy(ROOT / "examples" / "data" / "users.jsonl", tmp_path)
    monkeypatch.chdir(tmp_path)
    ended = popi(*command.split()[1:], "--model", toy, "--steps", "2", "--set", "input_budget=64", *SMALL)
    assert ended.code == 0, ended.err
    assert "Note: 10 of 10 users have a gold description, and no step learns from it." in ended.err
    with Personalizer.from_pretrained("my-popi") as personalizer:
        assert personalizer.infer(["Shorter, please."]).inferrer.startswith("trained:")


@pytest.mark.parametrize("options", [("--set", "warm_start=1"), ("--schedule", "population"), ("--quiet",)])
def test_no_note_where_descriptions_are_learnt_or_not_wanted(popi, toy, tmp_path: Path, options) -> None:
    asked = ("--data", "tinyworld", "--limit", "6", "--model", toy, "--steps", "1", "-o", str(tmp_path / "mine"))
    ended = popi("train", *asked, *SMALL, *options)
    assert ended.code == 0, ended.err
    assert "gold description" not in ended.err


def test_ones_own_users_in_one_command(popi, toy, tmp_path: Path) -> None:
    users = tmp_path / "users.jsonl"
    write_users(users, (one.model_copy(update={"split": None}) for one in tinyworld.generate("train", 20)))
    out = tmp_path / "mine"
    ended = popi("train", "--data", str(users), "--model", toy, "--steps", "2", "-o", str(out), *SMALL)
    assert ended.code == 0, ended.err
    assert "joint, step 2: accuracy" in ended.err
    assert "Note: 18 of 18 users have a gold description" in ended.err
    assert "from_pretrained" in ended.out
    assert {path.name for path in out.iterdir()} == {"inferrer", "generator", "popi.json", "README.md", "run"}
    lines = [json.loads(line) for line in (out / "run" / "history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert "dev/own" in lines[-1]  # one in ten was kept for this

    assert json.loads((out / "popi.json").read_text())["samples"] == []  # they are personal

    answered = popi("infer", "--inferrer", f"trained:{out}", "--say", "small please", "--json")
    assert answered.code == 0, answered.err

    again = popi("train", "--data", str(users), "--model", toy, "--steps", "2", "-o", str(out), *SMALL)
    assert again.code == 2
    assert "--resume" in again.err
    resumed = popi("train", "--data", str(users), "--model", toy, "--steps", "2", "-o", str(out), *SMALL, "--resume")
    assert resumed.code == 0, resumed.err


def test_several_data_sets_by_flags_and_from_a_file(popi, toy, tmp_path: Path) -> None:
    users = tmp_path / "users.jsonl"
    renamed = (one.model_copy(update={"user_id": f"own-{at}"}) for at, one in enumerate(tinyworld.generate("train", 3)))
    write_users(users, renamed)
    options = ("--model", toy, "--steps", "1", "--limit", "3", "--set", "adapters=null", *SMALL, "--quiet")
    ended = popi("train", "--data", "tinyworld", "--data", str(users), *options, "-o", str(tmp_path / "flags"))
    assert ended.code == 0, ended.err
    config = tmp_path / "run.yaml"
    config.write_text(f"data: [tinyworld, {users}]\ndev: tinyworld\nabout: {{samples: 2}}\n")
    ended = popi("train", str(config), *options, "--set", "about.licence=mit", "-o", str(tmp_path / "file"))
    assert ended.code == 0, ended.err
    told = json.loads((tmp_path / "file" / "popi.json").read_text())
    assert (len(told["samples"]), told["about"]["licence"]) == (2, "mit")
    one, two = (json.loads((tmp_path / name / "popi.json").read_text())["data"] for name in ("flags", "file"))
    assert (one[0]["name"], one[0]["users"]) == ("tinyworld, users.jsonl", 6)
    assert (one[0], two[1]["name"]) == (two[0], "tinyworld")


def test_from_a_file_and_flags_go_before(popi, toy, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        f"data: tinyworld\nlimit: 4\noutput: {tmp_path / 'out'}\nbase_model: {toy}\nschedule: population\nsteps: 9\n"
        "users_per_step: 2\nadapters: null\ndtype: float32\nstop: {patience: 3, transfer_drop: 0.2}\n"
    )
    ended = popi("train", str(config), "--steps", "1", "--quiet", "--set", "stop.patience=4")
    assert ended.code == 0, ended.err
    facts = json.loads((tmp_path / "out" / "popi.json").read_text())
    assert (facts["context"], facts["config"]["steps"], facts["config"]["adapters"]) == ("none", 1, None)
    assert facts["config"]["stop"] == {"patience": 4, "min_entropy": 0.01, "transfer_drop": 0.2}
    assert not (tmp_path / "out" / "inferrer").exists()


def test_a_rival_and_the_papers_recipe_by_name(popi, toy, tmp_path: Path) -> None:
    ended = popi(
        *("train", "--data", "tinyworld", "--model", toy, "--limit", "4", "--preset", "paper", "--steps", "1"),
        *(
            "--schedule",
            "population",
            "--set",
            "users_per_step=2",
            "--set",
            "dtype=float32",
            "-o",
            str(tmp_path / "it"),
        ),
    )
    assert ended.code == 0, ended.err
    config = json.loads((tmp_path / "it" / "popi.json").read_text())["config"]
    assert (config["schedule"], config["beta"], config["adapters"]) == ("population", 0.01, None)
    assert f"popi eval DATA --method population={tmp_path / 'it'}" in ended.out
    assert "from_pretrained" not in ended.out  # there is nothing that writes summaries


def test_a_model_is_not_written_over(popi, tmp_path: Path) -> None:
    (tmp_path / "popi.json").write_text("{}")
    ended = popi("train", "--data", "tinyworld", "-o", str(tmp_path), "--model", "./no-model")
    assert ended.code == 2
    assert "holds a trained model already" in " ".join(ended.err.split())
    ended = popi("train", "--data", "tinyworld", "-o", str(tmp_path), "--model", "./no-model", "--resume")
    assert ended.code == 2
    assert "no run to go on with" in " ".join(ended.err.split())


def test_what_is_in_the_way_is_said_before_training(popi, tmp_path: Path) -> None:
    (tmp_path / "my-thesis.txt").write_text("years of work")
    ended = popi("train", "--data", "tinyworld", "-o", str(tmp_path), "--model", "./no-model")
    assert ended.code == 2
    assert "holds no trained model" in " ".join(ended.err.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["numbers.yaml", "-o", "x"], "several as a list"),
        (["--data", "tinyworld"], "popi train --data users.jsonl -o my-popi"),
        (["--data", "nothing.jsonl", "-o", "x"], "nothing.jsonl"),
        (["--data", "tinyworld", "-o", "x", "--set", "betta=1"], "no option 'betta'. Did you mean 'beta'?"),
        (["--data", "tinyworld", "-o", "x", "--set", "adapters.rang=1"], "Did you mean 'adapters.rank'?"),
        (["--data", "tinyworld", "-o", "x", "--set", "stop.xyz=1"], "There are min_entropy, patience"),
        (["twice.yaml", "-o", "x"], "twice.yaml has 'rank' twice, in line 4 again"),
        (["--data", "tinyworld", "-o", "x", "--set", "beta"], "NAME=VALUE"),
        (["--data", "tinyworld", "-o", "x", "--set", "beta=[1"], "beta=[1"),
        (["nowhere.yaml"], "Cannot read nowhere.yaml"),
        (["list.yaml"], "must hold options"),
        (["broken.yaml"], "is not YAML"),
        (["date.yaml"], "is not YAML"),
        (["output.yaml"], "output: 5 is no folder"),
        (["--data", "tinyworld", "-o", "~nobody-at-all/x"], "no such user"),
        (["limit.yaml", "-o", "x"], "limit: 'abc' is no number of users"),
        (["--data", "tinyworld", "-o", "x", "--set", "beta=.inf"], "beta"),
        (["--data", "tinyworld", "-o", "x", "--set", "beta=1", "--set", "beta.a=1"], "beta has a value"),
        (["--data", "tinyworld", "-o", "x", "--set", "adapters.rank=0"], "adapters.rank"),
        (["--data", "tinyworld", "-o", "x", "--set", "about=5"], "about: 5 is no group"),
        (["--data", "tinyworld", "-o", "x", "--set", "about.name=mine"], "about: name"),
        (["--data", "tinyworld", "-o", "x", "--preset", "popi"], "no preset 'popi'"),
        (["--data", "tinyworld", "-o", "x", "--seed", "18446744073709551616"], "seed"),
        (["--data", "tinyworld", "-o", "list.yaml/x"], "cannot be written to"),
        (["--data", "tinyworld", "-o", "loop/x"], "loop cannot be written to"),
        (["--data", "tinyworld", "-o", "x", "--model", "./no-model"], "no-model"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_left(popi, tmp_path: Path, monkeypatch, arguments, message) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.yaml").write_text("- steps\n")
    (tmp_path / "numbers.yaml").write_text("data: [1, 2]\n")
    (tmp_path / "broken.yaml").write_text("steps: [1\n")
    (tmp_path / "twice.yaml").write_text("data: tinyworld\nadapters:\n  rank: 2\n  rank: 4\n")
    (tmp_path / "date.yaml").write_text("beta: 2020-13-45\n")
    (tmp_path / "output.yaml").write_text("data: tinyworld\noutput: 5\n")
    (tmp_path / "limit.yaml").write_text("data: tinyworld\nlimit: abc\n")
    (tmp_path / "loop").symlink_to("loop")
    ended = popi("train", *arguments)
    assert ended.code == 2
    assert message in " ".join(ended.err.split())
    assert not (tmp_path / "x").exists()


def test_the_curves_of_runs(popi, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "run").mkdir(parents=True)
        line = json.dumps({"phase": "joint", "step": 1, "reward/mean": 1.0})
        (tmp_path / name / "run" / "history.jsonl").write_text(line + "\n")
    path = tmp_path / "one" / "run" / "curves.svg"
    ended = popi("train", "--plot", str(tmp_path / "one"))
    assert (ended.code, ended.out) == (0, f"Look at {path}\n"), ended.err
    alone = path.read_text()
    ended = popi("train", "--plot", str(tmp_path / "one"), "--plot", str(tmp_path / "two" / "run"), "--quiet")
    both = path.with_name("comparison.svg")
    assert (ended.code, ended.out.strip()) == (0, str(both)), ended.err
    assert path.read_text() == alone != both.read_text()


@pytest.mark.parametrize("more", [["--steps", "3"], ["run.yaml"], ["--resume"], ["--set", "beta=1"], ["--tensorboard"]])
def test_drawing_is_all_that_plot_does(popi, tmp_path: Path, more: list[str]) -> None:
    ended = popi("train", "--plot", str(tmp_path), *more)
    assert ended.code == 2
    assert "--plot trains nothing" in ended.err
    ended = popi("train", "--plot", str(tmp_path))
    assert ended.code == 2
    assert "There is no history.jsonl" in " ".join(ended.err.split())


def test_a_person_sees_the_run_live(popi, toy, tmp_path: Path) -> None:
    arguments = ["--data", "tinyworld", "--limit", "8", "--model", toy, "--steps", "2", *SMALL]
    ended = popi("train", *arguments, "-o", str(tmp_path / "mine"), terminal=True)
    assert ended.code == 0, ended.err
    for said in ("reading the users", "joint", "0/2", "reward", "Accuracy on dev users, joint, step 2", "another's"):
        assert said in ended.err
    assert "step 2: accuracy" not in ended.err  # the lines are for logs
    last = ended.err.rpartition("\x1b[2K")[2]
    assert "Accuracy on dev users, joint, step 2" in last  # stays when the bar is gone
    assert "2/2" not in last
