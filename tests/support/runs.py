"""Runs written by hand: known items, so that every figure can be checked by arithmetic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from popi_sdk.evals import as_config
from popi_sdk.evals.journal import Journal
from popi_sdk.evals.manifest import ITEMS, MANIFEST, SUMMARIES

__all__ = ["item", "write_run"]

READER = "reader"


def item(row: str, user: str, pair: int, delta: float, **fields: Any) -> dict[str, Any]:
    """One line of `items.jsonl` whose policy margin is delta more than a reference margin of -1."""
    margin = delta - 1.0
    credit = 0.5 if abs(delta) < 1e-3 else float(delta > 0)
    return {
        "reader": READER,
        "row": row,
        "user_id": user,
        "pair": pair,
        "kind": None,
        "population_agrees": None,
        "chosen": -10.0 + margin,
        "rejected": -10.0,
        "chosen_tokens": 10,
        "rejected_tokens": 5,
        "delta": delta,
        "credit": credit,
        "margin": margin,
        "margin_per_token": (-10.0 + margin) / 10 - -10.0 / 5,
        "context_tokens": 0 if row == "none" else 20,
        **fields,
    }


def write_run(
    folder: Path,
    items: Sequence[Mapping[str, Any]],
    *,
    summaries: Sequence[Mapping[str, Any]] = (),
    digest: str = "d" * 64,
    readers: Sequence[str] = (),
    trained: Sequence[str] = (),
    **data: Any,
) -> Path:
    """A folder as `evaluate` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(dict.fromkeys(one["row"] for one in items))
    reference = [one for one in items if one["row"] == "none" and one["reader"] == READER]
    manifest = {
        "format": 1,
        "config": as_config(data="users.jsonl", readers=tuple(readers)).model_dump(mode="json"),
        "data": {
            "name": "users.jsonl",
            "split": "dev",
            "note": None,
            "digest": digest,
            "users": len({one["user_id"] for one in items}),
            "pairs": len(reference),
            "donors_outside": 0,
            **data,
        },
        "model": {"name": READER, "dtype": "float32", "device": "cpu"},
        "rows": {row: f"what {row} is" for row in rows},
        "trained": list(trained),
        "versions": {"python": "3.11", "torch": None},
        "commit": None,
        "machine": "test",
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
    Journal(folder / ITEMS).append("all", [dict(one) for one in items])
    Journal(folder / SUMMARIES).append("all", [dict(row) for row in summaries])
    return folder
