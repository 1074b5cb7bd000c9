"""`popi infer`: what the signals say about the user, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UsageError
from ..personalizer import Personalizer
from ..signals import Signal
from ..summary import DEFAULT_BUDGET, PreferenceSummary
from .inputs import ensure_models, read_user
from .options import AsJson, Budget, InferrerName, MaxRetries, Quiet, Say, Signals, Timeout
from .output import note, screen, waiting, warn, write_json, write_text
from .screens import explanation

__all__ = ["infer", "tell_what_was_left_out"]


def infer(
    *,
    signals: Signals = None,
    say: Say = [],  # noqa: B006 - typer reads it, nobody writes it
    inferrer: InferrerName = "local",
    generator: Annotated[
        str,
        typer.Option(
            "--generator", "-g", metavar="BACKEND", help="Who will read the summary: its tokenizer counts the budget."
        ),
    ] = "local",
    budget: Budget = DEFAULT_BUDGET,
    timeout: Timeout = None,
    max_retries: MaxRetries = None,
    explain: Annotated[
        bool, typer.Option("--explain", metavar="", help="Show which signals each sentence rests on.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Summarise what a user likes, from what they left behind.

    Signals are JSON Lines, one object a line:
      {"prompt": "Is DNS hard?", "chosen": "No.", "rejected": "It depends ..."}
      {"before": "It is not advisable to wait.", "after": "Don't wait."}
      {"text": "Doesn't matter.", "score": 5, "scale": [1, 5]}
      {"messages": [{"role": "user", "content": "Shorter, please."}]}
      {"question": "Which tone do you like?", "answer": "Casual."}
      {"attributes": {"occupation": "nurse"}}
      {"kind": "writing", "text": "hey, running late"}
      {"kind": "statement", "text": "No jargon, please."}

    Examples:
      popi infer --signals alice.jsonl --explain
      popi infer --signals alice.jsonl --inferrer openai:gpt-5-mini
      popi infer --signals alice.jsonl --json > alice.json
      popi personalize "What is DNS?" --summary alice.json
    """
    if explain and as_json:
        raise UsageError("--json has the signals behind each sentence already: leave out --explain.")
    known = read_user(signals, say)
    assert not isinstance(known, PreferenceSummary)
    ensure_models(generator, inferrer)
    with (
        Personalizer(inferrer, generator, budget=budget, timeout=timeout, max_retries=max_retries) as popi,
        waiting("Reading the signals ...", quiet=quiet),
    ):
        summary = popi.infer(known)
    if as_json:
        write_json(summary.model_dump(mode="json"))
    elif explain:
        screen().print(explanation(summary, known))
    else:
        write_text(summary.text)
    tell_what_was_left_out(summary, quiet=quiet)
    note(_origin(summary, known), quiet=quiet or as_json)


def tell_what_was_left_out(summary: PreferenceSummary, *, quiet: bool) -> None:
    """Say on stderr what the inferrer did not see: a summary must not look as if it rested on more than it does."""
    if summary.signals_used < summary.signals_total:
        warn(f"the summary rests on {summary.signals_used} of {summary.signals_total} signals.", quiet=quiet)
    if summary.signals_shortened:
        warn(f"of {summary.signals_shortened} long signals a part was read.", quiet=quiet)


def _origin(summary: PreferenceSummary, signals: tuple[Signal, ...]) -> str:
    unit = "bytes at most" if summary.estimated else "tokens"
    plural = "" if len(signals) == 1 else "s"
    return f"\n{summary.tokens} {unit} of {summary.budget}, from {len(signals)} signal{plural}, by {summary.inferrer}."
