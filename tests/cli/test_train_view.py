"""What is shown while a training goes on: to a person, and in a log."""

from __future__ import annotations

import sys

import pytest
from rich.console import Console

from popi_sdk.cli.train_view import _Live, watching
from popi_sdk.train import as_train_config

CONFIG = as_train_config(steps=40, warm_start=3)
LOOK = {
    "phase": "joint",
    "step": 10,
    "reward/mean": -1.2345,
    "dev/own": 0.625,
    "dev/shuffled": 0.5,
    "dev/frozen": 0.6,
    "dev/frozen_shuffled": 0.5,
    "dev/samples": ["likes [bold]short\nanswers\x1b[2J", ""],
}


def drawn(view: _Live, width: int = 100) -> str:
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(view)
    return captured.get()


def test_bar_figures_changes_and_summaries() -> None:
    view = _Live()
    view.shown("loading the model", 0, 0)
    assert "loading the model" in drawn(view)
    told = view.watch(CONFIG)
    told({"phase": "warm start", "step": 2, "warm/loss": 3.21987})
    said = drawn(view)
    assert "warm start: training" in said
    assert "2/3" in said
    assert "loss of the warm start 3.22" in said
    assert "own summary" not in said
    told(LOOK)
    said = drawn(view)
    assert "10/40" in said
    assert "reward -1.23" in said
    assert "warm start" not in said
    assert "accuracy at step 10 of joint" in said
    assert "62.5" in said
    assert "(+" not in said  # nothing to compare with yet
    assert "likes [bold]short answers[2J" in said  # as it is, on one line, and no terminal acts on it
    assert "(nothing)" in said
    told(LOOK | {"step": 20, "dev/own": 0.75, "dev/shuffled": 0.475})
    told({"phase": "joint", "step": 21, "reward/mean": -1.0})
    said = drawn(view)
    assert "21/40" in said
    assert "accuracy at step 20" in said  # stays until the next look
    assert "75.0 (+12.5)" in said
    assert "47.5 (-2.5)" in said
    assert "60.0 (+0.0)" in said


def test_in_a_narrow_window_nothing_is_broken_over_lines() -> None:
    view = _Live()
    view.watch(CONFIG)(LOOK | {"dev/samples": ["long " * 100]})
    assert max(len(line.rstrip()) for line in drawn(view, 60).splitlines()) <= 60
    assert sum("long long" in line for line in drawn(view, 60).splitlines()) == 1


@pytest.mark.parametrize("quiet", [True, False])
def test_elsewhere_a_line_for_each_look(quiet: bool, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert not sys.stderr.isatty()
    with watching(quiet=quiet) as (preparing, watch):
        preparing("loading the model")
        told = watch(CONFIG)
        told({"phase": "warm start", "step": 1, "warm/loss": 3.0})
        told(LOOK | {"stopped": "no better look"})
    lines = capsys.readouterr().err.splitlines()
    look = "joint, step 10: accuracy 0.62, of another's summary 0.50, of the frozen base 0.60"
    steps = ["loading the model ...", "warm start: training ...", "joint: training ..."]
    said = [look, "joint ended at step 10: no better look"]
    assert sorted(lines) == sorted(said if quiet else [*said, *steps])
