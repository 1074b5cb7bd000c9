"""Write what a run ends in: results for programs, a page and a text for people."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..answering import read_extras
from ..files import write_atomically
from ..journal import read_rows
from ..results import Results, read_results
from ..run import SUMMARIES
from .markdown import markdown
from .page import page
from .sentences import findings, remarks

__all__ = ["RESULTS", "to_json", "write_report"]

RESULTS, MARKDOWN, PAGE = "results.json", "report.md", "report.html"


def write_report(folder: str | Path, *, examples: bool = True) -> Results:
    """Compute the results of a finished run and write `results.json`, `report.md` and `report.html` beside its items.

    Args:
        folder: What `evaluate` wrote into.
        examples: Whether the page shows some users' summaries; they are personal, and may quote the data.

    Raises:
        UsageError: If there is no finished run, or a file cannot be written.
        MissingExtraError: If matplotlib is not installed.
    """
    folder = Path(folder)
    results = replace(read_results(folder), extras=read_extras(folder))
    text = page(results, read_rows(folder / SUMMARIES) if examples else ())
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
