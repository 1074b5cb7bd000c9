"""`popi personalize`: one prompt, answered the way this user likes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from ..generators import as_options
from ..messages import Prompt
from ..personalizer import PersonalizedResponse, Personalizer
from ..signals import Signal
from ..summary import DEFAULT_BUDGET, ESTIMATED, PreferenceSummary
from .infer import tell_what_was_left_out
from .inputs import STDIN, ensure_models, read_prompt, read_user
from .options import (
    AsJson,
    Budget,
    GeneratorName,
    InferrerName,
    MaxRetries,
    MaxTokens,
    Quiet,
    Say,
    Seed,
    Signals,
    System,
    Temperature,
    Timeout,
)
from .output import note, waiting, warn, write, write_json, write_text

__all__ = ["personalize"]

Known = tuple[Signal, ...] | PreferenceSummary


def personalize(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What the user asks; - reads it from stdin.")],
    *,
    signals: Signals = None,
    say: Say = [],  # noqa: B006 - typer reads it, nobody writes it
    summary: Annotated[
        str | None,
        typer.Option("--summary", metavar="FILE", help="A summary from 'popi infer --json', instead of signals."),
    ] = None,
    inferrer: InferrerName = "local",
    generator: GeneratorName = "local",
    budget: Budget = DEFAULT_BUDGET,
    max_tokens: MaxTokens = 512,
    temperature: Temperature = None,
    seed: Seed = None,
    system: System = None,
    timeout: Timeout = None,
    max_retries: MaxRetries = None,
    stream: Annotated[bool, typer.Option("--stream", metavar="", help="Print the answer as it is written.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Answer a prompt the way this user likes it.

    The answer goes to stdout, and nothing else does. On a terminal, a note beside
    it shows the summary that was used and what it cost.

    Examples:
      popi personalize "What is DNS?" --say "Keep it short: one sentence."
      popi personalize "What is DNS?" --signals alice.jsonl --stream
      cat alice.jsonl | popi personalize "What is DNS?" -g openai:gpt-5-mini
      popi personalize - --signals alice.jsonl --json < question.txt | jq .text
    """
    options = as_options({"max_tokens": max_tokens, "temperature": temperature, "seed": seed})
    question = read_prompt(prompt, stdin_is_taken=_reads_stdin(signals, say, summary), system=system)
    known = read_user(signals, say, summary)
    ensure_models(generator, inferrer)
    with Personalizer(
        inferrer, generator, budget=budget, options=options, timeout=timeout, max_retries=max_retries
    ) as popi:
        if stream:
            response = _streamed(popi, known, question, as_json, quiet)
        else:
            with waiting("Answering ...", quiet=quiet):
                response = popi.personalize(known, question)
            if not as_json:
                write_text(response.text.strip())
    if as_json:
        write_json(as_dict(response), one_line=stream)
    elif response.finish_reason == "length":
        warn(f"the answer was cut at {max_tokens} tokens. For more: --max-tokens {2 * max_tokens}", quiet=quiet)
    tell_what_was_left_out(response.summary, quiet=quiet)
    note(_cost(response), quiet=quiet or as_json)


def as_dict(response: PersonalizedResponse) -> dict[str, Any]:
    """A response as JSON shows it."""
    return {
        "text": response.text,
        "summary": response.summary.model_dump(mode="json"),
        "usage": {"input_tokens": response.usage.input_tokens, "output_tokens": response.usage.output_tokens},
        "context_tokens": response.context_tokens,
        "counted_by": response.counted_by,
        "finish_reason": response.finish_reason,
        "model": response.model,
        "latency": round(response.latency, 3),
    }


def _streamed(popi: Personalizer, known: Known, question: Prompt, as_json: bool, quiet: bool) -> PersonalizedResponse:
    with waiting("Answering ...", quiet=quiet):
        pieces = popi.stream(known, question)
        first = next(pieces, "")
    with pieces, _shown(as_json) as show:
        show(first)
        for piece in pieces:
            show(piece)
    return pieces.result


@contextmanager
def _shown(as_json: bool) -> Iterator[Callable[[str], None]]:
    """Print pieces as they come. As text, white space waits for what follows it, so none stands at either end."""
    if as_json:
        yield lambda piece: write_json({"piece": piece}, one_line=True)
        return
    held = None

    def show(piece: str) -> None:
        nonlocal held
        text = piece.lstrip() if held is None else held + piece
        body = text.rstrip()
        if body:
            held = text[len(body) :]
            write(body)
        elif held is not None:
            held = text

    try:
        yield show
    finally:
        write("\n")


def _reads_stdin(signals: str | None, say: list[str], summary: str | None) -> bool:
    if summary is not None:
        return summary == STDIN
    return signals == STDIN or (signals is None and not say)


def _cost(response: PersonalizedResponse) -> str:
    unit = "bytes at most" if response.counted_by == ESTIMATED else "tokens"
    used = response.usage
    counts = "" if used.input_tokens is None else f"{used.input_tokens} tokens in, {used.output_tokens} out. "
    return (
        f"\nSummary: {response.summary.text}\n"
        f"It added {response.context_tokens} {unit} to the prompt. {counts}{response.model}, {response.latency:.1f} s."
    )
