"""Bring finished runs of `popi eval` into docs/results: `python -m benchmarks.results RUN...`.

Each run becomes a folder with its page, its text and its figures, and a block of the table in docs/results/rows.md,
in place of the one that it had; other blocks stay. Its folder is called as its data, or as its data and what it is
about: `styleworld-trained`. Texts of users are shown only where nobody real wrote them. The summaries of ten users by
trained models are shown there too, and where the licence of real people's data allows it, so not of jester: without
ids, and of those models alone that do not quote.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from popi_sdk.evals import Results, write_report
from popi_sdk.evals.journal import read_rows
from popi_sdk.evals.manifest import SUMMARIES
from popi_sdk.evals.report.markdown import quoted
from popi_sdk.evals.report.plots import by_row
from popi_sdk.evals.results import RowResult

from .report import ROOT

_RESULTS = ROOT / "docs" / "results"
_SHOWN = ("styleworld", "model_written_personas")
_ATTRIBUTION = {
    "polis": "Data was gathered using the Polis software (compdemocracy.org/polis) and is sub-licensed under CC BY 4.0 "
    "with Attribution to The Computational Democracy Project.",
    "ukp_convarg": "Data: UKPConvArg1, Habernal and Gurevych, ACL 2016, CC BY 4.0.",
}
"""Real people's data of which summaries may be passed on, and who is to be named."""

_LONGEST_QUOTE = 8  # words
_PRINTED = 10  # users whose summaries are shown
_FILES = ("report.html", "report.md", "results.json")
_BLOCK = re.compile(r"(<!-- table -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def main(runs: Iterable[Path]) -> None:
    page = _RESULTS / "rows.md"
    if not (found := _BLOCK.search(page.read_text())):
        sys.exit(f"{page} has no place for the table: <!-- table --> ... <!-- end -->")
    blocks = {text.split()[0]: f"\n## {text.rstrip()}" for text in found[2].split("\n## ")[1:]}
    for run in runs:
        data = run.name.partition("-")[0]
        shown = data in _SHOWN
        results = write_report(run, examples=shown)
        folder = _RESULTS / run.name
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            text = (run / name).read_text(encoding="utf-8")
            (folder / name).write_text(_without_folders(text, results), encoding="utf-8")
        (folder / "rows.svg").write_text(_picture(results), encoding="utf-8")
        texts = _summaries(run, results, data) if shown or data in _ATTRIBUTION else {}
        if texts:
            (folder / "summaries.md").write_text(_page(run.name, texts, _ATTRIBUTION.get(data)), encoding="utf-8")
        blocks[run.name] = _block(run.name, results, printed=len(texts))
    table = "\n".join(blocks[name] for name in sorted(blocks))
    page.write_text(_BLOCK.sub(lambda match: f"{match[1]}{table}\n{match[3]}", page.read_text()))


def _without_folders(text: str, results: Results) -> str:
    """Data, readers and models without the folders that they are in on this machine."""
    for path in map(Path, (results.manifest["data"]["name"], *results.manifest["config"]["readers"])):
        if path.is_absolute() or (path.exists() and path.name != str(path)):  # and no id of the hub
            text = text.replace(f"{path.parent}/", "")
    return text.replace(f"{ROOT}/", "")


def _picture(results: Results) -> str:
    first = results.rows[0].reader
    picture = by_row([row for row in results.rows if row.reader == first], results)
    return picture.replace("<svg ", '<svg style="background: white" ', 1)


def _summaries(run: Path, results: Results, data: str) -> dict[str, dict[str, str]]:
    """What trained models wrote of the first users, beside the gold description, by user and writer.

    Nothing where none is trained; of real people, nothing by a model that quotes them.
    """
    facts = {row.row: row.summaries for row in results.rows if row.trained and row.summaries}
    writers = {row for row, said in facts.items() if data in _SHOWN or (said.longest_quote or 0) <= _LONGEST_QUOTE}
    by_user: dict[str, dict[str, str]] = {}
    for line in read_rows(run / SUMMARIES):
        if writers and line.get("writer") in writers | {"gold"} and "text" in line:
            by_user.setdefault(line["user_id"], {})[line["writer"]] = " ".join(line["text"].split())
    names = by_user if data in _SHOWN else [f"user {number}" for number in range(1, len(by_user) + 1)]
    return dict(list(zip(names, by_user.values(), strict=True))[:_PRINTED])


def _page(name: str, texts: Mapping[str, Mapping[str, str]], attribution: str | None) -> str:
    parts = [f"# What trained models wrote on {name}", "Of the first users of the run, whoever they are."]
    for user, by_writer in texts.items():
        said = [f"- `{writer}`: {text or '(nothing)'}" for writer, text in sorted(by_writer.items())]
        parts.append("\n".join([f"**{user}**", "", *said]))
    return "\n\n".join([*parts, *([attribution] if attribution else [])]) + "\n"


def _block(name: str, results: Results, *, printed: int) -> str:
    data = results.manifest["data"]
    world = Path(data["name"]).name.partition(".")[0]
    of = f" of `{world}`" if world != name.partition("-")[0] else ""  # where the page is not called so
    population = f"; what most people prefer: {results.population.percent()} %" if results.population else ""
    lines = [
        f"\n## {name}\n",
        f"{data['users']} users{of}, {data['pairs']:,} pairs{population}. [The page of this run]({name}/report.html), "
        f"commit `{str(results.manifest['commit'])[:10]}`."
        + (f" [Summaries of {printed} users]({name}/summaries.md)." if printed else "")
        + "\n",
        f"![Accuracy of every row on {name}]({name}/rows.svg)\n",
    ]
    readers = dict.fromkeys(row.reader for row in results.rows)
    for reader in readers:
        rows = [row for row in results.rows if row.reader == reader]
        lines += _table(rows, Path(reader).name if len(readers) > 1 else "")
    return "\n".join(lines)


def _table(rows: list[RowResult], reader: str) -> list[str]:
    lines = [
        *([f"\nRead by {reader}:\n"] if reader else []),
        "| row | accuracy % | own minus shuffled, points | contested % | context tokens | quoted % (longest, words) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        personal = row.personal.points() if row.personal else ""
        contested = row.contested.percent() if row.contested else ""
        tokens = f"{row.context_tokens.mean:.0f}"
        cells = (f"`{row.row}`", row.accuracy.percent(), personal, contested, tokens, quoted(row))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main(map(Path, sys.argv[1:]))
