"""What the two protocols look like when all goes well, for a server that plays both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

INPUT_TOKENS, OUTPUT_TOKENS = 7, 3
PIECES = ("Hel", "lo ", "thére.")
TEXT = "".join(PIECES)
CHAT_ID, MESSAGE_ID = "chatcmpl-1", "msg_1"


def event(data: Any, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


def is_messages(path: str) -> bool:
    return path.endswith("/messages")


def body(path: str, text: str | None = TEXT, finish: str = "stop") -> dict[str, Any]:
    """A whole answer."""
    return _message(text, finish) if is_messages(path) else _completion(text, finish)


def events(path: str, pieces: Sequence[str] = PIECES, finish: str = "stop") -> list[bytes]:
    """A streamed answer, event by event; the last ones carry the finish reason, the usage and the end."""
    return _message_events(pieces, finish) if is_messages(path) else _chunks(pieces, finish)


def error(path: str, message: str, kind: str = "server_error", **fields: Any) -> dict[str, Any]:
    """An error body."""
    inner = {"message": message, "type": kind, **fields}
    return {"type": "error", "error": inner} if is_messages(path) else {"error": inner}


def error_event(path: str, message: str, kind: str) -> bytes:
    """An error in the middle of a stream."""
    return event(error(path, message, kind), "error" if is_messages(path) else None)


def _completion(text: str | None, finish: str) -> dict[str, Any]:
    return {
        "id": CHAT_ID,
        "object": "chat.completion",
        "model": "served-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS},
    }


def _chunks(pieces: Sequence[str], finish: str) -> list[bytes]:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return event({"id": CHAT_ID, "model": "served-model", "choices": [choice]})

    usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS}
    return [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": piece}) for piece in pieces),
        chunk({}, finish),
        event({"id": CHAT_ID, "model": "served-model", "choices": [], "usage": usage}),
        event("[DONE]"),
    ]


def _message(text: str | None, finish: str) -> dict[str, Any]:
    return {
        "id": MESSAGE_ID,
        "type": "message",
        "role": "assistant",
        "model": "served-model",
        "content": [] if text is None else [{"type": "text", "text": text}],
        "stop_reason": _stop_reason(finish),
        "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS},
    }


def _message_events(pieces: Sequence[str], finish: str) -> list[bytes]:
    start = {**_message(None, finish), "stop_reason": None}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}} for piece in pieces
    ]
    end = {"type": "message_delta", "delta": {"stop_reason": _stop_reason(finish)}, "usage": {"output_tokens": 3}}
    return [
        event({"type": "message_start", "message": start}, "message_start"),
        event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        *(event(delta, "content_block_delta") for delta in deltas),
        event({"type": "content_block_stop", "index": 0}, "content_block_stop"),
        event(end, "message_delta"),
        event({"type": "message_stop"}, "message_stop"),
    ]


def _stop_reason(finish: str) -> str:
    return {"stop": "end_turn", "length": "max_tokens"}.get(finish, finish)
