"""Options that several commands share: said once, explained once."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

__all__ = [
    "AsJson",
    "Budget",
    "GeneratorName",
    "InferrerName",
    "MaxRetries",
    "MaxTokens",
    "Quiet",
    "Resume",
    "Say",
    "Seed",
    "Signals",
    "System",
    "Temperature",
    "Timeout",
]

Signals: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--signals",
        "-s",
        metavar="FILE",
        help="What the user left behind: JSON Lines, one signal a line; - is stdin.",
        show_default="-, unless --say is given",
    ),
]
Say: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--say", metavar="TEXT", help="What the user said about answers; may be repeated.", show_default=False
    ),
]
InferrerName: TypeAlias = Annotated[
    str,
    typer.Option(
        "--inferrer",
        "-i",
        metavar="NAME",
        help="Who writes the summary: local (fixed rules, no model, also called heuristic), trained:DIR, or a backend "
        "as for --generator.",
    ),
]
GeneratorName: TypeAlias = Annotated[
    str,
    typer.Option(
        "--generator",
        "-g",
        metavar="BACKEND",
        help="Who answers: local (a small model in this process), llamacpp:PATH.gguf, hf:ID_OR_PATH, openai:MODEL, "
        "anthropic:MODEL, compatible:MODEL@URL.",
    ),
]
Budget: TypeAlias = Annotated[
    int,
    typer.Option(
        "--budget", "-b", min=1, metavar="TOKENS", help="Most tokens of the summary, counted for --generator."
    ),
]
MaxTokens: TypeAlias = Annotated[
    int, typer.Option("--max-tokens", min=1, metavar="TOKENS", help="Most tokens of an answer.")
]
Temperature: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="0..2", help="0 always takes the likeliest word.", show_default="0 for local"),
]
Seed: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", help="Makes sampling repeatable, where the backend has it.", show_default="none"),
]
System: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="A system prompt that stands before the prompt.", show_default="none"),
]
Timeout: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        help="Longest wait for one try of a request.",
        show_default="POPI_TIMEOUT, or 60",
    ),
]
MaxRetries: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--max-retries",
        metavar="N",
        help="Further tries when a server fails or is busy.",
        show_default="POPI_MAX_RETRIES, or 2",
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON, for programs.")]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", metavar="", help="Print the result only: no notes, no progress.")
]
Resume: TypeAlias = Annotated[bool, typer.Option("--resume", metavar="", help="Go on with a run that was stopped.")]
