"""One step by hand: what a summary earns, what both models learn from it, and how often anything is computed."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from popi_sdk.evals.quoting import overlap
from popi_sdk.scoring import Query, dpo_loss, ipo_loss, score_naive
from popi_sdk.train import PopiTrainer
from popi_sdk.train import joint as joint_module
from popi_sdk.train import learner as learner_module
from popi_sdk.train.examples import Example, batches, rotated
from popi_sdk.train.policy import PackedGRPOTrainer
from popi_sdk.train.processes import Processes
from popi_sdk.train.rollout import Sample

TEXTS = ("tiny please", "large warm", "tiny please now")
BARE = {"steps": 1, "kl": 0.0, "entropy_bonus": 0.0, "reward_frozen": 0.0}


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[int, ...]]]:
    """Each user's summaries are these texts; gives their tokens."""

    def script(built: PopiTrainer, texts: Sequence[str] = TEXTS) -> list[tuple[int, ...]]:
        ids = [tuple(built.networks.lm.tokenizer.encode(text, add_special_tokens=False)) for text in texts]

        def sample(*args: Any, count: int, **_: Any) -> list[list[Sample]]:
            assert count == len(texts)
            return [[Sample(*both) for both in zip(ids, texts, strict=True)] for _ in args[2]]

        monkeypatch.setattr(joint_module, "sample_summaries", sample)
        return ids

    return script


