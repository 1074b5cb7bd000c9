"""Chats as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..messages import Message

__all__ = ["ChatEncoder"]


class ChatEncoder:
    """First cut: the tokenizer's own rendering."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return self.encode_text(text)

    def encode_text(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def encode_response(self, text: str) -> list[int]:
        return [*self.encode_text(text), self.tokenizer.eos_token_id]
