"""log pi_ref of every pair, given the prompt alone: computed once, when first needed, and kept by its digest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..scoring import Query, score_queries
from ..summary import digest
from .examples import Pair
from .processes import Processes

__all__ = ["References"]

_CHUNK = 64  # pairs between two writes: what a killed run loses


class References:
    """The reference never sees a summary, so its figures are constants of the pair (arXiv 2510.17881).

    Args:
        identity: What decides the figures beside the pair: the base model's weights and type.
        folder: Where to keep them; None for memory alone.
        processes: Who computes them: each its own part, and all know all.
    """

    def __init__(self, identity: str, folder: Path | None = None, processes: Processes | None = None) -> None:
        self._processes = processes or Processes()
        self._known: dict[str, tuple[float, float]] = {}
        self._path = None if folder is None else folder / f"references-{digest(identity)[:16]}.jsonl"
        if self._path is not None and self._path.is_file():
            for line in self._path.read_text("utf-8", "replace").splitlines():
                try:
                    key, chosen, rejected = json.loads(line)
                    self._known[str(key)] = (float(chosen), float(rejected))
                except (ValueError, TypeError):
                    continue  # cut off by a kill: computed again

    def __getitem__(self, pair: Pair) -> tuple[float, float]:
        """Log pi_ref of chosen and rejected, nats; KeyError if it was not computed."""
        return self._known[_key(pair)]

    def missing(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Those whose figures are not known, each once."""
        return list({key: pair for pair in pairs if (key := _key(pair)) not in self._known}.values())

    def compute(self, model: Any, pairs: Iterable[Pair]) -> int:
        """Compute what is not known; for all processes, each with what it needs.

        Args:
            model: The base model, with nothing of the training in it.
            pairs: Pairs, known or not.

        Returns:
            How many were computed, by this process.
        """
        missing = self.missing(pairs)
        wanted = self._processes.gather([_key(pair) for pair in missing])
        before = {key for keys in wanted[: self._processes.index] for key in keys}
        own = [pair for pair in missing if _key(pair) not in before]
        for start in range(0, max(map(len, wanted)), _CHUNK):
            chunk = own[start : start + _CHUNK]
            queries = [Query(pair.plain, (pair.chosen, pair.rejected)) for pair in chunk]
            with self._processes.together():
                scores = score_queries(model, queries) if queries else []
            found = [(_key(pair), *score) for pair, score in zip(chunk, scores, strict=True)]
            self._keep([row for rows in self._processes.gather(found) for row in rows])
        return len(own)

    def _keep(self, rows: Sequence[tuple[Any, ...]]) -> None:
        lines = []
        for key, chosen, rejected in rows:
            self._known[key] = (chosen, rejected)
            lines.append(json.dumps([key, chosen, rejected]) + "\n")
        if self._path is not None and self._processes.main:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(lines))


def _key(pair: Pair) -> str:
    return digest(*(",".join(map(str, ids)) for ids in (pair.plain, pair.chosen, pair.rejected)))[:32]