@pytest.fixture
def rewards(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the step's reward function gives."""
    found: list[float] = []
    judge = joint_module.Step.reward

    def noting(self: Any, **given: Any) -> list[float]:
        given_back = judge(self, **given)
        found.extend(given_back)
        return given_back

    monkeypatch.setattr(joint_module.Step, "reward", noting)
    return found


@pytest.fixture
def gradients(monkeypatch: pytest.MonkeyPatch) -> list[list[torch.Tensor]]:
    """Of each set of parameters that learns, in order, what several processes would average."""
    found: list[list[torch.Tensor]] = []
    monkeypatch.setattr(
        Processes, "average", lambda self, parameters: found.append([one.grad.clone() for one in parameters])
    )
    return found


def moved_apart(built: PopiTrainer) -> None:
    """The generator and the base are two from now on, and the inferrer is a third."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in built.networks.inferrer.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.1)
    built.networks.untouched = False


def drawn(built: PopiTrainer) -> list[Example]:
    return [built.train_examples[at] for at in next(batches(len(built.train_examples), built.config))]


@torch.no_grad()
def deltas(built: PopiTrainer, text: str, example: Example, *, frozen: bool) -> list[float]:
    """Margins of the first pairs, each sequence scored alone."""
    found = []
    for pair in rotated(example.pairs, 0, built.config.pairs_per_summary):
        with built.networks.frozen() if frozen else built.networks.generating() as model:
            [[*policy]] = score_naive(model, [built.encoder.reading(text, pair)])
        with built.networks.frozen() as model:
            [[*reference]] = score_naive(model, [Query(pair.plain, (pair.chosen, pair.rejected))])
        lengths = (len(pair.chosen), len(pair.rejected)) if built.config.length_normalised else (1, 1)
        chosen, rejected = ((one - two) / size for one, two, size in zip(policy, reference, lengths, strict=True))
        found.append(float(chosen - rejected))
    return found


@pytest.mark.parametrize(
    "options",
    [
        {"reward_frozen": 0.25, "overlap_penalty": 3.0, "length_penalty": 0.5},
        {"objective": "ipo", "beta": 0.2, "reward_frozen": 0.5},
        {"length_normalised": True, "beta": 2.0},
    ],
)
def test_what_a_summary_earns(trainer: Any, says: Any, rewards: list[float], options: dict[str, Any]) -> None:
    built = trainer(**BARE | options)
    moved_apart(built)
    ids, config = says(built), built.config
    loss = dpo_loss if config.objective == "dpo" else ipo_loss
    expected = []
    for example in drawn(built):
        for text, tokens in zip(TEXTS, ids, strict=True):
            current, frozen = (
                sum(loss(delta, config.beta) for delta in deltas(built, text, example, frozen=base)) / 2
                for base in (False, True)
            )
            mixed = (1 - config.reward_frozen) * current + config.reward_frozen * frozen
            quoted = overlap(text, example.selection.text)
            expected.append(
                -mixed - config.length_penalty * len(tokens) / config.budget - config.overlap_penalty * quoted
            )
    built.train()
    assert rewards == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert len({round(reward, 2) for reward in rewards}) > len(TEXTS)  # users, and what is said of each, differ


def test_quoting_ones_own_signals_costs(trainer: Any, says: Any, rewards: list[float]) -> None:
    """Half of the second text's 4-grams stand in the first user's signals, none in the second's."""
    found = []
    for penalty in (3.0, 0.0):
        built = trainer(**BARE | {"overlap_penalty": penalty})
        first, second = (built.train_examples.index(one) for one in drawn(built))
        for at, signals in ((first, "one two three four five six"), (second, "one and two and three and four")):
            example = built.train_examples[at]
            selection = dataclasses.replace(example.selection, texts=(signals,))
            built.train_examples[at] = dataclasses.replace(example, selection=selection)
        says(built, ("tiny please", "one two three four five nine eight", "large warm"))
        built.train()
        found.append(list(rewards))
        rewards.clear()
    assert [one - two for one, two in zip(found[1], found[0], strict=True)] == pytest.approx(
        [0, 1.5, 0, 0, 0, 0], abs=1e-4
    )


@pytest.mark.parametrize(("kl", "bonus"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.3), (0.5, 0.3)])
def test_the_inferrers_gradient_by_hand(
    trainer: Any, says: Any, rewards: list[float], gradients: list[list[torch.Tensor]], kl: float, bonus: float
) -> None:
    """That of -sum over rows of (R - mean R of the user) * sum over tokens of log p(token), over rows and budget. The
    mean is over the user's summaries, nothing is divided by a deviation, and log p is taken at the temperature. The
    divergence from the base, exp(d) - d - 1 with d = log p_base - log p, weighs `kl` and is divided by the same (it is
    an expectation over what is sampled, so each token's gradient has a part by its own probability); the entropy
    weighs `entropy_bonus`, is subtracted, and is a mean over all tokens."""
    built = trainer(**BARE | {"temperature": 0.7, "kl": kl, "entropy_bonus": bonus, "entropy_floor": None})
    moved_apart(built)
    ids, config = says(built), built.config
    examples = drawn(built)
    sums, base, divergence, entropy = [], {}, torch.tensor(0.0), torch.tensor(0.0)
    with torch.no_grad(), built.networks.frozen() as model:
        for example, tokens in itertools.product(examples, ids):
            row = torch.tensor([[*example.request_ids, *tokens]])
            logits = model(input_ids=row).logits[0, -len(tokens) - 1 : -1].float() / config.temperature
            base[example.user_id, tokens] = logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])
    with built.networks.inferring() as model:
        parameters = [one for one in built.networks.inferrer.parameters() if one.requires_grad]
        for example in examples:
            for tokens in ids:
                row = torch.tensor([[*example.request_ids, *tokens]])
                logits = model(input_ids=row).logits[0, -len(tokens) - 1 : -1].float() / config.temperature
                every = logits.log_softmax(-1)
                logs = every.gather(1, torch.tensor(tokens)[:, None])
                apart = base[example.user_id, tokens] - logs
                divergence = divergence + ((logs - logs.detach()).exp() * (apart.exp() - apart - 1)).sum()
                entropy = entropy - (every.exp() * every).sum()
                sums.append(torch.autograd.grad(logs.sum(), parameters, retain_graph=True))
        rows, tokens_in_all = len(sums), len(examples) * sum(map(len, ids))
        others = kl * divergence / (rows * config.budget) - bonus * entropy / tokens_in_all
        beside = torch.autograd.grad(others, parameters)
    before = [one.detach().clone() for one in parameters]
    built.train()
    groups = [rewards[at : at + len(TEXTS)] for at in range(0, len(rewards), len(TEXTS))]
    advantages = [reward - sum(group) / len(group) for group in groups for reward in group]
    assert max(map(abs, advantages)) > 0.01
    scale = len(advantages) * config.budget
    _, found = gradients  # the generator's first
    assert len(found) == len(parameters)
    for number, gradient in enumerate(found):
        expected = -sum(one * row[number] for one, row in zip(advantages, sums, strict=True)) / scale + beside[number]
        torch.testing.assert_close(gradient, expected, rtol=1e-2, atol=2e-5)
    assert max(float(one.abs().max()) for one in found) > 1e-3
    assert any(not torch.equal(one, two) for one, two in zip(before, parameters, strict=True))


