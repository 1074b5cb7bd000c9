"""What goes over the wire, as pure functions: requests to build, answers and events to parse. No I/O here."""

from .base import Protocol, StreamParser
from .chat_completions import ChatCompletions
from .messages import AnthropicMessages
from .sse import SseParser

__all__ = ["AnthropicMessages", "ChatCompletions", "Protocol", "SseParser", "StreamParser"]
