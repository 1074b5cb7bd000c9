"""Figures against arithmetic on items written by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from support.runs import READER, item, write_run

from popi_sdk import UsageError
from popi_sdk.evals import compare_runs, read_results
from popi_sdk.evals.report.markdown import markdown
from popi_sdk.evals.results import BETA, tally


def four_pairs(row: str, deltas: list[float], **fields: object) -> list[dict]:
    """User a has three pairs, user b one."""
    users = [("a", 0), ("a", 1), ("a", 2), ("b", 0)]
    return [item(row, user, pair, delta, **fields) for (user, pair), delta in zip(users, deltas, strict=True)]


ITEMS = [
    *four_pairs("none", [0, 0, 0, 0]),
    *four_pairs("heuristic", [2.0, 0.5, -1.0, 0.0]),
    *four_pairs("heuristic:shuffled", [-2.0, 0.5, -1.0, 3.0]),
]


def test_accuracy_ties_and_the_reference_free_figures(tmp_path: Path) -> None:
    results = read_results(write_run(tmp_path, ITEMS))
    none, own = results.row("none"), results.row("heuristic")
    assert none.accuracy.mean == 0.5
    assert (none.accuracy.low, none.accuracy.high) == (0.5, 0.5)
    assert own.accuracy.mean == (1 + 1 + 0 + 0.5) / 4
    assert own.per_user == [2 / 3, 0.5]
    # margins are delta - 1: 1.0, -0.5, -2.0, -1.0
    assert own.reference_free.mean == 1 / 4
    # per token: (-10 + margin) / 10 + 2 > 0 for all
    assert own.reference_free_per_token.mean == 1.0
    assert (none.context_tokens.mean, own.context_tokens.mean) == (0, 20)
    assert results.few_users


def test_personal_is_own_minus_shuffled_on_the_same_pairs_and_information_the_loss_between_them(
    tmp_path: Path,
) -> None:
    own = read_results(write_run(tmp_path, ITEMS)).row("heuristic")
    assert own.personal is not None
    assert own.personal.mean == pytest.approx(((1 - 0) + 0 + 0 + (0.5 - 1)) / 4)

    def loss(delta: float) -> float:
        return -math.log(1 / (1 + math.exp(-BETA * delta)))

    expected = sum(loss(shuffled) - loss(own) for own, shuffled in [(2, -2), (0.5, 0.5), (-1, -1), (0, 3)]) / 4
    assert own.information is not None
    assert own.information.mean == pytest.approx(expected)
    assert read_results(tmp_path).row("none").personal is None


def test_a_trained_row_is_held_against_its_rivals_on_the_same_pairs(tmp_path: Path) -> None:
    items = [*ITEMS, *four_pairs("population", [1, -1, -1, -1]), *four_pairs("joint", [1, 1, 0, 1])]
    items += four_pairs("joint:shuffled", [-1, -1, -1, -1])
    results = read_results(write_run(tmp_path, items, trained=["population", "joint", "joint:shuffled"]))
    over = {rival: figure.mean for rival, figure in results.row("joint").over_rivals.items()}
    assert over == {"population": 3.5 / 4 - 1 / 4, "heuristic": 3.5 / 4 - 2.5 / 4}
    assert results.row("population").over_rivals == results.row("heuristic").over_rivals == {}
    assert "Against `heuristic`: +25.0" in markdown(results)


def test_contested_pairs_are_those_the_majority_gets_wrong(tmp_path: Path) -> None:
    agrees = [1.0, 0.25, 0.5, 0.0]
    items = [
        one | {"population_agrees": agree, "kind": kind}
        for row in ("none", "heuristic")
        for one, agree, kind in zip(
            four_pairs(row, [0] * 4 if row == "none" else [2.0, 0.5, -1.0, 1.0]),
            agrees,
            ("x", "C++", "y", "y+x+y"),
            strict=True,
        )
    ]
    results = read_results(write_run(tmp_path, items))
    row = results.row("heuristic")
    assert results.population is not None
    assert results.population.mean == (1 + 0 + 0.5 + 0) / 4
    assert results.contested_share == 2 / 4
    assert row.contested is not None
    assert row.contested.mean == 1.0
    assert row.uncontested is not None
    assert (row.uncontested.mean, row.uncontested.items) == (1.0, 1)
    assert row.over_population is not None
    assert row.over_population.mean == pytest.approx((0 + 1 - 0.5 + 1) / 4)
    assert {kind: figure.mean for kind, figure in row.kinds.items()} == {"x": 1.0, "C++": 1.0, "y": 0.5}
    assert {kind: figure.items for kind, figure in row.kinds.items()} == {"x": 2, "C++": 1, "y": 2}


def test_where_the_data_says_nothing_of_the_population_nothing_is_made_up(tmp_path: Path) -> None:
    items = [one | {"population_agrees": 0.9 if one["pair"] == 0 else None} for one in ITEMS]
    known = read_results(write_run(tmp_path / "some", items))
    assert known.population is not None
    assert (known.population.mean, known.population.items) == (1.0, 2)
    over = known.row("heuristic").over_population
    assert over is not None
    assert (over.mean, over.items) == ((1 - 1 + 0.5 - 1) / 2, 2)
    undecided = read_results(write_run(tmp_path / "half", [one | {"population_agrees": 0.5} for one in ITEMS]))
    assert (undecided.population, undecided.row("heuristic").over_population) == (None, None)
    results = read_results(write_run(tmp_path / "none", ITEMS))
    assert (results.population, results.contested_share) == (None, None)


def test_what_summaries_are_like_and_how_much_of_the_signals_was_seen(tmp_path: Path) -> None:
    items = ITEMS + four_pairs("raw", [1, 1, 1, 1], signals_used=3, signals_total=4)
    summaries = [
        {"writer": "heuristic", "user_id": "a", "text": "S", "tokens": 8, "signals_used": 2, "signals_total": 4}
        | {"quoted": 0.25, "longest_quote": 5},
        {"writer": "heuristic", "user_id": "b", "error": "no answer"},
    ]
    results = read_results(write_run(tmp_path, items, summaries=summaries))
    assert results.row("raw").signals_used == 0.75
    facts = results.row("heuristic:shuffled").summaries
    assert facts is not None
    assert (facts.quoted, facts.longest_quote) == (0.25, 5)
    assert "| 25 (5) |" in markdown(results)
    assert (facts.users, facts.failed, facts.tokens, facts.signals_used, facts.distinct) == (2, 1, 8.0, 0.5, 1)
    assert results.row("raw").summaries is None


@pytest.mark.parametrize(
    ("items", "readers"),
    [(ITEMS[:-1], ()), ([], ()), (ITEMS, ("second",))],
    ids=["a pair is missing", "nothing", "a reader is missing"],
)
def test_a_run_that_is_not_finished_has_no_results(tmp_path: Path, items: list, readers: tuple) -> None:
    write_run(tmp_path, items, pairs=4, readers=readers)
    with pytest.raises(UsageError, match=r"not finished.*--resume"):
        read_results(tmp_path)


def test_no_run_or_another_form_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        read_results(tmp_path)
    (tmp_path / "run.json").write_text('{"format": 2}')
    with pytest.raises(UsageError, match="another form"):
        read_results(tmp_path)
    write_run(tmp_path / "run", ITEMS)
    (tmp_path / "run" / "items.jsonl").unlink()
    with pytest.raises(UsageError, match="not finished"):
        read_results(tmp_path / "run")
    write_run(tmp_path / "whole", ITEMS)
    with pytest.raises(UsageError, match=r"no row 'joint'.*none, heuristic"):
        read_results(tmp_path / "whole").row("joint")


def test_runs_are_compared_row_by_row_on_the_same_pairs(tmp_path: Path) -> None:
    first = write_run(tmp_path / "1", ITEMS)
    second = write_run(tmp_path / "2", four_pairs("none", [0] * 4) + four_pairs("heuristic", [2.0, 2.0, 2.0, -1.0]))
    compared = {one.row: one for one in compare_runs(first, second)}
    assert set(compared) == {"none", "heuristic"}
    assert compared["heuristic"].reader == READER
    assert compared["heuristic"].difference.mean == pytest.approx((3 - 2.5) / 4)
    assert (compared["heuristic"].first.mean, compared["heuristic"].second.mean) == (2.5 / 4, 3 / 4)


def test_runs_on_other_pairs_or_without_a_shared_row_are_not_compared(tmp_path: Path) -> None:
    first = write_run(tmp_path / "1", ITEMS)
    with pytest.raises(UsageError, match="different users or pairs"):
        compare_runs(first, write_run(tmp_path / "2", ITEMS, digest="e" * 64))
    with pytest.raises(UsageError, match="no row of one reader"):
        compare_runs(first, write_run(tmp_path / "3", [one | {"reader": "other"} for one in ITEMS]))
    with pytest.raises(UsageError, match="not finished"):
        compare_runs(first, write_run(tmp_path / "4", ITEMS[:3] + ITEMS[4:]))
    with pytest.raises(UsageError, match="same pairs"):
        tally(ITEMS)[READER, "none"].minus(tally(ITEMS[:3])[READER, "none"], "credit", 0)
