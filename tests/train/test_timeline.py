"""Phases one behind the other."""

from __future__ import annotations

from popi_sdk.train.timeline import Timeline


def entry(phase: str, step: int, **more) -> dict:
    return {"phase": phase, "step": step, **more}


def test_steps_go_on_where_the_phase_before_ended() -> None:
    timeline = Timeline([entry("warm start", 1), entry("warm start", 2)])
    placed = [timeline.place(one) for one in (entry("joint", 1), entry("joint", 2, stopped="enough"), entry("next", 1))]
    assert placed == [3, 4, 5]
    assert [(one.phase, one.begin, one.end, one.stopped) for one in timeline.spans] == [
        ("warm start", 0, 2, None),
        ("joint", 2, 4, "enough"),
        ("next", 4, 5, None),
    ]
