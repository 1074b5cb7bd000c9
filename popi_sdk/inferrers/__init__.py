"""6. Inferrers: signals in, summary out."""

from .base import PreferenceInferrer, build_summary, evidence_digest
from .heuristic import HeuristicInferrer
from .prompted import PromptedInferrer, parse_summary
from .registry import create_inferrer, inferrer_names

__all__ = [
    "HeuristicInferrer",
    "PreferenceInferrer",
    "PromptedInferrer",
    "build_summary",
    "create_inferrer",
    "evidence_digest",
    "inferrer_names",
    "parse_summary",
]
