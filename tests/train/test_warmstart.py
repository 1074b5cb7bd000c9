"""The supervised start: descriptions are learnt, and told apart."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from popi_sdk import ConfigurationError
from popi_sdk.data import tinyworld
from popi_sdk.data.styleworld.axes import AXES
from popi_sdk.data.styleworld.shown import shown
from popi_sdk.inferrers.prompted import parse_summary
from popi_sdk.models.causal_lm import load_causal_lm
from popi_sdk.scoring import Query, score_queries
from popi_sdk.train import PopiTrainer
from popi_sdk.train.processes import Processes
from popi_sdk.train.warmstart import _learn


@pytest.fixture
def built(small: Any, tiny_folder: Path) -> Any:
    def build(**options: Any) -> PopiTrainer:
        lm = load_causal_lm(tiny_folder, dtype="float32")
        users = tinyworld.generate("train", 64), tinyworld.generate("dev", 8)
        return PopiTrainer(small(**options), *users, model=lm)

    return build


@pytest.mark.parametrize(
    ("gold", "read"),
    [
        ("Likes lists.\n\nLike these:\n- small\n- tiny", "Likes lists. Like these. small. tiny."),
        ("Summary: **small** things.", "small things."),
        ("small\u200b   things", "small things"),
        ("...", None),
        (None, None),
    ],
)
def test_a_description_is_learnt_as_a_reader_would_get_it(built: Any, gold: str | None, read: str | None) -> None:
    (user,) = tinyworld.generate("train", 1)
    (example,) = built().encoder.examples([user.model_copy(update={"gold": gold})])
    assert example.gold == read


def test_what_is_learnt_of_styleworld_comes_out_as_it_went_in() -> None:
    for values in itertools.product(*((None, *of) for of in AXES.values())):
        if sum(value is not None for value in values) < 2:
            continue
        text = " ".join(parse_summary(shown(dict(zip(AXES, values, strict=True)))))
        assert "\n" not in text
        assert " ".join(parse_summary(text)) == text


def learners(trainer: PopiTrainer, count: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    encode = trainer.encoder.model.encode_response
    return [(one.request_ids, tuple(encode(one.gold))) for one in trainer.train_examples[:count]]


def likelihoods(trainer: PopiTrainer, chosen: list) -> list[list[float]]:
    """log p of every description given every user's signals: a row a user."""
    queries = [Query(request, tuple(gold for _, gold in chosen)) for request, _ in chosen]
    return score_queries(trainer.networks.inferrer, queries)


@pytest.mark.parametrize("contrast", [0.0, 0.7])
def test_the_loss_by_hand_and_its_gradient(built: Any, contrast: float) -> None:
    trainer = built()
    with torch.no_grad():
        for at, parameter in enumerate(trainer.networks.inferrer.parameters()):
            if parameter.requires_grad:
                parameter.normal_(0.0, 0.05, generator=torch.Generator().manual_seed(at))
    chosen = learners(trainer, 3)
    tokens = sum(len(gold) for _, gold in chosen)

    def by_hand() -> tuple[float, float]:
        logp = likelihoods(trainer, chosen)
        likelihood = -sum(logp[at][at] for at in range(3)) / tokens
        apart = sum(  # of the first two; the third has nobody
            math.log1p(math.exp(-(logp[own][own] - logp[other][own]))) for own, other in ((0, 1), (1, 0))
        )
        return likelihood, likelihood + contrast * apart / 3

    figures = _learn(trainer.networks, chosen, contrast, Processes())
    likelihood, loss = by_hand()
    assert figures["warm/loss"] == pytest.approx(likelihood, rel=1e-5)
    logp = likelihoods(trainer, chosen)
    matched = ((logp[0][0] > logp[1][0]) + (logp[1][1] > logp[0][1])) / 2
    assert figures.get("warm/matched") == (matched if contrast else None)

    parameter = next(one for one in trainer.networks.inferrer.parameters() if one.requires_grad)
    direction = parameter.grad / parameter.grad.norm()
    step = 1e-2
    with torch.no_grad():
        parameter.add_(direction, alpha=step)
    _, above = by_hand()
    with torch.no_grad():
        parameter.add_(direction, alpha=-2 * step)
    _, below = by_hand()
    assert (above - below) / (2 * step) == pytest.approx(parameter.grad.norm().item(), rel=0.02)
    assert below < loss < above


def test_it_learns_whose_description_is_whose(built: Any) -> None:
    """After as many steps likelihood alone knows less: 0.73 of these against 0.86."""
    found = {}
    for contrast in (0.0, 1.0):
        trainer = built(warm_start=40, warm_start_users=8, warm_start_lr=0.01, warm_start_contrast=contrast, steps=1)
        trainer._phase("warm start", trainer._start_warm)
        logp = likelihoods(trainer, learners(trainer, 32))
        apart = [(own, other) for own in range(32) for other in range(32) if own != other]
        found[contrast] = sum(logp[own][own] > logp[other][own] for own, other in apart) / len(apart)
        assert trainer.history[-1]["warm/loss"] < trainer.history[0]["warm/loss"]
    assert found[1.0] > found[0.0] + 0.1, found


def test_a_process_takes_whole_pairs(built: Any) -> None:
    trainer = built()
    with pytest.raises(ConfigurationError, match="warm_start_users to a multiple of 4"):
        _learn(trainer.networks, learners(trainer, 6), 1.0, Processes(0, 2))


@pytest.mark.parametrize(
    ("decay", "rates"),
    [
        (0.0, [0.0, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01]),
        (0.4, [0.0, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.0075, 0.005, 0.0025]),
        (1.0, [0.01, 0.009, 0.008, 0.007, 0.006, 0.005, 0.004, 0.003, 0.002, 0.001]),
    ],
)
def test_the_rate_falls_in_the_last_steps_where_it_is_to(built: Any, decay: float, rates: list[float]) -> None:
    options = {"warm_start_users": 2, "warm_start_lr": 0.01, "warm_start_decay": decay, "warmup": 0.05, "steps": 1}
    trainer = built(warm_start=10, **options)
    trainer._phase("warm start", trainer._start_warm)
    assert [entry["warm/learning_rate"] for entry in trainer.history] == pytest.approx(rates)
