"""`popi eval`: what personalisation gains, what it costs, whether it is personal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ..errors import UsageError, needs_extra
from ..summary import DEFAULT_BUDGET
from .options import AsJson, Quiet
from .output import screen, write_json
from .progress import steps

if TYPE_CHECKING:
    from ..evals import Comparison, Results

__all__ = ["evaluate"]

_DEFAULT_METHODS = ["none", "raw", "heuristic", "prompted", "gold"]


def evaluate(
    *,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="A JSON Lines file of users with held-out pairs (.gz too), a folder with one, styleworld, tinyworld, "
            "or a benchmark of the paper: elix, review, roleplay, alignx (NAME@PATH for a local copy).",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="DIR", help="A new folder for the results.", show_default=False),
    ] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="Which users.")] = "dev",
    method: Annotated[
        list[str],
        typer.Option(
            "--method",
            "-m",
            metavar="NAME",
            help="A row to measure; may be repeated: none, raw, heuristic, prompted, gold, or NAME=DIR for a trained "
            "model. Every summary row brings its control, another user's summary.",
            show_default="all that need no training",
        ),
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Who reads the contexts: a hub id, a folder, a .gguf file.",
            show_default="SmolLM2-135M-Instruct",
        ),
    ] = None,
    reader: Annotated[
        list[str],
        typer.Option(
            metavar="MODEL",
            help="A further model that reads the same summaries: do they transfer? May be repeated.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Most users, chosen by the seed.", show_default="all")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of users, donors and intervals.")] = 0,
    budget: Annotated[
        int, typer.Option("--budget", "-b", min=1, metavar="TOKENS", help="Most tokens of a summary.")
    ] = (DEFAULT_BUDGET),
    raw_budget: Annotated[
        int, typer.Option(min=1, metavar="TOKENS", help="Most tokens of signals that a model is shown.")
    ] = 1_024,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="Of the weights: float32, bfloat16, float16.")] = "float32",
    device: Annotated[str, typer.Option(metavar="NAME", help="Where to compute: auto, cpu, cuda, mps.")] = "auto",
    skip_faults: Annotated[
        bool, typer.Option("--skip-faults", help="Leave out users that cannot be measured with, and count them.")
    ] = False,
    over_personalisation: Annotated[
        bool,
        typer.Option(
            "--over-personalisation", help="Also run tasks with one right answer, with and without a summary."
        ),
    ] = False,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="BACKEND",
            help="Also let a strong model judge personalised against plain answers, for example openai:gpt-5.",
            show_default=False,
        ),
    ] = None,
    no_examples: Annotated[
        bool,
        typer.Option("--no-examples", help="Show no summary on the page: for reports that others see."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped, or add rows to it.")
    ] = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="DIR DIR", help="Measure nothing: compare two runs on the same pairs.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure what personalisation gains, what it costs, and whether it is personal.

    Every row scores the same held-out pairs of the same users: how often does the
    model favour what the user chose, compared with itself without a context?

    Examples:
      popi eval styleworld --limit 50 --output runs/first
      popi eval users.jsonl --method raw --method heuristic -o runs/mine
      popi eval styleworld --method joint=my-popi --reader gpt2 -o runs/joint
      popi eval --compare runs/first runs/second

    The folder then holds report.html (look at this), report.md, results.json,
    and every item in items.jsonl.
    """
    if compare is not None:
        if data is not None or output is not None:
            raise UsageError("--compare measures nothing: leave out DATA and --output.")
        _compare(*compare, as_json=as_json)
        return
    if data is None or output is None:
        raise UsageError(
            "Name what is to be measured and where the results go, for example: popi eval styleworld --limit 50 -o DIR"
        )
    with needs_extra("eval"):
        from .. import evals
    config = evals.as_config(
        data=data,
        split=split,
        methods=tuple(method or _DEFAULT_METHODS),
        model=model,
        readers=tuple(reader),
        limit=limit,
        seed=seed,
        budget=budget,
        raw_budget=raw_budget,
        dtype=dtype,
        device=device,
        skip_faults=skip_faults,
        over_personalisation=over_personalisation,
        judge=judge,
    )
    with steps(quiet=quiet) as progress:
        evals.evaluate(config, output, resume=resume, progress=progress)
        progress("writing the report", 0, 0)
        results = evals.write_report(output, examples=not no_examples)
    if as_json:
        write_json(evals.to_json(results))
        return
    _show(results, Path(output))


def _show(results: Results, folder: Path) -> None:
    from ..evals.report.sentences import findings, remarks

    console = screen()
    for finding in findings(results):
        console.print(
            Text.assemble((finding.question, "bold"), " ", finding.sentence.replace("`", "")), soft_wrap=False
        )
    console.print(_table(results))
    for remark in remarks(results):
        console.print(Text(remark.replace("`", ""), style="dim"))
    console.print(Text.assemble("Look at ", (str(folder / "report.html"), "bold")))


def _table(results: Results) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    readers = len({row.reader for row in results.rows}) > 1
    for name in [*(["reader"] if readers else []), "row", "accuracy %", "own minus shuffled", "context tokens"]:
        table.add_column(name, justify="left")
    for row in results.rows:
        personal = row.personal.points() if row.personal else ""
        cells = [row.row, row.accuracy.percent(), personal, f"{row.context_tokens.mean:.0f}"]
        table.add_row(*[*([row.reader] if readers else []), *cells], style="dim" if row.shuffled else None)
    return table


def _compare(first: str, second: str, *, as_json: bool) -> None:
    with needs_extra("eval"):
        from .. import evals
    compared = evals.compare_runs(first, second)
    if as_json:
        write_json([_as_values(one) for one in compared])
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("reader", "row", first, second, "difference, points"):
        table.add_column(name, overflow="fold")
    for one in compared:
        points = one.difference.points()
        sure = one.difference.excludes(0.0)
        table.add_row(
            one.reader,
            one.row,
            one.first.percent(),
            one.second.percent(),
            Text(points, style="bold" if sure else "dim"),
        )
    console = screen()
    console.print(table)
    console.print(Text("Bold: the interval excludes 0.", style="dim"))


def _as_values(comparison: Comparison) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(comparison)
