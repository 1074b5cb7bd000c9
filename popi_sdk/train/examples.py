"""From users to token ids: the inferrer's prompt, and the pairs that judge a summary."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import TrainingError, UsageError
from ..evals.writers import ModelCounter
from ..inferrers.base import build_summary
from ..inferrers.prompted import parse_summary, words_for
from ..messages import Message
from ..prompts import Selection, render_infer, render_plain, render_with_signals, render_with_summary, select
from ..scoring import Query
from ..summary import SummaryStatement
from .config import TrainConfig
from .parallel import by_chunks

if TYPE_CHECKING:
    from ..data.record import UserRecord
    from ..models.causal_lm import CausalLM

__all__ = ["Encoder", "Example", "Pair", "batches", "rotated"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A held-out pair of a user.

    Attributes:
        prompt: The prompt x.
        plain: Token ids of the plain prompt, up to where the answer begins.
        chosen: Token ids of y+, end token included.
        rejected: Token ids of y-, end token included.
    """

    prompt: str
    plain: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A user as training sees it.

    Attributes:
        user_id: Who.
        request: What the inferrer is asked.
        request_ids: The same as token ids, up to where the summary begins.
        selection: The signals as they stand in the request: what a summary must not quote.
        pairs: Held-out pairs; none of them is among the signals.
        gold: A description of the user as a reader would get it, in one paragraph; None if the data has none.
        groups: For the choice of a donor, as `UserRecord.groups`.
    """

    user_id: str
    request: tuple[Message, ...]
    request_ids: tuple[int, ...]
    selection: Selection
    pairs: tuple[Pair, ...]
    gold: str | None
    groups: tuple[str, ...]


class Encoder:
    """Turns users, summaries and pairs into token ids.

    Args:
        model: Whose tokenizer and chat template.
        budget: Most tokens of a summary.
        input_budget: Most tokens of signals that the inferrer reads.
        signals: Whether pairs are read behind the signals themselves, so that both have to fit together.

    Attributes:
        left_out: Pairs and users that do not fit the model, counted by what was too long.
    """

    def __init__(self, model: CausalLM, *, budget: int, input_budget: int, signals: bool = False) -> None:
        self.model = model
        self.counter = ModelCounter(model)
        self.budget = budget
        self.input_budget = input_budget
        self.signals = signals
        self.left_out: dict[str, int] = {}

    def examples(self, records: Iterable[UserRecord]) -> list[Example]:
        """Encode all users that fit.

        Raises:
            TrainingError: If none is left.
        """
        found: list[Example] = []
        for encoded, left_out in by_chunks(self._encoded, list(records)):
            found += encoded
            for what, count in left_out.items():
                self.left_out[what] = self.left_out.get(what, 0) + count
        if not found:
            reasons = ", ".join(f"{count} {what}" for what, count in self.left_out.items()) or "there are no users"
            raise TrainingError(f"There is nothing to train with: {reasons}.")
        return found

    def reading(self, context: str | Selection, pair: Pair) -> Query:
        """What the generator is scored on: the pair behind the prompt with its context, or behind the plain one."""
        prefix = pair.plain
        if isinstance(context, Selection):
            prefix = tuple(self.model.encode_prompt(render_with_signals(pair.prompt, context)))
        elif context:
            prefix = tuple(self.model.encode_prompt(render_with_summary(pair.prompt, context)))
        return Query(prefix, (pair.chosen, pair.rejected))

    def summary(self, ids: Sequence[int]) -> str:
        """The text that a reader gets of sampled tokens, as `PromptedInferrer` makes it; empty if it says nothing."""
        ended = bool(ids) and ids[-1] in self.model.stop_ids
        text = self.model.tokenizer.decode(list(ids[:-1] if ended else ids), skip_special_tokens=True)
        return self._as_read(text, self.budget, cut_off=not ended)

    def _as_read(self, text: str, budget: int, *, cut_off: bool = False) -> str:
        """What is left of a text as a summary, whose form is one paragraph without lists."""
        sentences = [SummaryStatement(text=sentence) for sentence in parse_summary(text, cut_off=cut_off)]
        if not sentences:
            return ""
        return build_summary(sentences, budget=budget, counter=self.counter, inferrer="training", signals=()).text

    def _encoded(self, records: Sequence[UserRecord]) -> tuple[list[Example], dict[str, int]]:
        """Those that fit, and what was left out: perhaps in another process, so that nothing else may be changed."""
        before, self.left_out = self.left_out, {}
        try:
            found = [example for record in records if (example := self._example(record)) is not None]
            return found, self.left_out
        finally:
            self.left_out = before

    def _example(self, record: UserRecord) -> Example | None:
        selection = select(record.signals, self.input_budget, self.counter)
        if not selection.used:
            self._leave_out("users whose signals do not fit input_budget")
            return None
        request = render_infer(selection, words=words_for(self.budget))
        ids = tuple(self.model.encode_prompt(request))
        if len(ids) + self.budget > self.model.max_length:
            self._leave_out("users whose signals do not fit the model")
            return None
        try:
            pairs = tuple(pair for held in record.pairs if (pair := self.pair(held.prompt, held.chosen, held.rejected)))
        except UsageError as error:
            raise TrainingError(f"A pair of user {record.user_id!r} cannot be learnt from: {error}") from error
        if self.signals:
            pairs = tuple(pair for pair in pairs if self._fits_behind(selection, pair))
        if not pairs:
            self._leave_out("users without a pair that fits the model")
            return None
        # Not cut to the budget: a description that is over it is no description to learn from.
        gold = self._as_read(record.gold or "", self.model.max_length) or None
        return Example(record.user_id, tuple(request), ids, selection, pairs, gold, record.groups)

    def pair(self, prompt: str, chosen: str, rejected: str) -> Pair | None:
        """Encode a pair; None, and counted in `left_out`, if it does not fit the model."""
        plain = tuple(self.model.encode_prompt(render_plain(prompt)))
        ids = [tuple(self.model.encode_response(text)) for text in (chosen, rejected)]
        # The summary's template and quoting marks take some tokens of their own.
        if len(plain) + 2 * self.budget + 64 + max(map(len, ids)) > self.model.max_length:
            self._leave_out("pairs that do not fit the model")
            return None
        return Pair(prompt, plain, *ids)

    def _fits_behind(self, selection: Selection, pair: Pair) -> bool:
        query = self.reading(selection, pair)
        if len(query.prefix) + max(map(len, query.continuations)) <= self.model.max_length:
            return True
        self._leave_out("pairs that do not fit the model behind the signals")
        return False

    def _leave_out(self, what: str) -> None:
        self.left_out[what] = self.left_out.get(what, 0) + 1


def rotated(pairs: Sequence[Pair], start: int, count: int) -> tuple[Pair, ...]:
    """`count` pairs from `start` on, around the end; all of them if there are fewer."""
    return tuple(pairs[(start + at) % len(pairs)] for at in range(min(count, len(pairs))))


def batches(users: int, config: TrainConfig, count: int | None = None) -> Iterator[list[int]]:
    """Who is in each step, `count` or `config.users_per_step`: everyone once, in another order, before anyone again."""
    count = count or config.users_per_step
    draws = random.Random(f"{config.seed}/batches")
    waiting: list[int] = []
    while True:
        while len(waiting) < count:
            waiting += draws.sample(range(users), users)
        yield waiting[:count]
        del waiting[:count]
