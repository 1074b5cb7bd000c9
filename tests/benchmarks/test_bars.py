"""The verdicts of the bars on runs written by hand, where every user says the same: intervals have no width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from support.runs import item, write_run

from benchmarks.bars import Run, against, bars
from popi_sdk import UsageError
from popi_sdk.evals import write_report

USERS = [f"user{number}" for number in range(12)]
PERFECT = (1.0, 1.0, 1.0, 1.0)
CHANCE = (1.0, 1.0, -1.0, -1.0)
GOOD = (1.0, 1.0, 1.0, -1.0)
POOR = (1.0, -1.0, -1.0, -1.0)


def found(folder: Path, rows: Mapping[str, tuple[float, ...]], **tokens: int) -> dict[str, tuple[str, str]]:
    """Verdicts of `joint` by bar, in a run of these margins for everybody."""
    items = [
        item(row, user, pair, delta, context_tokens=tokens.get(row, 20))
        for row, deltas in ({"none": (0.0,) * 4} | dict(rows)).items()
        for user in USERS
        for pair, delta in enumerate(deltas)
    ]
    said = [
        {"writer": "joint", "user_id": user, "text": "S", "tokens": 8, "signals_used": 2, "signals_total": 2}
        | {"quoted": 0.1, "longest_quote": 9}
        for user in USERS
    ]
    trained = [row for row in rows if row.startswith("joint")]
    run = Run.read(write_run(folder, items, summaries=said, trained=trained))
    return {bar: (text, verdict) for bar, text, verdict in bars(run, "joint")}


def test_above_and_not_below_a_rival(tmp_path: Path) -> None:
    rows = {"joint": GOOD, "prompted": CHANCE, "heuristic": PERFECT, "population": GOOD, "sequential": GOOD}
    verdicts = {bar: verdict for bar, (_, verdict) in found(tmp_path, rows).items()}
    assert verdicts["above `prompted`"] == "met"
    assert verdicts["above `heuristic`"] == "NOT met"
    assert verdicts["above `population`"] == "NOT met"
    assert verdicts["not below `sequential`"] == "met"
    itself = {bar for bar, *_ in bars(Run.read(tmp_path), "population")}
    assert "above `prompted`" in itself
    assert "above `population`" not in itself


def test_an_interval_with_both_is_open(tmp_path: Path) -> None:
    items = [
        item(row, user, 0, delta)
        for number, user in enumerate(USERS)
        for row, delta in {"none": 0.0, "joint": 1.0, "prompted": 1.0 if number % 2 else -1.0, "raw": 2.0}.items()
    ]
    mixed = [
        one | {"delta": -1.0, "credit": 0.0} if one["user_id"] < "user2" and one["row"] == "joint" else one
        for one in items
    ]
    run = Run.read(write_run(tmp_path, mixed, trained=["joint"]))
    verdicts = {bar: verdict for bar, _, verdict in bars(run, "joint")}
    assert verdicts["above `prompted`"] == "open"
    assert verdicts["above `raw`"] == "NOT met"


def test_of_few_users_nothing_is_said(tmp_path: Path) -> None:
    items = [item(row, "a", 0, delta) for row, delta in {"none": 0.0, "joint": 1.0, "prompted": -1.0}.items()]
    run = Run.read(write_run(tmp_path, items, trained=["joint"]))
    assert ("above `prompted`", "+100.0 (1 user)", "too few users") in list(bars(run, "joint"))


@pytest.mark.parametrize(("own", "verdict"), [(GOOD, "NOT met"), (PERFECT, "met")])
def test_four_fifths_of_what_gold_gains(tmp_path: Path, own: tuple[float, ...], verdict: str) -> None:
    text, found_verdict = found(tmp_path, {"joint": own, "joint:gold": PERFECT})["0.8 of what gold descriptions gain"]
    assert found_verdict == verdict
    assert text.endswith("of +50.0 (+50.0 to +50.0)")


def test_where_gold_gains_nothing_nothing_can_be_recovered(tmp_path: Path) -> None:
    rows = {"joint": GOOD, "joint:gold": POOR}
    assert found(tmp_path, rows)["0.8 of what gold descriptions gain"][1] == "gold gains nothing"


def test_transfer_is_a_share_of_golds_or_a_floor_effect(tmp_path: Path) -> None:
    rows = {"joint": GOOD, "joint:frozen": GOOD, "joint:frozen:shuffled": CHANCE}
    whole = found(tmp_path / "gold", rows | {"gold": PERFECT, "gold:shuffled": CHANCE})
    assert whole["frozen reader: own above another's"][1] == "met"
    assert whole["frozen reader: 0.9 of gold's gain over another's"][1] == "NOT met"  # half of it
    floor = found(tmp_path / "floor", rows | {"gold": CHANCE, "gold:shuffled": CHANCE})
    assert floor["frozen reader: 0.9 of gold's gain over another's"][1].startswith("floor effect")


def test_another_users_summary_must_not_beat_the_population(tmp_path: Path) -> None:
    rows = {"joint": PERFECT, "population": CHANCE}
    assert found(tmp_path / "a", rows | {"joint:shuffled": GOOD})["`shuffled` not above `population`"][1] == "NOT met"
    assert found(tmp_path / "b", rows | {"joint:shuffled": CHANCE})["`shuffled` not above `population`"][1] == "met"


@pytest.mark.parametrize(("tokens", "verdict"), [(20, "met"), (21, "NOT met")])
def test_quoting_and_tokens_are_judged_by_the_figures(tmp_path: Path, tokens: int, verdict: str) -> None:
    verdicts = found(tmp_path, {"joint": GOOD, "raw": GOOD}, joint=tokens, raw=200)
    assert verdicts["quotes at most 15 %, 8 words in a row"] == ("10 %, 9 words", "NOT met")
    assert verdicts["a tenth of the raw signals' tokens"] == (f"{tokens} of 200", verdict)


def test_contested_pairs_and_another_model(tmp_path: Path) -> None:
    rows = {"none": (0.0,) * 4, "joint": GOOD, "start": CHANCE, "population": POOR, "start:shuffled": POOR}
    items = [
        item(row, user, pair, delta, population_agrees=float(pair < 1))
        for row, deltas in rows.items()
        for user in USERS
        for pair, delta in enumerate(deltas)
    ]
    run = Run.read(write_run(tmp_path / "run", items, trained=["joint"]))
    said = {name: (what, verdict) for name, what, verdict in bars(run, "joint")}
    assert said["above `population`"][0].startswith("+50.0")
    assert said["above `population`, contested pairs"][0].startswith("+66.7")
    assert said["above `population`, contested pairs"][1] == "met"
    assert [(name, what.split()[0]) for name, what in against(run, "joint", "start")] == [("`joint`", "+25.0")]


def lines(rows: Mapping[str, tuple[float, ...]], users: list[str] = USERS) -> list[dict[str, object]]:
    """Margins for everybody but the first user, for whom they are turned round."""
    return [
        item(row, user, pair, -delta if user == users[0] else delta, context_tokens=300 if row == "raw" else 20)
        for row, deltas in ({"none": (0.0,) * 4} | dict(rows)).items()
        for user in users
        for pair, delta in enumerate(deltas)
    ]


def earlier(folder: Path, **options: object) -> Path:
    """A report whose items are gone."""
    rows = {"joint": PERFECT, "population": GOOD, "raw": POOR, "gold": GOOD}
    write_report(write_run(folder, lines(rows), trained=["joint"], **options))
    (folder / "items.jsonl").unlink()
    return folder


def test_rivals_of_an_earlier_report(tmp_path: Path) -> None:
    mine = Run.read(write_run(tmp_path / "mine", lines({"joint": GOOD}), trained=["joint"]))
    assert not [bar for bar, _, _ in bars(mine, "joint") if "population" in bar]
    both = mine.joined(earlier(tmp_path / "earlier"))
    said = {bar: (text, verdict) for bar, text, verdict in bars(both, "joint")}
    # User by user the two are alike, also for the one for whom all is turned round: the interval has no width.
    assert said["above `population`"] == ("+0.0 (+0.0 to +0.0)", "NOT met")
    assert said["above `raw`"][0].startswith("+41.7 ")  # 11 of 12 users at +50, one at -50; not PERFECT, the other's
    assert said["a tenth of the raw signals' tokens"] == ("20 of 300", "met")
    assert "gold" in both.rows


def test_gold_of_other_descriptions_stays_out(tmp_path: Path) -> None:
    mine = Run.read(
        write_run(
            tmp_path / "mine", lines({"joint": GOOD}), trained=["joint"], digest="e" * 64, name="styleworld-shown"
        )
    )
    both = mine.joined(earlier(tmp_path / "earlier", name="styleworld"))
    assert {"population", "raw"} < set(both.rows)
    assert "gold" not in both.rows


def test_what_cannot_be_paired(tmp_path: Path) -> None:
    report = earlier(tmp_path / "earlier")
    fewer = Run.read(write_run(tmp_path / "fewer", lines({"joint": GOOD}, USERS[1:]), trained=["joint"]))
    with pytest.raises(UsageError, match="of other users, pairs, or another reader"):
        fewer.joined(report)
    same = Run.read(write_run(tmp_path / "same", lines({"joint": GOOD}), trained=["joint"]))
    for other in ({"budget": 63}, {"dtype": "float16"}):
        manifest = same.results.manifest
        found = manifest | {"config": manifest["config"] | other}
        with pytest.raises(UsageError, match="of other users, pairs, or another reader"):
            replace(same, results=replace(same.results, manifest=found)).joined(report)
    others = Run.read(write_run(tmp_path / "others", lines({"joint": GOOD}), trained=["joint"], digest="e" * 64))
    with pytest.raises(UsageError, match="of other users, pairs, or another reader"):
        others.joined(report)
    uneven = Run.read(
        write_run(tmp_path / "uneven", [one for one in lines({}) if (one["user_id"], one["pair"]) != ("user0", 3)])
    )
    with pytest.raises(UsageError, match="different numbers of pairs"):
        uneven.joined(report)
    with pytest.raises(UsageError, match="no report of popi eval"):
        fewer.joined(tmp_path / "nothing")
