"""What the documentation lists is what the code has: backends, extras, errors, variables, layers, commands, links."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from support.pages import PAGES, ROOT, blocks_of, extras, table_under, tree_in

import popi_sdk
from popi_sdk import errors, settings
from popi_sdk.generators import GENERATORS, GenerationOptions, faults
from popi_sdk.signals import Signal

DOCS = ROOT / "docs"

EXTRA_OF = {
    "local": "popi-sdk[local]",
    "llamacpp": "popi-sdk[local]",
    "hf": "popi-sdk[hf]",
    "openai": "popi-sdk[openai]",
    "anthropic": "popi-sdk[anthropic]",
    "compatible": "popi-sdk",
    "function": "popi-sdk",
}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _code(cell: str) -> str:
    """What stands in the first pair of backticks of a cell."""
    match = re.search(r"`([^`]+)`", cell)
    assert match, f"no code in {cell!r}"
    return match[1]


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "backends.md"], ids=lambda page: page.name)
def test_backend_table_names_all_backends_and_their_extras(page: Path) -> None:
    rows = {re.split(r"[:(]", _code(row[0]))[0]: _code(row[-1]) for row in table_under(_text(page), "backend")}
    assert set(rows) == {*GENERATORS, "function"}
    assert rows == EXTRA_OF
    for requirement in rows.values():
        assert set(re.findall(r"\[(.*)\]", requirement)) <= extras()


def test_readme_names_all_extras() -> None:
    install = _text(ROOT / "README.md").partition("## Install")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", install)) >= extras() - {"dev"}


def test_status_table_is_that_of_the_code() -> None:
    assert faults.__doc__
    assert table_under(_text(DOCS / "backends.md"), "status") == table_under(faults.__doc__, "status")


def test_error_tree_is_that_of_the_code() -> None:
    assert errors.__doc__
    assert tree_in(_text(DOCS / "backends.md"), "PopiError") == tree_in(errors.__doc__, "PopiError")


def test_every_error_class_is_explained_on_the_backends_page() -> None:
    page = _text(DOCS / "backends.md")
    for name in errors.__all__:
        if name.endswith("Error"):
            assert name in page


def test_environment_table_is_that_of_the_code() -> None:
    assert settings.__doc__
    documented = table_under(_text(DOCS / "backends.md"), "variable")
    assert documented == table_under(settings.__doc__, "variable")
    names = {_code(row[0]) for row in documented}
    assert names == {f"POPI_{name.upper()}" for name in settings.Settings.__dataclass_fields__}


def test_every_variable_that_a_page_names_is_read() -> None:
    known = {f"POPI_{name.upper()}" for name in settings.Settings.__dataclass_fields__}
    for page in PAGES:
        found = set(re.findall(r"\bPOPI_[A-Z_]+\b", _text(page)))
        assert found <= known, f"{page.relative_to(ROOT)} names {sorted(found - known)}"


def test_options_table_is_that_of_the_code() -> None:
    rows = table_under(_text(DOCS / "backends.md"), "option")
    assert [_code(row[0]) for row in rows] == list(GenerationOptions.model_fields)
    assert rows[0][-1] == str(GenerationOptions().max_tokens)


def test_signal_table_is_that_of_the_code() -> None:
    rows = {
        _code(row[0]): (_code(row[1]), set(re.findall(r"`(\w+)`", row[2])))
        for row in table_under(_text(DOCS / "signals.md"), "kind")
    }
    kinds = get_args(get_args(Signal)[0])
    common = {"kind", "time", "source"}
    assert rows == {
        kind.model_fields["kind"].default: (kind.__name__, set(kind.model_fields) - common) for kind in kinds
    }


def test_summary_table_names_every_field() -> None:
    named = {
        name for row in table_under(_text(DOCS / "summaries.md"), "field") for name in re.findall(r"`(\w+)`", row[0])
    }
    assert named == set(popi_sdk.PreferenceSummary.model_fields)


def test_layers_are_those_that_are_checked() -> None:
    config = tomllib.loads(_text(ROOT / "pyproject.toml"))
    contract = config["tool"]["importlinter"]["contracts"][0]["layers"]
    drawn = next(block for block in blocks_of(DOCS / "architecture.md") if block.code.startswith("cli\n"))
    assert drawn.code.splitlines() == contract


def test_every_file_that_the_architecture_names_is_there() -> None:
    later = {
        "stores/",
        "data/",
        "scoring/",
        "evals/",
        "train/",
        "scale/",
        "serve/",
        "signals.py",
        "personalizer.py",
        "cli.py",
    }
    package = ROOT / "popi_sdk"
    for name in set(re.findall(r"`([\w/]+(?:/|\.py|\.jinja))`", _text(DOCS / "architecture.md"))) - later:
        anywhere = [
            path for path in package.rglob(Path(name).name) if str(path.relative_to(package)).endswith(name.rstrip("/"))
        ]
        assert anywhere or (ROOT / name).exists(), f"docs/architecture.md names {name}"


def test_every_public_name_has_its_reference() -> None:
    named = set(re.findall(r"^::: ([\w.]+)$", "\n".join(map(_text, (DOCS / "reference").glob("*.md"))), re.MULTILINE))
    covered = {name.rpartition(".")[2] for name in named}
    assert set(popi_sdk.__all__) <= covered


def test_every_page_is_in_the_navigation() -> None:
    navigation = _text(ROOT / "mkdocs.yml")
    for page in DOCS.rglob("*.md"):
        if "results" not in page.parts:
            assert f": {page.relative_to(DOCS)}" in navigation


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _text(page)):
        path = target.partition("#")[0]
        if path and "://" not in path:
            assert (page.parent / path).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_first_screen_of_the_readme() -> None:
    screen = "\n".join(_text(ROOT / "README.md").splitlines()[:40])
    for needed in ("make demo", "make test", "```python", "not the Protection of Personal Information Act", "openai:"):
        assert needed in screen
    assert table_under(screen, "backend")


def test_cli_page_names_every_command() -> None:
    from typer.main import get_command

    from popi_sdk.cli.app import create_app

    page = _text(DOCS / "cli.md")
    for name in get_command(create_app()).commands:
        assert re.search(rf"^#+ .*`popi {name}`", page, re.MULTILINE), f"docs/cli.md has no heading for popi {name}"


def test_changelog_knows_this_version() -> None:
    assert f"## {popi_sdk.__version__}" in _text(ROOT / "CHANGELOG.md")


def test_no_block_of_code_imports_a_private_name() -> None:
    for page in PAGES:
        for block in blocks_of(page):
            if block.language == "python":
                for node in ast.walk(ast.parse(block.code)):
                    names = (
                        [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
                    )
                    assert not any(name.startswith("_") for name in names), str(block)


def test_the_site_loads_nothing_from_other_hosts() -> None:
    """Fonts come from the system; with a repository's URL the theme would ask its host for stars."""
    config = _text(ROOT / "mkdocs.yml")
    assert "\n  font: false\n" in config
    assert not re.search(r"^(repo_url|extra_javascript|analytics)\b", config, re.MULTILINE)
    assert "://" not in config
