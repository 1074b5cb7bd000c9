"""From items to results: every figure of METHOD.md, section 4, for every row."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .journal import read_rows
from .manifest import ITEMS, SUMMARIES, read_manifest
from .methods import NONE
from .metrics import FEWEST, Interval, paired_difference, ratio_over_users

__all__ = ["BETA", "Results", "RowResult", "SummaryFacts", "Tally", "read_results", "refuse_unfinished", "tally"]

BETA = 0.1
"""Scale of Delta behind `information`."""

_SHUFFLED = ":shuffled"
_RIVALS = ("population", "raw-trained")
_OTHERS = (*_RIVALS, "heuristic", "prompted")


@dataclass(slots=True)
class Tally:
    """One row's items, summed by user: all that the figures need."""

    credit: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    pairs: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    free: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    free_per_token: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    loss: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    context_tokens: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    credit_known: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    population: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    population_pairs: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    parts: dict[str, Tally] = field(default_factory=dict)
    signals_used: int = 0
    signals_total: int = 0

    def add(self, item: Mapping[str, Any]) -> None:
        """Count an item, also in its parts: its kind, and contested or not."""
        self._count(item)
        names = [f"kind:{kind}" for kind in _kinds(item["kind"] or "")]
        agrees = item["population_agrees"]
        if agrees is not None:
            user = item["user_id"]
            self.population[user] += _wins(agrees - _UNDECIDED)
            self.population_pairs[user] += 1
            self.credit_known[user] += item["credit"]
            if agrees != _UNDECIDED:
                names.append("contested" if agrees < _UNDECIDED else "uncontested")
        for name in names:
            self.parts.setdefault(name, Tally())._count(item)

    def _count(self, item: Mapping[str, Any]) -> None:
        user = item["user_id"]
        self.credit[user] += item["credit"]
        self.pairs[user] += 1
        self.free[user] += _wins(item["margin"])
        self.free_per_token[user] += _wins(item["margin_per_token"])
        self.loss[user] += _softplus(-BETA * item["delta"])
        self.context_tokens[user] += item["context_tokens"]
        self.signals_used += item.get("signals_used", 0)
        self.signals_total += item.get("signals_total", 0)

    def share(self, sums: Mapping[str, float], seed: int) -> Interval:
        """A mean over items with its interval over users."""
        return ratio_over_users([sums[user] for user in self.pairs], list(self.pairs.values()), seed=seed)

    def minus(self, other: Tally, sums: str, seed: int) -> Interval:
        """The paired difference of two rows on the same items.

        Raises:
            UsageError: If they are not the same items.
        """
        if dict(self.pairs) != dict(other.pairs):
            raise UsageError("Two rows can only be compared on the same pairs of the same users.")
        mine, theirs = getattr(self, sums), getattr(other, sums)
        users = list(self.pairs)
        return paired_difference(
            [mine[user] for user in users], [theirs[user] for user in users], list(self.pairs.values()), seed=seed
        )


_UNDECIDED = 0.5


def _kinds(kind: str) -> list[str]:
    """What a pair is counted under: `length+order` under both, `C++` under itself."""
    parts = kind.split("+")
    return list(dict.fromkeys(parts)) if all(parts) else [kind] if kind else []


def _wins(margin: float) -> float:
    return 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0


def _softplus(value: float) -> float:
    """log(1 + exp(value)) without overflow."""
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def tally(items: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Tally]:
    """Items summed by (reader, row)."""
    tallies: dict[tuple[str, str], Tally] = defaultdict(Tally)
    for item in items:
        tallies[item["reader"], item["row"]].add(item)
    return dict(tallies)


@dataclass(frozen=True, slots=True)
class SummaryFacts:
    """What the summaries of a row are like.

    Attributes:
        users: For how many users one was asked for.
        failed: For how many none could be written; their pairs are read without a context, so they tie.
        tokens: Mean tokens of one.
        signals_used: Share of the signals that the writer saw; None where it saw none (gold).
        distinct: How many different texts there are.
        quoted: Mean share of a summary's 4-grams of words that stand in the signals of its user; None for a run that
            was made before this was measured.
        longest_quote: Most words in a row that one of them has in common with the signals; None likewise.
    """

    users: int
    failed: int
    tokens: float
    signals_used: float | None
    distinct: int
    quoted: float | None = None
    longest_quote: int | None = None


