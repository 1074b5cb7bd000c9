"""A run as one HTML page that needs nothing else: no script, no font, no connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from ..results import Results, RowResult
from .markdown import command_of, quoted, title
from .plots import accuracy_against_cost, by_row, per_user
from .sentences import findings, remarks

__all__ = ["page"]

_EXAMPLES = 4  # users whose summaries are shown


def page(results: Results, summaries: Iterable[Mapping[str, Any]]) -> str:
    """The page.

    Args:
        results: All rows.
        summaries: Rows of the journal of summaries, for the examples.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("popi_sdk.evals.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"code": _code, "quoted": quoted}
    readers = list(dict.fromkeys(row.reader for row in results.rows))
    blocks = [_block(reader, [row for row in results.rows if row.reader == reader], results) for reader in readers]
    return environment.get_template("page.html.jinja").render(
        title=title(results),
        findings=findings(results),
        remarks=remarks(results),
        blocks=blocks,
        examples=_examples(summaries),
        extras=[extra["sentence"] for extra in results.extras.values() if extra],
        manifest=results.manifest,
        command=command_of(results.manifest["config"]),
    )


def _block(reader: str, rows: list[RowResult], results: Results) -> dict[str, Any]:
    kinds = list(dict.fromkeys(kind for row in rows for kind in row.kinds))
    return {
        "reader": reader,
        "rows": rows,
        "contested": any(row.contested for row in rows),
        "kinds": kinds,
        "by_row": by_row(rows, results),
        "cost": accuracy_against_cost(rows, results),
        "users": per_user(rows) if len(rows) > 1 else "",
    }


def _examples(summaries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The first users' summaries by all writers."""
    users: dict[str, dict[str, str]] = {}
    for row in summaries:
        if row["user_id"] in users or len(users) < _EXAMPLES:
            users.setdefault(row["user_id"], {})[row["writer"]] = row.get("text") or f"({row.get('error')})"
    return [{"user_id": user, "texts": texts} for user, texts in islice(users.items(), _EXAMPLES)]


def _code(text: str) -> Any:
    """Escaped text whose `names` in backticks are shown as code."""
    from markupsafe import Markup, escape

    pieces = str(escape(text)).split("`")
    return Markup("".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces)))
