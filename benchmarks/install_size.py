"""What `pip install popi-sdk` brings, in a fresh environment: `python -m benchmarks.install_size`.

Targets: at most 16 packages and 45 MB for the base. Sizes are of the files as installed, byte code included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from .report import ROOT, table, verdict

EXTRAS = ("", "local", "openai", "anthropic", "hf", "eval", "cli", "all")


def measure(extra: str) -> tuple[int, float]:
    """Packages and megabytes (10^6 bytes) of one installation."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=False)
        python = next(path for path in Path(folder).glob("*/python*") if path.stem == "python")
        site = next(path for path in Path(folder).rglob("site-packages"))
        pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
        target = f"{ROOT}[{extra}]" if extra else str(ROOT)
        subprocess.run(
            [*pip, "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), target],
            check=True,
            stderr=subprocess.PIPE,
        )
        listed = subprocess.run([*pip, "list", "--format", "json"], check=True, capture_output=True, text=True)
        size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
        return len(json.loads(listed.stdout)), size / 1e6


def main() -> None:
    figures = {extra: measure(extra) for extra in EXTRAS}
    table(
        "Install",
        ("what", "packages", "MB"),
        [
            (f"`popi-sdk{f'[{extra}]' if extra else ''}`", packages, f"{size:.1f}")
            for extra, (packages, size) in figures.items()
        ],
    )
    packages, size = figures[""]
    print(f"\nTargets for the base: packages {verdict(packages, at_most=16)}; MB {verdict(size, at_most=45)}.")


if __name__ == "__main__":
    main()
