"""What we rely on in TRL: where one of these fails after an upgrade, `train/` has to follow."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from trl import GRPOConfig, GRPOTrainer

from popi_sdk.train import policy
from popi_sdk.train import reinforce as module
from popi_sdk.train.policy import PackedGRPOTrainer


def test_the_method_that_is_replaced_has_our_signature() -> None:
    theirs = inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters
    assert list(theirs)[:7] == [
        *("self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size", "compute_entropy"),
    ]
    source = inspect.getsource(GRPOTrainer)
    assert source.count("._get_per_token_logps_and_entropies(") >= 4  # policy, old policy, both references


def test_what_several_processes_rely_on() -> None:
    assert callable(GRPOTrainer.training_step)  # ends before gradients are clipped
    assert isinstance(GRPOConfig.n_gpu, property)
    source = inspect.getsource(GRPOTrainer)
    # The loss is a mean over rows, of which all processes have the same number; the bonus, one over this one's tokens.
    assert "(per_token_loss * mask).sum() / (per_token_loss.size(0) * self.max_completion_length)" in source
    assert "(entropies * effective_mask).sum() / effective_mask.sum()" in source


def test_members_and_options_that_are_used() -> None:
    source = inspect.getsource(GRPOTrainer)
    for name in (
        "self.temperature",
        "self.beta != 0.0",
        "self.ref_model is not None",
        'use_adapter(model, adapter_name="ref" if "ref" in model.peft_config else None)',
        "self.rollout_func(prompts, self)",
    ):
        assert name in source
    fields = GRPOConfig.__dataclass_fields__
    for name in (
        "use_adaptive_entropy",
        "entropy_target",
        "entropy_coef_delta",
        "entropy_coef_min",
        "entropy_coef_max",
        "steps_per_generation",
        "scale_rewards",
    ):
        assert name in fields


@pytest.mark.parametrize("token_budget", [None, 1])  # in one pass, or one for each user
@pytest.mark.parametrize("adapters", [True, False])
def test_packed_figures_are_trls_own(
    trainer: Any, adapters: bool, token_budget: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows through both: log-probabilities, entropies, and gradients."""
    built = trainer(**({} if adapters else {"adapters": None}), temperature=0.7, token_budget=token_budget)
    captured: dict[str, Any] = {}
    packed = PackedGRPOTrainer._get_per_token_logps_and_entropies

    def both(self: Any, model: Any, ids: Any, mask: Any, keep: int, *args: Any, **options: Any) -> Any:
        ours = packed(self, model, ids, mask, keep, *args, **options)
        if torch.is_grad_enabled() and not captured:
            parameters = [one for one in model.parameters() if one.requires_grad]
            theirs = GRPOTrainer._get_per_token_logps_and_entropies(self, model, ids, mask, keep, *args, **options)
            seen = mask[:, -keep:].bool()
            captured["figures"] = [
                (one[seen].detach(), two[seen].detach()) for one, two in zip(ours[:2], theirs[:2], strict=True)
            ]
            captured["gradients"] = [
                torch.autograd.grad((log[seen].sum() + entropy[seen].sum()), parameters, retain_graph=True)
                for log, entropy in (ours[:2], theirs[:2])
            ]
        return ours

    monkeypatch.setattr(PackedGRPOTrainer, "_get_per_token_logps_and_entropies", both)
    built.train()
    for ours, theirs in captured["figures"]:
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(*captured["gradients"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_step_holds_the_graph_of_one_pass(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many users are in it: of all passes but one the policy keeps no more than what it read."""
    saved: dict[int, int] = {}
    scoring = policy.score_tokens

    def counting(*args: Any, **options: Any) -> Any:
        sizes: list[int] = []

        def note(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(0 if isinstance(tensor, torch.nn.Parameter) else tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            found = scoring(*args, **options)
        if torch.is_grad_enabled():
            saved[len(args[1])] = sum(sizes)
        return found

    monkeypatch.setattr(policy, "score_tokens", counting)
    for users in (2, 8):
        trainer(users_per_step=users, token_budget=1, steps=1).train()
    assert saved[8] < 1.5 * saved[2]


def test_our_names_for_trls_figures(trainer: Any) -> None:
    built = trainer(steps=1)
    built.train()
    assert set(module._KEPT.values()) <= set(built.history[0])
