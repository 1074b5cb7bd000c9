"""The findings of a run in plain sentences: what was gained, what it cost, whether it was personal."""

from __future__ import annotations

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
    best = _best(results)
    if best is None:
        return []
    return [_gain(best, results), _cost(best, results), *_personal(best, results)]


def _best(results: Results) -> RowResult | None:
    """The summary row with the highest accuracy. A gold description is no method; without a control there is no row."""
    reader = results.rows[0].reader
    rows = [
        row
        for row in results.rows
        if row.reader == reader and row.personal is not None and "gold" not in row.row.split(":")
    ]
    return max(rows, key=lambda row: row.accuracy.mean, default=None)


def _gain(best: RowResult, results: Results) -> Finding:
    plain = results.row(NONE)
    gained = best.accuracy.low > _CHANCE
    text = (
        f"With the summaries of `{best.row}` the model favours what the user chose on {best.accuracy.percent()} % of "
        f"the held-out pairs, compared with itself without them (50 % is no change"
    )
    if not gained:
        text += ", which the interval includes: no gain is shown"
    text += f"). Plainly ranking the two responses it is right on {plain.reference_free.percent()} % without a context "
    text += f"and on {best.reference_free.percent()} % with the summary."
    if results.population is not None and best.over_population is not None:
        text += (
            f" What most people prefer reaches {results.population.percent()} %; the difference is "
            f"{best.over_population.points()} points{_unless(best.over_population)}."
        )
    points = 100 * (best.accuracy.mean - _CHANCE)
    good = True if gained and not results.few_users else None
    return Finding("What did personalisation gain?", f"{points:+.1f} points", text, good)


def _cost(best: RowResult, results: Results) -> Finding:
    text = f"A summary of `{best.row}` adds {best.context_tokens.mean:.0f} tokens to a request."
    raw = next((row for row in results.rows if row.row == "raw" and row.reader == best.reader), None)
    if raw is not None:
        times = raw.context_tokens.mean / max(best.context_tokens.mean, 1)
        used = 1.0 if raw.signals_used is None else raw.signals_used
        share = f", although only {100 * used:.0f} % of them fit" if used < 1 else ""
        text += (
            f" The raw signals add {raw.context_tokens.mean:.0f} ({times:.1f} times as many{share}) and reach "
            f"{raw.accuracy.percent()} %."
        )
    if best.summaries is not None and best.summaries.failed:
        text += f" For {best.summaries.failed} of {best.summaries.users} users no summary could be written."
    return Finding("What did it cost?", f"{best.context_tokens.mean:.0f} tokens", text, None)


def _personal(best: RowResult, results: Results) -> Iterator[Finding]:
    if best.personal is None:
        return
    control = results.row(f"{best.row}:shuffled", best.reader)
    personal = best.personal.low > 0
    text = (
        f"With another user's summary the accuracy is {control.accuracy.percent()} %, with the own one "
        f"{best.accuracy.percent()} %: {best.personal.points()} points{_unless(best.personal)}."
    )
    if results.few_users:
        text += " So few users show nothing."
    else:
        text += " What helped was about this user." if personal else " That it is about this user is not shown."
    good = None if results.few_users else personal
    yield Finding("Was it personal?", f"{100 * best.personal.mean:+.1f} points", text, good)


def _unless(difference: Interval) -> str:
    return "" if difference.excludes(0.0) else ", which is not significant"


def remarks(results: Results) -> list[str]:
    """What a reader has to know before believing a figure."""
    data = results.manifest["data"]
    said = []
    if data.get("note"):
        said.append(str(data["note"]))
    for what, count in data.get("left_out", {}).items():
        said.append(f"Left out of the data: {count:,} {what}.")
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
