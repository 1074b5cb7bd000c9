"""Measure every figure: `python -m benchmarks`, or some: `python -m benchmarks import_time overhead`."""

from __future__ import annotations

import sys

from . import cold_start, eval_scaling, hf_batch, import_time, install_size, overhead, scoring, tinyworld, train_step
from .report import machine

ALL = {
    "import_time": import_time.main,
    "install_size": install_size.main,
    "cold_start": cold_start.main,
    "overhead": overhead.main,
    "hf_batch": hf_batch.main,
    "scoring": scoring.main,
    "eval_scaling": eval_scaling.main,
    "train_step": train_step.main,
    "tinyworld": tinyworld.main,
}


def main(names: list[str]) -> None:
    if unknown := [name for name in names if name not in ALL]:
        sys.exit(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(ALL)}.")
    print(machine())
    for name in names or ALL:
        ALL[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
