"""Evaluation time against users, and memory against the size of the data file, each run in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from .report import ROOT, table

_SIZES = (256, 512, 1_024)
_PICTURE = ROOT / "docs" / "assets" / "eval-time.svg"

_RUN = """
import json, resource, sys, time
from popi_sdk.evals import as_config, evaluate
data, model, folder = sys.argv[1:]
config = as_config(data=data, split="train", model=model, methods=("heuristic",))
warm = as_config(data=data, split="train", model=model, methods=("heuristic",), limit=16)
evaluate(warm, folder + "-warm")
start = time.perf_counter()
evaluate(config, folder)
seconds = time.perf_counter() - start
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def main() -> None:
    from popi_sdk.data import open_data, write_users
    from popi_sdk.data.tinyworld import save_tiny_model

    with tempfile.TemporaryDirectory() as folder:
        model = save_tiny_model(Path(folder) / "model")
        measured: dict[int, tuple[float, float, float]] = {}
        for size in _SIZES:
            path = Path(folder) / f"{size}.jsonl"
            write_users(path, open_data("tinyworld", split="train", limit=size))
            runs = [_measure(path, model, Path(folder) / f"run-{size}-{number}") for number in range(3)]
            seconds = sorted(run[0] for run in runs)[1]
            measured[size] = (seconds, max(run[1] for run in runs), path.stat().st_size / 2**20)
    first = measured[_SIZES[0]]
    table(
        "Evaluation against users (TinyWorld, a toy model, rows none, heuristic and its control)",
        ("users", "data file", "time for one user, to the smallest size", "peak memory"),
        [
            (size, f"{megabytes:.1f} MB", f"{seconds / size / (first[0] / _SIZES[0]):.2f}", f"{memory:.0f} MB")
            for size, (seconds, memory, megabytes) in measured.items()
        ],
    )
    _draw({size: seconds / first[0] for size, (seconds, _, _) in measured.items()})


def _measure(data: Path, model: Path, folder: Path) -> tuple[float, float]:
    command = [sys.executable, "-c", _RUN, str(data), str(model), str(folder)]
    seconds, megabytes = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return seconds, megabytes


def _draw(times: dict[int, float]) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    sizes = [0, *times]
    axes.plot(sizes, [size / min(times) for size in sizes], color="#6b7280", linestyle=":", label="linear")
    axes.plot(list(times), list(times.values()), "o-", color="#0072B2", label="measured")
    axes.set_xlabel("users")
    axes.set_ylabel("time, smallest size = 1")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "eval-time"}):
        figure.savefig(_PICTURE, format="svg", metadata={"Date": None})
    print(f"\nDrawn: {_PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
