"""One answer in the making: token by token to text, up to its end."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

__all__ = ["Row"]

_PARTIAL = "\ufffd"  # what a tokenizer makes of a character of which not all bytes are there


class Row:
    """A row of a batch.

    Args:
        prompt: Token ids of the prompt.
        room: Most tokens of the answer.
        ends: Tokens that end it.
        stops: Texts that end it; they are not part of it.
        lead: A blank that the model writes first and that is not part of the answer.
        decode: Token ids to text, without control tokens.
        deliver: Gets each piece of text, if pieces are wanted.
        ended: Called with the row when it is finished.
        temperature: 0 for greedy.
        seed: What its sample begins from.

    Attributes:
        finish_reason: `stop`, `length`, or None while it goes on.
        text: What was delivered.
        tokens: How many tokens were made, the one that ends it included.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        *,
        room: int,
        ends: Sequence[int],
        decode: Callable[[Sequence[int]], str],
        deliver: Callable[[str], None] | None = None,
        ended: Callable[[Row], None] | None = None,
        stops: Sequence[str] = (),
        lead: str = "",
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.prompt = list(prompt)
        self.room = room
        self.temperature = temperature
        self.finish_reason: str | None = None
        self.text = ""
        self.tokens = 0
        self._random = random.Random(seed)
        self._ends = frozenset(ends)
        self._stops = tuple(stops)
        self._lead = lead
        self._decode = decode
        self._deliver = deliver
        self._ended = ended
        self._ids: list[int] = []
        self._start = self._read = 0  # what is decoded together, so that blanks between tokens are right
        self._held = ""  # may be the beginning of a stop text

    def draw(self) -> float:
        """The next number between 0 and 1 of this row's own."""
        return self._random.random()

    def take(self, token: int) -> None:
        """Add a token."""
        self.tokens += 1
        if token in self._ends:
            self._finish("stop")
        else:
            self._ids.append(token)
            self._add(self._new_text())
            if self.finish_reason is None and self.tokens >= self.room:
                self._finish("length")
        if self.finish_reason is not None and self._ended is not None:
            self._ended(self)

    def _new_text(self, *, last: bool = False) -> str:
        """What the tokens since the last call add; a character of which bytes are missing waits for them."""
        before, text = self._decode(self._ids[self._start : self._read]), self._decode(self._ids[self._start :])
        if len(text) <= len(before) or (text.endswith(_PARTIAL) and not last):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return text[len(before) :]

    def _finish(self, reason: str) -> None:
        self._add(self._new_text(last=True))
        if self.finish_reason is None:  # the last bytes may have completed a stop text
            self._emit(self._held)
            self.finish_reason = reason

    def _add(self, text: str) -> None:
        if self._lead and text:
            text, self._lead = text.removeprefix(self._lead), ""
        held = self._held + text
        at = min((found for stop in self._stops if (found := held.find(stop)) >= 0), default=-1)
        if at >= 0:
            self._held = ""
            self._emit(held[:at])
            self.finish_reason = "stop"
            return
        safe = len(held) - self._begun(held)
        self._held = held[safe:]
        self._emit(held[:safe])

    def _begun(self, text: str) -> int:
        """How many characters at the end may be the beginning of a stop text."""
        sizes = (size for stop in self._stops for size in range(len(stop) - 1, 0, -1) if text.endswith(stop[:size]))
        return max(sizes, default=0)

    def _emit(self, text: str) -> None:
        self.text += text
        if text and self._deliver is not None:
            self._deliver(text)
