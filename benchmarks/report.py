"""What all benchmarks print: one table of medians, and the machine it was measured on."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import popi_sdk
from popi_sdk import UsageError
from popi_sdk.evals.report import RESULTS

ROOT = Path(__file__).resolve().parent.parent


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table, ready for docs/performance.md."""
    print(f"\n### {title}\n\n| {' | '.join(header)} |\n|{' --- |' * len(header)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |", flush=True)


def spread(values: Sequence[float], unit: str = "s", digits: int = 3) -> str:
    """Median and range of several runs."""
    return f"{statistics.median(values):.{digits}f} {unit} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def verdict(value: float, *, at_most: float | None = None, at_least: float | None = None) -> str:
    """Whether a target is met."""
    if at_most is not None:
        return f"<= {at_most:g}: {'met' if value <= at_most else 'NOT met'}"
    return f">= {at_least:g}: {'met' if at_least is not None and value >= at_least else 'NOT met'}"


def machine() -> str:
    """What the figures hold for."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    return (
        f"popi-sdk {popi_sdk.__version__} at {commit.stdout.strip() or 'no commit'}, "
        f"Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )


def read_report(report: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What results.json of a `popi eval` run says of the run, and the rows of its first reader.

    Args:
        report: The file, or a folder with one.

    Raises:
        UsageError: If it cannot be read.
    """
    path = report / RESULTS if report.is_dir() else report
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["format"] != 1:
            raise ValueError(f"format {said['format']}")
        rows = [row for row in said["rows"] if row["reader"] == said["rows"][0]["reader"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(f"{path} is no report of popi eval that can be read ({error!r}).") from error
    return said["manifest"], rows


def python(*arguments: str) -> str:
    """Standard output of a fresh interpreter of this environment."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=ROOT).stdout
