"""Choose the signals that a model sees when not all fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..signals import Signal
from ..summary import TokenCounter

__all__ = ["Selection", "select_signals"]

_SHORTEST = 60  # characters of a text below which cutting it further leaves nothing to read
_GIVE_UP = 25  # candidates in a row that do not fit: the budget is as good as full


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen, and what was not.

    Attributes:
        texts: The rendered signals, oldest first.
        ids: Their content ids.
        used: How many were chosen, of `total`.
        shortened: How many of the chosen ones were cut.
        tokens: Tokens of the texts.
    """

    texts: tuple[str, ...]
    ids: tuple[str, ...]
    used: int
    total: int
    shortened: int
    tokens: int


@dataclass(frozen=True, slots=True)
class _Chosen:
    position: int
    signal: Signal
    text: str
    tokens: int
    shortened: bool


def select_signals(
    signals: Sequence[Signal],
    budget: int,
    counter: TokenCounter,
    *,
    render: Callable[[Signal, int], str],
    longest: int,
) -> Selection:
    """Choose and shorten signals so that their texts keep a budget.

    Everything is kept if it fits. Otherwise, in this order: explicit statements, newest first, up to half of the
    budget; the newest signal of each other kind, cut to its share if need be; then whatever is newest. The newest of
    several with the same content stands for all.

    Args:
        signals: All signals of one user; later ones count as newer where no time says otherwise.
        budget: Most tokens of the rendered signals.
        counter: Who counts.
        render: Signal and character limit of each of its texts, to text.
        longest: Character limit to begin with.
    """
    newest_first = list(_newest_first(signals))
    pick = _Picker(budget, counter, render, longest)
    statements = [item for item in newest_first if item[1].kind == "statement"]
    others = [item for item in newest_first if item[1].kind != "statement"]
    kinds = list({signal.kind: (position, signal) for position, signal in reversed(others)}.values())
    pick.while_they_fit(statements, budget // 2 if others else budget)
    share = (budget - pick.tokens) // max(len(kinds), 1)
    for item in sorted(kinds, key=newest_first.index):
        pick.cut_to_fit(item, share)
    pick.while_they_fit(newest_first, budget)
    chosen = pick.within_budget()
    return Selection(
        texts=tuple(item.text for item in chosen),
        ids=tuple(item.signal.id for item in chosen),
        used=len(chosen),
        total=len(signals),
        shortened=sum(item.shortened for item in chosen),
        tokens=sum(item.tokens for item in chosen),
    )


class _Picker:
    def __init__(self, budget: int, counter: TokenCounter, render: Callable[[Signal, int], str], longest: int) -> None:
        self.budget = budget
        self.counter = counter
        self.render = render
        self.longest = longest
        self.tokens = 0
        self.chosen: dict[int, _Chosen] = {}

    def while_they_fit(self, items: Sequence[tuple[int, Signal]], budget: int) -> None:
        misses = 0
        for position, signal in items:
            if position in self.chosen:
                continue
            if not self._add(position, signal, self.longest, budget - self.tokens):
                misses += 1
                if misses >= _GIVE_UP:
                    return

    def cut_to_fit(self, item: tuple[int, Signal], room: int) -> None:
        position, signal = item
        limit = self.longest
        while limit >= _SHORTEST and not self._add(position, signal, limit, room):
            limit //= 2

    def within_budget(self) -> list[_Chosen]:
        """The chosen ones, oldest first; joined texts may count a few tokens more than their sum."""
        chosen = sorted(self.chosen.values(), key=lambda item: item.position)
        while chosen and self.counter.count_tokens("\n\n".join(item.text for item in chosen)) > self.budget:
            chosen.remove(next((item for item in chosen if item.signal.kind != "statement"), chosen[0]))
        return chosen

    def _add(self, position: int, signal: Signal, limit: int, room: int) -> bool:
        text = self.render(signal, limit)
        tokens = self.counter.count_tokens(text)
        if tokens > room:
            return False
        shortened = text != self.render(signal, 10 * self.longest) if limit == self.longest else True
        self.chosen[position] = _Chosen(position, signal, text, tokens, shortened)
        self.tokens += tokens
        return True


def _newest_first(signals: Sequence[Signal]) -> Iterator[tuple[int, Signal]]:
    """Positions and signals, newest first, each content once; a signal without a time is as new as the one before."""
    last = datetime.min.replace(tzinfo=UTC)
    keyed: list[tuple[datetime, int, Signal]] = []
    for position, signal in enumerate(signals):
        if signal.time is not None:
            last = signal.time if signal.time.tzinfo else signal.time.replace(tzinfo=UTC)
        keyed.append((last, position, signal))
    seen: set[str] = set()
    for _, position, signal in sorted(keyed, key=lambda item: item[:2], reverse=True):
        if signal.id not in seen:
            seen.add(signal.id)
            yield position, signal
