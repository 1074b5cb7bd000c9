"""The findings of a run in plain sentences: what was gained, what it cost, whether it was personal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ..methods import NONE
from ..metrics import Interval
from ..results import Results, RowResult

__all__ = ["Finding", "findings", "remarks"]

_CHANCE = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer to one of a reader's questions.

    Attributes:
        question: The question.
        figure: The one figure that answers it.
        sentence: What the figure means, with its interval.
        good: Whether it speaks for personalisation; None where it says neither.
    """

    question: str
    figure: str
    sentence: str
    good: bool | None


def findings(results: Results) -> list[Finding]:
    """What the best summary row of the first reader gained and cost, and whether it was personal."""
    rows = _candidates(results)
    if not rows:
        return []
    best = max(rows, key=lambda row: row.accuracy.mean)
    return [_gain(best, results, len(rows)), _cost(best, results), *_personal(best, results)]


def _candidates(results: Results) -> list[RowResult]:
    """Rows with inferred summaries. A gold description is no method; without a control there is no evidence."""
    reader = results.rows[0].reader
    return [
        row
        for row in results.rows
        if row.reader == reader and row.personal is not None and "gold" not in row.row.split(":")
    ]


def _gain(best: RowResult, results: Results, rows: int) -> Finding:
    plain = results.row(NONE)
    who, other = ("the trained model", "base") if best.trained else ("the model", "same")
    chosen = f" (the best of {rows} rows, chosen on these users)" if rows > 1 else ""
    text = (
        f"With the summaries of `{best.row}`{chosen} {who} favours what the user chose on {best.accuracy.percent()} % "
        f"of the held-out pairs, compared with the {other} model without them: 50 % is no change. "
        f"{_change(best, results)} Plainly ranking the two responses it is right on {best.reference_free.percent()} % "
        f"with the summary; the model without a context on {plain.reference_free.percent()} %."
    )
    if results.population is not None and best.over_population is not None:
        text += (
            f" On the {best.over_population.items:,} pairs for which it is known, what most people prefer is right on "
            f"{results.population.percent()} %; the difference is {best.over_population.points()} points"
            f"{_unless(best.over_population, results)}."
        )
    text += "".join(f" {said}" for said in _rivals(best, results))
    points = 100 * (best.accuracy.mean - _CHANCE)
    good = None if results.few_users or not best.accuracy.excludes(_CHANCE) else best.accuracy.mean > _CHANCE
    return Finding("What did personalisation gain?", f"{points:+.1f} points", text, good)


def _change(best: RowResult, results: Results) -> str:
    if results.few_users:
        return "So few users show nothing."
    if not best.accuracy.excludes(_CHANCE):
        return "The interval includes it: no gain is shown."
    return "That is a gain." if best.accuracy.mean > _CHANCE else "That is a loss: the summaries mislead it."


def _rivals(best: RowResult, results: Results) -> Iterator[str]:
    """Where there are trained rows: the honest rivals, and whether the summaries work for an untouched model too."""
    for rival, difference in best.over_rivals.items():
        yield f"Against `{rival}`: {difference.points()} points{_unless(difference, results)}."
    transfer = [row for row in results.rows if row.row == f"{best.row}:frozen" and row.reader == best.reader]
    transfer += [row for row in results.rows if row.row == best.row and row.reader != best.reader]
    for row in transfer:
        name = f"the untouched {row.reader}" if row.reader == best.reader else row.reader
        yield f"Read by {name}, the same summaries reach {row.accuracy.percent()} %."


def _cost(best: RowResult, results: Results) -> Finding:
    text = f"A summary of `{best.row}` adds {best.context_tokens.mean:.0f} tokens to a request."
    raw = next((row for row in results.rows if row.row == "raw" and row.reader == best.reader), None)
    if raw is not None:
        notes = []
        if best.context_tokens.mean >= 1:
            notes.append(f"{raw.context_tokens.mean / best.context_tokens.mean:.1f} times as many")
        if raw.signals_used is not None and raw.signals_used < 1:
            notes.append(f"although only {math.floor(100 * raw.signals_used)} % of them fit")
        noted = f" ({', '.join(notes)})" if notes else ""
        text += f" The raw signals add {raw.context_tokens.mean:.0f}{noted} and reach {raw.accuracy.percent()} %."
    if best.summaries is not None and best.summaries.failed:
        text += f" For {best.summaries.failed} of {best.summaries.users} users no summary could be written."
    return Finding("What did it cost?", f"{best.context_tokens.mean:.0f} tokens", text, None)


def _personal(best: RowResult, results: Results) -> Iterator[Finding]:
    if best.personal is None:
        return
    control = results.row(f"{best.row}:shuffled", best.reader)
    text = (
        f"With another user's summary the accuracy is {control.accuracy.percent()} %, with the own one "
        f"{best.accuracy.percent()} %: {best.personal.points()} points{_unless(best.personal, results)}."
    )
    good: bool | None = None
    if results.few_users:
        text += " So few users show nothing."
    elif not best.personal.excludes(0.0):
        text, good = text + " That it is about this user is not shown.", False
    elif best.personal.mean < 0:
        text, good = text + " The own summary is worse than somebody else's.", False
    elif best.accuracy.low > _CHANCE:
        text, good = text + " What helped was about this user.", True
    else:
        text += " It is about this user, but a gain over no summary is not shown."
    yield Finding("Was it personal?", f"{100 * best.personal.mean:+.1f} points", text, good)


def _unless(difference: Interval, results: Results) -> str:
    return "" if results.few_users or difference.excludes(0.0) else ", which is not significant"


def _versions(versions: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def remarks(results: Results) -> list[str]:
    """What a reader has to know before believing a figure."""
    data = results.manifest["data"]
    said = []
    if data.get("note"):
        said.append(str(data["note"]))
    said += [
        f"A part was computed later, with commit {facts['commit']} and {_versions(facts['versions'])}."
        for facts in results.manifest.get("resumed", [])
    ]
    for what, count in data.get("left_out", {}).items():
        said.append(f"Left out of the data: {count:,} {what}.")
    if results.population is not None and results.contested_share is not None:
        said.append(
            f"Of {results.population.items:,} pairs whose majority is known, {100 * results.contested_share:.1f} % are "
            "contested: most people prefer the other response."
        )
    if results.few_users:
        said.append(f"Only {data['users']} users: an interval over so few is no evidence, and no claim is made.")
    if data.get("donors_outside"):
        said.append(
            f"{data['donors_outside']} of {data['users']} users have nobody beside them in their group: "
            "their shuffled summary comes from another one."
        )
    for row in results.rows:
        facts = row.summaries
        if facts is not None and facts.failed and not row.shuffled:
            said.append(
                f"`{row.row}` ({row.reader}): {facts.failed} of {facts.users} summaries could not be written; their "
                "pairs are read without a context and count half."
            )
        if facts is not None and facts.users > 1 and facts.distinct == 1 and not row.shuffled:
            said.append(f"`{row.row}` wrote one and the same summary for everybody.")
    return list(dict.fromkeys(said))