@dataclass(frozen=True, slots=True)
class RowResult:
    """One row of the table.

    Attributes:
        reader: The model that read the contexts.
        row: Name of the row.
        about: What it is.
        accuracy: Share of held-out pairs with Delta > 0; ties count half.
        reference_free: The same on log pi(y+) - log pi(y-) alone.
        reference_free_per_token: The same, each log-probability divided by its tokens.
        context_tokens: Tokens that the context adds to a request, mean over requests.
        contested: Accuracy where the population prefers the other response; None if the data does not say.
        uncontested: Accuracy on the other pairs.
        kinds: Accuracy by kind of pair; a pair of several, joined by `+`, counts under each.
        personal: Accuracy minus that of the row with other users' summaries, paired.
        information: -log sigmoid(0.1 Delta) with another user's summary minus with the own, in nats, paired.
        over_population: Accuracy minus what following the majority reaches, paired, on the pairs where it is known.
        over_rivals: For a row with a trained generator, accuracy minus that of `population` and `raw-trained`, also
            trained, and of the summaries that need no training, paired.
        trained: Whether its generator was trained.
        signals_used: Share of the signals that fitted into the prompt, in rows with raw signals.
        summaries: What the summaries are like; None where there are none.
        per_user: Accuracy of each user.
    """

    reader: str
    row: str
    about: str
    accuracy: Interval
    reference_free: Interval
    reference_free_per_token: Interval
    context_tokens: Interval
    contested: Interval | None
    uncontested: Interval | None
    kinds: dict[str, Interval]
    personal: Interval | None
    information: Interval | None
    over_population: Interval | None
    over_rivals: dict[str, Interval]
    trained: bool
    signals_used: float | None
    summaries: SummaryFacts | None
    per_user: list[float]

    @property
    def shuffled(self) -> bool:
        """Whether it is a control."""
        return self.row.endswith(_SHUFFLED)


@dataclass(frozen=True, slots=True)
class Results:
    """All rows of a run, with the manifest it was made from.

    Attributes:
        manifest: Configuration, data digest, versions, commit.
        rows: In the order of the run, one block a reader.
        population: What following the majority reaches on the pairs where it is known; None if it never is.
        contested_share: Share of the pairs on which it prefers the other response.
        few_users: Whether there are too few users for an interval over them to be evidence.
        extras: Further measurements: `over_personalisation`, `win_rate`.
    """

    manifest: dict[str, Any]
    rows: list[RowResult]
    population: Interval | None
    contested_share: float | None
    few_users: bool
    extras: dict[str, Any] = field(default_factory=dict)

    def row(self, name: str, reader: str | None = None) -> RowResult:
        """A row by name; of the first reader unless another is named.

        Raises:
            UsageError: If there is none.
        """
        for row in self.rows:
            if row.row == name and reader in (None, row.reader):
                return row
        raise UsageError(f"There is no row {name!r}. There are: {', '.join(row.row for row in self.rows)}.")


def read_results(folder: Path) -> Results:
    """Compute the results of a run from its journals.

    Raises:
        UsageError: If the folder holds no run, or the run is not finished.
    """
    manifest = read_manifest(folder)
    if not (folder / ITEMS).is_file():
        raise UsageError(f"The run in {folder} is not finished. Go on with --resume.")
    tallies = tally(read_rows(folder / ITEMS))
    facts = _summary_facts(read_rows(folder / SUMMARIES))
    seed = manifest["config"]["seed"]
    refuse_unfinished(folder, manifest, tallies)
    reference = tallies[_first_reader(manifest), NONE]
    order = {name: place for place, name in enumerate(manifest["rows"])}
    keys = sorted(tallies, key=lambda key: (key[0] != _first_reader(manifest), key[0], order.get(key[1], len(order))))
    rows = [_row(key, tallies, manifest, facts) for key in keys]
    decided = {part: reference.parts.get(part, Tally()) for part in ("contested", "uncontested")}
    counts = {part: sum(row.pairs.values()) for part, row in decided.items()}
    known = sum(reference.population_pairs.values())
    return Results(
        manifest=manifest,
        rows=rows,
        population=_population(reference, seed),
        contested_share=counts["contested"] / known if known else None,
        few_users=len(reference.pairs) < FEWEST,
    )


def _first_reader(manifest: Mapping[str, Any]) -> str:
    return str(manifest["model"]["name"])


