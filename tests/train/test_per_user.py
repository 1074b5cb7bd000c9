"""An adapter for each user: it learns from that user's signals, and from nobody else's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from popi_sdk import TrainingError
from popi_sdk.data import HeldOutPair, UserRecord
from popi_sdk.models.causal_lm import CausalLM
from popi_sdk.train import TrainConfig, train_per_user


def user(name: str, chosen: str, rejected: str) -> UserRecord:
    """Prefers one word in all signals, and in the held-out pair, which has another prompt."""
    prompts = ["one", "two", "three", "four"]
    signals = [{"kind": "preference", "prompt": one, "chosen": chosen, "rejected": rejected} for one in prompts]
    pair = HeldOutPair(prompt="five", chosen=chosen, rejected=rejected)
    return UserRecord(user_id=name, signals=signals, pairs=[pair])


OPPOSITES = [user("ada", "large", "small"), user("bob", "small", "large")]


def test_two_users_who_want_the_opposite_both_get_it(lm: CausalLM, small: Callable[..., TrainConfig]) -> None:
    told: list[tuple[int, int]] = []
    found = train_per_user(small(steps=4), OPPOSITES, model=lm, progress=lambda *step: told.append(step))
    assert [one.accuracy for one in found.users] == [1.0, 1.0]
    assert [one.learnt_from for one in found.users] == [4, 4]
    assert (found.accuracy.mean, found.left_out) == (1.0, 0)
    assert found.seconds > 0
    assert 0 < found.megabytes < 1
    assert told == [(0, 2), (1, 2)]


def test_what_is_learnt_from_the_wrong_signals_is_wrong(lm: CausalLM, small: Callable[..., TrainConfig]) -> None:
    mixed = OPPOSITES[0].model_copy(update={"pairs": OPPOSITES[1].pairs})
    assert train_per_user(small(steps=4), [mixed], model=lm).accuracy.mean == 0.0


def test_users_without_pairs_among_their_signals_are_left_out(lm: CausalLM, small: Callable[..., TrainConfig]) -> None:
    silent = UserRecord(user_id="eve", signals=["Keep it short."], pairs=OPPOSITES[0].pairs)
    found = train_per_user(small(steps=2), [silent, OPPOSITES[0]], model=lm)
    assert ([one.user_id for one in found.users], found.left_out) == (["ada"], 1)


def test_nobody_to_tune_for(lm: CausalLM, small: Callable[..., TrainConfig]) -> None:
    silent = UserRecord(user_id="eve", signals=["Keep it short."], pairs=OPPOSITES[0].pairs)
    with pytest.raises(TrainingError, match="None of 1 users has a chosen and rejected response"):
        train_per_user(small(), [silent], model=lm)
