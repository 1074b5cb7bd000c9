"""Answers of several rows at once from a model of transformers: one forward pass makes a token for each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Generic, Protocol, TypeVar

from ..models._torch import torch
from .hf_cache import cache_for

__all__ = ["DecodingRow", "decode"]

_CHUNK = 4096
"""Tokens of the prompts between two looks at whether to go on."""

_SHRINK = 0.75
"""Finished rows are left in until so much of the batch, or less, still goes on: taking them out copies the rest."""


class DecodingRow(Protocol):
    """What takes the tokens of one answer: `hf_row.Row` makes text of them."""

    @property
    def prompt(self) -> list[int]:
        """Token ids of the prompt."""

    @property
    def temperature(self) -> float:
        """0 for greedy."""

    @property
    def finish_reason(self) -> str | None:
        """None while it goes on."""

    def draw(self) -> float:
        """The next number between 0 and 1 of this row's own."""

    def take(self, token: int) -> None:
        """Add a token."""


Row = TypeVar("Row", bound=DecodingRow)


def decode(model: Any, rows: Sequence[Row], going: Callable[[Row], bool] | None = None) -> None:
    """Let rows take tokens until all are finished.

    Prompts of different lengths are padded on the left; neighbours with the same prompt share its computation. A row's
    answer does not depend on the other rows, but for the rounding of sums, which can tip two tokens that are all but
    equally likely: rarely in float32, at times in bfloat16.

    Args:
        model: A causal language model of transformers, in eval mode.
        rows: What to answer; each ends by itself.
        going: Asked before each pass; a row for which it is false is given up as it is.
    """
    if len(rows) > 1 and not _is_cached(model):  # those models do not all leave out the padding
        for row in rows:
            decode(model, [row], going)
        return
    with torch.no_grad():  # not inference_mode: what a model caches in it can never be trained with
        batch = _Batch(model, rows)
        while batch.shrink([row.finish_reason is None and (going is None or going(row)) for row in batch.rows]):
            logits = batch.forward()
            if logits is None:
                continue  # a chunk of the prompts
            tokens = _choose(logits, batch.rows)
            batch.append(tokens)
            for row, token in zip(batch.rows, tokens.tolist(), strict=True):
                if row.finish_reason is None:
                    row.take(token)


def _is_cached(model: Any) -> bool:
    """Whether what was read is kept; otherwise all of it is read again for each token."""
    return "past_key_values" in inspect.signature(model.forward).parameters


class _Batch(Generic[Row]):
    """What the model has read and is to read next."""

    def __init__(self, model: Any, rows: Sequence[Row]) -> None:
        self.rows = list(rows)
        self._model = model
        self._takes = inspect.signature(model.forward).parameters
        self._cache = cache_for(model) if _is_cached(model) else None
        prompts = [(prompt, len(list(same))) for prompt, same in groupby(row.prompt for row in rows)]
        self._shared = [count for _, count in prompts] if len(prompts) < len(rows) else None
        width = max(len(prompt) for prompt, _ in prompts)
        padding = [width - len(prompt) for prompt, _ in prompts]
        ids = [[0] * pad + prompt for pad, (prompt, _) in zip(padding, prompts, strict=True)]
        self._ids = torch.tensor(ids, device=model.device)
        self._mask = (torch.arange(width)[None, :] >= torch.tensor(padding)[:, None]).long().to(model.device)
        self._read = 0

    def shrink(self, going: Sequence[bool]) -> bool:
        """Take out rows that do not go on; returns whether any does."""
        keep = [index for index, goes in enumerate(going) if goes]
        if self._shared is not None:
            return bool(keep)  # rows have no cache of their own yet
        if keep and len(keep) <= _SHRINK * len(self.rows):
            chosen = torch.tensor(keep, device=self._ids.device)
            self.rows = [self.rows[index] for index in keep]
            self._ids, self._mask = self._ids[chosen], self._mask[chosen]
            if self._cache is not None and self._read:
                self._cache.reorder_cache(chosen)
        return bool(keep)

    def forward(self) -> Any:
        """Read what was not read yet, or a chunk of it; the next token's logits [rows, vocabulary] after all of it."""
        start, end = self._read, self._ids.shape[1]
        if self._cache is not None:
            end = min(end, start + max(1, _CHUNK // len(self._ids)))
        inputs: dict[str, Any] = {"input_ids": self._ids[:, start:end], "attention_mask": self._mask[:, :end]}
        if "position_ids" in self._takes:
            positions = self._mask[:, :end].cumsum(1).sub(1).clamp(min=0)
            inputs["position_ids"] = positions[:, start:]
        if "logits_to_keep" in self._takes:
            # As an index: of a slice's strided states torch multiplies a copy of the whole head, one for each row.
            inputs["logits_to_keep"] = torch.tensor([end - start - 1], device=self._ids.device)
        if self._cache is not None:
            inputs |= {"past_key_values": self._cache, "use_cache": True}
            self._read = end
        logits = self._model(**inputs).logits[:, -1]
        if end < self._ids.shape[1]:
            return None
        return logits if self._shared is None else self._spread(logits, self._shared)

    def _spread(self, logits: Any, counts: Sequence[int]) -> Any:
        """A prompt was read once for its rows: from here on each goes its own way."""
        index = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).to(logits.device)
        self._ids, self._mask = self._ids[index], self._mask[index]
        if self._cache is not None:
            self._cache.reorder_cache(index)
        self._shared = None
        return logits[index]

    def append(self, tokens: Any) -> None:
        self._ids = torch.cat([self._ids, tokens[:, None]], dim=1)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self.rows), 1)], dim=1)


def _choose(logits: Any, rows: Sequence[DecodingRow]) -> Any:
    """The most likely token of each row, or one drawn by the row's own numbers."""
    tokens = logits.argmax(dim=-1)
    drawn = [index for index, row in enumerate(rows) if row.temperature and row.finish_reason is None]
    if drawn:
        temperatures = torch.tensor([[rows[index].temperature] for index in drawn], device=logits.device)
        shares = (logits[drawn].float() / temperatures).softmax(dim=-1).cumsum(dim=-1)
        draws = torch.tensor([[rows[index].draw()] for index in drawn], device=logits.device)
        found = torch.searchsorted(shares, draws * shares[:, -1:], right=True)
        tokens[drawn] = found[:, 0].clamp(max=logits.shape[-1] - 1)
    return tokens
