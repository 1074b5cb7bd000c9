"""Which rows a table has: the reference first, a control behind every summary row, trained models by directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from popi_sdk import ConfigurationError
from popi_sdk.evals import methods_for, read_trained


def trained(folder: Path, **manifest: object) -> Path:
    for part in ("inferrer", "generator"):
        if manifest.get(part):
            (folder / str(manifest[part])).mkdir(parents=True)
    folder.mkdir(exist_ok=True)
    (folder / "popi.json").write_text(json.dumps({"format": 1, "base_model": "base", **manifest}))
    return folder


def test_the_reference_comes_first_and_every_summary_row_brings_its_control() -> None:
    rows = methods_for(["heuristic", "raw", "none", "gold"], gold=True)
    names = ["none", "heuristic", "heuristic:shuffled", "raw", "gold", "gold:shuffled"]
    assert [row.name for row in rows] == names
    assert [row.context for row in rows] == ["none", "summary", "summary", "signals", "summary", "summary"]
    assert [row.shuffled for row in rows] == [False, False, True, False, False, True]
    assert all(row.about for row in rows)


def test_without_descriptions_in_the_data_there_is_no_gold_row() -> None:
    assert [row.name for row in methods_for(["gold", "raw"], gold=False)] == ["none", "raw"]


def test_a_trained_pair_is_read_by_its_own_generator_by_the_frozen_one_and_reads_gold(tmp_path: Path) -> None:
    folder = trained(tmp_path / "popi", inferrer="i", generator="g", budget=64, seed=5)
    rows = methods_for([f"joint={folder}", "gold"], gold=True)
    names = [row.name for row in rows if not row.shuffled]
    assert names == ["none", "joint", "joint:frozen", "joint:gold", "gold"]
    by_name = {row.name: row for row in rows}
    assert by_name["joint"].trained == by_name["joint"].source == read_trained("joint", folder)
    assert by_name["joint"].trained.generator_path == folder / "g"
    assert by_name["joint:frozen"].trained is None
    assert by_name["joint:frozen"].source.inferrer_path == folder / "i"
    assert by_name["joint:gold"].writer == "gold"
    assert by_name["joint:frozen:shuffled"].shuffled
    assert [row.name for row in methods_for([f"joint={folder}"], gold=True)][-1] == "joint:frozen:shuffled"


def test_other_trained_models(tmp_path: Path) -> None:
    population = trained(tmp_path / "p", context="none", generator="g")
    raw = trained(tmp_path / "r", context="signals", generator="g")
    inferrer = trained(tmp_path / "i", inferrer="x")
    rows = methods_for([f"population={population}", f"raw-trained={raw}", f"mine={inferrer}"], gold=False)
    assert [(row.name, row.context) for row in rows[1:]] == [
        ("population", "none"),
        ("raw-trained", "signals"),
        ("mine:frozen", "summary"),
        ("mine:frozen:shuffled", "summary"),
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["summary"], r"no method 'summary'.*heuristic.*NAME=DIR"),
        (["raw", "raw"], r"'raw' is there twice"),
        (["gold=x"], r"name of its own"),
        (["=x"], r"name of its own"),
        (["a:b=x"], r"name of its own"),
        (["a$b$=x"], r"name of its own"),
        (["a/b=x"], r"name of its own"),
        (["joint=/nowhere"], r"cannot read popi.json"),
    ],
)
def test_what_cannot_be_measured_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        methods_for(names, gold=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the file: Invalid JSON"),
        ("[]", "should be an object"),
        ('{"format": 2, "base_model": "b"}', "format: "),
        ('{"format": 1}', "base_model: Field required"),
        ('{"format": 1, "base_model": "b", "context": "all"}', "context: "),
        ('{"format": 1, "base_model": "b", "inferrer": "gone"}', "'gone'.*no such folder"),
        ('{"format": 1, "base_model": "b", "inferrer": "../gone"}', "inferrer: .* outside of the directory"),
        ('{"format": 1, "base_model": "b", "generator": "/etc"}', "generator: .* outside of the directory"),
        (f'{{"format": 1, "base_model": "b", "inferrer": "{"a" * 5_000}"}}', "inferrer: "),
        ('{"format": 1, "base_model": "b", "budget": 0, "inferrer": "gone"}', "budget: "),
        ('{"format": 1, "base_model": "b"}', "no inferrer is named"),
        ('{"format": 1, "base_model": "b", "context": "none"}', "no generator is named"),
    ],
)
def test_a_directory_that_says_something_else_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "popi.json").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_trained("joint", tmp_path)
