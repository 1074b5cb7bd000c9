"""What all benchmarks print: one table of medians, and the machine it was measured on."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import popi_sdk

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


def python(*arguments: str) -> str:
    """Standard output of a fresh interpreter of this environment."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=ROOT).stdout
