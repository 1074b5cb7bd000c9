"""How long `import popi_sdk` takes in a fresh process, and what it loads: `python -m benchmarks.import_time`.

The target is 0.25 s warm. Each module is imported in a process of its own, in turn, after one round that is not counted
(it warms the file cache); the interpreter's own start is not part of it. The rivals are what a user would import
instead.
"""

from __future__ import annotations

import statistics

from .report import python, spread, table, verdict

ROUNDS = 11
RIVALS = ("popi_sdk", "pydantic", "httpx", "openai", "anthropic")
HEAVY = ("torch", "transformers", "trl", "openai", "anthropic", "sqlalchemy", "fastapi", "httpx", "xllamacpp", "rich")

_TIME = "import time; t = time.perf_counter(); import {0}; print(time.perf_counter() - t)"
_LOADED = "import sys, popi_sdk; print([name for name in {0!r} if name in sys.modules])"


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in RIVALS}
    for _ in range(ROUNDS + 1):
        for name in RIVALS:
            seconds[name].append(float(python("-c", _TIME.format(name))))
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    table(
        "Import",
        ("module", f"seconds, median of {ROUNDS} (range)", "popi_sdk / this"),
        [(f"`{name}`", spread(seconds[name][1:]), f"{medians['popi_sdk'] / medians[name]:.2f}") for name in RIVALS],
    )
    print(f"\nTarget {verdict(medians['popi_sdk'], at_most=0.25)} s.")
    print(f"Heavy modules that it loads: {python('-c', _LOADED.format(HEAVY)).strip()}")


if __name__ == "__main__":
    main()
