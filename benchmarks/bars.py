"""What a trained model has to reach, held against a run of `popi eval`, with paired intervals over users.

    python -m benchmarks.bars RUN ROW [OTHER] [--rivals REPORT...]

ROW is the model's name in the run, of which the other rows are taken if they are there: `prompted`, `heuristic`,
`population`, `raw-trained`, `sequential`, `raw`. Said of each bar is what was found, and whether it is met; where the
interval includes both, it is open, and of fewer than ten users nothing can be said. "Not below" is with 2 points to
spare. Where it is known what most people prefer, the pairs where that is the other response are judged too. OTHER is a
row that ROW is held against as well, with what each reads and who reads it. Shares of gold's gain, quoting and tokens
are judged by the figures themselves. REPORT is a results.json, or a folder with one, of the same users, each with as
many pairs: rows that RUN lacks are taken from there, but for their contested pairs. Of data with other descriptions
(`styleworld` and `styleworld-shown`) those of gold stay out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popi_sdk import UsageError
from popi_sdk.evals.journal import read_rows
from popi_sdk.evals.manifest import ITEMS
from popi_sdk.evals.metrics import Interval
from popi_sdk.evals.results import Results, Tally, read_results, tally

from .report import read_report, table

SPARE = 0.02
GAIN = 0.1  # of gold over another user's gold, below which there is a floor effect
RIVALS = ("prompted", "heuristic", "population", "raw-trained", "raw")


@dataclass(frozen=True)
class Run:
    """The rows of the first reader, and how many tokens of context each has."""

    results: Results
    rows: Mapping[str, Tally]
    tokens: Mapping[str, float]

    @classmethod
    def read(cls, folder: Path) -> Run:
        results = read_results(folder)
        first = results.rows[0].reader
        tallies = tally(read_rows(folder / ITEMS))
        tokens = {row.row: row.context_tokens.mean for row in results.rows if row.reader == first}
        return cls(results, {row: one for (reader, row), one in tallies.items() if reader == first}, tokens)

    def joined(self, report: Path) -> Run:
        """With the rows of a report that are not here.

        A report has each user's accuracy in the order of the users, and no ids.

        Raises:
            UsageError: If it is of other users, pairs or another reader, or users have different numbers of pairs.
        """
        manifest, found = read_report(report)
        mine, counts = self.results.manifest, self.rows["none"].pairs
        if len(set(counts.values())) != 1:
            raise UsageError(
                f"Users have different numbers of pairs here: what {report} says of each cannot be paired."
            )
        if _drawn(manifest) != _drawn(mine):
            raise UsageError(f"{report} is of other users, pairs, or another reader: {_drawn(manifest)}.")
        described = manifest["data"]["digest"] == mine["data"]["digest"]
        rows, tokens = dict(self.rows), dict(self.tokens)
        for row in found:
            name = row["row"]
            if name not in self.rows and (described or "gold" not in name.split(":")):
                pairs = next(iter(counts.values()))
                credit = {user: share * pairs for user, share in zip(counts, row["per_user"], strict=True)}
                rows[name] = Tally(credit=credit, pairs=counts)
                tokens[name] = row["context_tokens"]["mean"]
        return Run(self.results, rows, tokens)

    def minus(self, one: str, other: str) -> Interval:
        """Accuracy of a row minus that of another, on the same pairs."""
        return self.rows[one].minus(self.rows[other], "credit", self.results.manifest["config"]["seed"])

    def contested(self, one: str, other: str) -> Interval | None:
        """The same on the pairs where most people prefer the other response; None if there are none."""
        parts = [self.rows[row].parts.get("contested") for row in (one, other)]
        if parts[0] is None or parts[1] is None:
            return None
        return parts[0].minus(parts[1], "credit", self.results.manifest["config"]["seed"])


def above(found: Interval, least: float = 0.0) -> str:
    """Whether an interval lies above a value."""
    if found.few:
        return "too few users"
    return "met" if found.low > least else "NOT met" if found.high <= least else "open"


def bars(run: Run, row: str) -> Iterator[tuple[str, str, str]]:
    """Each bar, what was found, and whether it is met."""
    for rival in RIVALS:
        if rival in run.rows and rival != row:
            yield f"above `{rival}`", (found := run.minus(row, rival)).points(), above(found)
            if contested := run.contested(row, rival):
                yield f"above `{rival}`, contested pairs", contested.points(), above(contested)
    if "sequential" in run.rows and row != "sequential":
        yield "not below `sequential`", (found := run.minus(row, "sequential")).points(), above(found, -SPARE)
    if {"population", f"{row}:shuffled"} <= run.rows.keys():
        found = run.minus("population", f"{row}:shuffled")
        yield "`shuffled` not above `population`", (found).points(), above(found, -SPARE)
    if f"{row}:shuffled" in run.rows:
        yield "own above another's", (found := run.minus(row, f"{row}:shuffled")).points(), above(found)
    if f"{row}:gold" in run.rows:
        yield from _recovered(run, row)
    if {f"{row}:frozen:shuffled", "gold:shuffled"} <= run.rows.keys():
        yield from _transfer(run, row)
    yield from _form(run, row)


def _recovered(run: Run, row: str) -> Iterator[tuple[str, str, str]]:
    own, gold = run.minus(row, "none"), run.minus(f"{row}:gold", "none")
    said = f"{own.points()} of {gold.points()}"
    if gold.mean <= 0:
        yield "0.8 of what gold descriptions gain", said, "gold gains nothing"
    else:
        yield "0.8 of what gold descriptions gain", said, "met" if own.mean >= 0.8 * gold.mean else "NOT met"


def _transfer(run: Run, row: str) -> Iterator[tuple[str, str, str]]:
    own, gold = run.minus(f"{row}:frozen", f"{row}:frozen:shuffled"), run.minus("gold", "gold:shuffled")
    yield "frozen reader: own above another's", own.points(), above(own)
    if gold.mean < GAIN:
        yield (
            "frozen reader: 0.9 of gold's gain over another's",
            f"gold {gold.points()}",
            "floor effect: gold gains < 10",
        )
    else:
        met = "met" if own.mean >= 0.9 * gold.mean else "NOT met"
        yield "frozen reader: 0.9 of gold's gain over another's", f"{own.points()} of {gold.points()}", met


def _form(run: Run, row: str) -> Iterator[tuple[str, str, str]]:
    facts = run.results.row(row).summaries
    if facts is not None and facts.quoted is not None and facts.longest_quote is not None:
        met = facts.quoted <= 0.15 and facts.longest_quote <= 8
        found = f"{100 * facts.quoted:.0f} %, {facts.longest_quote} words"
        yield "quotes at most 15 %, 8 words in a row", found, "met" if met else "NOT met"
    signals = next((one for one in ("raw", "raw-trained") if one in run.rows), None)
    if signals:
        mine, raw = run.tokens[row], run.tokens[signals]
        yield "a tenth of the raw signals' tokens", f"{mine:.0f} of {raw:.0f}", "met" if mine <= raw / 10 else "NOT met"


def _drawn(manifest: Mapping[str, Any]) -> dict[str, object]:
    """What two runs on the same users and pairs have in common.

    The data's digest where it has no other world with the same users; StyleWorld's two differ in their descriptions.
    """
    data, config = manifest["data"], manifest["config"]
    worlds = {"styleworld", "styleworld-shown"}
    found = {"data": "styleworld" if data["name"] in worlds else data["digest"], "reader": manifest["model"]["name"]}
    return (
        found
        | {name: data[name] for name in ("users", "pairs")}
        | {name: config[name] for name in ("split", "limit", "seed", "budget", "raw_budget", "dtype")}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("row")
    parser.add_argument("other", nargs="?")
    parser.add_argument("--rivals", type=Path, nargs="*", default=(), metavar="REPORT")
    given = parser.parse_args()
    try:
        run = Run.read(given.run)
        own = list(run.rows)
        for report in given.rivals:
            run = run.joined(report)
    except UsageError as error:
        sys.exit(str(error))
    if given.row not in own:
        sys.exit(f"The run has no row {given.row}. It has: {', '.join(own)}.")
    if given.other and given.other not in run.rows:
        sys.exit(f"There is no row {given.other}. There are: {', '.join(run.rows)}.")
    data = run.results.manifest["data"]
    name = Path(data["name"]).name
    title = f"`{given.row}` on {name}, {data['split']}: {data['users']} users, {data['pairs']} pairs"
    table(title, ("bar", "found", "verdict"), bars(run, given.row))
    if given.other:
        found = against(run, given.row, given.other)
        table(f"`{given.row}` minus `{given.other}`, points", ("row", "found"), found)


def against(run: Run, row: str, other: str) -> list[tuple[str, str]]:
    """Each row of the one minus the same of the other."""
    return [
        (f"`{row}{part}`", run.minus(row + part, other + part).points())
        for part in ("", ":shuffled", ":frozen", ":gold")
        if {row + part, other + part} <= run.rows.keys()
    ]


if __name__ == "__main__":
    main()
