"""The picture of a training run: which curves, of what history, and what cannot be drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from popi_sdk import ConfigurationError
from popi_sdk.data import tinyworld
from popi_sdk.train import PopiTrainer, plot_run

JOINT = {
    "phase": "joint",
    "reward/mean": -1.0,
    "reward/std": 0.2,
    "inferrer/entropy": 3.0,
    "inferrer/kl": 0.1,
    "summaries/tokens": 6.0,
    "summaries/quoted": 0.0,
    "generator/loss": 7.0,
}
LOOK = {"dev/own": 0.7, "dev/shuffled": 0.5, "dev/frozen": 0.6, "dev/frozen_shuffled": 0.5, "dev/tokens": 6.0}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Write a history; returns the run's output directory."""

    def write(entries: list[dict], name: str = "mine", cut: str = "") -> Path:
        folder = tmp_path / name / "run"
        folder.mkdir(parents=True)
        lines = "".join(json.dumps(entry) + "\n" for entry in entries)
        (folder / "history.jsonl").write_text(lines + cut, encoding="utf-8")
        return tmp_path / name

    return write


def texts(path: Path) -> list[str]:
    """What can be read in a picture; that it is whole XML is tested on the way."""
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    return [one.text or "" for one in root.iter("{http://www.w3.org/2000/svg}text")]


def joint(steps: int, **changes: float) -> list[dict]:
    return [{**JOINT, "step": step, **changes} for step in range(1, steps + 1)]


def test_a_real_run(tiny_folder: Path, small, tmp_path: Path) -> None:
    warm = {"warm_start": 2, "warm_start_contrast": 1.0}
    config = small(base_model=str(tiny_folder), schedule="sequential", dtype="float32", eval_every=1, **warm)
    users = (tinyworld.generate("train", 4), tinyworld.generate("dev", 2))
    PopiTrainer(config, *users, output=tmp_path / "mine").train()
    path = plot_run(tmp_path / "mine")
    assert path == tmp_path / "mine" / "run" / "curves.svg"
    said = texts(path)
    titles = ["Accuracy on dev users, %", "Reward of a summary", "Tokens of a summary", "Loss of the generator"]
    titles += ["Loss of the warm start, nats a token", "Whose summary is whose, %"]
    assert {*titles, "own summary", "another user's", "own, frozen base", "another's, frozen base", "chance"} <= {*said}
    panels = said.count("step")
    assert said.count("warm start") == 2  # in the panels of its figures: the others begin where there is something
    assert said.count("inferrer 1") == 7  # all but the losses
    assert said.count("generator 1") == 5  # accuracies, its loss, what looks say of summaries
    assert panels == 10
    first = path.read_bytes()
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert len(first) < 100_000
    for same in (tmp_path / "mine" / "run", tmp_path / "mine" / "run" / "history.jsonl"):
        assert plot_run(same).read_bytes() == first


def test_one_phase_is_not_marked_and_what_was_not_measured_has_no_panel(run) -> None:
    said = texts(plot_run(run([{"phase": "population", "step": 1, "generator/loss": 2.0}])))
    assert "Loss of the generator" in said
    assert not {"population", "Accuracy on dev users, %", "Reward of a summary"} & {*said}


def test_an_unfinished_run_is_drawn_to_its_last_whole_line(run) -> None:
    whole = plot_run(run(joint(3), "whole")).read_bytes()
    assert plot_run(run(joint(3), "cut", cut='{"phase": "joint", "st')).read_bytes() == whole
    assert plot_run(run(joint(2), "unended", cut=json.dumps(joint(3)[-1]))).read_bytes() == whole


def test_a_later_phase_goes_on_where_the_first_ended(run) -> None:
    entries = [{"phase": "inferrer 1", "step": step, "reward/mean": 1.0} for step in (1, 2, 3)]
    entries += [{"phase": "generator 1", "step": step, "generator/loss": 1.0} for step in (1, 2, 400)]
    assert "400" in texts(plot_run(run(entries)))  # of 403 steps


def test_runs_are_compared_by_name(run, tmp_path: Path) -> None:
    first, second = run(joint(4), "low $beta"), run(joint(9, **LOOK), "_high")
    path = plot_run(first, second, output=tmp_path / "both.svg")
    assert path == tmp_path / "both.svg"
    assert {"low $beta", "_high", "own summary"} <= {*texts(path)}
    assert not (first / "run" / "curves.svg").exists()
    same = plot_run(first, first / "run")
    assert "low $beta" not in texts(same)  # one run, named once or twice, is one run


def test_runs_of_one_name_are_told_apart_by_their_folders(run, tmp_path: Path) -> None:
    said = texts(plot_run(run(joint(2), "a/mine"), run(joint(2), "b/mine")))
    assert {str(tmp_path / "a" / "mine"), str(tmp_path / "b" / "mine")} <= {*said}


def test_a_long_run_is_drawn_through_its_noise(run) -> None:
    noisy = [{"phase": "p", "step": step, "generator/loss": 5.0 + step % 2} for step in range(1, 101)]
    path = plot_run(run(noisy))
    drawn = re.findall(r'<path d="([^"]{400,})"[^>]*style="[^"]*stroke: #0072b2', path.read_text(encoding="utf-8"))
    heights = [[float(y) for _, y in re.findall(r"[ML] (\S+) (\S+)", line)] for line in drawn]
    spans = sorted(max(line) - min(line) for line in heights)
    assert len(spans) == 2
    assert spans[0] < spans[1] / 2


def test_values_that_are_none_or_not_a_number_leave_gaps(run) -> None:
    entries = joint(3)
    entries[1] |= {"generator/loss": float("nan"), "reward/mean": None, "reward/std": None}
    assert "Loss of the generator" in texts(plot_run(run(entries)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no history.jsonl in"),
        ("", "is empty: no step is done yet"),
        ('{"phase": "joi', "is empty: no step is done yet"),
        ("{\n" + json.dumps({"phase": "a", "step": 1}) + "\n", "line 1 is no entry of a training history"),
        ('[1, 2]\n{"phase": "a", "step": 1}\n', "line 1 is no entry"),
        ('{"step": 1}\n{"phase": "a", "step": 1}\n', "line 1 is no entry"),
        ('{"phase": "a", "step": 1}\n', "none of the figures"),
    ],
)
def test_what_cannot_be_drawn_is_said(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "history.jsonl").write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        plot_run(tmp_path)
    assert not (tmp_path / "curves.svg").exists()


def test_a_panel_begins_with_the_first_phase_that_measures_it_and_says_which_ended_early(run) -> None:
    warm = [{"phase": "warm start", "step": step, "warm/loss": 1.0} for step in range(1, 101)]
    entries = warm + joint(20) + [JOINT | {"step": 21, "stopped": "no better look"}]
    entries.append({"phase": "generator 1", "step": 1, "generator/loss": 1.0})
    said = texts(plot_run(run(entries)))
    assert said.count("warm start") == 1
    assert said.count("joint (stopped early)") == said.count("step") - 1
    assert said.count("20") == 1  # only the warm start's axis has so early steps
