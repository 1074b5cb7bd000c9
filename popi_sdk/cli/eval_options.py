"""The options of `popi eval`, in the order in which `--help` shows them."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

__all__ = [
    "Budget",
    "Compare",
    "Data",
    "Device",
    "Dtype",
    "Judge",
    "Limit",
    "Methods",
    "Model",
    "NoExamples",
    "Output",
    "OverPersonalisation",
    "RawBudget",
    "Readers",
    "Seed",
    "SkipFaults",
    "Split",
]

Data: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help="A JSON Lines file of users with held-out pairs (.gz too), a folder with one, styleworld, tinyworld, "
        "or a benchmark of the paper: elix, review, roleplay, alignx (NAME@PATH for a local copy).",
        show_default=False,
    ),
]
Output: TypeAlias = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="DIR", help="A new folder for the results.", show_default=False),
]
Split: TypeAlias = Annotated[str, typer.Option(metavar="NAME", help="Which users.")]
Methods: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--method",
        "-m",
        metavar="NAME",
        help="A row to measure; may be repeated: none, raw, heuristic, prompted, gold, or NAME=DIR for a trained "
        "model. Every summary row brings its control, another user's summary.",
        show_default="all that need no training",
    ),
]
Model: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Who reads the contexts: a hub id, a folder, a .gguf file.",
        show_default="SmolLM2-135M-Instruct",
    ),
]
Readers: TypeAlias = Annotated[
    list[str],
    typer.Option(
        metavar="MODEL",
        help="A further model that reads the same summaries: do they transfer? May be repeated.",
        show_default=False,
    ),
]
Limit: TypeAlias = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Most users, chosen by the seed.", show_default="all")
]
Seed: TypeAlias = Annotated[int, typer.Option(min=0, metavar="N", help="Of users, donors and intervals.")]
Budget: TypeAlias = Annotated[
    int, typer.Option("--budget", "-b", min=1, metavar="TOKENS", help="Most tokens of a summary.")
]
RawBudget: TypeAlias = Annotated[
    int, typer.Option(min=1, metavar="TOKENS", help="Most tokens of signals that a model is shown.")
]
Dtype: TypeAlias = Annotated[str, typer.Option(metavar="TYPE", help="Of the weights: float32, bfloat16, float16.")]
Device: TypeAlias = Annotated[str, typer.Option(metavar="NAME", help="Where to compute: auto, cpu, cuda, mps.")]
SkipFaults: TypeAlias = Annotated[
    bool,
    typer.Option("--skip-faults", metavar="", help="Leave out users that cannot be measured with, and count them."),
]
OverPersonalisation: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--over-personalisation", metavar="", help="Also run tasks with one right answer, with and without a summary."
    ),
]
Judge: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="BACKEND",
        help="Also let a strong model judge personalised against plain answers, for example openai:gpt-5.",
        show_default=False,
    ),
]
NoExamples: TypeAlias = Annotated[
    bool,
    typer.Option("--no-examples", metavar="", help="Show no summary on the page: for reports that others see."),
]
Compare: TypeAlias = Annotated[
    tuple[str, str] | None,
    typer.Option(metavar="DIR DIR", help="Measure nothing: compare two runs on the same pairs.", show_default=False),
]
