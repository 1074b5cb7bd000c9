"""Accuracy on StyleWorld's dev users against tokens processed, of runs of `benchmarks.shipped`; drawn.

    python -m benchmarks.against_tokens NAME=DIR...

DIR is where a stage wrote its trained directory; its looks at dev users are read from run/history.jsonl. Tokens are
counted as `benchmarks.tinyworld` does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .report import ROOT, table
from .tinyworld import draw

PICTURE = ROOT / "docs" / "assets" / "styleworld-tokens.svg"


def main(runs: dict[str, Path]) -> None:
    found = {name: looks(folder) for name, folder in runs.items()}
    rows = [
        (
            name,
            step,
            f"{entry['tokens'] / 1e6:.1f}",
            *(f"{100 * entry[f'dev/{what}']:.1f}" for what in ("own", "shuffled", "frozen", "frozen_shuffled")),
            f"{100 * entry['dev/distinct']:.0f}",
        )
        for name, entries in found.items()
        for step, entry in entries
    ]
    head = (
        "run",
        "step",
        "tokens, millions",
        "own, %",
        "another's, %",
        "frozen: own, %",
        "another's, %",
        "distinct, %",
    )
    table("Accuracy on StyleWorld against tokens processed", head, rows)
    lines = {
        name: [[(entry["tokens"], entry["dev/own"], entry["dev/shuffled"]) for _, entry in entries]]
        for name, entries in found.items()
    }
    draw(lines, PICTURE, "Accuracy on StyleWorld against tokens processed")


def looks(folder: Path) -> list[tuple[str, dict[str, float]]]:
    """The entries with a look at dev, and the name of their step."""
    try:
        lines = (folder / "run" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        sys.exit(f"{folder} has no history of a run: {error.strerror}.")
    entries = [json.loads(line) for line in lines]
    return [(f"{one['phase']}: {one['step']}", one) for one in entries if "dev/own" in one and "tokens" in one]


if __name__ == "__main__":
    if not sys.argv[1:] or not all("=" in one for one in sys.argv[1:]):
        sys.exit(__doc__)
    main({name: Path(folder) for name, _, folder in (one.partition("=") for one in sys.argv[1:])})
