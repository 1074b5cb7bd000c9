"""Summaries as they are sampled."""

from __future__ import annotations

from typing import Any

import pytest

from popi_sdk.train.rollout import sample_summaries


@pytest.mark.parametrize("adapters", [True, False])
def test_signals_are_read_once_for_all_summaries_and_nothing_is_read_again(trainer: Any, adapters: bool) -> None:
    built = trainer(**({} if adapters else {"adapters": None}))
    examples = built.train_examples[:2]
    longest = max(len(one.request_ids) for one in examples)
    read: list[tuple[int, ...]] = []
    built.networks.lm.model.register_forward_pre_hook(
        lambda _, args, options: read.append(tuple(options["input_ids"].shape)), with_kwargs=True
    )
    found = sample_summaries(built.networks, built.encoder, examples, count=3, temperature=1.0, seed="0")
    assert read[0] == (2, longest)
    assert [columns for _, columns in read[1:]] == [1] * (max(len(one.ids) for row in found for one in row) - 1)


def test_a_user_who_stands_twice_in_a_step_gets_other_summaries(trainer: Any) -> None:
    built = trainer()
    first, second = built.train_examples[:2]
    sampled = {"count": 6, "temperature": 1.0, "seed": "0"}
    found = sample_summaries(built.networks, built.encoder, [first, second, first], turns=[0, 0, 1], **sampled)
    assert found[:2] == sample_summaries(built.networks, built.encoder, [first, second], **sampled)
    assert found[0] != found[2]


def test_more_users_a_step_than_there_are(trainer: Any) -> None:
    built = trainer(users_per_step=10, group_size=4, steps=1)  # of 8
    built.train()
    assert built.history[0]["summaries/distinct"] > 1 / 4
