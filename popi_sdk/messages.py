"""Chat messages: what every backend takes in."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from .errors import UsageError

__all__ = ["Message", "Prompt", "as_messages", "content_of", "text_of"]

ROLES = ("system", "developer", "user", "assistant", "tool")


class Message(TypedDict):
    """One turn of a chat: `role` is one of system, developer, user, assistant, tool."""

    role: str
    content: str


Prompt = str | Sequence[Mapping[str, Any]]
"""What a user asks: a string, or the messages so far (system prompt, history, the question last)."""


def as_messages(prompt: Prompt) -> list[Message]:
    """Bring a prompt into messages.

    Args:
        prompt: A string (one user message), or OpenAI-style messages of which the last is not the assistant's.

    Raises:
        UsageError: If it is empty, not text, not made of role/content mappings, or has nothing to answer.
    """
    if isinstance(prompt, str):
        if not prompt.strip():
            raise UsageError("The prompt is empty. Pass a question, or a list of messages.")
        return [Message(role="user", content=_encodable(prompt, "The prompt"))]
    if isinstance(prompt, bytes | bytearray) or not isinstance(prompt, Sequence) or not prompt:
        raise UsageError(f"A prompt is a string or a non-empty list of messages, not {type(prompt).__name__}.")
    messages = [_message(item, index) for index, item in enumerate(prompt)]
    if not any(message["role"] == "user" and message["content"].strip() for message in messages):
        raise UsageError('The messages hold no user message. Add {"role": "user", "content": ...}.')
    if messages[-1]["role"] == "assistant":
        raise UsageError("The last message is the assistant's: there is nothing to answer. End with a user message.")
    return messages


def text_of(content: Any) -> str | None:
    """The text of an OpenAI `content` (a string, or a list of parts); None if it is neither.

    A part that is not text stands as its type in square brackets, so nothing is lost silently.
    """
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, Sequence):
        return None
    parts: list[str] = []
    for part in content:
        if not isinstance(part, Mapping):
            return None
        text = part.get("text")
        parts.append(text if isinstance(text, str) else f"[{part.get('type', 'part')}]")
    return "\n".join(parts)


def content_of(message: Mapping[str, Any]) -> str | None:
    """The text of an OpenAI message; one that only calls tools stands as `[tool_calls]`. None if it has none."""
    text = text_of(message.get("content"))
    return "[tool_calls]" if text == "" and message.get("tool_calls") else text


def _message(item: Any, index: int) -> Message:
    if not isinstance(item, Mapping) or "role" not in item:
        raise UsageError(f'Message {index} is not {{"role": ..., "content": ...}}: {reprlib.repr(item)}')
    role = item["role"]
    if role not in ROLES:
        raise UsageError(f"Message {index} has the role {role!r}. Use one of: {', '.join(ROLES)}.")
    content = content_of(item)
    if content is None:
        raise UsageError(f"Message {index} has a content that is neither text nor a list of parts.")
    return Message(role=role, content=_encodable(content, f"Message {index}"))


def _encodable(text: str, what: str) -> str:
    """Half of a surrogate pair breaks the encoding of a request deep inside a library: say it here instead."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{what} has half of a surrogate pair at character {error.start}, which is not text. "
            "Decode the source correctly."
        ) from error
    return text
