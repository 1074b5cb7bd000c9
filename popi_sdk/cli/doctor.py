"""`popi doctor`: what works on this machine, and what to run where something does not."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..models import DEFAULT_MODEL
from .checks import Report, examine
from .options import AsJson
from .output import clean, screen, waiting, write_json

__all__ = ["doctor"]

_FIRST, _SECOND = 23, 10  # columns: the longest name of a variable, the longest mark


def doctor(
    *,
    deep: Annotated[
        bool, typer.Option("--deep", metavar="", help="Also check the model's SHA-256, which reads the whole file.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check what is installed, what works and what is missing.

    It starts the engine on this machine and lets it answer one token. It downloads
    nothing, asks no server, and shows of a key only whether it is there. The exit
    code is 0 if the backend 'local' works, else 2.

    Examples:
      popi doctor
      popi doctor --deep
      popi doctor --json | jq .backends
    """
    from .. import __version__

    with waiting("Starting the engine ..."):
        report = examine(os.environ, __version__, deep=deep)
    if as_json:
        write_json(_as_dict(report))
    else:
        screen().print(_page(report))
    if not report.ok:
        raise typer.Exit(2)


def _as_dict(report: Report) -> dict[str, Any]:
    return {
        "ok": report.ok,
        "python": report.python,
        "popi_sdk": report.version,
        "extras": [
            {"name": extra.name, "installed": extra.installed, "packages": extra.packages, "install": extra.command}
            for extra in report.extras
        ],
        "model": {
            "name": DEFAULT_MODEL.name,
            "path": None if report.model.path is None else str(report.model.path),
            "sha256_ok": report.model.sha256_ok,
        },
        "engine": {"ok": report.engine.ok, "seconds": report.engine.seconds, "why": report.engine.why},
        "keys": report.keys,
        "settings": report.settings,
        "settings_error": report.settings_error,
        "unknown_variables": report.unknown_variables,
        "backends": [
            {"name": backend.name, "usable": backend.usable, "remark": backend.remark} for backend in report.backends
        ],
        "advice": report.advice,
    }


def _page(report: Report) -> RenderableType:
    head = Text.assemble((f"popi-sdk {report.version}", "bold"), (f"   Python {clean(report.python)}", "dim"))
    tables = [_backends(report), _extras(report), _model(report), _environment(report)]
    return Group(head, *tables, Text(), *_closing(report))


def _table(title: str) -> Table:
    table = Table(box=None, show_header=False, expand=True, padding=(0, 2, 0, 0), pad_edge=False)
    table.title, table.title_justify, table.title_style = f"\n{title}", "left", "bold"
    table.add_column(no_wrap=True, width=_FIRST)
    table.add_column(no_wrap=True, width=_SECOND)
    table.add_column(ratio=1, overflow="fold", style="dim")
    return table


def _backends(report: Report) -> Table:
    table = _table("Backends")
    for backend in report.backends:
        table.add_row(clean(backend.name), _mark(backend.usable, "usable", "not usable"), clean(backend.remark))
    return table


def _extras(report: Report) -> Table:
    table = _table("Extras")
    for extra in report.extras:
        versions = ", ".join(f"{name} {version}" for name, version in extra.packages.items() if version)
        told = versions if extra.installed else extra.command
        table.add_row(extra.name, _mark(extra.installed, "installed", "missing"), told)
    return table


def _model(report: Report) -> Table:
    model, engine = report.model, report.engine
    table = _table("On this machine")
    table.add_row(DEFAULT_MODEL.name, _mark(model.path is not None, "pulled", "not pulled"), str(model.path or ""))
    if model.sha256_ok is not None:
        table.add_row("  SHA-256", _mark(model.sha256_ok, "right", "wrong"), "")
    why = f"{engine.seconds:.1f} s from its start to the first token" if engine.seconds else engine.why
    table.add_row("engine", _mark(engine.ok, "answers", "no answer"), clean(why))
    return table


def _environment(report: Report) -> Table:
    table = _table("Environment")
    for name, there in report.keys.items():
        table.add_row(name, Text("present", style="green") if there else Text("absent", style="dim"), "")
    for name, value in report.settings.items():
        if name not in report.keys:
            table.add_row(name, "", clean(value))
    for name in report.unknown_variables:
        table.add_row(clean(name), Text("unknown", style="yellow"), "no part of popi reads it")
    return table


def _mark(good: bool, yes: str, no: str) -> Text:
    return Text(yes, style="green") if good else Text(no, style="yellow")


def _closing(report: Report) -> list[Text]:
    first = Text("The backend 'local' works.", style="bold green")
    if not report.ok:
        first = Text("The backend 'local' does not work yet.", style="bold red")
    return [first, *(Text(clean(advice)) for advice in report.advice)]