def test_the_pass_that_judges_is_the_one_that_is_learnt_from(
    trainer: Any, says: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pair behind each summary goes through the generator once: with a graph for the first two of the three."""
    built = trainer(**BARE | {"summaries_for_generator": 2})
    built.dev_examples = []  # a look has passes of its own
    says(built)
    passed: dict[str, list[tuple[int, ...]]] = {"score_queries": [], "score_queries_with_grad": []}
    for name, queries in passed.items():
        score = getattr(learner_module, name)

        def noting(model: Any, asked: Any, *, kept: Any = queries, score: Any = score, **options: Any) -> Any:
            kept.extend(query.prefix for query in asked)
            return score(model, asked, **options)

        monkeypatch.setattr(learner_module, name, noting)
    built.train()
    pairs = [(one, pair) for one in drawn(built) for pair in rotated(one.pairs, 0, 2)]
    wanted = {
        name: [built.encoder.reading(text, pair).prefix for _, pair in pairs for text in texts]
        for name, texts in (("score_queries_with_grad", TEXTS[:2]), ("score_queries", TEXTS[2:]))
    }
    assert {name: sorted(prefixes) for name, prefixes in passed.items()} == {
        name: sorted(prefixes) for name, prefixes in wanted.items()
    }


@contextmanager
def positions(model: torch.nn.Module) -> Iterator[list[int]]:
    found: list[int] = []
    embeddings = model.get_input_embeddings()  # type: ignore[operator]
    hook = embeddings.register_forward_hook(lambda module, given, _: found.append(given[0].numel()))
    try:
        yield found
    finally:
        hook.remove()


def test_policy_and_divergence_read_a_users_signals_once(
    trainer: Any, says: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = trainer(**BARE | {"kl": 0.1})
    ids = says(built)
    passes: list[int] = []
    packed = PackedGRPOTrainer._get_per_token_logps_and_entropies

    def counting(self: Any, *args: Any, **options: Any) -> Any:
        with positions(built.networks.inferrer) as found:
            given = packed(self, *args, **options)
        passes.append(sum(found))
        return given

    monkeypatch.setattr(PackedGRPOTrainer, "_get_per_token_logps_and_entropies", counting)
    built.train()
    requests = [len(example.request_ids) for example in drawn(built)]
    written = sum(map(len, ids))
    padding = max(requests) * len(requests) - sum(requests)
    once = sum(requests) + len(requests) * written
    assert len(passes) == 2  # the policy, and the model it is not to leave
    assert all(once - len(requests) * len(ids) <= found <= once + padding for found in passes)
    assert once + padding < 0.6 * sum(len(ids) * size + written for size in requests)


@pytest.mark.parametrize(
    ("options", "updates"),
    [({}, 2), ({"warm_start": 1, "warm_start_users": 4, "warm_start_contrast": 0.5}, 3)],
    ids=["policy", "warm start"],
)
def test_small_batches_add_up_for_the_inferrer_too(
    trainer: Any, says: Any, gradients: list[list[torch.Tensor]], options: dict[str, Any], updates: int
) -> None:
    found, passes = [], []
    for token_budget in (None, 1):
        built = trainer(**BARE | options | {"token_budget": token_budget})
        built.dev_examples = []
        if not options:
            moved_apart(built)
        says(built)
        with positions(built.networks.inferrer) as seen:
            built.train()
        found.append(list(gradients))
        passes.append(len(seen))
        gradients.clear()
    assert passes[1] > passes[0] + updates
    whole, parts = found
    assert len(whole) == len(parts) == updates
    for one, two in zip(whole, parts, strict=True):
        assert max(float(part.abs().max()) for part in one) > 1e-5
        for mine, theirs in zip(one, two, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-6)
