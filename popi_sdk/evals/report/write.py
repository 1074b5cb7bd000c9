"""Write what a run ends in: results for programs, a page and a text for people."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..answering import read_extras
from ..files import write_atomically
from ..journal import read_rows
from ..manifest import SUMMARIES
from ..results import Results, read_results
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
    results = read_results(folder)
    results = replace(results, extras=_asked_for(results.manifest["config"], read_extras(folder)))
    if not examples:
        results = _without_paths(results)
    text = page(results, read_rows(folder / SUMMARIES) if examples else ())
    write_atomically(folder / RESULTS, json.dumps(to_json(results), indent=1, ensure_ascii=False) + "\n")
    write_atomically(folder / MARKDOWN, markdown(results))
    write_atomically(folder / PAGE, text)
    return results


def _asked_for(config: Mapping[str, Any], extras: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {"over_personalisation": config["over_personalisation"], "win_rate": config["judge"]}
    return {name: extra for name, extra in extras.items() if wanted.get(name)}


def _without_paths(results: Results) -> Results:
    """For others: names of files and folders instead of where they lie on this machine."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {bare(name): bare(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [bare(inner) for inner in value]
        if not isinstance(value, str) or os.sep not in value or " " in value:
            return value
        label, equals, path = value.rpartition("=")
        return label + equals + Path(path).name if Path(path).is_absolute() or Path(path).exists() else value

    rows = [replace(row, reader=bare(row.reader)) for row in results.rows]
    return replace(results, manifest=bare(results.manifest), rows=rows)


def to_json(results: Results) -> dict[str, Any]:
    """Results as plain values."""
    return {
        "format": 1,
        **asdict(results),
        "findings": [asdict(finding) for finding in findings(results)],
        "remarks": remarks(results),
    }
