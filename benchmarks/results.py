"""Bring finished runs of `popi eval` into docs/results: `python -m benchmarks.results .popi/runs`.

Each run becomes a folder with its page, its text and its figures, and a block of the table in docs/results/index.md.
Texts of users are shown only where the data may be shown.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from popi_sdk.evals import Results, write_report
from popi_sdk.evals.report.plots import by_row

from .report import ROOT

_RESULTS = ROOT / "docs" / "results"
_SHOWN = ("styleworld", "model_written_personas")
_FILES = ("report.html", "report.md", "results.json")
_BLOCK = re.compile(r"(<!-- table -->\n).*?(<!-- end -->)", re.DOTALL)


def main(runs: Path) -> None:
    blocks = []
    for run in sorted(path.parent for path in runs.glob("*/run.json")):
        results = write_report(run, examples=run.name in _SHOWN)
        folder = _RESULTS / run.name
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            shutil.copy(run / name, folder / name)
        (folder / "rows.svg").write_text(_picture(results), encoding="utf-8")
        blocks.append(_block(run.name, results))
    index = _RESULTS / "index.md"
    text, found = _BLOCK.subn(lambda match: match[1] + "\n".join(blocks) + "\n" + match[2], index.read_text())
    if not found:
        sys.exit(f"{index} has no place for the table: <!-- table --> ... <!-- end -->")
    index.write_text(text)


def _picture(results: Results) -> str:
    first = results.rows[0].reader
    picture = by_row([row for row in results.rows if row.reader == first], results)
    return picture.replace("<svg ", '<svg style="background: white" ', 1)


def _block(name: str, results: Results) -> str:
    data = results.manifest["data"]
    population = f"; what most people prefer: {results.population.percent()} %" if results.population else ""
    lines = [
        f"\n### {name}\n",
        f"{data['users']} users, {data['pairs']:,} pairs{population}. [The page of this run]({name}/report.html), "
        f"commit `{str(results.manifest['commit'])[:10]}`.\n",
        f"![Accuracy of every row on {name}]({name}/rows.svg)\n",
        "| row | accuracy % | own minus shuffled, points | contested % | context tokens |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in results.rows:
        personal = row.personal.points() if row.personal else ""
        contested = row.contested.percent() if row.contested else ""
        tokens = f"{row.context_tokens.mean:.0f}"
        lines.append(f"| `{row.row}` | {row.accuracy.percent()} | {personal} | {contested} | {tokens} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
