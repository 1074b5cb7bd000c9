"""Choose the signals that a model sees when not all fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
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
        repeats: How many of the total say the same as another one, which stands for them.
        shortened: How many of the chosen ones were cut.
        tokens: Tokens of `text`.
    """

    texts: tuple[str, ...]
    ids: tuple[str, ...]
    used: int
    total: int
    repeats: int
    shortened: int
    tokens: int

    @property
    def text(self) -> str:
        """The texts as they stand in a prompt: numbered, an empty line between them."""
        return _numbered(self.texts)

    @property
    def left_out(self) -> int:
        """How many signals say something that the texts do not show."""
        return self.total - self.repeats - self.used


@dataclass(frozen=True, slots=True)
class _Rendered:
    signal: Signal
    text: str
    tokens: int


Item = tuple[int, Signal]
"""A signal and its rank: 0 for the newest."""


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
    items = list(enumerate(_newest_first(signals)))
    pick = _Picker(budget, counter, render, longest)
    if not pick.all_of(items):
        _choose(items, pick)
    chosen, tokens = pick.within_budget()
    return Selection(
        texts=tuple(item.text for item in chosen),
        ids=tuple(item.signal.id for item in chosen),
        used=len(chosen),
        total=len(signals),
        repeats=len(signals) - len(items),
        shortened=sum(item.text != render(item.signal, 10 * longest) for item in chosen),
        tokens=tokens,
    )


def _choose(items: Sequence[Item], pick: _Picker) -> None:
    statements = [item for item in items if item[1].kind == "statement"]
    newest: dict[str, Item] = {}
    for item in items:
        newest.setdefault(item[1].kind, item)
    others = [item for kind, item in newest.items() if kind != "statement"]
    room = pick.budget // 2 if others else pick.budget
    pick.those_that_fit(statements, room)
    if statements and not pick.chosen:
        pick.cut_to_fit(statements[0], room)
    for left, item in zip(range(len(others), 0, -1), others, strict=True):
        pick.cut_to_fit(item, (pick.budget - pick.tokens) // left)
    for item in others:
        if item[0] not in pick.chosen:
            pick.cut_to_fit(item, pick.budget - pick.tokens)  # too long for its share, but others left some of theirs
    pick.those_that_fit(items, pick.budget)


class _Picker:
    def __init__(self, budget: int, counter: TokenCounter, render: Callable[[Signal, int], str], longest: int) -> None:
        self.budget = budget
        self.counter = counter
        self.render = render
        self.longest = longest
        self.tokens = 0
        self.chosen: dict[int, _Rendered] = {}
        self._whole: dict[int, _Rendered] = {}

    def all_of(self, items: Sequence[Item]) -> bool:
        """Choose all, if all fit; stops at the first that does not: a long history costs no more than a short one."""
        room = self.budget
        for item in items:
            room -= self._rendered(item, self.longest).tokens
            if room < 0:
                return False
        for item in items:
            self._add(item, self.longest, self.budget)
        return True

    def those_that_fit(self, items: Sequence[Item], budget: int) -> None:
        """Choose each in turn that the budget still has room for."""
        misses = 0
        for item in items:
            if item[0] in self.chosen:
                continue
            misses = 0 if self._add(item, self.longest, budget - self.tokens) else misses + 1
            if misses >= _GIVE_UP:
                return

    def cut_to_fit(self, item: Item, room: int) -> None:
        """Choose one, its texts cut to half, to a quarter, ... until it fits."""
        limit = self.longest
        while limit >= _SHORTEST and not self._add(item, limit, room):
            limit //= 2

    def within_budget(self) -> tuple[list[_Rendered], int]:
        """The chosen ones, oldest first, and their tokens; joined texts may count a few tokens more than their sum."""
        chosen = [self.chosen[rank] for rank in sorted(self.chosen, reverse=True)]
        while (tokens := self.counter.count_tokens(_numbered([item.text for item in chosen]))) > self.budget and chosen:
            kinds = Counter(item.signal.kind for item in chosen)
            chosen.remove(min(chosen, key=lambda item: (kinds[item.signal.kind] == 1, item.signal.kind == "statement")))
        return chosen, tokens

    def _add(self, item: Item, limit: int, room: int) -> bool:
        rendered = self._rendered(item, limit)
        if rendered.tokens > room:
            return False
        self.chosen[item[0]] = rendered
        self.tokens += rendered.tokens
        return True

    def _rendered(self, item: Item, limit: int) -> _Rendered:
        rank, signal = item
        if limit == self.longest and rank in self._whole:
            return self._whole[rank]
        text = self.render(signal, limit)
        rendered = _Rendered(signal, text, self.counter.count_tokens(f"[99] {text}\n\n"))
        if limit == self.longest:
            self._whole[rank] = rendered
        return rendered


def _numbered(texts: Iterable[str]) -> str:
    return "\n\n".join(f"[{number}] {text}" for number, text in enumerate(texts, start=1))


def _newest_first(signals: Sequence[Signal]) -> Iterator[Signal]:
    """Each content once, newest first; a signal without a time is as new as the one before it."""
    last = datetime.min.replace(tzinfo=UTC)
    keyed: list[tuple[datetime, int]] = []
    for position, signal in enumerate(signals):
        if signal.time is not None:
            last = signal.time if signal.time.tzinfo else signal.time.replace(tzinfo=UTC)
        keyed.append((last, position))
    seen: set[str] = set()
    for _, position in sorted(keyed, reverse=True):
        signal = signals[position]
        if signal.id not in seen:
            seen.add(signal.id)
            yield signal
