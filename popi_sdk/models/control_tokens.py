"""Text that stays text: what a user writes never becomes a control token of the model's."""

from __future__ import annotations

import json
import re
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ..signals import sanitise

__all__ = ["ControlTokens", "TextEncoder"]

_MARKS = range(0xF0000, 0xFFFFE)  # private use: no standard gives them a meaning, so no template looks for one


class ControlTokens:
    """The strings that a tokenizer reads as control tokens: all its added tokens but those that are plain text.

    Some tokenizers have runs of blanks, or words, as added tokens: these are ordinary text and stay what they are.

    Args:
        tokenizer: A tokenizer of transformers.
    """

    def __init__(self, tokenizer: Any) -> None:
        added = tokenizer.added_tokens_decoder
        self.ids = {token.content: index for index, token in added.items() if _is_control(token)}
        self.unknown: int | None = getattr(tokenizer, "unk_token_id", None)
        # The longest first, as the tokenizer itself reads them.
        names = sorted(self.ids, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, names)) or r"(?!)")
        self._heads = {name[:end] for name in names for end in range(1, len(name))}
        self._tails = {name[start:] for name in names for start in range(1, len(name))}
        self._longest = max(map(len, names), default=1)

    def hide(self, texts: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """The texts with marks for their control tokens, and what each mark stands for.

        A text that begins or ends within what could be a control token is marked there too, lest it become one
        together with its neighbour.
        """
        used = set().union(*texts)
        free = (chr(code) for code in _MARKS if chr(code) not in used)
        marks: dict[str, str] = {}

        def mark(text: str) -> str:
            if text not in marks:
                marks[text] = next(free)
            return marks[text]

        hidden = [self._edges(self.pattern.sub(lambda match: mark(match.group()), text), mark) for text in texts]
        return hidden, {sign: text for text, sign in marks.items()}

    def broken(self, text: str) -> str:
        """The text with its control tokens taken apart, for tokenizers that cannot be told to read them as text."""
        if not self.pattern.search(text) and not self.pattern.search(_folded(text)):
            return text
        text = sanitise(text)
        if self.pattern.search(_folded(text)):
            text = _folded(text)
        while match := self.pattern.search(text):
            name = match.group()
            text = text[: match.start()] + (f"{name[0]} {name[1:]}" if len(name) > 1 else "?") + text[match.end() :]
        return text

    def _edges(self, text: str, mark: Any) -> str:
        start, end = len(text) - len(text.lstrip()), len(text.rstrip())  # templates trim
        reach = min(self._longest, end - start)
        if any(text[end - size : end] in self._heads for size in range(1, reach + 1)):
            text = text[: end - 1] + mark(text[end - 1]) + text[end:]
        if any(text[start : start + size] in self._tails for size in range(1, reach + 1)):
            text = text[:start] + mark(text[start]) + text[start + 1 :]
        return text


class TextEncoder:
    """A tokenizer that reads control tokens only where it is told that they are some.

    It is a copy of the fast tokenizer in which every control token has a secret name of this process: what a template
    wrote is renamed before it is read, what a user wrote is not.

    Args:
        backend: The `tokenizers.Tokenizer` behind a fast tokenizer.
        control: Its control tokens.

    Raises:
        ValueError: If there is a control token that cannot be renamed.
    """

    def __init__(self, backend: Any, control: ControlTokens) -> None:
        from tokenizers import Tokenizer

        self._control = control
        secret = secrets.token_hex(12)
        self._names = {name: f"popi{secret}n{index}z" for index, name in enumerate(control.ids)}
        data = json.loads(backend.to_str())
        data.update(truncation=None, padding=None, post_processor=None)
        for token in data["added_tokens"]:
            if token["content"] in self._names:
                if token["single_word"]:
                    raise ValueError(f"{token['content']} counts only between blanks, its secret name would not")
                token["content"] = self._names[token["content"]]
        self._copy = Tokenizer.from_str(json.dumps(data))
        self._ids = self._renumbered(backend)
        # A vocabulary that has a control token as an ordinary piece would give it for text too.
        self._leaks = set(control.ids.values()) - {control.unknown}

    def templated(self, rendered: str, marks: Mapping[str, str]) -> str:
        """What a template wrote around hidden texts, ready for `encode`."""
        named = self._control.pattern.sub(lambda match: self._names[match.group()], rendered)
        return _restored(named, marks)

    def encode(self, text: str) -> list[int] | None:
        """Token ids of a text; None if the vocabulary itself gives a control token for ordinary text."""
        found: list[int] = self._copy.encode(text, add_special_tokens=False).ids
        if any(index in self._leaks and index not in self._ids for index in found):
            return None
        return [self._ids.get(index, index) for index in found]

    def _renumbered(self, backend: Any) -> dict[int, int]:
        """Added tokens get new ids in the copy."""
        added = backend.get_added_tokens_decoder().items()
        return {self._id(self._names.get(token.content, token.content)): index for index, token in added}

    def _id(self, name: str) -> int:
        index = self._copy.token_to_id(name)
        assert index is not None, name
        return index


def _folded(text: str) -> str:
    """As tokenizers that normalise read it: full-width forms as the ASCII that they look like."""
    return unicodedata.normalize("NFKC", text)


def _restored(text: str, marks: Mapping[str, str]) -> str:
    if not marks:
        return text
    return re.sub(f"[{''.join(marks)}]", lambda match: marks[match.group()], text)


def _is_control(token: Any) -> bool:
    """Special ones are, and others that look like one: `<think>`, `[IMG]`; blanks and words are not."""
    text = token.content
    return bool(text) and (token.special or not (text.replace("▁", " ").isspace() or text.replace(" ", "").isalnum()))
