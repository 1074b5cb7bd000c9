"""Write what a run ends in: results for programs, a page and a text for people."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..journal import read_rows
from ..results import Results, read_results
from ..run import SUMMARIES, write_atomically
from .markdown import markdown
from .page import page
from .sentences import findings, remarks

__all__ = ["EXTRAS", "RESULTS", "to_json", "write_report"]

RESULTS, MARKDOWN, PAGE, EXTRAS = "results.json", "report.md", "report.html", "extras.json"


def write_report(folder: str | Path) -> Results:
    """Compute the results of a finished run and write `results.json`, `report.md` and `report.html` beside its items.

    Args:
        folder: What `evaluate` wrote into.

    Raises:
        UsageError: If there is no finished run, or a file cannot be written.
        MissingExtraError: If matplotlib is not installed.
    """
    folder = Path(folder)
    results = replace(read_results(folder), extras=_extras(folder))
    text = page(results, read_rows(folder / SUMMARIES))
    write_atomically(folder / RESULTS, json.dumps(to_json(results), indent=1, ensure_ascii=False) + "\n")
    write_atomically(folder / MARKDOWN, markdown(results))
    write_atomically(folder / PAGE, text)
    return results


def to_json(results: Results) -> dict[str, Any]:
    """Results as plain values."""
    return {
        "format": 1,
        **asdict(results),
        "findings": [asdict(finding) for finding in findings(results)],
        "remarks": remarks(results),
    }


def _extras(folder: Path) -> dict[str, Any]:
    path = folder / EXTRAS
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found
