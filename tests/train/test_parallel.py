"""Work on many records by all cores."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import pytest

from popi_sdk import TrainingError
from popi_sdk.data import tinyworld
from popi_sdk.models.causal_lm import CausalLM
from popi_sdk.train import parallel
from popi_sdk.train.examples import Encoder
from popi_sdk.train.parallel import by_chunks

FORKS = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="one core, or no fork"
)


def squares(items: Sequence[int]) -> list[tuple[int, int]]:
    return [(item * item, os.getpid()) for item in items]


def flat(chunks: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    return [one for chunk in chunks for one in chunk]


@FORKS
def test_many_items_are_shared_out_and_come_back_in_order() -> None:
    found = flat(by_chunks(squares, range(parallel.MANY)))
    assert [value for value, _ in found] == [item * item for item in range(parallel.MANY)]
    assert os.getpid() not in {process for _, process in found}


def test_a_few_stay_here() -> None:
    found = flat(by_chunks(squares, range(parallel.MANY - 1)))
    assert {process for _, process in found} == {os.getpid()}
    assert by_chunks(squares, []) == []


@FORKS
def test_an_error_in_another_process_is_an_error_here() -> None:
    def fail(items: Sequence[int]) -> None:
        raise TrainingError(f"item {items[0]}")

    with pytest.raises(TrainingError, match="item 0"):
        by_chunks(fail, range(parallel.MANY))
    assert parallel._work is None


@FORKS
def test_what_a_killed_process_had_is_done_here() -> None:
    here = os.getpid()

    def killed(items: Sequence[int]) -> int:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return items[0]

    assert by_chunks(killed, range(parallel.MANY))[:2] == [0, 64]


@FORKS
def test_processes_of_a_launcher_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(len(os.sched_getaffinity(0))))
    assert {process for _, process in flat(by_chunks(squares, range(parallel.MANY)))} == {os.getpid()}


@FORKS
@pytest.mark.parametrize("many", [1, 1_000])
def test_users_are_encoded_alike_and_what_is_left_out_is_counted(
    lm: CausalLM, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(parallel, "MANY", many)
    users = list(tinyworld.generate("train", 70))
    encoder = Encoder(lm, budget=4, input_budget=1_024)
    assert encoder.examples(users) == [encoder._example(one) for one in users]
    assert encoder.left_out == {}

    short = Encoder(lm, budget=4, input_budget=2)
    with pytest.raises(TrainingError, match="70 users whose signals do not fit input_budget"):
        short.examples(users)
    assert short.left_out == {"users whose signals do not fit input_budget": 70}
