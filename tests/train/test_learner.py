"""The generator's step: theta learns from the pass that judges, and nothing else moves."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch

from popi_sdk import TrainingError
from popi_sdk.scoring import Query, dpo_loss, score_naive
from popi_sdk.train.learner import GeneratorLearner, Judged
from popi_sdk.train.processes import Processes


@pytest.fixture(params=["adapters", "whole"])
def built(request, trainer):
    return trainer(**({} if request.param == "adapters" else {"adapters": None}))


def learner_of(built, **options) -> GeneratorLearner:
    return GeneratorLearner(built.networks, built.config, built.encoder, built.references, steps=4, **options)


def judged_of(built, **options) -> list[Judged]:
    texts = ["small warm quick", "", "large"]
    return [Judged(text, one.pairs[:2], **options) for text, one in zip(texts, built.train_examples, strict=False)]


def weights(built) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in built.networks.inferrer.named_parameters()}


def test_before_training_every_margin_is_that_of_the_context(built) -> None:
    learner, judged = learner_of(built), judged_of(built)
    margins = learner.margins(judged)
    assert margins[1] == pytest.approx([0.0, 0.0], abs=1e-4)  # the plain prompt: policy and reference are the same
    assert margins == [pytest.approx(row, abs=1e-5) for row in learner.margins(judged, frozen=True)]
    pair, lm = judged[0].pairs[0], built.networks.lm
    with built.networks.frozen() as model:
        [[*policy]] = score_naive(model, [built.encoder.reading("small warm quick", pair)])
        [[*reference]] = score_naive(model, [Query(pair.plain, (pair.chosen, pair.rejected))])
    assert margins[0][0] == pytest.approx(float(policy[0] - policy[1] - reference[0] + reference[1]), abs=1e-3)
    assert lm.encode_prompt([{"role": "user", "content": pair.prompt}]) == list(pair.plain)


def test_a_step_moves_the_generator_alone(built) -> None:
    learner, judged = learner_of(built), judged_of(built)
    before, theta = weights(built), [one.detach().clone() for one in learner.parameters]
    learner.learn(judged)
    learner.learn(judged)
    assert all(not torch.equal(old, new) for old, new in zip(theta, learner.parameters, strict=True))
    moved = {id(parameter) for parameter in learner.parameters}
    for name, parameter in built.networks.inferrer.named_parameters():
        assert id(parameter) in moved or torch.equal(parameter, before[name]), name
    assert learner.margins(judged) != learner.margins(judged, frozen=True)
    assert not built.networks.untouched


def test_margins_are_those_of_before_the_step_and_the_loss_is_their_mean(built) -> None:
    learner, judged = learner_of(built), judged_of(built)
    expected = learner.margins(judged)
    found = learner.learn(judged)
    assert found == [pytest.approx(row, abs=1e-4) for row in expected]
    losses = [sum(dpo_loss(delta, 1.0) for delta in row) / len(row) for row in expected]
    assert learner.metrics["generator/loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_the_loss_falls(built) -> None:
    built.config = built.config.model_copy(update={"generator_lr": 0.003})
    learner, judged = learner_of(built), judged_of(built)
    learner.learn(judged)
    first = learner.metrics["generator/loss"]
    learner.learn(judged)
    learner.learn(judged)
    assert learner.metrics["generator/loss"] < first


class Watched(Processes):
    """Keeps the gradients where several processes would average them."""

    def average(self, parameters) -> None:
        self.kept = [one.grad.clone() for one in parameters]


def gradients(built, judged, **options) -> list[torch.Tensor]:
    watched = Watched()
    learner_of(built, processes=watched, **options).learn(judged)
    return watched.kept


def test_small_batches_add_up_to_the_large_one(trainer) -> None:
    built, other = trainer(), trainer()
    whole = gradients(built, judged_of(built))
    parts = gradients(other, judged_of(other), token_budget=1)
    for one, two in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-7)


def test_summaries_that_are_not_learnt_from_are_scored_all_the_same(trainer) -> None:
    built, other = trainer(), trainer()
    first, *rest = judged_of(built)
    judged = [first, *(Judged(one.context, one.pairs, learn=False) for one in rest)]
    expected = learner_of(built).margins(judged)
    watched = Watched()
    learner = learner_of(built, processes=watched)
    assert learner.learn(judged) == [pytest.approx(row, abs=1e-4) for row in expected]
    alone = gradients(other, judged_of(other)[:1])
    for one, two in zip(watched.kept, alone, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-7)


def test_a_loss_that_is_not_a_number_stops_it_and_theta_stays(trainer) -> None:
    built = trainer(beta=1e-38, objective="ipo")  # (Delta - 1 / (2 beta)) ^ 2 is beyond float32
    learner, before = learner_of(built), weights(built)
    with pytest.raises(TrainingError, match="loss is"):
        learner.learn(judged_of(built))
    assert all(torch.equal(parameter, before[name]) for name, parameter in built.networks.inferrer.named_parameters())


def test_the_state_of_its_optimizer_is_kept(trainer) -> None:
    built, other = trainer(), trainer()
    first, second = learner_of(built), learner_of(other)
    first.learn(judged_of(built))
    for mine, theirs in zip(second.parameters, first.parameters, strict=True):
        mine.data.copy_(theirs.data)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    first.learn(judged_of(built))
    second.learn(judged_of(other))
    for mine, theirs in zip(second.parameters, first.parameters, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_references_are_computed_once_and_kept(trainer, tmp_path, tiny_folder) -> None:
    from popi_sdk.train.reference import References

    built = trainer()
    pairs = [pair for one in built.train_examples for pair in one.pairs]
    with built.networks.frozen() as model:
        built.references.compute(model, pairs)
        fresh = References("tiny", tmp_path)
        assert fresh.compute(model, pairs) == len(pairs)
        assert fresh.compute(model, pairs) == 0
        [path] = tmp_path.iterdir()
        path.write_text(path.read_text()[:-30])  # killed in the middle of its last line
        again = References("tiny", tmp_path)
        assert again.compute(model, pairs) == 1
        assert References("other weights", tmp_path).compute(model, pairs[:1]) == 1
    for pair in pairs:
        assert again[pair] == pytest.approx(fresh[pair], abs=1e-4)
        assert again[pair] == pytest.approx(built.references[pair], abs=1e-4)
        assert all(math.isfinite(value) and value < 0 for value in again[pair])


def move_at_random(learner: GeneratorLearner) -> None:
    with torch.no_grad():
        for at, parameter in enumerate(learner.parameters):
            parameter.normal_(0.0, 0.05, generator=torch.Generator().manual_seed(at))


def gradient_of(learner: GeneratorLearner, judged: list[Judged]) -> torch.Tensor:
    """Of the loss, in the first parameter; theta stays where it is."""
    grads: list[torch.Tensor] = []
    learner.optimizer.register_step_pre_hook(lambda *_: grads.append(learner.parameters[0].grad.clone()))
    learner.optimizer.param_groups[0]["lr"] = 0.0
    learner.config = learner.config.model_copy(update={"max_grad_norm": 1e9})
    learner.learn(judged)
    return grads[0]


def slope(learner: GeneratorLearner, gradient: torch.Tensor, loss: Callable[[], float]) -> float:
    """How steep the loss is along the gradient, by finite differences."""
    step, found = 1e-2, []
    with torch.no_grad():
        for way in (step, -2 * step):
            learner.parameters[0].add_(gradient / gradient.norm(), alpha=way)
            found.append(loss())
    return (found[0] - found[1]) / (2 * step)


def test_telling_two_summaries_apart_by_hand_and_its_gradient(trainer) -> None:
    built = trainer(generator_contrast=0.7)
    learner = learner_of(built)
    texts = ["small warm quick", "large"]
    judged = [
        Judged(text, one.pairs[:2], other=texts[1 - at])
        for at, (text, one) in enumerate(zip(texts, built.train_examples, strict=False))
    ]

    def by_hand() -> tuple[float, float]:
        own = learner.margins(judged)
        other = learner.margins([Judged(one.other, one.pairs) for one in judged])
        rows = [(a, a - b) for mine, theirs in zip(own, other, strict=True) for a, b in zip(mine, theirs, strict=True)]
        beta = built.config.beta
        loss = sum(dpo_loss(a, beta) + 0.7 * dpo_loss(gap, beta) for a, gap in rows) / len(rows)
        return loss, sum(gap > 0 for _, gap in rows) / len(rows)

    move_at_random(learner)
    wanted, matched = by_hand()
    gradient = gradient_of(learner, judged)
    assert learner.metrics["generator/loss"] == pytest.approx(wanted, rel=1e-4)
    assert learner.metrics["generator/matched"] == matched
    assert slope(learner, gradient, lambda: by_hand()[0]) == pytest.approx(float(gradient.norm()), rel=0.03)


def test_the_likelihood_of_chosen_answers_by_hand_and_its_gradient(trainer) -> None:
    built = trainer(generator_likelihood=0.8)
    learner, judged = learner_of(built), judged_of(built)

    def by_hand() -> float:
        found = 0.0
        for one, deltas in zip(judged, learner.margins(judged), strict=True):
            queries = [built.encoder.reading(one.context, pair) for pair in one.pairs]
            with built.networks.generating() as model, torch.no_grad():
                scores = score_naive(model, queries)
            for pair, delta, (chosen, _) in zip(one.pairs, deltas, scores, strict=True):
                each = dpo_loss(delta, built.config.beta) - 0.8 * float(chosen) / len(pair.chosen)
                found += each / len(one.pairs) / len(judged)
        return found

    move_at_random(learner)
    wanted = by_hand()
    gradient = gradient_of(learner, judged)
    assert learner.metrics["generator/loss"] == pytest.approx(wanted, rel=1e-4)
    assert slope(learner, gradient, by_hand) == pytest.approx(float(gradient.norm()), rel=0.03)


@pytest.mark.parametrize("other", [None, "small warm quick"])
def test_nobody_to_be_told_apart_from_is_no_second_part(trainer, other: str | None) -> None:
    losses = []
    for weight in (0.0, 0.7):
        built = trainer(generator_contrast=weight)
        learner = learner_of(built)
        learner.learn([Judged("small warm quick", built.train_examples[0].pairs[:2], other=other)])
        losses.append(learner.metrics["generator/loss"])
    assert losses[0] == losses[1]


def test_summaries_of_a_step_are_told_apart_in_training(trainer) -> None:
    built = trainer(generator_contrast=1.0, steps=2)
    built.train()
    assert all(0 <= entry["generator/matched"] <= 1 for entry in built.history)
    alone = trainer(generator_contrast=1.0, steps=1, users_per_step=1)
    assert alone.train().history[0]["generator/loss"] > 0
