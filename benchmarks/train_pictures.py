"""The pictures of docs/training.md: a run on TinyWorld with a toy model, its screen and its curves, in minutes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .report import ROOT

_ASSETS = ROOT / "docs" / "assets"

# As tests/train/test_tinyworld.py, where 0.90 is reached.
_OPTIONS = {
    "adapters": "null",
    "warm_start": 100,
    "users_per_step": 16,
    "pairs_per_summary": 4,
    "budget": 4,
    "beta": 1.0,
    "reward_frozen": 0,
    "entropy_bonus": 0.02,
    "entropy_floor": 0.3,
    "kl": 0.0005,
    "inferrer_lr": 0.002,
    "generator_lr": 0.002,
    "eval_every": 10,
    "dtype": "float32",
}


def main() -> None:
    from popi_sdk.data.tinyworld import save_tiny_model

    with tempfile.TemporaryDirectory() as folder:
        model, output = save_tiny_model(Path(folder) / "model"), Path(folder) / "tinyworld"
        options = [part for name, value in _OPTIONS.items() for part in ("--set", f"{name}={value}")]
        _popi(
            *("train", "--data", "tinyworld", "--limit", "1024", "--model", str(model), "--steps", "100"),
            *("--output", str(output), "--svg", str(_ASSETS / "train-screen.svg"), *options),
        )
        _popi("train", "--plot", str(output))
        shutil.copy(output / "run" / "curves.svg", _ASSETS / "train-curves.svg")
    print(f"Drawn: train-screen.svg and train-curves.svg in {_ASSETS.relative_to(ROOT)}")


def _popi(*args: str) -> None:
    subprocess.run([sys.executable, "-m", "popi_sdk", *args], check=True)


if __name__ == "__main__":
    main()
