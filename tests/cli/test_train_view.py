"""What a person sees of a training run: the live screen, lines in a log; TensorBoard."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from popi_sdk.cli.train_screen import TrainingScreen, _trend
from popi_sdk.cli.train_view import watching
from popi_sdk.data import tinyworld
from popi_sdk.train import as_train_config

SMALL = ("--set", "users_per_step=2", "--set", "group_size=2", "--set", "budget=4", "--set", "dtype=float32")
TINY = ("--data", "tinyworld", "--limit", "4", "--set", "eval_users=2", *SMALL)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tinyworld.save_tiny_model(tmp_path_factory.mktemp("toy")))


def frame(screen: TrainingScreen, width: int = 110, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(file=file, width=width, legacy_windows=False, color_system=None)
    console.print(screen)
    file.seek(0)
    return file.read()


def entry(step: int, phase: str = "joint", **more: Any) -> dict[str, Any]:
    figures = {"reward/mean": 0.25, "generator/loss": 0.6931, "inferrer/kl": 0.0123, "inferrer/entropy": 1.5}
    shares = {"accuracy/sampled": 0.66, "summaries/tokens": 24.0, "summaries/quoted": 0.08}
    return {"phase": phase, "step": step, **figures, **shares, **more}


def look(own: float = 0.81, **more: Any) -> dict[str, Any]:
    others = {"dev/shuffled": 0.52, "dev/frozen": 0.70, "dev/frozen_shuffled": 0.51}
    return {"dev/own": own, **others, "dev/samples": ["Short, no jargon.", ""], **more}


def test_the_phases_of_a_run_are_those_that_are_recorded() -> None:
    options = {"schedule": "sequential", "rounds": 2, "steps": 3, "warm_start": 4}
    names = ["warm start", "inferrer 1", "generator 1", "inferrer 2", "generator 2"]
    assert as_train_config(**options).phases == dict(zip(names, [4, 3, 3, 3, 3], strict=True))
    for schedule in ("joint", "population", "raw-trained"):
        assert as_train_config(schedule=schedule, steps=2).phases == {schedule: 2}


def test_on_a_terminal_the_screen_follows_the_run(popi, toy, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--set", "warm_start=2", "--set", "adapters=null", "--set", "save_every=1")
    ended = popi("train", *TINY, *options, "--model", toy, "--steps", "2", "-o", str(out), terminal=True)
    assert ended.code == 0, ended.err
    for said in ("reading the users", "loading the model", "warm start", "phase 2 of 2", "Joint, step 2"):
        assert said in ended.err
    last = ended.err[ended.err.rindex("Trained for ") :]
    history = [json.loads(line) for line in (out / "run" / "history.jsonl").read_text().splitlines()]
    final = history[-1]
    assert [one["step"] for one in history if one["phase"] == "warm start"] == [1, 2]
    for figure in (f"{final['reward/mean']:.3f}", f"{final['generator/loss']:.3f}", f"{final['dev/own']:.2f}"):
        assert figure in last
    assert "Writing model shards" not in ended.err  # transformers' bar in the middle of ours
    assert f"popi train --plot {out}" in ended.out
    assert "Kept: joint, step 2" in ended.out


@pytest.mark.parametrize("quiet", [True, False])
def test_elsewhere_a_line_for_each_look(quiet: bool, capsys) -> None:
    assert not sys.stderr.isatty()
    with watching({"warm start": 3, "joint": 40}, quiet=quiet) as watch:
        watch.doing("loading the model")
        watch.began("warm start", 0)
        watch.entry({"phase": "warm start", "step": 1, "warm/loss": 3.0})
        watch.began("joint", 9)
        watch.entry(entry(10, **look(), stopped="no better look \x1b[2J"))
    said = ["joint, step 10: accuracy 0.81, of another's summary 0.52, of the frozen base 0.70"]
    said.append("joint ended at step 10: no better look [2J")
    steps = ["loading the model ...", "warm start: training ...", "joint: training ..."]
    assert capsys.readouterr().err.splitlines() == (said if quiet else [*steps, *said])


def test_a_run_that_ends_early_says_why(popi, toy, tmp_path: Path) -> None:
    stop = ("--set", "stop={patience: 1, min_entropy: null, transfer_drop: null}", "--set", "eval_every=1")
    rates = ("--set", "inferrer_lr=1.0e-12", "--set", "generator_lr=1.0e-12")  # no look is better than the first
    arguments = ("train", *TINY, *stop, *rates, "--model", toy, "--steps", "9")
    ended = popi(*arguments, "-o", str(tmp_path / "one"))
    said = "1 looks at dev without a better one than at step 1"
    assert f"joint ended at step 2: {said}" in ended.err
    shown = popi(*arguments, "-o", str(tmp_path / "two"), terminal=True)
    assert f"joint ended at step 2: {said}." in shown.err


def test_the_bar_says_how_long_it_will_take() -> None:
    screen = TrainingScreen({"joint": 100})
    seconds = 0.0
    screen._bar.get_time = lambda: seconds
    screen.began("joint", 0)
    for step in range(1, 11):
        seconds += 2
        screen.entry(entry(step))
    [line] = [line for line in frame(screen).splitlines() if "10/100" in line]
    assert line.split()[-1] == "0:03:00"  # 90 steps


def test_figures_and_samples_stand_on_the_screen() -> None:
    screen = TrainingScreen({"warm start": 5, "joint": 200, "after": 1})
    screen.began("joint", 0)
    screen.entry(entry(1))
    assert "Accuracy on dev" not in frame(screen)
    screen.entry(entry(2, **look()))
    screen.entry(entry(3))
    shown = frame(screen)
    for said in ("3/200", "phase 2 of 3; after it: after", "Accuracy on dev users, joint, step 2", "Joint, step 3"):
        assert said in shown
    rows = [line.split("  ") for line in shown.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert any(row[:3] == ["trained generator", "0.81", "0.52"] for row in cells)
    assert any(row[:3] == ["frozen base", "0.70", "0.51"] for row in cells)
    for figure in ("0.250", "0.66", "0.693", "0.0123", "1.50", "24", "8%"):
        assert any(figure in row for row in cells), figure
    assert "1 Short, no jargon." in shown
    assert "2 (nothing)" in shown


def test_a_new_phase_begins_its_own_curves_and_keeps_the_last_look() -> None:
    screen = TrainingScreen({"inferrer 1": 2, "generator 1": 2})
    screen.entry(entry(2, "inferrer 1", **look()))
    screen.began("generator 1", 0)
    shown = frame(screen)
    assert "Accuracy on dev users, inferrer 1, step 2" in shown
    assert "0.250" not in shown
    screen.entry({"phase": "generator 1", "step": 1, "generator/accuracy": 0.75})
    assert "0.75" in frame(screen)


def test_what_a_model_writes_cannot_steer_the_terminal_and_stays_short() -> None:
    screen = TrainingScreen({"joint": 2})
    screen.entry(
        entry(1, **look(**{"dev/samples": ["\x1b[2J\x1b]0;title\x07 evil\r\n [bold]x[/bold]", "word " * 500]}))
    )
    shown = frame(screen, 100)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[bold]x[/bold]" in shown
    assert len(shown.splitlines()) < 24


@pytest.mark.parametrize("width", [40, 80, 99, 100, 200])
def test_it_fits_every_width(width: int) -> None:
    screen = TrainingScreen({"joint": 2})
    screen.entry(entry(1, **look()))
    shown = frame(screen, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "trained generator" in shown
    beside = any("trained generator" in line and "reward" in line for line in shown.splitlines())
    assert beside == (width >= 100)


def test_without_unicode_there_are_no_curves() -> None:
    screen = TrainingScreen({"joint": 2})
    screen.entry(entry(1, **look()))
    assert "▁" in frame(screen)
    plain = frame(screen, encoding="ascii")
    assert "0.81" in plain
    assert "?" not in plain.partition("Accuracy")[2]


def test_a_trend_by_hand() -> None:
    assert _trend([0, 1, 2, 3], 16) == "▁▃▆█"
    assert _trend([0, 0, 7, 7], 2) == "▁█"
    assert _trend([5.0, 5.0], 16) == "▁▁"
    assert len(_trend(list(range(1_000)), 16)) == 16


def test_the_screen_as_a_picture(popi, toy, tmp_path: Path) -> None:
    picture = tmp_path / "screen.svg"
    arguments = ("train", *TINY, "--set", "eval_every=1", "--model", toy, "--steps", "2", "--svg", str(picture))
    ended = popi(*arguments, "-o", str(tmp_path / "out"))
    assert ended.code == 0, ended.err
    text = picture.read_text(encoding="utf-8").replace("&#160;", " ")
    assert "Joint, step 1" in text
    assert "@font-face" not in text


def test_events_for_tensorboard_where_they_are_asked_for(popi, toy, tmp_path: Path) -> None:
    for name, more in (("one", ["--tensorboard"]), ("two", [])):
        ended = popi("train", *TINY, "--model", toy, "--steps", "2", "-o", str(tmp_path / name), *more)
        assert ended.code == 0, ended.err
    events = EventAccumulator(str(tmp_path / "one" / "run" / "tensorboard")).Reload()
    assert [one.step for one in events.Scalars("reward/mean")] == [1, 2]
    assert not (tmp_path / "two" / "run" / "tensorboard").exists()
