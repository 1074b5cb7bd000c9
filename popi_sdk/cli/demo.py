"""`popi demo`: two users, one prompt, side by side."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..personalizer import Personalizer
from ..signals import Signal, read_signals
from .comparison import compare
from .demo_screen import comparison_screen
from .inputs import STDIN, ensure_models, signals_from
from .options import AsJson, GeneratorName, InferrerName, MaxTokens
from .output import screen, waiting, write_json
from .picture import save_svg

__all__ = ["demo"]

PROMPT = "What is GPS?"

User = tuple[str, tuple[Signal, ...]]


def demo(
    prompt: Annotated[str, typer.Argument(metavar="[PROMPT]", help="What both users ask.")] = PROMPT,
    *,
    signals: Annotated[
        list[str],
        typer.Option(
            "--signals",
            "-s",
            metavar="FILE",
            help="Signals of your own two users, JSON Lines: give it twice.",
            show_default="two users that come with popi",
        ),
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    inferrer: InferrerName = "local",
    generator: GeneratorName = "local",
    max_tokens: MaxTokens = 256,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="Longest wait for one answer.")
    ] = 300.0,
    as_json: AsJson = False,
    svg: Annotated[Path | None, typer.Option("--svg", hidden=True, help="Also write the screen as a picture.")] = None,
) -> None:
    """See what personalisation does: two users, one question.

    Two users left nine signals each: one likes it short and plain, the other long
    and precise. Both ask the same. You see the plain answer, what was inferred of
    each user, the answers they get, and what that costs in tokens.

    Examples:
      popi demo
      popi demo "What is a firewall?"
      popi demo --generator openai:gpt-5-mini
      popi demo --signals alice.jsonl --signals bob.jsonl
    """
    users = _users(signals)
    ensure_models(generator, inferrer)
    options = {"max_tokens": max_tokens}
    with (
        Personalizer(inferrer, generator, options=options, timeout=timeout) as popi,
        waiting("Loading the model ...") as tell,
    ):
        comparison = compare(popi, prompt, users, tell)
    if svg is not None:
        save_svg(comparison_screen(comparison, 110), svg, title="popi demo")  # --svg docs/assets/demo.svg: the README's
    if as_json:
        write_json(comparison.as_dict())
    else:
        console = screen()
        console.print(comparison_screen(comparison, console.width))


def _users(sources: list[str]) -> list[User]:
    if not sources:
        return [_built_in("short"), _built_in("long")]
    if len(sources) != 2 or sources.count(STDIN) > 1:
        raise UsageError("Two users are compared: give --signals twice, each with a file of its own.")
    names = ["stdin" if source == STDIN else Path(source).stem for source in sources]
    if names[0] == names[1]:
        names = [f"{name} ({letter})" for name, letter in zip(names, "AB", strict=True)]
    return [(name, signals_from(source)) for name, source in zip(names, sources, strict=True)]


def _built_in(name: str) -> User:
    with (files(__package__) / "data" / f"{name}.jsonl").open("rb") as file:
        return name, read_signals(file)
