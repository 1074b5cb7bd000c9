"""Chats as the token ids that a model was trained to read: its own template, with the users' texts as text."""

from __future__ import annotations

import datetime
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigurationError
from ..messages import Message
from .control_tokens import ControlTokens, TextEncoder

__all__ = ["PLAIN_TEMPLATE", "ChatEncoder"]

PLAIN_TEMPLATE = (
    "{% if starts %}{{ bos_token }}{% endif %}{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'] | capitalize }}: {% endif %}{{ message['content'] }}\n\n"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""For models without a chat template: `User: ...`, blank line, `Assistant: ...`; the system prompt stands bare."""

_TODAY = datetime.date(2024, 7, 26)
"""What a template that asks for the date gets (Llama 3.2's own default): a prompt must not change over night."""

_NOW = re.compile(r"""strftime_now\(\s*(?P<quote>["'])(?P<format>[^"']*)(?P=quote)\s*\)""")

_PROBE = "What is a firewall? It has 2 parts."
_ANSWER = "It decides which traffic may pass."


class ChatEncoder:
    """The chat template of a model with its tokenizer.

    Ordinary text gives the ids of the tokenizer's own `apply_chat_template`. A control token that stands in a message
    (`<|im_end|>`, `<think>`) is read as the characters it is written with, never as the token. A model whose template
    takes no system prompt gets it at the head of the first user message.

    Args:
        tokenizer: A tokenizer of transformers.
        name: The model, for errors.

    Attributes:
        plain: Whether the model has no template of its own, so that `PLAIN_TEMPLATE` is used.
        end_ids: The tokens that end the assistant's turn.
        stop: Texts that end it where no token does: the next turn of the plain format.
        lead: A blank, where the template writes one between prompt and answer.
        exact: Whether control tokens in messages are read as their own characters; otherwise, for a tokenizer that
            allows no better, they are taken apart (`(im_end)`) before.
    """

    def __init__(self, tokenizer: Any, name: str = "the model") -> None:
        self._tokenizer = tokenizer
        self._name = name
        self._lock = threading.Lock()
        self._control = ControlTokens(tokenizer)
        self.plain = not getattr(tokenizer, "chat_template", None)
        self.stop = ("\n\nUser:",) if self.plain else ()
        self._template = PLAIN_TEMPLATE if self.plain else _undated(tokenizer.get_chat_template())
        self._starts = self.plain and _adds_bos(tokenizer)
        self._texts = self._text_encoder()
        self._context, self.lead, self._tail = self._turn()
        self._context_ids = self._encode(self._context, "")
        self.end_ids = self._end_ids()

    @property
    def exact(self) -> bool:
        return self._texts is not None

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat, up to where the assistant's answer begins.

        Raises:
            ConfigurationError: If the model's template refuses the order of the messages.
        """
        contents = [_encodable(message["content"]) for message in messages]
        roles = [message["role"] for message in messages]
        if self._texts is not None:
            hidden, marks = self._control.hide(contents)
            ids = self._texts.encode(self._texts.templated(self._rendered(roles, hidden), marks))
            if ids is not None:
                return ids
        return self._own(self._rendered(roles, [self._control.broken(text) for text in contents]))

    def encode_response(self, text: str) -> list[int]:
        """Token ids of an answer as they follow the prompt, with the token that ends the assistant's turn."""
        text = self.lead + _encodable(text)
        joined = self._encode(self._context, text, self._tail)
        if joined[: len(self._context_ids)] == self._context_ids:
            ids = joined[len(self._context_ids) :]
        else:  # the answer begins with what the end of the prompt would take in, as a line break does
            ids = self._encode("", text, self._tail)
        return ids if self._tail else [*ids, *self.end_ids]

    def encode_text(self, text: str) -> list[int]:
        """Token ids of a text alone."""
        return self._encode("", _encodable(text))

    def _text_encoder(self) -> TextEncoder | None:
        """None for a tokenizer that is not a fast one, or where the copy does not read as the tokenizer does."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        try:
            texts = TextEncoder(backend, self._control)
        except ValueError:
            return None
        rendered = self._rendered(["user"], [_PROBE])
        chat, text = texts.encode(texts.templated(rendered, {})), texts.encode(_PROBE)
        return texts if chat == self._own(rendered) and text == self._own(_PROBE) else None

    def _encode(self, before: str, text: str, after: str = "") -> list[int]:
        """Ids of a user's text between pieces of the template."""
        if self._texts is not None:
            ids = self._texts.encode(self._texts.templated(before, {}) + text + self._texts.templated(after, {}))
            if ids is not None:
                return ids
        return self._own(before + self._control.broken(text) + after)

    def _own(self, text: str) -> list[int]:
        with self._lock:  # a fast tokenizer refuses to be asked from two threads at once
            return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _turn(self) -> tuple[str, str, str]:
        """A prompt, and what the template writes between it and an answer, and after that up to the end token."""
        context = self._rendered(["user"], [_PROBE])
        try:
            whole = self._render(_messages(["user", "assistant"], [_PROBE, _ANSWER]), prompt=False)
        except _refusals():
            whole = ""
        head, found, rest = whole.rpartition(_ANSWER)
        if not found:
            return context, "", ""
        between = head.removeprefix(context) if head.startswith(context) else ""
        end = self._control.pattern.search(rest)
        tail = rest[: end.end()] if end and not rest[: end.start()].strip() else ""
        return context, between if between.isspace() else "", tail

    def _end_ids(self) -> tuple[int, ...]:
        if end := self._control.pattern.search(self._tail):
            return (self._control.ids[end.group()],)
        eos = self._tokenizer.eos_token_id
        return () if eos is None else (eos,)

    def _rendered(self, roles: Sequence[str], contents: Sequence[str]) -> str:
        """The chat as text: as it is; else without system messages and with turns that alternate.

        Preferred is a rendering that left nothing out: some templates drop a system message and say nothing.
        """
        messages = _messages(self._known(roles), contents)
        texts: list[str] = []
        for way in (messages, _folded(messages)):
            try:
                texts.append(self._render(way))
            except _refusals() as error:
                refusal = error
                continue
            if all(message["content"].strip() in texts[-1] for message in way if message["role"] != "assistant"):
                return texts[-1]
        if texts:
            return texts[0]
        raise ConfigurationError(
            f"The chat template of {self._name} refuses these messages ({', '.join(roles)}): {refusal}. "
            "Begin with a system or a user message, then let user and assistant alternate."
        ) from refusal

    def _known(self, roles: Sequence[str]) -> list[str]:
        """Roles that few templates have, by the nearest that all have."""
        other = {name: near for name, near in _NEAREST.items() if self.plain or name not in self._template}
        return [other.get(role, role) for role in roles]

    def _render(self, messages: list[Message], *, prompt: bool = True) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                messages,
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=prompt,
                starts=self._starts,
            )
        )


