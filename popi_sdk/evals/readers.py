"""A model that reads contexts: it scores the pairs of a row."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..errors import ScoringError
from ..models.trained import is_adapter, load_part
from ..prompts import Selection, render_plain, render_with_signals, render_with_summary, select
from ..scoring import ResponseScore, Scorer, ScoringRequest, credit, margin
from .methods import NONE, Method
from .writers import ModelCounter

if TYPE_CHECKING:
    from ..data.record import HeldOutPair, UserRecord
    from ..messages import Message
    from ..models.causal_lm import CausalLM
    from ..models.trained import TrainedModel

__all__ = ["Reader", "Reading"]

_LONGEST_TOKEN = 128  # characters: what has more for every token is not worth tokenizing


class Reading:
    """What a row puts into one user's prompts.

    Attributes:
        summary: The summary that is read, the user's own or another's; None where there is none.
        selection: The signals that are read, in the rows with raw signals.
    """

    def __init__(self, summary: str | None = None, selection: Selection | None = None) -> None:
        self.summary = summary
        self.selection = selection

    def messages(self, prompt: str) -> list[Message]:
        """The request for a prompt."""
        if self.selection is not None:
            return render_with_signals(prompt, self.selection)
        return render_plain(prompt) if self.summary is None else render_with_summary(prompt, self.summary)


class Reader:
    """Scores held-out pairs in a context, by one code path for policy and reference (METHOD.md, section 4).

    Args:
        model: The base model: reference, and policy of the untrained rows.
        raw_budget: Most tokens of signals in a prompt; who was trained on signals is shown as many as in training.
    """

    def __init__(self, model: CausalLM, raw_budget: int) -> None:
        self.model = model
        self.name = model.name
        self.raw_budget = raw_budget
        self._counter = ModelCounter(model)
        self._scorer = Scorer(model)
        self._others: dict[str, Scorer] = {}
        self._attached: dict[str, str] = {}  # a row's name, and what its adapter is called in the model
        self._plain_tokens = lru_cache(maxsize=4_096)(lambda prompt: len(model.encode_prompt(render_plain(prompt))))

    def reading(self, method: Method, record: UserRecord, summary: str | None) -> Reading:
        """What a row shows of a user; `summary` is the donor's in a shuffled row, None where writing it failed."""
        if method.context == "signals":
            budget = self.raw_budget if method.trained is None else method.trained.input_budget
            return Reading(selection=select(record.signals, budget, self._counter))
        return Reading(summary=summary if method.context == "summary" else None)

    def score(
        self,
        method: Method,
        users: Sequence[tuple[UserRecord, Reading]],
        reference: dict[tuple[str, int], tuple[float, float]],
    ) -> list[dict[str, Any]]:
        """One row an item for the journal.

        Args:
            method: The row.
            users: The users with what is shown of them.
            reference: log pi_ref of chosen and rejected by user and pair; filled here by the row `none`.

        Raises:
            ScoringError: If a prompt with a response does not fit the model.
        """
        asked = [(record, reading, place, pair) for record, reading in users for place, pair in enumerate(record.pairs)]
        requests = [
            ScoringRequest(reading.messages(pair.prompt), (pair.chosen, pair.rejected)) for _, reading, _, pair in asked
        ]
        try:
            scores = self._policy_scores(method.trained, requests)
        except ScoringError as error:
            raise self._named(error, asked, requests) from error
        items = []
        for (record, reading, place, pair), request, (chosen, rejected) in zip(asked, requests, scores, strict=True):
            if method.name == NONE:
                reference[record.user_id, place] = (chosen.log_prob, rejected.log_prob)
            items.append(
                {
                    "reader": self.name,
                    "row": method.name,
                    "user_id": record.user_id,
                    "pair": place,
                    **_figures(pair, chosen, rejected, reference[record.user_id, place]),
                    "context_tokens": self._context_tokens(request, pair),
                    **_signals(reading),
                }
            )
        return items

    def _named(
        self,
        error: ScoringError,
        asked: Sequence[tuple[UserRecord, Reading, int, HeldOutPair]],
        requests: Sequence[ScoringRequest],
    ) -> ScoringError:
        """The same failure with the user and the pair, where one alone is found to cause it."""
        for (record, _, place, _), request in zip(asked, requests, strict=True):
            room = self.model.max_length - len(self.model.encode_prompt(request.messages))
            if any(
                len(response) > _LONGEST_TOKEN * room or self._too_long(response, room)
                for response in request.responses
            ):
                return ScoringError(
                    f"user {record.user_id!r}, pair {place}: a response does not fit {self.name} behind its prompt, "
                    f"which leaves {room:,} tokens. Shorten it, leave the pair out, or use a model that reads more."
                )
        return error

    def _too_long(self, response: str, room: int) -> bool:
        return len(self.model.encode_response(response)) > room

    def _policy_scores(
        self, trained: TrainedModel | None, requests: Sequence[ScoringRequest]
    ) -> list[list[ResponseScore]]:
        if trained is None or trained.generator_path is None:
            with self.model.use(None) if self._attached else nullcontext():
                return self._scorer.score(requests)
        path = trained.generator_path
        if not is_adapter(path):
            if trained.name not in self._others:
                self._others[trained.name] = Scorer(load_part(trained, path, self.model))
            return self._others[trained.name].score(requests)
        if trained.name not in self._attached:
            self._attached[trained.name] = f"row{len(self._attached)}"
            self.model.attach(path, self._attached[trained.name])
        with self.model.use(self._attached[trained.name]):
            return self._scorer.score(requests)

    def _context_tokens(self, request: ScoringRequest, pair: HeldOutPair) -> int:
        return len(self.model.encode_prompt(request.messages)) - int(self._plain_tokens(pair.prompt))


def _figures(
    pair: HeldOutPair, chosen: ResponseScore, rejected: ResponseScore, reference: tuple[float, float]
) -> dict[str, Any]:
    delta = margin(chosen.log_prob, rejected.log_prob, *reference)
    return {
        "kind": pair.kind,
        "population_agrees": pair.population_agrees,
        "chosen": chosen.log_prob,
        "rejected": rejected.log_prob,
        "chosen_tokens": chosen.tokens,
        "rejected_tokens": rejected.tokens,
        "delta": delta,
        "credit": credit(delta),
        "margin": chosen.log_prob - rejected.log_prob,
        "margin_per_token": chosen.per_token - rejected.per_token,
    }


def _signals(reading: Reading) -> dict[str, Any]:
    if reading.selection is None:
        return {}
    return {"signals_used": reading.selection.used, "signals_total": reading.selection.total}
