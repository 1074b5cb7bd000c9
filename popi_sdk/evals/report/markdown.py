"""A run as Markdown: findings, the table of all rows, parts, and how it was made."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..metrics import Interval
from ..results import Results, RowResult
from .sentences import findings, remarks

__all__ = ["command_of", "how", "markdown", "quoted", "title"]


def title(results: Results) -> str:
    """What was measured, in one line."""
    data = results.manifest["data"]
    return f"{Path(data['name']).name}, {data['split']}: {data['users']:,} users, {data['pairs']:,} pairs"


def markdown(results: Results) -> str:
    """The whole report."""
    parts = [f"# {title(results)}", *_findings(results)]
    said = remarks(results)
    if said:
        parts.append("\n".join(f"- {remark}" for remark in said))
    readers = list(dict.fromkeys(row.reader for row in results.rows))
    for reader in readers:
        rows = [row for row in results.rows if row.reader == reader]
        parts += [f"## Read by {reader}", _table(rows), *_parts(rows)]
    parts += [*_extras(results), "## How it was made", how(results)]
    return "\n\n".join(parts) + "\n"


def _findings(results: Results) -> Iterator[str]:
    for finding in findings(results):
        yield f"**{finding.question}** {finding.figure}. {finding.sentence}"


def _table(rows: list[RowResult]) -> str:
    interval = "" if rows[0].accuracy.few else " (95 % interval)"
    lines = [
        f"| row | accuracy %{interval} | own minus shuffled, points | reference-free % | per token % | "
        "context tokens | signals used % | summary tokens | quoted % (longest, words) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        facts = row.summaries
        used = row.signals_used if row.signals_used is not None else facts.signals_used if facts else None
        cells = [
            f"`{row.row}`",
            row.accuracy.percent(),
            row.personal.points() if row.personal else "",
            row.reference_free.percent(),
            row.reference_free_per_token.percent(),
            f"{row.context_tokens.mean:.0f}",
            "" if used is None or row.shuffled else f"{100 * used:.0f}",
            f"{facts.tokens:.0f}" if facts and not row.shuffled else "",
            quoted(row),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def quoted(row: RowResult) -> str:
    """Share of the summaries' 4-grams that stand in the signals, and the longest quote; empty where not known."""
    facts = row.summaries
    if facts is None or facts.quoted is None or row.shuffled:
        return ""
    return f"{100 * facts.quoted:.0f} ({facts.longest_quote})"


def _parts(rows: list[RowResult]) -> Iterator[str]:
    """Accuracy on parts of the pairs: contested or not, and by kind."""
    if any(row.contested for row in rows):
        lines = ["| row | contested % | uncontested % | minus the population, points |", "| --- | --- | --- | --- |"]
        for row in rows:
            over = row.over_population.points() if row.over_population else ""
            lines.append(f"| `{row.row}` | {_percent(row.contested)} | {_percent(row.uncontested)} | {over} |")
        yield "Contested pairs are those on which most people prefer the other response."
        yield "\n".join(lines)
    kinds = list(dict.fromkeys(kind for row in rows for kind in row.kinds))
    if kinds:
        head = " | ".join(f"{_cell(kind)} %" for kind in kinds)
        lines = [f"| row | {head} |", f"| --- |{' --- |' * len(kinds)}"]
        for row in rows:
            cells = " | ".join(_percent(row.kinds.get(kind)) for kind in kinds)
            lines.append(f"| `{row.row}` | {cells} |")
        yield "By kind of pair:"
        yield "\n".join(lines)


def _cell(text: str) -> str:
    """A foreign text as one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def _percent(interval: Interval | None) -> str:
    return interval.percent() if interval else ""


def _extras(results: Results) -> Iterator[str]:
    over = results.extras.get("over_personalisation")
    if over:
        yield "## Over-personalisation"
        yield over["sentence"]
    wins = results.extras.get("win_rate")
    if wins:
        yield "## Win rate"
        yield wins["sentence"]


def how(results: Results) -> str:
    """Model, data, seed, versions, commit, command."""
    manifest = results.manifest
    model, data = manifest["model"], manifest["data"]
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items() if version)
    lines = [
        f"- Model: {model['name']}, {model['dtype']}, {model['device']}",
        f"- Data: {data['name']}, split {data['split']}, SHA-256 `{data['digest']}`",
        f"- Seed: {manifest['config']['seed']}; intervals: 95 % bootstrap over users, 10,000 resamples",
        f"- Commit: {manifest['commit'] or 'unknown'}",
        f"- Versions: {versions}; {manifest['machine']}",
        f"- Command: `{command_of(manifest['config'])}`",
    ]
    return "\n".join(lines)


def command_of(config: dict[str, Any]) -> str:
    """The command line that makes such a run."""
    words = ["popi", "eval", config["data"], "--split", config["split"]]
    for method in config["methods"]:
        words += ["--method", method]
    for option in ("model", "limit", "judge"):
        if config[option] is not None:
            words += [f"--{option}", str(config[option])]
    for reader in config["readers"]:
        words += ["--reader", reader]
    for option in ("seed", "budget", "raw_budget", "dtype", "device"):
        words += [f"--{option.replace('_', '-')}", str(config[option])]
    words += [f"--{name.replace('_', '-')}" for name in ("skip_faults", "over_personalisation") if config[name]]
    return shlex.join([*words, "--output", "DIR"])
