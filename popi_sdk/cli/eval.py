"""`popi eval`: what personalisation gains, what it costs, whether it is personal."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError, needs_extra
from ..summary import DEFAULT_BUDGET
from .eval_options import (
    Budget,
    Compare,
    Data,
    Device,
    Dtype,
    Judge,
    Limit,
    Methods,
    Model,
    NoExamples,
    Output,
    OverPersonalisation,
    RawBudget,
    Readers,
    Seed,
    SkipFaults,
    Split,
)
from .eval_screen import show_comparison, show_results
from .options import AsJson, Quiet, Resume
from .output import write_json
from .progress import steps

if TYPE_CHECKING:
    from ..evals import EvalConfig

__all__ = ["evaluate"]

_DEFAULT_METHODS = ["none", "raw", "heuristic", "prompted", "gold"]


def evaluate(
    *,
    data: Data = None,
    output: Output = None,
    split: Split = "dev",
    method: Methods = [],  # noqa: B006 - typer reads it, nobody writes it
    model: Model = None,
    reader: Readers = [],  # noqa: B006 - typer reads it, nobody writes it
    limit: Limit = None,
    seed: Seed = 0,
    budget: Budget = DEFAULT_BUDGET,
    raw_budget: RawBudget = 1_024,
    dtype: Dtype = "float32",
    device: Device = "auto",
    skip_faults: SkipFaults = False,
    over_personalisation: OverPersonalisation = False,
    judge: Judge = None,
    no_examples: NoExamples = False,
    resume: Resume = False,
    compare: Compare = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure what personalisation gains, what it costs, and whether it is personal.

    Every row scores the same held-out pairs of the same users: how often does the
    model favour what the user chose, compared with itself without a context?

    Examples:
      popi eval styleworld --limit 3 --method heuristic -o runs/quick
      popi eval styleworld --limit 50 --output runs/first
      popi eval users.jsonl --method raw --method heuristic -o runs/mine
      popi eval styleworld --method joint=my-popi --reader gpt2 -o runs/joint
      popi eval --compare runs/first runs/second

    The folder then holds report.html (look at this), report.md, results.json,
    and every item in items.jsonl. --resume also adds rows to a run that is done.
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
    _measure(config, output, resume=resume, examples=not no_examples, as_json=as_json, quiet=quiet)


def _measure(config: EvalConfig, folder: str, *, resume: bool, examples: bool, as_json: bool, quiet: bool) -> None:
    from .. import evals

    with steps(quiet=quiet) as progress:
        evals.evaluate(config, folder, resume=resume, progress=progress)
        progress("writing the report", 0, 0)
        results = evals.write_report(folder, examples=examples)
    if as_json:
        write_json(evals.to_json(results))
    else:
        show_results(results, Path(folder))


def _compare(first: str, second: str, *, as_json: bool) -> None:
    with needs_extra("eval"):
        from .. import evals
    compared = evals.compare_runs(first, second)
    if as_json:
        write_json([asdict(one) for one in compared])
    else:
        show_comparison(compared, first, second)
