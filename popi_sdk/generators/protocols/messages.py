"""Anthropic's messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import ConfigurationError
from ...messages import Message
from ..faults import Origin, error_event, request_id_of
from ..generation import Generation, GenerationOptions, Usage
from .base import Protocol, StreamParser, count, finished

__all__ = ["AnthropicMessages"]

_REASONS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length"}


class AnthropicMessages(Protocol):
    """Builds and parses messages requests; system messages become the `system` field."""

    def request(
        self, model: str, messages: Sequence[Message], options: GenerationOptions, *, stream: bool
    ) -> dict[str, Any]:
        """The body of a request.

        Raises:
            ConfigurationError: If the options have a seed, which this API does not take.
        """
        if options.seed is not None:
            raise ConfigurationError("anthropic takes no seed. Leave the option out for this backend.")
        system = [message["content"] for message in messages if message["role"] in ("system", "developer")]
        turns = [
            {"role": "assistant" if message["role"] == "assistant" else "user", "content": message["content"]}
            for message in messages
            if message["role"] not in ("system", "developer")
        ]
        body: dict[str, Any] = {"model": model, "messages": turns, "max_tokens": options.max_tokens}
        if system:
            body["system"] = "\n\n".join(system)
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.stop:
            body["stop_sequences"] = list(options.stop)
        if stream:
            body["stream"] = True
        return body

    def parse(self, data: Any, origin: Origin, headers: Mapping[str, str]) -> Generation:
        request_id = request_id_of(headers)
        if not isinstance(data, Mapping):
            raise origin.invalid("the body is not an object", request_id=request_id)
        if data.get("error"):
            raise error_event(origin, data["error"], headers)
        content = data.get("content")
        if not isinstance(content, list):
            raise origin.invalid("no content", request_id=request_id)
        blocks = [block.get("text") for block in content if isinstance(block, Mapping) and block.get("type") == "text"]
        usage = data.get("usage")
        return finished(
            origin,
            "".join(text for text in blocks if isinstance(text, str)),
            finish_reason=_reason(data.get("stop_reason")) or "stop",
            model=str(data.get("model") or origin.model),
            usage=Usage(_input_tokens(usage), count(usage, "output_tokens")),
            request_id=request_id or _id(data),
            raw=data,
        )

    def stream_parser(self, origin: Origin, headers: Mapping[str, str]) -> StreamParser:
        return _EventParser(origin, headers)


class _EventParser(StreamParser):
    def _read(self, event: Mapping[str, Any]) -> str:
        match event.get("type"):
            case "message_start":
                message = event.get("message")
                message = message if isinstance(message, Mapping) else {}
                self.model = str(message.get("model") or self.model)
                self.request_id = self.request_id or _id(message)
                self.input_tokens = _input_tokens(message.get("usage"))
            case "content_block_delta":
                delta = event.get("delta")
                text = delta.get("text") if isinstance(delta, Mapping) else None
                return text if isinstance(text, str) else ""
            case "message_delta":
                delta = event.get("delta")
                reason = _reason(delta.get("stop_reason")) if isinstance(delta, Mapping) else None
                self.finish_reason = reason or self.finish_reason
                self.output_tokens = count(event.get("usage"), "output_tokens")
            case "message_stop":
                self.ended = True
            case "error":
                raise error_event(self.origin, event, self.headers)
        return ""


def _input_tokens(usage: Any) -> int | None:
    """All tokens that the model read: this API reports those from and for the cache apart."""
    parts = [count(usage, f"{kind}input_tokens") for kind in ("", "cache_read_", "cache_creation_")]
    return None if parts[0] is None else sum(part or 0 for part in parts)


def _reason(value: Any) -> str | None:
    return _REASONS.get(value, value) if isinstance(value, str) else None


def _id(data: Mapping[str, Any]) -> str | None:
    value = data.get("id")
    return value if isinstance(value, str) else None
