"""Is it personal? Measure summaries against another user's summaries, on a toy language with a toy model.

python examples/measure.py

With a real model: popi eval styleworld --limit 50 --output runs/first. Both need: pip install 'popi-sdk[eval,cli]'
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from popi_sdk.data.tinyworld import save_tiny_model
from popi_sdk.evals import as_config, evaluate, write_report


def main() -> None:
    with TemporaryDirectory() as folder:
        toy = str(save_tiny_model(Path(folder) / "toy"))
        config = as_config(data="tinyworld", model=toy, limit=24, methods=("raw", "heuristic", "gold"))
        results = write_report(evaluate(config, Path(folder) / "run"))
        for row in results.rows:
            personal = row.personal.points() if row.personal else ""
            print(f"{row.row:20} {row.accuracy.percent():22} {row.context_tokens.mean:6.0f} tokens  {personal}")


if __name__ == "__main__":
    main()
