"""What every wire protocol offers to the drivers in `api.py`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ...messages import Message
from ..faults import Origin, error_event, request_id_of
from ..generation import Generation, GenerationOptions, Usage

__all__ = ["Protocol", "StreamParser", "finished"]


class StreamParser(ABC):
    """Takes the events of one stream in and gives pieces of text out.

    `ended` is true after an event that says it is the last, if the protocol has one.
    """

    def __init__(self, origin: Origin, headers: Mapping[str, str]) -> None:
        self.origin = origin
        self.headers = headers
        self.pieces: list[str] = []
        self.model = origin.model
        self.finish_reason: str | None = None
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.request_id = request_id_of(headers)
        self.last: Any = None
        self.ended = False

    def feed(self, event: Any) -> str:
        """The text that one event adds.

        Raises:
            PopiError: If the event reports a failure, or is not one of this protocol.
        """
        if not isinstance(event, Mapping):
            raise self.origin.invalid("a stream event that is not an object", request_id=self.request_id)
        if event.get("error"):
            raise error_event(self.origin, event["error"], self.headers)
        self.last = event
        piece = self._read(event)
        if piece:
            self.pieces.append(piece)
        return piece

    @abstractmethod
    def _read(self, event: Mapping[str, Any]) -> str: ...

    def finish(self) -> Generation:
        """The whole answer.

        Raises:
            InvalidResponseError: If the stream ended before the answer was complete, or it is empty.
        """
        if self.finish_reason is None:
            raise self.origin.invalid("the stream ended before the answer was complete", request_id=self.request_id)
        return finished(
            self.origin,
            "".join(self.pieces),
            finish_reason=self.finish_reason,
            model=self.model,
            usage=Usage(self.input_tokens, self.output_tokens),
            request_id=self.request_id,
            raw=self.last,
        )


class Protocol(ABC):
    """Requests to build and answers to parse."""

    @abstractmethod
    def request(
        self, model: str, messages: Sequence[Message], options: GenerationOptions, *, stream: bool
    ) -> dict[str, Any]:
        """The body of a request."""

    @abstractmethod
    def parse(self, data: Any, origin: Origin, headers: Mapping[str, str]) -> Generation:
        """A whole answer.

        Raises:
            InvalidResponseError: If there is no usable text in it.
        """

    @abstractmethod
    def stream_parser(self, origin: Origin, headers: Mapping[str, str]) -> StreamParser:
        """A parser for one stream."""


def finished(
    origin: Origin,
    text: str,
    *,
    finish_reason: str,
    model: str,
    usage: Usage,
    request_id: str | None,
    raw: Any,
) -> Generation:
    """A generation, unless its text is empty: an empty answer is a failure, not a success."""
    if not text.strip():
        hint = "; raise max_tokens" if finish_reason == "length" else ""
        raise origin.invalid(f"no text (finish reason '{finish_reason}'{hint})", request_id=request_id)
    return Generation(text=text, model=model, finish_reason=finish_reason, usage=usage, request_id=request_id, raw=raw)


def count(data: Any, name: str) -> int | None:
    """A token count out of a usage object, if it is there and a number."""
    value = data.get(name) if isinstance(data, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