def refuse_unfinished(folder: Path, manifest: Mapping[str, Any], tallies: Mapping[tuple[str, str], Tally]) -> None:
    """Refuse figures over a part of the items.

    Raises:
        UsageError: If a row of a reader lacks items.
    """
    first, wanted = _first_reader(manifest), manifest["data"]["pairs"]
    untrained = [row for row in manifest["rows"] if row not in manifest.get("trained", [])]
    needed = [(first, row) for row in manifest["rows"]]
    needed += [(reader, row) for reader in manifest["config"]["readers"] for row in untrained]
    for key in {(first, NONE), *needed, *tallies}:
        if key not in tallies or sum(tallies[key].pairs.values()) != wanted:
            raise UsageError(f"The run in {folder} is not finished. Go on with --resume.")


def _population(reference: Tally, seed: int) -> Interval | None:
    if not _decided(reference):
        return None
    users = list(reference.population_pairs)
    counts = [reference.population_pairs[user] for user in users]
    return ratio_over_users([reference.population[user] for user in users], counts, seed=seed)


def _row(
    key: tuple[str, str],
    tallies: Mapping[tuple[str, str], Tally],
    manifest: Mapping[str, Any],
    facts: Mapping[str, SummaryFacts],
) -> RowResult:
    (reader, name), row, seed = key, tallies[key], manifest["config"]["seed"]
    control = tallies.get((reader, name + _SHUFFLED))
    contested, uncontested = row.parts.get("contested"), row.parts.get("uncontested")
    kinds = {part.removeprefix("kind:"): one for part, one in sorted(row.parts.items()) if part.startswith("kind:")}
    return RowResult(
        reader=reader,
        row=name,
        about=manifest["rows"].get(name, ""),
        accuracy=row.share(row.credit, seed),
        reference_free=row.share(row.free, seed),
        reference_free_per_token=row.share(row.free_per_token, seed),
        context_tokens=row.share(row.context_tokens, seed),
        contested=contested.share(contested.credit, seed) if contested else None,
        uncontested=uncontested.share(uncontested.credit, seed) if uncontested else None,
        kinds={kind: one.share(one.credit, seed) for kind, one in kinds.items()},
        personal=row.minus(control, "credit", seed) if control else None,
        information=control.minus(row, "loss", seed) if control else None,
        over_population=_over_population(row, seed),
        over_rivals=_over_rivals(key, tallies, manifest),
        trained=name in manifest.get("trained", []),
        signals_used=row.signals_used / row.signals_total if row.signals_total else None,
        summaries=facts.get(_writer(name)),
        per_user=[row.credit[user] / count for user, count in row.pairs.items()],
    )


def _over_rivals(
    key: tuple[str, str], tallies: Mapping[tuple[str, str], Tally], manifest: Mapping[str, Any]
) -> dict[str, Interval]:
    reader, name = key
    if name not in manifest.get("trained", []) or name in _RIVALS:
        return {}
    rivals = [rival for rival in _OTHERS if (reader, rival) in tallies]
    return {rival: tallies[key].minus(tallies[reader, rival], "credit", manifest["config"]["seed"]) for rival in rivals}


def _over_population(row: Tally, seed: int) -> Interval | None:
    """On the pairs of which the data knows what most people prefer."""
    if not _decided(row):
        return None
    users = list(row.population_pairs)
    return paired_difference(
        [row.credit_known[user] for user in users],
        [row.population[user] for user in users],
        [row.population_pairs[user] for user in users],
        seed=seed,
    )


def _decided(row: Tally) -> bool:
    """Whether the population prefers anything at all."""
    return "contested" in row.parts or "uncontested" in row.parts


def _writer(row: str) -> str:
    """Who wrote what a row reads: `joint:frozen:shuffled` reads what `joint` wrote, `joint:gold` what `gold` did."""
    parts = row.removesuffix(_SHUFFLED).split(":")
    return "gold" if parts[-1] == "gold" else parts[0]


def _summary_facts(rows: Iterable[Mapping[str, Any]]) -> dict[str, SummaryFacts]:
    by_writer: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_writer[row["writer"]].append(row)
    return {writer: _facts(rows) for writer, rows in by_writer.items()}


def _facts(rows: list[Mapping[str, Any]]) -> SummaryFacts:
    written = [row for row in rows if "text" in row]
    total = sum(row.get("signals_total", 0) for row in written)
    known = [row for row in written if "quoted" in row]
    return SummaryFacts(
        users=len(rows),
        failed=len(rows) - len(written),
        tokens=sum(row["tokens"] for row in written) / len(written) if written else 0.0,
        signals_used=sum(row.get("signals_used", 0) for row in written) / total if total else None,
        distinct=len({row["text"] for row in written}),
        quoted=sum(row["quoted"] for row in known) / len(known) if known else None,
        longest_quote=max((row["longest_quote"] for row in known), default=None),
    )
