"""log pi(y|x) of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import ScoringError
from ..messages import Message
from .plan import budget_for
from .query import Query, check_continuation, check_prefix, microbatches
from .score import named_scores

__all__ = ["ResponseScore", "Scorer", "ScoringModel", "ScoringRequest"]

_LONGEST_TOKEN = 128
"""Characters: a text with more than this for every token that the model reads does not fit, whatever its tokens are."""
_Ids = tuple[int, ...]
_Owner = tuple[int, int]
_Merged = dict[_Ids, dict[_Ids, list[_Owner]]]


class ScoringModel(Protocol):
    """What `Scorer` needs of a model: `popi_sdk.models.causal_lm.CausalLM` has it."""

    @property
    def model(self) -> Any:
        """The `PreTrainedModel`, plain or with peft adapters."""

    @property
    def max_length(self) -> int:
        """Most tokens that it reads."""

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat up to where the answer begins."""

    def encode_response(self, text: str) -> list[int]:
        """Token ids of an answer, its end token included."""


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """Responses to one prompt.

    Attributes:
        messages: The prompt x, with or without a summary z in it.
        responses: The responses y whose log pi(y|x,z) is asked for.
    """

    messages: Sequence[Message]
    responses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResponseScore:
    """How probable a response is.

    Attributes:
        log_prob: log pi(y|x) in nats, summed over the tokens, the end token included.
        tokens: How many tokens that are.
    """

    log_prob: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Mean log-probability of a token, in nats."""
        return self.log_prob / self.tokens


class Scorer:
    """Scores given responses with a local model.

    Args:
        model: For example `load_causal_lm()`.
        token_budget: Most positions of one forward pass, padding included; None for what suits the device.
    """

    def __init__(self, model: ScoringModel, *, token_budget: int | None = None) -> None:
        self._model = model
        self._token_budget = budget_for(model.model.device, token_budget)

    def score(
        self, requests: Sequence[ScoringRequest], progress: Callable[[int, int], object] | None = None
    ) -> list[list[ResponseScore]]:
        """Score the responses of all requests; those with the same prompt share its computation.

        Args:
            requests: Prompts with their responses.
            progress: Called after each batch with how many responses are done, and how many there are.

        Returns:
            One score for each response, in the order of the requests.

        Raises:
            ScoringError: If a response does not fit the model with its prompt, or has no finite log-probability.
        """
        merged = self._merge(requests)
        queries = [Query(prefix, tuple(owners)) for prefix, owners in merged.items()]
        total = sum(len(request.responses) for request in requests)
        results: dict[_Owner, ResponseScore] = {}
        for batch in microbatches(queries, self._token_budget):
            for query, values in self._scored(merged, [queries[index] for index in batch]):
                for continuation, value in zip(query.continuations, values, strict=True):
                    score = ResponseScore(value, len(continuation))
                    results |= dict.fromkeys(merged[query.prefix][continuation], score)
            if progress is not None:
                progress(len(results), total)
        return [
            [results[place, number] for number in range(len(request.responses))]
            for place, request in enumerate(requests)
        ]

    def _scored(self, merged: _Merged, queries: Sequence[Query]) -> Iterator[tuple[Query, list[float]]]:
        def where(place: int, number: int) -> str:
            query = queries[place]
            return _where(merged[query.prefix][query.continuations[number]][0])

        scores = named_scores(self._model.model, queries, where, token_budget=self._token_budget)
        return zip(queries, scores, strict=True)

    def _merge(self, requests: Sequence[ScoringRequest]) -> _Merged:
        """By prefix and continuation, who asked for it."""
        merged: _Merged = {}
        for place, request in enumerate(requests):
            prompt = f"The prompt of request {place}"
            self._check_size(prompt, sum(len(message["content"]) for message in request.messages))
            prefix = tuple(self._model.encode_prompt(request.messages))
            check_prefix(prefix, prompt)
            for number, response in enumerate(request.responses):
                owner = (place, number)
                self._check_size(_where(owner), len(response))
                continuation = tuple(self._model.encode_response(response))
                check_continuation(prefix, continuation, self._model.max_length, _where(owner))
                merged.setdefault(prefix, {}).setdefault(continuation, []).append(owner)
        return merged

    def _check_size(self, what: str, characters: int) -> None:
        """Megabytes are refused unread: a tokenizer takes minutes for some of them."""
        if characters > self._model.max_length * _LONGEST_TOKEN:
            raise ScoringError(
                f"{what} has {characters:,} characters, and the model reads {self._model.max_length:,} tokens. "
                "Shorten it."
            )


def _where(owner: _Owner) -> str:
    return f"Response {owner[1]} of request {owner[0]}"
