"""Scripts in a process of their own, for what only happens at the start or the end of one."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any


def run(script: str, *arguments: str, timeout: float = 60, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a script, with warnings as errors; what it writes comes back as text."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)
