"""Steps whose summaries are given: what the inferrer learns where there is nothing to choose between."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from popi_sdk.train import PopiTrainer
from popi_sdk.train import joint as module
from popi_sdk.train.examples import batches
from popi_sdk.train.networks import GENERATOR, INFERRER
from popi_sdk.train.rollout import Sample


def trained(trainer: PopiTrainer, which: str) -> list[torch.Tensor]:
    return [value.detach().clone() for value in trainer.networks.state_dict()[which]]


def moved(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> bool:
    assert len(before) == len(after) > 0
    return not all(torch.equal(one, two) for one, two in zip(before, after, strict=True))


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[int], str], None]:
    """All summaries are these tokens, and read as this text."""

    def script(ids: Sequence[int], text: str) -> None:
        def sample(*args: Any, count: int, **_: Any) -> list[list[Sample]]:
            return [[Sample(tuple(ids), text)] * count for _ in args[2]]

        monkeypatch.setattr(module, "sample_summaries", sample)

    return script


BARE = {"kl": 0.0, "entropy_bonus": 0.0, "reward_frozen": 0.0, "overlap_penalty": 0.0}


def test_equal_rewards_teach_the_generator_alone(trainer: Callable[..., PopiTrainer], says: Any) -> None:
    built = trainer(**BARE)
    says(built.networks.lm.tokenizer.encode("tiny please", add_special_tokens=False), "tiny please")
    before = {which: trained(built, which) for which in (INFERRER, GENERATOR)}
    built.train()
    assert [entry["reward/equal"] for entry in built.history] == [1.0, 1.0]
    assert [entry["summaries/distinct"] for entry in built.history] == [1 / 6, 1 / 6]
    assert not moved(before[INFERRER], trained(built, INFERRER))
    assert moved(before[GENERATOR], trained(built, GENERATOR))


def test_an_empty_summary_earns_what_the_plain_prompt_earns(trainer: Callable[..., PopiTrainer], says: Any) -> None:
    built = trainer(**BARE)
    says([built.networks.lm.stop_ids[0]], "")
    built.train()
    assert [entry["summaries/empty"] for entry in built.history] == [1.0, 1.0]
    # The generator is the reference still: Delta is 0, the loss ln 2 / beta.
    assert built.history[0]["reward/mean"] == pytest.approx(-math.log(2) / built.config.beta, rel=1e-5)


@pytest.mark.parametrize(
    ("bonus", "floor", "learns"),
    [(0.0, None, False), (0.1, None, True), (0.1, 1e-6, False), (0.1, 100.0, True)],
)
def test_the_entropy_bonus_acts_below_its_floor_alone(
    bonus: float, floor: float | None, learns: bool, trainer: Callable[..., PopiTrainer], says: Any
) -> None:
    """Rewards are equal, so that nothing else moves the inferrer; where the bonus does, the entropy rises."""
    last = []
    for weight in (0.0, bonus):
        built = trainer(**BARE | {"entropy_bonus": weight, "entropy_floor": floor, "inferrer_lr": 0.01, "steps": 4})
        says(built.networks.lm.tokenizer.encode("tiny please", add_special_tokens=False), "tiny please")
        before = trained(built, INFERRER)
        built.train()
        last.append(built.history[-1]["inferrer/entropy"])
    assert moved(before, trained(built, INFERRER)) == learns
    assert last[1] > last[0] if learns else last[1] == last[0]


def test_the_divergence_by_hand_and_that_it_is_pulled_back(trainer: Callable[..., PopiTrainer], says: Any) -> None:
    """Of the tokens that were written, exp(d) - d - 1 with d = log p_anchor - log p, the mean; here the anchor is the
    base, and the inferrer has been moved away from it."""
    built = trainer(**BARE | {"kl": 0.5, "steps": 6, "inferrer_lr": 0.003})
    ids = built.networks.lm.tokenizer.encode("tiny please", add_special_tokens=False)
    says(ids, "tiny please")
    with torch.no_grad():
        torch.manual_seed(0)
        for name, value in built.networks.inferrer.named_parameters():
            if "lora_B.default" in name:
                value.normal_(std=0.1)
    model, expected = built.networks.inferrer, []
    for at in next(batches(len(built.train_examples), built.config)):
        row = torch.tensor([[*built.train_examples[at].request_ids, *ids]])
        own = _log_probs(model, row, len(ids))
        with model.disable_adapter():
            anchor = _log_probs(model, row, len(ids))
        apart = anchor - own
        expected += (apart.exp() - apart - 1).tolist()
    built.train()
    found = [entry["inferrer/kl"] for entry in built.history]
    assert found[0] == pytest.approx(sum(expected) / len(expected), rel=1e-3)
    assert found[0] > 0.01
    assert found[-1] < found[0]


@torch.no_grad()
def _log_probs(model: Any, row: torch.Tensor, last: int) -> torch.Tensor:
    model.eval()
    logits = model(input_ids=row).logits[0, -last - 1 : -1].float()
    return logits.log_softmax(-1).gather(1, row[0, -last:, None])[:, 0]
