"""What is scored: token ids of a prefix and of the continuations that may follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ScoringError

__all__ = ["Query", "bucketed", "check_continuation", "check_prefix", "check_queries", "microbatches"]


@dataclass(frozen=True, slots=True)
class Query:
    """One prefix and the continuations whose log-probabilities are asked for.

    Attributes:
        prefix: Token ids that come before every continuation: the rendered prompt.
        continuations: Token ids of each response, the end token included: log pi(y|x) counts it.
    """

    prefix: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]

    @property
    def tokens(self) -> int:
        """Positions of the model that this query takes with its prefix computed once."""
        return len(self.prefix) - 1 + sum(map(len, self.continuations))


def microbatches(queries: Sequence[Query], token_budget: int) -> list[list[int]]:
    """Group queries of similar length, so that little of a batch is padding.

    Args:
        queries: What is to be scored.
        token_budget: Most positions of a batch, its padding included. A query that is longer stands alone.

    Returns:
        Indices of the queries, batch by batch; the longest come first, so that too little memory shows at once.
    """
    return bucketed([query.tokens for query in queries], token_budget)


def bucketed(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Indices of rows, in batches of similar length whose padded size keeps the budget; the longest first."""
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if room == 0:
            batches.append([])
            room = max(1, token_budget // max(1, lengths[index]))
        batches[-1].append(index)
        room -= 1
    return batches


def check_queries(queries: Sequence[Query], max_length: int | None, vocabulary: int | None) -> None:
    """Refuse what cannot be scored before anything is computed.

    Args:
        queries: What is to be scored.
        max_length: Most tokens of prefix and continuation; None if the model sets no bound.
        vocabulary: How many token ids there are; None if unknown.

    Raises:
        ScoringError: Naming the query and the continuation.
    """
    for place, query in enumerate(queries):
        check_prefix(query.prefix, f"The prefix of query {place}")
        _check_ids(query.prefix, vocabulary, f"The prefix of query {place}")
        for number, continuation in enumerate(query.continuations):
            where = f"Continuation {number} of query {place}"
            check_continuation(query.prefix, continuation, max_length, where)
            _check_ids(continuation, vocabulary, where)


def check_prefix(prefix: Sequence[int], where: str) -> None:
    """Refuse a prefix without tokens: the first token of a continuation would have nothing to follow.

    Raises:
        ScoringError: Naming `where`.
    """
    if not prefix:
        raise ScoringError(f"{where} is empty. Start it with the prompt, or with a start token.")


def check_continuation(prefix: Sequence[int], continuation: Sequence[int], max_length: int | None, where: str) -> None:
    """Refuse a continuation that is empty or does not fit behind its prefix.

    Raises:
        ScoringError: Naming `where`.
    """
    if not continuation:
        raise ScoringError(f"{where} is empty. A response holds at least its end token.")
    tokens = len(prefix) + len(continuation)
    if max_length is not None and tokens > max_length:
        raise ScoringError(
            f"{where} does not fit: {len(prefix)} tokens of prompt and {len(continuation)} of response make {tokens}, "
            f"and the model reads {max_length}. Shorten one of them."
        )


def _check_ids(ids: Sequence[int], vocabulary: int | None, where: str) -> None:
    if min(ids) < 0 or (vocabulary is not None and max(ids) >= vocabulary):
        wrong = next(token for token in ids if token < 0 or (vocabulary is not None and token >= vocabulary))
        raise ScoringError(f"{where} has the token id {wrong}, which the model does not know ({vocabulary} ids).")
