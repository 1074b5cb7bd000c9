"""Templates to text: jinja2 with undefined names as errors, and every foreign line quoted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ..messages import Message, Prompt, as_messages
from ..signals import Dialogue, DialogueMessage, Signal, sanitise
from ..summary import PreferenceSummary, TokenCounter, digest
from .select import Selection, select_signals

if TYPE_CHECKING:
    import jinja2

__all__ = [
    "TEXT_LIMIT",
    "render_infer",
    "render_judge",
    "render_plain",
    "render_signal",
    "render_with_signals",
    "render_with_summary",
    "select",
    "template_digest",
]

TEXT_LIMIT = 4_000
"""Characters of one text of a signal that are shown to a model; what is cut is marked where it was cut."""


def render_signal(signal: Signal, limit: int = TEXT_LIMIT) -> str:
    """One signal as a model reads it: sanitised, each of its texts at most `limit` characters, quoted line by line."""
    return _template("signal").render(item=signal, limit=limit)


def select(signals: Sequence[Signal], budget: int, counter: TokenCounter) -> Selection:
    """The signals that go into a prompt, rendered; see `select_signals`."""
    return select_signals(signals, budget, counter, render=render_signal, longest=TEXT_LIMIT)


def render_infer(selection: Selection, *, words: int) -> list[Message]:
    """The request for a summary.

    Args:
        selection: What the model may see.
        words: How long the summary should be; the budget is enforced afterwards.
    """
    text = _template("infer").render(signals=selection.text, left_out=selection.left_out, words=words)
    return [Message(role="user", content=text)]


def render_with_summary(prompt: Prompt, summary: PreferenceSummary | str) -> list[Message]:
    """The prompt with a summary: it stands, quoted, behind the last user message; history and system prompt stay.

    The prompt stands first, so requests that differ in the summary alone share its computation.
    """
    text = summary if isinstance(summary, str) else summary.text
    return _render_last("answer_summary", prompt, summary=text)


def render_with_signals(prompt: Prompt, selection: Selection) -> list[Message]:
    """The prompt with the raw signals: the baseline that a summary has to beat."""
    return _render_last("answer_signals", prompt, signals=selection.text)


def render_plain(prompt: Prompt) -> list[Message]:
    """The prompt alone."""
    return _render_last("plain", prompt)


def render_judge(
    preferences: str, prompt: Prompt, first: str, second: str, *, limit: int = TEXT_LIMIT
) -> list[Message]:
    """The question which of two answers suits a user better; every text in it is quoted, so none can ask for itself.

    Args:
        preferences: The user's gold description, or a summary.
        prompt: What was asked; of several messages each stands with its role.
        first: Answer A.
        second: Answer B.
        limit: Most characters that are shown of each text.
    """
    turns = as_messages(prompt)
    lines = [turn["content"] if len(turns) == 1 else f"{turn['role']}: {turn['content']}" for turn in turns]
    asked = "\n".join(lines)
    text = _template("judge").render(preferences=preferences, prompt=asked, first=first, second=second, limit=limit)
    return [Message(role="user", content=text)]


def template_digest(name: str) -> str:
    """Digest of a template's source (and of the signals' own), for cache keys: a changed template is a new summary."""
    return digest(*(_source(part) for part in (name, "signals")))[:16]


def _render_last(name: str, prompt: Prompt, **context: Any) -> list[Message]:
    messages = as_messages(prompt)
    at = max(index for index, message in enumerate(messages) if message["role"] == "user")
    text = _template(name).render(prompt=messages[at]["content"], **context)
    return [*messages[:at], Message(role="user", content=text), *messages[at + 1 :]]


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("popi_sdk.prompts"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # the output is a prompt, not HTML
        trim_blocks=False,
    )
    environment.filters |= {"quote": _quote, "last_turns": _last_turns}
    return environment


def _template(name: str) -> jinja2.Template:
    return _environment().get_template(f"{name}.jinja")


def _source(name: str) -> str:
    from importlib.resources import files

    return (files("popi_sdk.prompts") / "templates" / f"{name}.jinja").read_text(encoding="utf-8")


def _quote(text: Any, limit: int | None = None) -> str:
    lines = sanitise(str(text), limit=limit).strip().split("\n")
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _last_turns(dialogue: Dialogue, most: int) -> tuple[DialogueMessage, ...]:
    """The last turns up to the user's own last word, which is what a dialogue is read for."""
    end = len(dialogue.messages)
    if end <= most:
        return dialogue.messages
    spoken = max(at for at, turn in enumerate(dialogue.messages) if turn.role == "user" and turn.content.strip())
    end = max(spoken + 1, min(end, spoken + most))
    return dialogue.messages[max(end - most, 0) : end]
