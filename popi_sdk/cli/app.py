"""The application: its commands, and what each kind of failure ends in."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import typer
from rich.markup import escape
from typer.core import TyperGroup

from ..errors import BackendError, PopiError
from .demo import demo
from .doctor import doctor
from .eval import evaluate
from .infer import infer
from .output import prepare_streams, report_error, silence_stdout
from .personalize import personalize
from .pull import pull
from .train import train

__all__ = ["create_app", "run"]

USAGE, BACKEND, INTERRUPTED, CLOSED_PIPE = 2, 3, 130, 141
"""Exit codes beside 0 (done) and 1 (a bug). The last two are what a shell reports for SIGINT and SIGPIPE."""

_HELP = """Any language model, answering the way this user likes it.

What a user left behind (chosen and rejected answers, edits, ratings, plain
statements) becomes a short summary of their preferences, and the summary goes
along with every prompt. By default all of it happens on this machine: no key,
no server.

Try it:
  popi demo
  popi personalize "What is DNS?" --say "Keep it short: one sentence."

With what a user left behind, one JSON object a line:
  popi infer --signals alice.jsonl --explain
  popi personalize "What is DNS?" --signals alice.jsonl
  popi personalize "What is DNS?" --signals alice.jsonl -g openai:gpt-5-mini

What does it gain, and what does it cost? (all users and all rows take far longer)
  popi eval styleworld --limit 3 --method heuristic --output runs/first

Something does not work?
  popi doctor

Exit codes: 0 done, 1 a bug, 2 wrong input, 3 backend failed, 130 interrupted."""


_COMMANDS: dict[str, Callable[..., None]] = {
    "personalize": personalize,
    "infer": infer,
    "eval": evaluate,
    "train": train,
    "demo": demo,
    "pull": pull,
    "doctor": doctor,
}


class _Commands(TyperGroup):
    """Turns what a command raises into one message and an exit code; what nobody foresaw keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except PopiError as error:
            report_error(error)
            raise typer.Exit(BACKEND if isinstance(error, BackendError) else USAGE) from error
        except BrokenPipeError as error:
            silence_stdout()
            raise typer.Exit(CLOSED_PIPE) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(INTERRUPTED) from error


def create_app() -> typer.Typer:
    """The application with all its commands."""
    app = typer.Typer(
        cls=_Commands,
        help=_as_markup(_HELP),
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_common)
    for name, command in _COMMANDS.items():
        app.command(
            name, help=_as_markup(command.__doc__ or ""), no_args_is_help=command in (personalize, evaluate, train)
        )(command)
    return app


def run(args: Sequence[str]) -> NoReturn:
    """Run the application on arguments and exit."""
    prepare_streams()
    sys.exit(typer.main.get_command(create_app())(args=list(args), prog_name="popi"))


def _as_markup(text: str) -> str:
    """Help as rich reads it: nothing dimmed, and bold what an indented block is headed by."""
    first, *others = inspect.cleandoc(text).split("\n\n")
    blocks = []
    for block in map(escape, others):
        head, end, rest = block.partition("\n")
        blocks.append(f"[bold]{head}[/bold]{end}{rest}" if rest.startswith("  ") else block)
    return "\n\n".join([escape(first), *(f"[not dim]{block}[/not dim]" for block in blocks)])


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"popi-sdk {__version__}")
        raise typer.Exit


def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """See `_HELP`."""
