"""The inferrer's side of a step: TRL's GRPO, with the group's prompt computed once."""

from __future__ import annotations

from typing import Any

import torch
from trl import GRPOTrainer

from ..models._quiet import quiet
from ..scoring import Query, score_tokens
from .processes import Processes

__all__ = ["PackedGRPOTrainer"]


class PackedGRPOTrainer(GRPOTrainer):  # type: ignore[misc] # trl is Any to mypy
    """GRPO whose log-probabilities come from packed rows: the summaries of a user share the computation of its signals.

    Two methods of TRL are replaced, saving is silenced; `tests/train/test_trl.py` pins what is relied on.

    Attributes:
        processes: Who trains together.
        token_budget: Most positions of one forward pass, of which one alone holds its graph; None for what suits the
            device.
    """

    processes = Processes()
    token_budget: int | None = None

    def training_step(self, *args: Any, **options: Any) -> torch.Tensor:
        """Forward and backward; then the gradients are those of all processes, before they are clipped."""
        loss = super().training_step(*args, **options)
        self.processes.average([parameter for parameter in self.model.parameters() if parameter.requires_grad])
        return loss

    def save_model(self, *args: Any, **options: Any) -> None:
        """Save without a bar of transformers' own: it would stand in the middle of ours."""
        with quiet():
            super().save_model(*args, **options)

    def _get_per_token_logps_and_entropies(  # noqa: PLR0917 - the signature is TRL's
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Log-probabilities and entropies of the summaries' tokens, (rows, tokens), 0 where there is padding."""
        groups: dict[tuple[int, ...], list[int]] = {}
        tails: list[tuple[int, ...]] = []
        for row, (ids, mask) in enumerate(zip(input_ids.tolist(), attention_mask.tolist(), strict=True)):
            known = [token for token, seen in zip(ids[:-logits_to_keep], mask[:-logits_to_keep], strict=True) if seen]
            tails.append(
                tuple(token for token, seen in zip(ids[-logits_to_keep:], mask[-logits_to_keep:], strict=True) if seen)
            )
            groups.setdefault(tuple(known), []).append(row)
        queries = [Query(prompt, tuple(tails[row] for row in rows)) for prompt, rows in groups.items()]
        scores = score_tokens(
            self.accelerator.unwrap_model(model),
            queries,
            token_budget=self.token_budget,
            temperature=self.temperature,
            recompute=True,
        )
        padded: list[torch.Tensor] = [torch.empty(0)] * len(tails)
        for rows, figures in zip(groups.values(), scores, strict=True):
            for row, tokens in zip(rows, figures, strict=True):
                padded[row] = torch.nn.functional.pad(tokens, (0, 0, 0, logits_to_keep - len(tokens)))
        both = torch.stack(padded)
        entropies = self._evened(both[..., 1], sum(map(len, tails))) if compute_entropy else None
        return both[..., 0], entropies, None

    def _evened(self, entropies: torch.Tensor, tokens: int) -> torch.Tensor:
        """The same figures, with gradients that give every token of all processes the same weight.

        TRL's bonus is the mean over this process's tokens, and the mean of such means is not that of all tokens.
        """
        if self.processes.count == 1:
            return entropies
        weight = tokens / self.processes.mean(tokens)
        still = entropies.detach()
        return still + weight * (entropies - still)
