"""OpenAI's chat completions: spoken by OpenAI, vLLM, Ollama, llama.cpp and most servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...messages import Message
from ..faults import Origin, error_event, request_id_of
from ..generation import Generation, GenerationOptions, Usage
from .base import Protocol, StreamParser, count, finished

__all__ = ["ChatCompletions"]


class ChatCompletions(Protocol):
    """Builds and parses chat completions.

    Args:
        limit_field: What the server calls the limit of the answer: OpenAI itself wants `max_completion_tokens`,
            others know only `max_tokens`.
    """

    def __init__(self, limit_field: str = "max_tokens") -> None:
        self.limit_field = limit_field

    def request(
        self, model: str, messages: Sequence[Message], options: GenerationOptions, *, stream: bool
    ) -> dict[str, Any]:
        turns = [_turn(message) for message in messages]
        body: dict[str, Any] = {"model": model, "messages": turns, self.limit_field: options.max_tokens}
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.seed is not None:
            body["seed"] = options.seed
        if options.stop:
            body["stop"] = list(options.stop)
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def parse(self, data: Any, origin: Origin, headers: Mapping[str, str]) -> Generation:
        request_id = request_id_of(headers)
        if not isinstance(data, Mapping):
            raise origin.invalid("the body is not an object", request_id=request_id)
        if data.get("error"):
            raise error_event(origin, data["error"], headers)
        choice = _first_choice(data)
        message = choice.get("message") if choice else None
        if not choice or not isinstance(message, Mapping):
            raise origin.invalid("no choice with a message", request_id=request_id)
        text, reason = _text(message, choice.get("finish_reason"))
        usage = data.get("usage")
        return finished(
            origin,
            text,
            finish_reason=reason or "stop",
            model=_model(data) or origin.model,
            usage=Usage(count(usage, "prompt_tokens"), count(usage, "completion_tokens")),
            request_id=request_id or _id(data),
            raw=data,
        )

    def stream_parser(self, origin: Origin, headers: Mapping[str, str]) -> StreamParser:
        return _ChunkParser(origin, headers)


class _ChunkParser(StreamParser):
    def _read(self, event: Mapping[str, Any]) -> str:
        self.model = _model(event) or self.model
        self.request_id = self.request_id or _id(event)
        if usage := event.get("usage"):
            self.input_tokens = count(usage, "prompt_tokens")
            self.output_tokens = count(usage, "completion_tokens")
        choice = _first_choice(event)
        if choice is None:
            return ""
        delta = choice.get("delta")
        text, reason = _text(delta if isinstance(delta, Mapping) else {}, choice.get("finish_reason"))
        self.finish_reason = reason or self.finish_reason
        return text


def _text(message: Mapping[str, Any], finish_reason: Any) -> tuple[str, str | None]:
    """Text and finish reason; a refusal is an answer too, and says that it is one."""
    reason = finish_reason if isinstance(finish_reason, str) else None
    content, refusal = message.get("content"), message.get("refusal")
    if isinstance(content, str) and content:
        return content, reason
    if isinstance(refusal, str) and refusal:
        return refusal, "refusal"
    return "", reason


def _turn(message: Message) -> Message:
    """A tool's turn as text of the user: without the call that it answers, the API refuses the role `tool`."""
    return Message(role="user", content=message["content"]) if message["role"] == "tool" else message


def _first_choice(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = data.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) else None


def _model(data: Mapping[str, Any]) -> str | None:
    model = data.get("model")
    return model if isinstance(model, str) else None


def _id(data: Mapping[str, Any]) -> str | None:
    value = data.get("id")
    return value if isinstance(value, str) else None
