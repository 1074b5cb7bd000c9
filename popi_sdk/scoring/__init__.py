"""log pi(y|x) of given responses, margins and losses. Needs `pip install 'popi-sdk[hf]'`."""

from ..models import _torch  # noqa: F401 - first: torch's threads are then set up to share busy cores
from .margins import TIE, PairScore, credit, dpo_loss, ipo_loss, margin
from .naive import score_naive
from .query import Query, microbatches
from .score import score_queries, score_queries_with_grad, score_tokens
from .scorer import ResponseScore, Scorer, ScoringModel, ScoringRequest

__all__ = [
    "TIE",
    "PairScore",
    "Query",
    "ResponseScore",
    "Scorer",
    "ScoringModel",
    "ScoringRequest",
    "credit",
    "dpo_loss",
    "ipo_loss",
    "margin",
    "microbatches",
    "score_naive",
    "score_queries",
    "score_queries_with_grad",
    "score_tokens",
]