_NEAREST: Mapping[str, str] = {"developer": "system", "tool": "user"}


def _folded(messages: Sequence[Message]) -> list[Message]:
    """System messages at the head of the user message that follows, neighbours of one role as one message."""
    turns: list[tuple[str, list[str]]] = []
    waiting: list[str] = []
    for message in messages:
        role, parts = message["role"], [message["content"]]
        if role == "system":
            waiting += parts
            continue
        if role == "user":
            parts, waiting = waiting + parts, []
        _add(turns, role, parts)
    if waiting:
        _add(turns, "user", waiting)
    return [Message(role=role, content="\n\n".join(parts)) for role, parts in turns]


def _add(turns: list[tuple[str, list[str]]], role: str, parts: list[str]) -> None:
    if turns and turns[-1][0] == role:
        turns[-1][1].extend(parts)
    else:
        turns.append((role, parts))


def _messages(roles: Sequence[str], contents: Sequence[str]) -> list[Message]:
    return [Message(role=role, content=content) for role, content in zip(roles, contents, strict=True)]


def _refusals() -> tuple[type[Exception], ...]:
    """How a template says no: on purpose, or by stumbling over what it did not expect."""
    from jinja2 import TemplateError

    return (TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError)


def _undated(template: str) -> str:
    """The template with one day for every day."""
    return _NOW.sub(lambda call: repr(_TODAY.strftime(call["format"])), template)


def _adds_bos(tokenizer: Any) -> bool:
    bos = getattr(tokenizer, "bos_token_id", None)
    return bos is not None and list(tokenizer("a")["input_ids"])[:1] == [bos]


def _encodable(text: str) -> str:
    """Half of a surrogate pair is no text that a tokenizer takes."""
    return text.encode("utf-8", "replace").decode("utf-8")
