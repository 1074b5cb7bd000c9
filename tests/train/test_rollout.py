"""Summaries as they are sampled."""

from __future__ import annotations

from typing import Any

import pytest

from popi_sdk.train import joint as module
from popi_sdk.train import rollout
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


def test_no_more_summaries_are_in_the_making_than_said(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    built = trainer()
    options: dict[str, Any] = {"count": 2, "temperature": 1.0, "seed": "0"}
    users = built.train_examples[:5]
    at_a_time: list[int] = []
    decode = rollout.decode
    monkeypatch.setattr(rollout, "decode", lambda model, rows: at_a_time.append(len(rows)) or decode(model, rows))
    found = [sample_summaries(built.networks, built.encoder, users, at_once=most, **options) for most in (None, 4)]
    assert found[0] == found[1]
    assert at_a_time == [10, 4, 4, 2]
    assert sample_summaries(built.networks, built.encoder, [], **options) == []


def test_a_user_who_stands_twice_in_a_step_gets_other_summaries(trainer: Any) -> None:
    built = trainer()
    first, second = built.train_examples[:2]
    sampled = {"count": 6, "temperature": 1.0, "seed": "0"}
    found = sample_summaries(built.networks, built.encoder, [first, second, first], turns=[0, 0, 1], **sampled)
    assert found[:2] == sample_summaries(built.networks, built.encoder, [first, second], **sampled)
    assert found[0] != found[2]


def test_more_users_a_step_than_there_are(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[tuple[str, int]]] = []

    def sample(*args: Any, turns: Any = None, **options: Any) -> Any:
        seen.append([(one.user_id, turn) for one, turn in zip(args[2], turns, strict=True)])
        return sample_summaries(*args, turns=turns, **options)

    monkeypatch.setattr(module, "sample_summaries", sample)
    trainer(users_per_step=10, group_size=2, steps=1).train()  # of 8
    assert [turn for _, turn in seen[0]] == [0] * 8 + [1, 1]
    assert len({user for user, _ in seen[0]}) == 8
    assert len(set(seen[0])) == 10
