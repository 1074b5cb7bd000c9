"""Who writes the summaries of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, PopiError
from ..generators import GenerationOptions
from ..inferrers import HeuristicInferrer, PreferenceInferrer, PromptedInferrer
from ..models.trained import load_part
from ..prompts import render_signal
from ..summary import TokenCounter, fit_to_budget
from .methods import Method
from .quoting import longest_quote, overlap

if TYPE_CHECKING:
    from ..data.record import UserRecord
    from ..models.causal_lm import CausalLM

__all__ = ["NO_HURRY", "ModelCounter", "SummaryWriter", "writers_for"]

NO_HURRY = 7 * 86_400.0  # seconds for a batch on a slow machine: a run that takes long is no failure


class ModelCounter:
    """Counts tokens as a model does: a `TokenCounter`."""

    def __init__(self, model: CausalLM) -> None:
        self._model = model

    @property
    def tokenizer(self) -> str:
        """Name of the model's tokenizer."""
        return self._model.tokenizer_name

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without any chat template."""
        return self._model.count_tokens(text)


@dataclass(frozen=True, slots=True)
class SummaryWriter:
    """Writes the summaries of one row for many users.

    Attributes:
        name: As in `Method.writer`.
        inferrer: Who infers; None where the data's own descriptions are taken.
        budget: Most tokens.
        counter: Who counts them.
    """

    name: str
    inferrer: PreferenceInferrer | None
    budget: int
    counter: TokenCounter

    def write(self, records: Sequence[UserRecord]) -> list[dict[str, Any]]:
        """One row a user for the journal of summaries: the text, or the error that came instead."""
        if self.inferrer is None:
            rows = [self._described(record) for record in records]
        else:
            summaries = self.inferrer.infer_batch(
                [record.signals for record in records], budget=self.budget, counter=self.counter
            )
            rows = [self._row(record, summary) for record, summary in zip(records, summaries, strict=True)]
        return [row | _quoted(row, record) for row, record in zip(rows, records, strict=True)]

    def close(self) -> None:
        """Give back what the inferrer holds."""
        if isinstance(self.inferrer, PromptedInferrer):
            self.inferrer.generator.close()

    def _described(self, record: UserRecord) -> dict[str, Any]:
        if not record.gold:
            return {"writer": self.name, "user_id": record.user_id, "error": "the data has no description of this user"}
        text = fit_to_budget(record.gold, self.budget, self.counter)
        tokens = self.counter.count_tokens(text)
        return {"writer": self.name, "user_id": record.user_id, "text": text, "tokens": tokens}

    def _row(self, record: UserRecord, summary: Any) -> dict[str, Any]:
        row: dict[str, Any] = {"writer": self.name, "user_id": record.user_id}
        if isinstance(summary, PopiError):
            return row | {"error": str(summary)}
        return row | {
            "text": summary.text,
            "tokens": summary.tokens,
            "signals_used": summary.signals_used,
            "signals_total": summary.signals_total,
            "signals_shortened": summary.signals_shortened,
        }


def _quoted(row: Mapping[str, Any], record: UserRecord) -> dict[str, Any]:
    """How much of a summary stands in the signals."""
    if "text" not in row:
        return {}
    signals = "\n".join(map(render_signal, record.signals))
    return {"quoted": overlap(row["text"], signals), "longest_quote": longest_quote(row["text"], signals)}


def writers_for(methods: Sequence[Method], model: CausalLM, *, budget: int, raw_budget: int) -> Iterator[SummaryWriter]:
    """A writer for each summary that the rows need, each once, built when its turn comes: trained ones load a model.

    Args:
        methods: The rows.
        model: Who is asked in the row `prompted`, and whose tokens count.
        budget: Most tokens of a summary; a trained model has its own.
        raw_budget: Most tokens of signals that a model is shown; one that was trained reads as many as in training.
    """
    counter = ModelCounter(model)
    for name in dict.fromkeys(method.writer for method in methods if method.writer is not None):
        if name == "heuristic":
            yield SummaryWriter(name, HeuristicInferrer(), budget, counter)
        elif name == "gold":
            yield SummaryWriter(name, None, budget, counter)
        elif name == "prompted":
            yield SummaryWriter(name, _asking(model, raw_budget), budget, counter)
        else:
            yield _trained_writer(name, methods, model)


def _asking(model: CausalLM, raw_budget: int) -> PromptedInferrer:
    from ..generators.hf import HfGenerator

    return PromptedInferrer(HfGenerator.from_model(model, timeout=NO_HURRY), input_budget=raw_budget)


def _trained_writer(name: str, methods: Sequence[Method], model: CausalLM) -> SummaryWriter:
    trained = next(method.source for method in methods if method.writer == name and method.source is not None)
    path = trained.inferrer_path
    if path is None:
        raise ConfigurationError(f"{trained.directory} has no inferrer to write summaries.")
    inferrer = _asking(load_part(trained, path, model), trained.input_budget)
    inferrer.options = GenerationOptions(max_tokens=trained.budget)  # as it was trained, and as `trained:DIR` asks it
    return SummaryWriter(name, inferrer, trained.budget, ModelCounter(model))
