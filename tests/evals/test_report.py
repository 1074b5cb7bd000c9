"""What people read of a run says what the figures say, and nothing in it can act."""

from __future__ import annotations

import json
import random
from html.parser import HTMLParser
from pathlib import Path

from support.runs import item, write_run

from popi_sdk.evals import write_report
from popi_sdk.evals.report.markdown import command_of
from popi_sdk.evals.report.sentences import findings, remarks


def run(folder: Path, *, users: int = 30, own: float = 0.8, other: float = 0.5, note: str | None = None) -> Path:
    """Rows none, raw, heuristic and its control; the own summary is right with probability `own`."""
    rng = random.Random(0)
    items = []
    for row, right in {"none": None, "raw": 0.6, "heuristic": own, "heuristic:shuffled": other}.items():
        for user in range(users):
            for pair in range(6):
                delta = 0.0 if right is None else 1.0 if rng.random() < right else -1.0
                fields = {"signals_used": 2, "signals_total": 3, "context_tokens": 400} if row == "raw" else {}
                items.append(item(row, f"user {user}", pair, delta, kind="k", population_agrees=0.7, **fields))
    text = "Keep <b>answers</b> short & plain."
    summaries = [
        {"writer": "heuristic", "user_id": f"user {user}", "text": f"{text} {user}", "tokens": 9, "signals_total": 2}
        for user in range(users)
    ]
    return write_run(folder, items, summaries=summaries, note=note)


class Reading(HTMLParser):
    """Text and links of a page, and whether its elements are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.text = ""
        self.tags: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and value and not value.startswith("#"):
                self.links.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_data(self, data):
        self.text += data


def test_a_personal_gain_is_said_with_its_interval_cost_and_control(tmp_path: Path) -> None:
    results = write_report(run(tmp_path))
    gain, cost, personal = findings(results)
    row = results.row("heuristic")
    assert row.accuracy.percent() in gain.sentence
    assert "That is a gain." in gain.sentence
    assert gain.good is True
    assert cost.figure == "20 tokens"
    assert "20.0 times as many, although only 66 % of them fit" in cost.sentence
    assert personal.good is True
    assert personal.sentence.endswith("What helped was about this user.")
    assert remarks(results) == [
        "Of 180 pairs whose majority is known, 0.0 % are contested: most people prefer the other response."
    ]


def test_what_is_not_shown_is_not_claimed(tmp_path: Path) -> None:
    results = write_report(run(tmp_path, own=0.5, note="Users were seen in training."))
    gain, _, personal = findings(results)
    assert gain.good is None
    assert "The interval includes it: no gain is shown." in gain.sentence
    assert personal.good is False
    assert "not significant. That it is about this user is not shown." in personal.sentence
    assert remarks(results)[0] == "Users were seen in training."


def test_harm_is_called_harm_and_somebody_elses_summary_may_be_the_better_one(tmp_path: Path) -> None:
    gain, _, personal = findings(write_report(run(tmp_path / "harm", own=0.35, other=0.1)))
    assert gain.good is False
    assert "That is a loss" in gain.sentence
    assert personal.good is None
    assert "a gain over no summary is not shown" in personal.sentence
    gain, _, personal = findings(write_report(run(tmp_path / "stranger", own=0.6, other=0.9)))
    assert personal.good is False
    assert "worse than somebody else's" in personal.sentence


def test_few_users_failures_and_one_summary_for_all_are_remarked(tmp_path: Path) -> None:
    folder = run(tmp_path, users=4)
    written = {"unit": "u", "writer": "heuristic", "text": "S", "tokens": 1}
    summaries = [written | {"user_id": f"user {user}"} for user in range(3)]
    summaries.append({"unit": "u", "writer": "heuristic", "user_id": "user 3", "error": "no"})
    (folder / "summaries.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in summaries))
    results = write_report(folder)
    assert [finding.good for finding in findings(results)] == [None, None, None]
    sentences = " ".join(finding.sentence for finding in findings(results))
    assert sentences.count("So few users show nothing.") == 2
    assert not any(claim in sentences for claim in ("That is a gain", "That is a loss", "significant", "interval"))
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "no intervals: too few users" in page
    assert "95 % interval" not in (folder / "report.md").read_text(encoding="utf-8")
    said = " ".join(remarks(results))
    assert "Only 4 users" in said
    assert "1 of 4 summaries could not be written" in said
    assert "one and the same summary for everybody" in said


def test_the_page_is_whole_by_itself_shows_what_was_measured_and_cannot_act(tmp_path: Path) -> None:
    write_report(run(tmp_path))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Reading()
    page.feed(text)
    assert page.links == []
    assert "script" not in page.tags
    assert "b" not in page.tags  # the summary's own mark-up is text
    assert page.tags.count("svg") == 3
    assert len(set(page.ids)) == len(page.ids)
    for shown in ("Was it personal?", "heuristic:shuffled", "Keep <b>answers</b> short & plain. 0", "user 0"):
        assert shown in page.text


def test_a_report_for_others_shows_no_summary(tmp_path: Path) -> None:
    write_report(run(tmp_path), examples=False)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "short &amp; plain" not in text
    assert "Summaries of the first users" not in text
    assert "Was it personal?" in text


def test_a_report_for_others_tells_no_paths(tmp_path: Path) -> None:
    folder = run(tmp_path)
    manifest = json.loads((folder / "run.json").read_text())
    manifest["config"] |= {"data": "/home/alice/users.jsonl", "methods": ["joint=/home/alice/popi"]}
    manifest["data"]["name"] = "/home/alice/users.jsonl"
    (folder / "run.json").write_text(json.dumps(manifest))
    write_report(folder, examples=False)
    for name in ("report.html", "report.md", "results.json"):
        assert "alice" not in (folder / name).read_text()
    assert "--method joint=popi" in (folder / "report.md").read_text()


def test_markdown_and_json_have_every_row_and_how_it_was_made(tmp_path: Path) -> None:
    results = write_report(run(tmp_path))
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    for row in results.rows:
        assert f"| `{row.row}` | {row.accuracy.percent()} |" in text
    assert "SHA-256 `" + "d" * 64 in text
    read = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [row["row"] for row in read["rows"]] == [row.row for row in results.rows]
    assert read["rows"][2]["accuracy"]["mean"] == results.rows[2].accuracy.mean
    assert read["findings"][0]["question"] == "What did personalisation gain?"
    assert read["manifest"]["data"]["digest"] == "d" * 64


def test_the_same_run_is_the_same_bytes(tmp_path: Path) -> None:
    write_report(run(tmp_path / "1"))
    write_report(run(tmp_path / "2"))
    for name in ("report.html", "report.md", "results.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_the_command_in_a_report_is_the_one_that_makes_it(tmp_path: Path) -> None:
    config = write_report(run(tmp_path)).manifest["config"]
    config |= {"methods": ["raw", "joint=my popi"], "readers": ["gpt2"], "limit": 5, "over_personalisation": True}
    assert command_of(config) == (
        "popi eval users.jsonl --split dev --method raw --method 'joint=my popi' --limit 5 --reader gpt2 --seed 0 "
        "--budget 128 --raw-budget 1024 --dtype float32 --device auto --over-personalisation --output DIR"
    )
